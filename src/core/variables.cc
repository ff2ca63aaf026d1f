#include "core/variables.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/shown.h"

namespace imagewright {

namespace {

constexpr std::size_t kMaxDepth = 16;  // of defaults in defaults

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Goes through a text once; `problem` is the first thing wrong with it.
class Expansion {
 public:
  Expansion(std::string_view text, const VariableLookup& lookup, std::size_t limit)
      : text_(text), lookup_(lookup), limit_(limit) {}

  /// Up to the text's end, or to the `}` that ends a default (`depth` > 0). Where not `wanted`, the
  /// text is read, but nothing is looked up or kept.
  std::string run(std::size_t depth, bool wanted) {
    std::string result;
    while (problem.empty() && at_ < text_.size()) {
      const char c = text_[at_];
      if (depth > 0 && c == '}') break;
      if (c != '$') {
        const std::size_t end = std::min(text_.find_first_of("$}", at_ + 1), text_.size());
        if (wanted) result += text_.substr(at_, end - at_);
        at_ = end;
      } else if (text_.substr(at_, 2) == "$$") {
        if (wanted) result += '$';
        at_ += 2;
      } else if (text_.substr(at_, 2) == "${") {
        result += variable(depth, wanted);
      } else {
        stop(
            fmt::format("in {} a '$' is followed by neither '{{' nor '$'; a variable is written "
                        "${{NAME}}, a dollar sign $$",
                        this_line()));
      }
      if (result.size() > limit_) stop("with its variables expanded, the text is too long");
    }
    return result;
  }

  std::string problem;

 private:
  // Where it is, for people: of a long text the line alone.
  std::string this_line() const {
    if (text_.find('\n') == std::string_view::npos) return shown(text_);
    const std::string_view before = text_.substr(0, at_);
    const std::size_t begin = before.rfind('\n') + 1;  // (0 where there is none)
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    return fmt::format("{} (line {} of the text)", shown(text_.substr(begin, end - begin)),
                       1 + std::count(before.begin(), before.end(), '\n'));
  }

  void stop(std::string message) {
    if (problem.empty()) problem = std::move(message);
  }

  std::string variable(std::size_t depth, bool wanted) {
    const std::size_t begin = at_;
    at_ += 2;
    const std::size_t name_begin = at_;
    while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
    const std::string name(text_.substr(name_begin, at_ - name_begin));
    const bool or_empty = text_.substr(at_, 2) == ":-";
    const bool has_default = or_empty || text_.substr(at_, 1) == "-";
    if (text_.find('}', at_) == std::string_view::npos) {
      stop(fmt::format("{} is not closed by '}}'", shown(text_.substr(begin))));
    } else if (!is_variable_name(name) || (!has_default && text_[at_] != '}')) {
      stop(
          fmt::format("{} is no variable; known are ${{NAME}}, ${{NAME:-default}} and "
                      "${{NAME-default}}, with letters, digits and '_' in a name",
                      shown(text_.substr(begin, text_.find('}', at_) + 1 - begin))));
    } else if (depth >= kMaxDepth) {
      stop(fmt::format("defaults of variables are nested more than {} deep", kMaxDepth));
    }
    if (!problem.empty()) return "";

    std::optional<std::string> value;
    if (wanted) value = lookup_(name);
    const bool needs_default = wanted && (!value || (or_empty && value->empty()));
    std::string fallback;
    if (has_default) {
      at_ += or_empty ? 2 : 1;
      fallback = run(depth + 1, needs_default);
      if (at_ == text_.size())
        stop(fmt::format("{} is not closed by '}}'", shown(text_.substr(begin))));
    } else if (needs_default) {
      stop(
          fmt::format("the variable '{0}' is not set; set it in the environment or in 'vars', or "
                      "give a default: ${{{0}:-default}}",
                      name));
    }
    ++at_;  // the `}`
    return needs_default ? fallback : value.value_or("");
  }

  std::string_view text_;
  const VariableLookup& lookup_;
  std::size_t limit_;
  std::size_t at_ = 0;
};

}  // namespace

bool is_variable_name(std::string_view name) {
  return !name.empty() && !is_digit(name.front()) &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c); });
}

tl::expected<std::string, ParseError> expand_variables(std::string_view text,
                                                       const VariableLookup& lookup,
                                                       std::size_t limit) {
  if (text.find('$') == std::string_view::npos && text.size() <= limit) return std::string(text);
  Expansion expansion(text, lookup, limit);
  std::string result = expansion.run(0, true);
  if (!expansion.problem.empty()) return tl::unexpected(ParseError{std::move(expansion.problem)});
  return result;
}

}  // namespace imagewright
