#include "service/packs.h"

#include <fcntl.h>

#include <chrono>
#include <system_error>
#include <tuple>

#include "io/error.h"
#include "io/pack.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kPart = std::size_t{256} << 10;
constexpr std::size_t kMostWaiting = std::size_t{512} << 10;
constexpr auto kPause = std::chrono::milliseconds(2);

}  // namespace

Packs::Pack::~Pack() {
  std::error_code ignored;
  fs::remove(file, ignored);
}

Packs::Packs(const fs::path& parent) : directory_(parent), thread_([this] { go(); }) {}

Packs::~Packs() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::shared_ptr<const Packs::Pack> Packs::pack(const fs::path& directory,
                                               const std::vector<Entry>& entries,
                                               const std::string& content) {
  auto pack = std::make_shared<Pack>();
  {
    const std::lock_guard lock(mutex_);
    if (auto known = by_content_[content].lock()) return known;
    pack->file = directory_.path() / std::to_string(++count_);
  }
  pack_context(directory, entries, pack->file);
  std::tie(pack->digest, pack->size) = pack_digest(pack->file);
  const std::lock_guard lock(mutex_);
  std::erase_if(by_content_, [](const auto& one) { return one.second.expired(); });
  std::erase_if(by_digest_, [](const auto& one) { return one.second.expired(); });
  // (Another thread may have packed the same meanwhile: either one will do.)
  by_content_[content] = pack;
  by_digest_[pack->digest] = pack;
  return pack;
}

std::shared_ptr<const Packs::Pack> Packs::find(const std::string& digest) {
  const std::lock_guard lock(mutex_);
  const auto found = by_digest_.find(digest);
  return found == by_digest_.end() ? nullptr : found->second.lock();
}

void Packs::send(std::shared_ptr<const Pack> pack, std::uint64_t offset,
                 std::shared_ptr<HttpStream> stream) {
  Fd file(open(pack->file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file)
    throw Error(Error::Kind::Missing, with_errno("cannot read '" + pack->file.string() + "'"));
  {
    const std::lock_guard lock(mutex_);
    new_.push_back({std::move(pack), std::move(file), offset, std::move(stream)});
  }
  changed_.notify_all();
}

// False: it has ended.
bool Packs::send_some(Sending& one, bool* any) {
  while (one.stream->is_open() && one.stream->waiting() < kMostWaiting) {
    std::string part = read_at(one.file.get(), one.offset, kPart);
    if (part.empty()) {
      one.stream->close();
      return false;
    }
    *any = true;
    one.offset += part.size();
    if (!one.stream->send(std::move(part))) return false;
  }
  return one.stream->is_open();
}

void Packs::go() {
  std::list<Sending> all;
  std::unique_lock lock(mutex_);
  while (!is_stopped_) {
    all.splice(all.end(), new_);
    if (all.empty()) {
      changed_.wait(lock);
      continue;
    }
    lock.unlock();
    bool any = false;
    for (auto one = all.begin(); one != all.end();)
      one = send_some(*one, &any) ? std::next(one) : all.erase(one);
    if (!any && !all.empty()) std::this_thread::sleep_for(kPause);
    lock.lock();
  }
}

}  // namespace imagewright
