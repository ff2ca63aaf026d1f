// Where this process's memory comes from.
#pragma once

namespace imagewright {

/// Has the kernel give memory in large pages, if it has any (Linux's transparent huge pages), and
/// the heap keep what it was given, for all threads. What a run knows of many images comes and goes
/// within a fraction of a second, and of that each small page's first use is a considerable part;
/// on virtual machines the largest. To be called once, before there are threads; takes 64 MB of
/// addresses, and of memory what is used, by 2 MB. Where that cannot be had, nothing changes.
/// For commands that end soon: what is freed is not given back.
void take_memory_in_large_pages();

}  // namespace imagewright
