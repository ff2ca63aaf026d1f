#include "service/order_builder.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/reference.h"
#include "core/replace_all.h"
#include "io/backoff.h"
#include "io/error.h"
#include "io/fd.h"
#include "io/pack.h"
#include "io/registry.h"
#include "io/scratch.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{250};  // after a request that failed
constexpr int kMostDoublings = 5;

}  // namespace

OrderOutcome OrderBuilder::build(const BuildOrder& order, const std::atomic<bool>& stop,
                                 std::atomic<bool>& is_fetching, const OnLine& on_line) {
  const ScratchDirectory directory(scratch_);
  is_fetching = true;
  const BuildRequest request = request_for(order, directory.path(), stop);
  is_fetching = false;
  const BuildOutcome built = engine_.build(request, on_line);
  OrderOutcome outcome;
  outcome.exit = built.exit;
  outcome.image_id = built.image_id;
  if (!built.ok()) {
    if (built.exit.ok()) outcome.message = "the engine ended well but left no image id";
    return outcome;
  }
  for (const std::string& reference : order.push) {
    const PushOutcome pushed = push(built.image_id, reference, order, stop);
    if (pushed.exit.interrupted || stop) {
      outcome.exit.interrupted = true;
      return outcome;
    }
    if (!pushed.ok()) {
      outcome.message = fmt::format("it cannot be pushed to {}: {}", reference, pushed.message);
      return outcome;
    }
    outcome.pushed[reference] = pushed.digest;
  }
  return outcome;
}

// With its contexts here.
BuildRequest OrderBuilder::request_for(const BuildOrder& order, const fs::path& directory,
                                       const std::atomic<bool>& stop) {
  BuildRequest request;
  request.image = order.image;
  request.context = directory / "context";
  request.entries = [all = fetch(order.context, directory, request.context, stop)] { return all; };
  request.context_name = order.context.digest.substr(order.context.digest.find(':') + 1);
  for (const OrderedContext& named : order.named) {
    const fs::path place = directory / fmt::format("named-{}", request.named_contexts.size());
    auto entries = [all = fetch(named, directory, place, stop)] { return all; };
    request.named_contexts.push_back({named.name, place, std::move(entries)});
  }
  request.dockerfile = with_local_names(order.dockerfile);
  request.target = order.target;
  request.args = order.args;
  request.labels = order.labels;
  request.insecure = order.insecure;
  request.timeout = order.timeout;
  request.options = order.options;
  request.stop = &stop;
  if (!order.made_name.empty()) request.tag = local_name_of(order.made_name);
  return request;
}

// Brings a context here, going on where a connection broke.
std::vector<Entry> OrderBuilder::fetch(const OrderedContext& context, const fs::path& directory,
                                       const fs::path& place, const std::atomic<bool>& stop) {
  const fs::path file = directory / "pack";
  const Fd fd(open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) throw Error(Error::Kind::Missing, with_errno("cannot write '" + file.string() + "'"));
  CurrentClient client(servers_, &stop);
  std::uint64_t end = 0;
  int attempt = 0;
  auto heard = Clock::now();
  while (end < context.size) {
    const std::uint64_t before = end;
    try {
      client->download(
          fmt::format("/api/v1/packs/{}?offset={}", percent_encoded(context.pack), end),
          [&](std::string_view part) {
            if (part.size() > context.size - end || !write_at(fd.get(), end, part)) return false;
            end += part.size();
            return true;
          });
    } catch (const Error&) {
      // (A server that begins anew has to pack it first.)
      if (stop) throw;
      if (end > before) {
        attempt = 0;
        heard = Clock::now();
      }
      if (Clock::now() - heard > cut_off_) throw;
      wait_patiently(backoff(kFirstPause, std::min(attempt++, kMostDoublings)),
                     [&] { return stop.load(); });
    }
  }
  if (pack_digest(file).first != context.pack)
    throw Error(Error::Kind::Source, "the context that came is not what its digest says");
  auto entries = unpack_context(file, place);
  fs::remove(file);
  return entries;
}

PushOutcome OrderBuilder::push(const std::string& image_id, const std::string& reference,
                               const BuildOrder& order, const std::atomic<bool>& stop) {
  const bool insecure = std::find(order.push_insecurely.begin(), order.push_insecurely.end(),
                                  reference) != order.push_insecurely.end();
  engine_.tag(image_id, reference);
  PushOutcome outcome = push_patiently([&] { return engine_.push(image_id, reference, insecure); },
                                       [&] { return stop.load(); });
  if (outcome.ok()) forget_last(image_id, reference);
  return outcome;
}

// Of what is built for a repository the last one stays here; the others are in their registry.
void OrderBuilder::forget_last(const std::string& image_id, const std::string& reference) {
  const std::string repository = registry_name(*parse_reference(reference)).full();
  std::pair<std::string, std::string> before(image_id, reference);
  {
    const std::lock_guard lock(mutex_);
    std::swap(last_pushed_[repository], before);
  }
  if (!before.second.empty() && before.second != reference) remove(before.first, before.second);
}

void OrderBuilder::forget_made(const BuildOrder& order, const OrderOutcome& outcome) {
  if (order.made_name.empty()) return;
  std::string name;
  {
    const std::lock_guard lock(mutex_);
    const auto found = made_names_.find(order.made_name);
    if (found == made_names_.end()) return;
    name = found->second;
    made_names_.erase(found);
  }
  if (!outcome.image_id.empty()) remove(outcome.image_id, name);
}

void OrderBuilder::remove(const std::string& image_id, const std::string& name) {
  try {
    engine_.remove_image(image_id, {name});
  } catch (const Error& error) {
    log_.warning(error.what());
  }
}

std::string OrderBuilder::local_name_of(const std::string& made_name) {
  const std::lock_guard lock(mutex_);
  std::string& name = made_names_[made_name];
  if (name.empty()) name = engine_.name_for_made();
  return name;
}

std::string OrderBuilder::with_local_names(std::string dockerfile) {
  const std::lock_guard lock(mutex_);
  for (const auto& [made, local] : made_names_) replace_all(dockerfile, made, local);
  return dockerfile;
}

}  // namespace imagewright
