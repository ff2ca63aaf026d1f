// A line to another network namespace on which every packet is late: far ROUND_TRIP_MS NAMESPACE
// makes a device `far0` here and `far1` there (ip netns), carries packets between them, each half a
// round trip late, and writes "ready". TCP has its slow start on it, and nothing is lost. A line
// "bytes N" is written for SIGUSR1: what came from there since the last one, with its headers.
// Needs root; the addresses are for the caller to give.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>

namespace {

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t asked = 0;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

int make_device(const char* name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fail("/dev/net/tun");
  ifreq request = {};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) != 0) fail(name);
  return fd;
}

struct Packet {
  Clock::time_point due;
  std::string bytes;
};

// One direction.
struct Way {
  int from = -1;
  int to = -1;
  std::deque<Packet> late;

  std::size_t take(Clock::duration delay) {
    std::size_t taken = 0;
    std::array<char, 65536> buffer;
    ssize_t got = 0;
    while ((got = read(from, buffer.data(), buffer.size())) > 0) {
      taken += static_cast<std::size_t>(got);
      late.push_back(
          {Clock::now() + delay, std::string(buffer.data(), static_cast<std::size_t>(got))});
    }
    return taken;
  }

  void give() {
    const auto now = Clock::now();
    for (; !late.empty() && late.front().due <= now; late.pop_front()) {
      if (write(to, late.front().bytes.data(), late.front().bytes.size()) < 0 && errno == EAGAIN)
        return;
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto delay = std::chrono::microseconds(std::atol(argv[1]) * 500);
  Way there;
  there.from = make_device("far0");
  const std::string name = std::string("/var/run/netns/") + argv[2];
  const int place = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (place < 0 || setns(place, CLONE_NEWNET) != 0) fail(argv[2]);
  there.to = make_device("far1");
  Way back;
  back.from = there.to;
  back.to = there.from;
  std::signal(SIGUSR1, [](int) { asked = 1; });
  std::puts("ready");
  std::fflush(stdout);
  std::size_t received = 0;
  while (true) {
    auto next = Clock::now() + std::chrono::seconds(1);
    for (const Way* way : {&there, &back}) {
      if (!way->late.empty()) next = std::min(next, way->late.front().due);
    }
    const auto wait = std::max(next - Clock::now(), Clock::duration::zero());
    const timespec time = {std::chrono::duration_cast<std::chrono::seconds>(wait).count(),
                           static_cast<long>((wait % std::chrono::seconds(1)).count())};
    std::array<pollfd, 2> fds = {pollfd{there.from, POLLIN, 0}, pollfd{back.from, POLLIN, 0}};
    ppoll(fds.data(), fds.size(), &time, nullptr);
    if (asked != 0) {
      asked = 0;
      std::printf("bytes %zu\n", received);
      std::fflush(stdout);
      received = 0;
    }
    there.take(delay);
    received += back.take(delay);
    there.give();
    back.give();
  }
}
