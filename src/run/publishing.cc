#include "run/publishing.h"

#include <utility>

#include "core/source.h"
#include "io/error.h"
#include "io/interrupt.h"
#include "io/wall_clock.h"

namespace imagewright {

namespace {

// So many go to registries at once.
constexpr std::size_t kMostThreads = 4;

}  // namespace

Publishing::Publishing(Engine& engine, const Publisher& publisher, Inbox& inbox, Told told)
    : engine_(engine), publisher_(publisher), inbox_(inbox), told_(std::move(told)) {}

Publishing::~Publishing() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Publishing::put(std::function<void()> work) {
  ++open_;
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(work));
  if (threads_.size() < kMostThreads) threads_.emplace_back([this] { this->work(); });
  changed_.notify_one();
}

void Publishing::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const auto next = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    std::exception_ptr error;
    try {
      next();
    } catch (...) {
      error = std::current_exception();
    }
    inbox_.call([&] {
      if (error) told_.broken(error);
      --open_;
    });
    lock.lock();
  }
}

void Publishing::start(Publication publication) {
  put([this, publication = std::move(publication)] {
    if (tag(publication)) push(publication);
  });
}

void Publishing::start(IndexPublication index) {
  put([this, index = std::move(index)] {
    for (const IndexReference& one : index.to_push) {
      RegistryAnswer answer{RegistryAnswer::Kind::Unreachable, {}, "interrupted"};
      if (interrupted() == 0) answer = publisher_.push_index(one);
      inbox_.call([&] {
        if (answer.kind == RegistryAnswer::Kind::Found) {
          told_.pushed(index.name, one.reference, {one.content, answer.image.manifest, now_ms()});
          return;
        }
        if (answer.kind == RegistryAnswer::Kind::Missing) told_.lost(answer.image.manifest);
        told_.failed(index.name, one.reference, answer.why);
      });
    }
  });
}

void Publishing::start_together(std::vector<Publication> publications,
                                std::function<void()> all_named) {
  put([this, publications = std::move(publications), all_named = std::move(all_named)] {
    for (const Publication& publication : publications) {
      if (!tag(publication)) return;
    }
    inbox_.call([&] {
      for (const Publication& publication : publications)
        put([this, publication] { push(publication); });
      all_named();
    });
  });
}

bool Publishing::tag(const Publication& publication) {
  for (const std::string& reference : publication.to_tag) {
    try {
      engine_.tag(publication.image.id, reference);
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::Source) throw;
      inbox_.call([&] { told_.failed(publication.name, reference, error.what()); });
      return false;
    }
    inbox_.call([&] { told_.tagged(publication.name, reference); });
  }
  return true;
}

void Publishing::push(Publication publication) {
  if (const auto there = publisher_.leave_out_what_is_there(publication); !there.empty()) {
    inbox_.call([&] {
      for (const auto& [reference, row] : there) told_.there(publication.name, reference, row);
    });
  }
  std::string manifest = publication.of_manifest;
  for (const std::string& reference : publication.to_push) {
    const PushOutcome outcome = push(publication, reference);
    if (reference == publication.name) manifest = outcome.digest;
  }
  // What others find it by comes last: then all that they would look for is there.
  if (!manifest.empty()) keep(publication, std::move(manifest));
}

// Tells of it.
PushOutcome Publishing::push(const Publication& publication, const std::string& reference) {
  PushOutcome outcome;
  if (interrupted() == 0) outcome = publisher_.push(publication, reference);
  inbox_.call([&] {
    if (outcome.ok()) {
      told_.pushed(publication.name, reference, {publication.image.id, outcome.digest, now_ms()});
    } else {
      told_.failed(publication.name, reference,
                   interrupted() != 0 ? "interrupted" : redacted(outcome.message));
    }
  });
  return outcome;
}

void Publishing::keep(const Publication& publication, std::string manifest) {
  using Kind = RegistryAnswer::Kind;
  for (const std::string& reference : publication.to_keep) {
    RegistryAnswer answer{Kind::Unreachable, {}, "interrupted"};
    if (interrupted() == 0) answer = publisher_.keep(reference, manifest);
    if (answer.kind == Kind::Missing) {
      // (Registries drop what no tag names any more.)
      const PushOutcome again = push(publication, publication.name);
      if (!again.ok()) return;
      manifest = again.digest;
      answer = publisher_.keep(reference, manifest);
    }
    inbox_.call([&] {
      if (answer.kind == Kind::Found) {
        told_.there(publication.name, reference, {publication.image.id, manifest, now_ms()});
      } else {
        told_.failed(publication.name, reference, answer.why);
      }
    });
  }
}

}  // namespace imagewright
