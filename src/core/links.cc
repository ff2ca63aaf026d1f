#include "core/links.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "core/dockerfile.h"
#include "core/lower_case.h"
#include "core/reference.h"
#include "core/shown.h"

namespace imagewright {

namespace {

// Two spellings of one image are one; what is no reference is itself alone.
std::string key_of(const std::string& name) {
  const auto reference = parse_reference(name);
  return reference ? normalized(*reference) : lower_case(name);
}

// The contexts of an image, by the names under which a Dockerfile can mean them.
std::map<std::string, std::string> contexts_of(const ImageConfig& image) {
  std::map<std::string, std::string> contexts;
  for (const auto& [name, value] : image.additional_contexts) contexts[key_of(name)] = value;
  return contexts;
}

LinkKind kind_of(StageSource::Kind kind) {
  switch (kind) {
    case StageSource::Kind::Base:
      return LinkKind::Base;
    case StageSource::Kind::Copy:
      return LinkKind::Copy;
    case StageSource::Kind::Mount:
      return LinkKind::Mount;
  }
  return LinkKind::Base;
}

// A list of `key=value` with commas between, as a flag has it.
std::string joined(const std::vector<std::string>& fields) {
  std::string text;
  for (const std::string& field : fields) {
    if (!text.empty()) text += ',';
    if (field.find_first_of(",\"\n") == std::string::npos) {
      text += field;
      continue;
    }
    text += '"';
    for (const char c : field) text += c == '"' ? std::string(2, c) : std::string(1, c);
    text += '"';
  }
  return text;
}

// As it can stand among an instruction's flags.
std::string escaped(const std::string& flag) {
  std::string text;
  for (const char c : flag) {
    if (c == '\\' || c == '"' || c == '\'' || c == ' ' || c == '\t') text += '\\';
    text += c;
  }
  return text;
}

// The flag of a source, or FROM's image, for another reference.
std::string written_for(const StageSource& source, const std::string& reference) {
  switch (source.kind) {
    case StageSource::Kind::Base:
      return reference;
    case StageSource::Kind::Copy:
      return "--from=" + reference;
    case StageSource::Kind::Mount:
      break;
  }
  std::vector<std::string> fields = mount_fields(source.flag);
  for (std::string& field : fields) {
    const std::size_t equals = field.find('=');
    if (equals != std::string::npos && lower_case(field.substr(0, equals)) == "from")
      field = "from=" + reference;
  }
  return escaped("--mount=" + joined(fields));
}

// Behind the image that reads a Dockerfile there may be words for it.
std::string first_word(const std::string& syntax) {
  return syntax.substr(0, syntax.find(' '));
}

struct Edit {
  Span span;
  std::string text;
};

// Where a line begins; behind the last one: the text's end.
std::size_t begin_of_line(std::string_view text, int line) {
  std::size_t at = 0;
  for (int i = 1; i < line && at != text.size(); ++i) {
    const std::size_t end = text.find('\n', at);
    at = end == std::string_view::npos ? text.size() : end + 1;
  }
  return at;
}

// Empties the lines of a stage behind its FROM, which begins at line `from`.
Edit without_instructions(std::string_view text, const Dockerfile& file, int from) {
  auto next = std::find_if(file.instructions.begin(), file.instructions.end(),
                           [&](const Instruction& one) { return one.line == from; });
  const int begin = next->end_line + 1;
  do {
    ++next;
  } while (next != file.instructions.end() && next->name != "from");
  const Span span = {begin_of_line(text, begin), next == file.instructions.end()
                                                     ? text.size()
                                                     : begin_of_line(text, next->line)};
  const auto part = text.substr(span.begin, span.end - span.begin);
  return {span,
          std::string(static_cast<std::size_t>(std::count(part.begin(), part.end(), '\n')), '\n')};
}

std::string edited(std::string_view text, std::vector<Edit> edits) {
  std::sort(edits.begin(), edits.end(),
            [](const Edit& a, const Edit& b) { return a.span.begin < b.span.begin; });
  std::string result;
  std::size_t done = 0;
  for (const Edit& edit : edits) {
    if (edit.span.begin < done) continue;
    result += text.substr(done, edit.span.begin - done);
    result += edit.text;
    done = edit.span.end;
  }
  result += text.substr(done);
  return result;
}

}  // namespace

std::string base_name(const Link& link) {
  return link.platform.empty() ? link.image : link.image + " for " + link.platform;
}

std::optional<Link> base_of_target(std::string_view dockerfile, const ImageConfig& image,
                                   const Platforms& platforms) {
  const auto file = parse_dockerfile(dockerfile);
  if (!file || !is_known_frontend(file->syntax)) return std::nullopt;
  const auto stages = find_stages(*file, request_for(image, platforms));
  const auto links = find_links(dockerfile, image, platforms);
  if (!stages || !links) return std::nullopt;
  // (A stage stands on earlier ones only.)
  for (std::size_t number = stages->target;;) {
    const auto& sources = stages->all[number].sources;
    if (sources.empty() || sources.front().kind != StageSource::Kind::Base) return std::nullopt;
    const StageSource& source = sources.front();
    if (source.stage) {
      if (*source.stage >= number) return std::nullopt;
      number = *source.stage;
      continue;
    }
    for (const Link& link : *links) {
      if (link.kind == LinkKind::Base && link.written == source.image && link.line == source.line)
        return link;
    }
    return std::nullopt;
  }
}

bool is_known_frontend(const std::string& syntax) {
  if (syntax.empty()) return true;
  const auto reference = parse_reference(syntax);
  if (!reference) return false;
  const std::string full = normalized({reference->repository, reference->domain, "", ""});
  // (Also where a mirror has it.)
  return full.ends_with("/docker/dockerfile:latest") ||
         full.ends_with("/docker/dockerfile-upstream:latest");
}

StageRequest request_for(const ImageConfig& image, const Platforms& platforms) {
  StageRequest request;
  request.target = image.target;
  request.args = image.args;
  request.platform = platforms.target;
  request.build_platform = platforms.build;
  for (const auto& [name, value] : image.additional_contexts)
    request.contexts.insert(lower_case(name));
  return request;
}

std::optional<std::string> image_of_context(const std::string& value) {
  for (const std::string_view scheme : {"image:", "docker-image://"}) {
    if (value.starts_with(scheme)) return value.substr(scheme.size());
  }
  return std::nullopt;
}

std::optional<std::string> directory_of_context(const std::string& value) {
  // (`target:x`, `service:x`, `https://…`, `git@host:…`; a path with a colon can begin with `./`.)
  const std::string_view first = std::string_view(value).substr(0, value.find('/'));
  if (value.empty() || image_of_context(value) || first.find(':') != std::string_view::npos)
    return std::nullopt;
  return value;
}

std::string image_meant(const ImageConfig& image, const std::string& written) {
  const auto contexts = contexts_of(image);
  const auto context = contexts.find(key_of(written));
  if (context == contexts.end()) return written;
  return image_of_context(context->second).value_or(written);
}

const char* word(LinkKind kind) {
  switch (kind) {
    case LinkKind::Base:
      return "from";
    case LinkKind::Copy:
      return "copy";
    case LinkKind::Mount:
      return "mount";
    case LinkKind::Syntax:
      return "syntax";
    case LinkKind::DependsOn:
      return "depends-on";
  }
  return "";
}

tl::expected<std::vector<Link>, ParseError> find_links(std::string_view dockerfile,
                                                       const ImageConfig& image,
                                                       const Platforms& platforms) {
  std::vector<Link> links;
  const auto file = parse_dockerfile(dockerfile);
  if (!file) return tl::unexpected(file.error());
  for (const auto& [name, value] : image.additional_contexts) {
    if (image_of_context(value) || directory_of_context(value)) continue;
    return tl::unexpected(ParseError{
        fmt::format("the additional context {} is {}; it must be a directory or an image in this "
                    "version of imagewright: PATH, image:NAME or docker-image://REFERENCE",
                    shown(name), shown(value))});
  }
  if (is_known_frontend(file->syntax)) {
    const auto stages = find_stages(*file, request_for(image, platforms));
    if (!stages) return tl::unexpected(stages.error());
    const auto contexts = contexts_of(image);
    for (const std::size_t number : stages->needed) {
      for (const StageSource& source : stages->all[number].sources) {
        if (source.stage) continue;
        Link link;
        link.kind = kind_of(source.kind);
        link.written = link.image = source.image;
        link.platform = source.platform;
        link.line = source.line;
        if (const auto context = contexts.find(key_of(source.image)); context != contexts.end()) {
          link.image = image_of_context(context->second).value_or("");
          if (link.image.empty()) link.directory = context->second;
          if (link.image.empty() && link.kind == LinkKind::Base) {
            return tl::unexpected(
                ParseError{fmt::format("{} is a directory, and no image that a stage can stand on",
                                       shown(link.written)),
                           link.line, 0});
          }
        }
        links.push_back(std::move(link));
      }
    }
  }
  if (!file->syntax.empty()) {
    const std::string reader = first_word(file->syntax);
    links.push_back({LinkKind::Syntax, reader, reader, "", file->syntax_line});
  }
  // (Where it is not known what the file takes, it may take any.)
  for (const auto& [name, value] : image.additional_contexts) {
    if (!is_known_frontend(file->syntax) && directory_of_context(value))
      links.push_back({LinkKind::Copy, name, "", "", 0, value});
  }
  for (const std::string& name : image.depends_on)
    links.push_back({LinkKind::DependsOn, name, name, "", 0});
  return links;
}

std::string with_references(std::string_view dockerfile, const ImageConfig& image,
                            const Platforms& platforms, const References& references) {
  const auto file = parse_dockerfile(dockerfile);
  if (references.empty() || !file) return std::string(dockerfile);
  std::vector<Edit> edits;
  if (!file->syntax.empty()) {
    const std::string reader = first_word(file->syntax);
    const auto found = references.find({reader, ""});
    const std::size_t begin = begin_of_line(dockerfile, file->syntax_line);
    const std::size_t end = std::min(dockerfile.find('\n', begin), dockerfile.size());
    const std::string line = lower_case(dockerfile.substr(begin, end - begin));
    const std::size_t key = std::min(line.find("syntax"), line.size());
    const std::size_t at = dockerfile.find(reader, begin + key);
    if (found != references.end() && at < end)
      edits.push_back({{at, at + reader.size()}, found->second});
  }
  if (!is_known_frontend(file->syntax)) return edited(dockerfile, std::move(edits));
  const auto stages = find_stages(*file, request_for(image, platforms));
  if (!stages) return std::string(dockerfile);
  for (const std::size_t number : stages->needed) {
    for (const StageSource& source : stages->all[number].sources) {
      if (source.stage) continue;
      const auto found = references.find({source.image, source.platform});
      if (found == references.end()) continue;
      edits.push_back({source.span, written_for(source, found->second)});
      const Stage& stage = stages->all[number];
      if (stage.is_context) edits.push_back(without_instructions(dockerfile, *file, stage.line));
    }
  }
  return edited(dockerfile, std::move(edits));
}

}  // namespace imagewright
