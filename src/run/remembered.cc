#include "run/remembered.h"

#include <random>

namespace imagewright {

namespace {

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

std::optional<Remembered::Ref> Remembered::ref(const GitSource& source) const {
  const std::lock_guard lock(mutex_);
  const auto known = refs_.find(key_of(source));
  if (known == refs_.end() || known->second.second.until <= Clock::now()) return std::nullopt;
  return known->second.second.value;
}

// (One on this machine is watched, and costs no network.)
void Remembered::keep(const GitSource& source, Ref ref, std::uint64_t asked_in) {
  if (source.local) return;
  const auto until = next_end();
  const std::lock_guard lock(mutex_);
  if (asked_in != era_) return;
  refs_.insert_or_assign(key_of(source), std::pair(source, Until<Ref>{until, std::move(ref)}));
}

std::optional<Remembered::Base> Remembered::base(const std::string& reference,
                                                 const std::string& platform) const {
  const std::lock_guard lock(mutex_);
  const auto known = bases_.find({reference, platform});
  if (known == bases_.end() || known->second.until <= Clock::now()) return std::nullopt;
  return known->second.value;
}

void Remembered::keep(const std::string& reference, const std::string& platform, Base base,
                      std::uint64_t asked_in) {
  const auto until = next_end();
  const std::lock_guard lock(mutex_);
  if (asked_in != era_) return;
  bases_.insert_or_assign({reference, platform}, Until<Base>{until, std::move(base)});
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

}  // namespace imagewright
