// `${NAME}` in a text, as `vars` and `matrix` of the configuration bring it. Knows nothing of where
// a variable's value comes from: it asks. Pure.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "core/error.h"

namespace imagewright {

/// The value of a variable; nullopt: it is not set.
using VariableLookup = std::function<std::optional<std::string>(const std::string&)>;

/// Letters, digits and `_`, no digit first.
bool is_variable_name(std::string_view name);

/// The text with the values in place of `${NAME}`, `${NAME:-default}` (unset or empty) and
/// `${NAME-default}` (unset), and `$` for `$$`. A default may hold variables; a value is not looked
/// into again. Anything else behind a `$`, and a variable that is not set and has no default, is an
/// error without a place. So is a result of more than `limit` bytes: what is made meanwhile is not
/// much longer either.
tl::expected<std::string, ParseError> expand_variables(std::string_view text,
                                                       const VariableLookup& lookup,
                                                       std::size_t limit);

}  // namespace imagewright
