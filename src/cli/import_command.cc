#include "cli/import_command.h"

#include <fmt/format.h>

#include <filesystem>

#include "cli/project.h"
#include "core/reference.h"
#include "core/stackbrew.h"
#include "io/error.h"
#include "run/config_text.h"

namespace imagewright {

namespace {

Json from_json(const GitSource& source) {
  Json from = {{"git", source.remote}};
  from[is_full_git_id(source.ref) ? "commit" : "ref"] = source.ref;
  if (!source.fetch.empty()) from["fetch"] = source.fetch;
  if (!source.subdir.empty()) from["subdir"] = source.subdir;
  return from;
}

Json image_json(const StackbrewImage& image, const std::string& repository) {
  Json json = {{"name", repository + ":" + image.tags.front()}};
  std::vector<std::string> tags;
  for (std::size_t i = 1; i < image.tags.size(); ++i) tags.push_back(":" + image.tags[i]);
  for (const std::string& tag : image.shared_tags) tags.push_back(":" + tag);
  if (!tags.empty()) json["tags"] = tags;
  json["from"] = from_json(image.source);
  if (!image.dockerfile.empty()) json["dockerfile"] = image.dockerfile;
  json["platforms"] = image.platforms;
  if (!image.constraints.empty()) json["constraints"] = image.constraints;
  return json;
}

std::string repository_for(const std::string& file, const std::string& wished) {
  const bool is_given = !wished.empty();
  const std::string name = is_given ? wished : std::filesystem::path(file).filename().string();
  const auto reference = parse_reference(name);
  if (reference && reference->tag.empty() && reference->digest.empty()) return name;
  throw Error(
      Error::Kind::Usage,
      fmt::format(
          "'{}' can be no image's name without a tag{}", name,
          is_given ? "" : "; name one with `imagewright import --name NAME` from this file"));
}

}  // namespace

std::optional<Imported> import_text(std::string_view text, const std::string& file,
                                    const std::string& repository) {
  if (!is_stackbrew(text)) return std::nullopt;
  auto library = parse_stackbrew(text);
  if (!library) throw Error(Error::Kind::Usage, describe(library.error(), file));
  const std::string name = repository_for(file, repository);
  Json builder = {{"platform", "native"}};
  if (!library->maintainers.empty()) builder["x-maintainers"] = library->maintainers;
  Json images = Json::array();
  for (const StackbrewImage& image : library->images) images.push_back(image_json(image, name));
  builder["images"] = std::move(images);
  for (std::string& warning : library->warnings) warning.insert(0, file + ": ");
  return Imported{config_yaml(builder), library->images.size(), std::move(library->warnings)};
}

int show_import(const Options& options) {
  const bool is_input = options.config == "-";
  if (is_input && options.repository.empty()) {
    throw Error(Error::Kind::Usage, "what is read from standard input has no name; give it --name");
  }
  const auto imported =
      import_text(read_configuration(options), options.config, options.repository);
  if (!imported) {
    throw Error(Error::Kind::Usage,
                fmt::format("'{}' is no stackbrew library file, and no other is imported by this "
                            "version: it has no 'Tags', 'GitRepo', …",
                            options.config));
  }
  for (const std::string& warning : imported->warnings) {
    if (!options.quiet) fmt::print(stderr, "imagewright: warning: {}\n", warning);
  }
  fmt::print(stdout, "# The stackbrew library file {}\n{}",
             is_input ? "of " + options.repository
                      : std::filesystem::path(options.config).filename().string(),
             imported->yaml);
  return 0;
}

}  // namespace imagewright
