#include "run/remembered.h"

#include <algorithm>
#include <iterator>
#include <random>

#include "core/digest.h"
#include "core/image_manifest.h"
#include "core/source.h"
#include "run/json.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostCheckouts = 4;
constexpr milliseconds kCheckoutsKept{10'000};

// Which question it is: the directory in the repository is none of it.
std::string key_of(const GitSource& source) {
  return source.remote + '\0' + source.ref + '\0' + source.checksum + '\0' + source.fetch;
}

// By which others know it.
std::string name_of(const GitSource& source) {
  return hex(sha256("git ref\n" + key_of(source)));
}
std::string name_of(const std::string& reference, const std::string& platform) {
  return hex(sha256("base\n" + reference + '\0' + platform));
}

std::string written(const ResolvedRef& at) {
  return dump({{"commit", at.commit}, {"ref", at.ref}, {"branch", at.branch}}, false);
}

std::string written(const Remembered::Base& base) {
  return dump({{"registry", base.at.registry},
               {"repository", base.at.repository},
               {"tag", base.at.tag},
               {"config", base.answer.image.config},
               {"manifest", base.answer.image.manifest}},
              false);
}

// nullopt: it is not what was written.
std::optional<Remembered::Ref> read_ref(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  try {
    Remembered::Ref ref{{json.at("commit"), json.at("ref"), json.at("branch")}, ""};
    if (is_full_git_id(ref.at.commit)) return ref;
  } catch (const Json::exception&) {
  }
  return std::nullopt;
}

std::optional<Remembered::Base> read_base(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  try {
    Remembered::Base base{
        {json.at("registry"), json.at("repository"), json.at("tag")},
        {RegistryAnswer::Kind::Found, {json.at("config"), json.at("manifest")}, ""}};
    if (is_sha256_digest(base.answer.image.manifest) && is_sha256_digest(base.answer.image.config))
      return base;
  } catch (const Json::exception&) {
  }
  return std::nullopt;
}

}  // namespace

// Not all at the same time, so that those of many are not asked at once for ever.
Remembered::Clock::time_point Remembered::end_of(Clock::time_point asked) const {
  thread_local std::minstd_rand random{std::random_device{}()};
  std::uniform_real_distribution<double> share(0.9, 1.0);
  return asked + std::chrono::duration_cast<Clock::duration>(most_age_ * share(random));
}

Remembered::Asking Remembered::asking() const {
  const std::lock_guard lock(mutex_);
  return {era_, Clock::now()};
}

template <typename Value>
bool Remembered::is_good(const Until<Value>& answer, milliseconds most) {
  const auto now = Clock::now();
  return answer.until > now && now - answer.since <= most;
}

