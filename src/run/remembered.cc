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

// What is known of a source, with what others were told of it. With mutex_ locked.
template <typename Value, typename Read>
std::optional<Value> Remembered::find(Known<Value>& all, const std::string& source,
                                      milliseconds most, const Read& read) {
  auto known = all.find(source);
  const auto others = told_.find(source);
  if (others != told_.end() && (known == all.end() || others->second.since > known->second.since)) {
    if (auto value = read(others->second.value)) {
      const Until<Value> answer{others->second.since, others->second.until, *std::move(value)};
      known = all.insert_or_assign(source, answer).first;
    }
  }
  const auto now = Clock::now();
  if (known == all.end() || known->second.until <= now || now - known->second.since > most)
    return std::nullopt;
  return known->second.value;
}

// With mutex_ locked. `told`: as others are to be told; "": they are not.
template <typename Value>
void Remembered::keep_in(Known<Value>& all, const std::string& source, Value value,
                         const Asking& asking, const std::string& told) {
  const auto known = all.find(source);
  const bool is_older = known != all.end() && known->second.since > asking.at;
  if (asking.era != era_ || is_older) return;
  if (!told.empty()) fresh_.insert_or_assign(source, Until<std::string>{asking.at, {}, told});
  all.insert_or_assign(source, Until<Value>{asking.at, end_of(Clock::now()), std::move(value)});
}

std::optional<Remembered::Ref> Remembered::ref(const GitSource& source, milliseconds most) {
  if (source.local) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return find(refs_, name_of(source), most, read_ref);
}

std::optional<Remembered::Base> Remembered::base(const std::string& reference,
                                                 const std::string& platform, milliseconds most) {
  const std::lock_guard lock(mutex_);
  return find(bases_, name_of(reference, platform), most, read_base);
}

// (One on this machine is watched, and costs no network.)
void Remembered::keep(const GitSource& source, Ref ref, const Asking& asking) {
  if (source.local) return;
  const std::string told = ref.failure.empty() ? written(ref.at) : "";
  const std::lock_guard lock(mutex_);
  keep_in(refs_, name_of(source), std::move(ref), asking, told);
}

void Remembered::keep(const std::string& reference, const std::string& platform, Base base,
                      const Asking& asking) {
  const std::string told = base.answer.kind == RegistryAnswer::Kind::Found ? written(base) : "";
  const std::lock_guard lock(mutex_);
  keep_in(bases_, name_of(reference, platform), std::move(base), asking, told);
}

void Remembered::forget(const std::vector<GitSource>& sources) {
  const std::lock_guard lock(mutex_);
  ++era_;
  const auto now = Clock::now();
  for (const GitSource& source : sources) {
    const std::string name = name_of(source);
    refs_.erase(name);
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
  std::set<std::string> all;
  const auto look_through = [&](auto& known) {
    std::erase_if(known, [&](const auto& one) {
      return now - one.second.until > std::max<Clock::duration>(kLong, 3 * most_age_);
    });
    for (const auto& [source, answer] : known) {
      const auto others = told_.find(source);
      if (answer.until <= now && (others == told_.end() || others->second.until <= now))
        all.insert(source);
    }
  };
  look_through(refs_);
  look_through(bases_);
  return all;
}

void Remembered::leave_to_others(const std::set<std::string>& sources, milliseconds for_time) {
  const std::lock_guard lock(mutex_);
  const auto until = Clock::now() + for_time;
  const auto extend = [&](auto& known) {
    for (auto& [source, answer] : known) {
      if (sources.contains(source)) answer.until = std::max(answer.until, until);
    }
  };
  extend(refs_);
  extend(bases_);
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
