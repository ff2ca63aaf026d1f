// What a process that is about to end need not give back piece by piece.
#pragma once

#include <utility>

namespace imagewright {

/// Takes a value away and never frees it: the system takes all of a process's memory at once when
/// it ends, which costs a fraction of freeing 10,000 images' worth of it. Only for who knows that
/// the process ends, and for what holds nothing but memory.
template <typename Value>
void abandon(Value& value) {
  (void)new Value(std::move(value));
}

/// The same for a value that is used until then.
template <typename Value>
const Value& until_the_end(Value&& value) {
  return *new Value(std::forward<Value>(value));
}

}  // namespace imagewright
