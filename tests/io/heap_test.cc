#include "io/heap.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace imagewright {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kOwnHeap = false;
#elif defined(__has_feature)
constexpr bool kOwnHeap = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
constexpr bool kOwnHeap = true;
#endif

bool has_large_pages() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string said;
  return std::getline(file, said) && said.find("[never]") == std::string::npos;
}

// In kB, of this process.
long in_large_pages() {
  std::ifstream file("/proc/self/smaps_rollup");
  const std::string key = "AnonHugePages:";
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) == 0) return std::stol(line.substr(key.size()));
  }
  return -1;
}

// Small and large pieces, as much as 48 MB.
void take_much(std::vector<std::string>& pieces) {
  for (int i = 0; i < 8; ++i) {
    pieces.emplace_back(std::size_t{4} << 20, 'x');
    for (int j = 0; j < 16; ++j) pieces.emplace_back(std::size_t{128} << 10, 'x');
  }
}

TEST(Heap, AllThreadsHaveTheirMemoryInLargePages) {
  if (!kOwnHeap || !has_large_pages()) GTEST_SKIP() << "there are no large pages here";
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own, in which nothing was
  EXPECT_EXIT(
      {
        take_memory_in_large_pages();
        const long before = in_large_pages();
        std::vector<std::string> pieces;
        std::thread([&] { take_much(pieces); }).join();
        const long more = in_large_pages() - before;
        std::fprintf(stderr, "%ld kB", more);
        std::_Exit(more > 16L * 1024 ? 0 : 1);  // of 48: the kernel need not have all
      },
      testing::ExitedWithCode(0), "kB");
}

}  // namespace
}  // namespace imagewright
