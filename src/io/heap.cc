#include "io/heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace imagewright {

void take_memory_in_large_pages() {
#ifdef __GLIBC__
  constexpr int kMega = 1 << 20;
  constexpr std::uintptr_t kLarge = 2 * kMega;
  constexpr int kAtOnce = 64 * kMega;
  // One heap, the program break's: those of threads grow by small pages, and each for itself.
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, 32 * kMega);
  mallopt(M_TRIM_THRESHOLD, 2047 * kMega);
  mallopt(M_TOP_PAD, kAtOnce);
  void* volatile grows_it = std::malloc(kMega);  // (volatile: else it is seen to be of no use)
  std::free(grows_it);
  mallopt(M_TOP_PAD, kMega);
  const auto end = reinterpret_cast<std::uintptr_t>(sbrk(0));
  const std::uintptr_t begin = (end - kAtOnce + kLarge - 1) / kLarge * kLarge;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  // What lies before the first large page is left alone: it would come in small ones.
  const auto next = reinterpret_cast<std::uintptr_t>(grows_it);
  if (next < begin) {
    void* volatile left_alone = std::malloc(begin - next);
    (void)left_alone;
  }
#endif
}

}  // namespace imagewright
