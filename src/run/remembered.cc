#include "run/remembered.h"

#include <algorithm>
#include <iterator>
#include <random>

namespace imagewright {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostCheckouts = 4;
constexpr milliseconds kCheckoutsKept{10'000};

// Which question it is: the directory in the repository is none of it.
std::string key_of(const GitSource& source) {
  return source.remote + '\0' + source.ref + '\0' + source.checksum + '\0' + source.fetch;
}

}  // namespace

// Not all at the same time, so that those of many are not asked at once for ever.
Remembered::Clock::time_point Remembered::next_end() const {
  thread_local std::minstd_rand random{std::random_device{}()};
  std::uniform_real_distribution<double> share(0.9, 1.0);
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(most_age_ * share(random));
}

std::uint64_t Remembered::era() const {
  const std::lock_guard lock(mutex_);
  return era_;
}

std::optional<Remembered::Ref> Remembered::ref(const GitSource& source, milliseconds most) const {
  const std::lock_guard lock(mutex_);
  const auto known = refs_.find(key_of(source));
  if (known == refs_.end()) return std::nullopt;
  const auto& [since, until, value] = known->second.second;
  const auto now = Clock::now();
  if (until <= now || now - since > most) return std::nullopt;
  return value;
}

// (One on this machine is watched, and costs no network.)
void Remembered::keep(const GitSource& source, Ref ref, std::uint64_t asked_in) {
  if (source.local) return;
  const auto until = next_end();
  const std::lock_guard lock(mutex_);
  if (asked_in != era_) return;
  refs_.insert_or_assign(key_of(source),
                         std::pair(source, Until<Ref>{Clock::now(), until, std::move(ref)}));
}

std::optional<Remembered::Base> Remembered::base(const std::string& reference,
                                                 const std::string& platform,
                                                 milliseconds most) const {
  const std::lock_guard lock(mutex_);
  const auto known = bases_.find({reference, platform});
  if (known == bases_.end()) return std::nullopt;
  const auto& [since, until, value] = known->second;
  const auto now = Clock::now();
  if (until <= now || now - since > most) return std::nullopt;
  return value;
}

void Remembered::keep(const std::string& reference, const std::string& platform, Base base,
                      std::uint64_t asked_in) {
  const auto until = next_end();
  const std::lock_guard lock(mutex_);
  if (asked_in != era_) return;
  bases_.insert_or_assign({reference, platform}, Until<Base>{Clock::now(), until, std::move(base)});
}

std::size_t Remembered::forget(const std::function<bool(const GitSource& source)>& is_due) {
  const std::lock_guard lock(mutex_);
  ++era_;
  return std::erase_if(refs_, [&](const auto& ref) { return is_due(ref.second.first); });
}

void Remembered::forget_all() {
  const std::lock_guard lock(mutex_);
  ++era_;
  refs_.clear();
  bases_.clear();
}

void Remembered::keep_checkout(const std::string& tree,
                               std::unique_ptr<ScratchDirectory> checkout) {
  drop_old_checkouts();
  std::unique_ptr<ScratchDirectory> oldest;  // removed without the lock
  const std::lock_guard lock(mutex_);
  if (checkouts_.size() >= kMostCheckouts) {
    oldest = std::move(checkouts_.front().directory);
    checkouts_.erase(checkouts_.begin());
  }
  checkouts_.push_back({tree, Clock::now(), std::move(checkout)});
}

std::unique_ptr<ScratchDirectory> Remembered::take_checkout(const std::string& tree) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(checkouts_.begin(), checkouts_.end(),
                                  [&](const Checkout& one) { return one.tree == tree; });
  if (found == checkouts_.end()) return nullptr;
  auto directory = std::move(found->directory);
  checkouts_.erase(found);
  return directory;
}

void Remembered::drop_old_checkouts() {
  std::vector<Checkout> old;
  const std::lock_guard lock(mutex_);
  const auto young = std::find_if(checkouts_.begin(), checkouts_.end(), [](const Checkout& one) {
    return Clock::now() - one.since < kCheckoutsKept;
  });
  old.assign(std::make_move_iterator(checkouts_.begin()), std::make_move_iterator(young));
  checkouts_.erase(checkouts_.begin(), young);
}

}  // namespace imagewright
