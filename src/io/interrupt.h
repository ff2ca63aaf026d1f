// SIGINT, SIGTERM and SIGHUP, turned into something that can be asked and waited for: by a command,
// which they end, or by a service, of which they ask something first. Process-wide by nature.
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

/// For a service, after catch_interrupts: from now on SIGHUP asks for a reload, and the first
/// SIGINT or SIGTERM for an end in good order. Only what comes after that one counts as an
/// interrupt.
void take_requests();

/// The signal by which an end in good order was asked for; 0: none was.
int end_asked();

/// Was a reload asked for since this was called last?
bool take_reload_request();

/// A file descriptor that is readable after each request, until `clear_request_fd`; -1 before
/// take_requests.
int request_fd();
void clear_request_fd();

/// Forgets what was noted, and takes no requests any more. For tests.
void forget_interrupts();

}  // namespace imagewright