// With mutex_ locked.
std::optional<Remembered::Until<std::string>> Remembered::told(const std::string& source) const {
  const auto found = told_.find(source);
  return found == told_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Remembered::Ref> Remembered::ref(const GitSource& source, milliseconds most) {
  const std::lock_guard lock(mutex_);
  auto known = refs_.find(key_of(source));
  const auto others = source.local || told_.empty() ? std::nullopt : told(name_of(source));
  if (others && (known == refs_.end() || others->since > known->second.second.since)) {
    if (auto ref = read_ref(others->value)) {
      known = refs_
                  .insert_or_assign(
                      key_of(source),
                      std::pair(source, Until<Ref>{others->since, others->until, *std::move(ref)}))
                  .first;
    }
  }
  if (known == refs_.end() || !is_good(known->second.second, most)) return std::nullopt;
  return known->second.second.value;
}

// (One on this machine is watched, and costs no network.)
void Remembered::keep(const GitSource& source, Ref ref, const Asking& asking) {
  if (source.local) return;
  const auto until = end_of(Clock::now());
  const std::lock_guard lock(mutex_);
  const auto known = refs_.find(key_of(source));
  const bool is_older = known != refs_.end() && known->second.second.since > asking.at;
  if (asking.era != era_ || is_older) return;
  if (ref.failure.empty()) note_fresh(name_of(source), asking.at, written(ref.at));
  refs_.insert_or_assign(key_of(source),
                         std::pair(source, Until<Ref>{asking.at, until, std::move(ref)}));
}

// With mutex_ locked.
void Remembered::note_fresh(const std::string& source, Clock::time_point asked,
                            std::string answer) {
  fresh_.insert_or_assign(source, Until<std::string>{asked, {}, std::move(answer)});
}

std::optional<Remembered::Base> Remembered::base(const std::string& reference,
                                                 const std::string& platform, milliseconds most) {
  const std::lock_guard lock(mutex_);
  auto known = bases_.find({reference, platform});
  const auto others = told_.empty() ? std::nullopt : told(name_of(reference, platform));
  if (others && (known == bases_.end() || others->since > known->second.since)) {
    if (auto base = read_base(others->value)) {
      known = bases_
                  .insert_or_assign({reference, platform},
                                    Until<Base>{others->since, others->until, *std::move(base)})
                  .first;
    }
  }
  if (known == bases_.end() || !is_good(known->second, most)) return std::nullopt;
  return known->second.value;
}

void Remembered::keep(const std::string& reference, const std::string& platform, Base base,
                      const Asking& asking) {
  const auto until = end_of(Clock::now());
  const std::lock_guard lock(mutex_);
  const auto known = bases_.find({reference, platform});
  const bool is_older = known != bases_.end() && known->second.since > asking.at;
  if (asking.era != era_ || is_older) return;
  if (base.answer.kind == RegistryAnswer::Kind::Found)
    note_fresh(name_of(reference, platform), asking.at, written(base));
  bases_.insert_or_assign({reference, platform}, Until<Base>{asking.at, until, std::move(base)});
}

void Remembered::forget(const std::vector<GitSource>& sources) {
  const std::lock_guard lock(mutex_);
  ++era_;
  const auto now = Clock::now();
  for (const GitSource& source : sources) {
    const std::string name = name_of(source);
    refs_.erase(key_of(source));
    told_.erase(name);
    due_since_[name] = now;
  }
}

void Remembered::forget_all() {
  const std::lock_guard lock(mutex_);
  ++era_;
  forgotten_ = Clock::now();
  refs_.clear();
  bases_.clear();
  told_.clear();
  due_since_.clear();
}

void Remembered::take(const std::vector<Said>& all) {
  const std::lock_guard lock(mutex_);
  for (const Said& said : all) {
    const auto due = due_since_.find(said.source);
    const auto known = told_.find(said.source);
    if (said.asked <= forgotten_ || (due != due_since_.end() && said.asked <= due->second) ||
        (known != told_.end() && known->second.since >= said.asked)) {
      continue;
    }
    told_.insert_or_assign(said.source,
                           Until<std::string>{said.asked, end_of(said.asked), said.answer});
  }
  std::erase_if(told_, [](const auto& one) { return one.second.until <= Clock::now(); });
}

std::vector<Remembered::Said> Remembered::take_fresh() {
  const std::lock_guard lock(mutex_);
  std::vector<Said> all;
  for (auto& [source, said] : fresh_) all.push_back({source, said.since, std::move(said.value)});
  fresh_.clear();
  return all;
}

void Remembered::put_back(const std::vector<Said>& all) {
  const std::lock_guard lock(mutex_);
  for (const Said& said : all)
    fresh_.emplace(said.source, Until<std::string>{said.asked, {}, said.answer});
}

std::set<std::string> Remembered::due() {
  constexpr std::chrono::minutes kLong{10};
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  const auto is_over = [&](const auto& answer) {
    return now - answer.until > std::max<Clock::duration>(kLong, 3 * most_age_);
  };
  std::erase_if(refs_, [&](const auto& one) { return is_over(one.second.second); });
  std::erase_if(bases_, [&](const auto& one) { return is_over(one.second); });
  std::set<std::string> all;
  const auto add = [&](std::string name, Clock::time_point until) {
    const auto others = told(name);
    if (until <= now && (!others || others->until <= now)) all.insert(std::move(name));
  };
  for (const auto& [key, ref] : refs_) add(name_of(ref.first), ref.second.until);
  for (const auto& [key, base] : bases_) add(name_of(key.first, key.second), base.until);
  return all;
}

void Remembered::leave_to_others(const std::set<std::string>& sources, milliseconds for_time) {
  const std::lock_guard lock(mutex_);
  const auto until = Clock::now() + for_time;
  for (auto& [key, ref] : refs_) {
    if (sources.contains(name_of(ref.first))) ref.second.until = std::max(ref.second.until, until);
  }
  for (auto& [key, base] : bases_) {
    if (sources.contains(name_of(key.first, key.second))) base.until = std::max(base.until, until);
  }
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
