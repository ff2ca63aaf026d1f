// SIGINT, SIGTERM and SIGHUP, turned into something that can be asked and waited for. Process-wide
// by nature.
#pragma once

namespace imagewright {

/// From now on SIGINT, SIGTERM and SIGHUP (unless it is ignored) are noted instead of ending us.
/// Call once, before threads start.
void catch_interrupts();

/// The first signal noted: SIGINT, SIGTERM or SIGHUP; 0: none.
int interrupted();

/// How many came in all: a second one means "at once".
int interrupt_count();

/// A file descriptor that is readable once an interrupt was noted; -1 before catch_interrupts.
int interrupt_fd();

/// Forgets what was noted. For tests.
void forget_interrupts();

}  // namespace imagewright
