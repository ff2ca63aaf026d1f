#include "service/log_streams.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "io/error.h"
#include "run/json.h"

namespace imagewright {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPart = std::size_t{64} << 10;
constexpr auto kBetweenPings = std::chrono::seconds(15);
constexpr std::size_t kMostWaiting = std::size_t{256} << 10;
constexpr auto kBehind = std::chrono::milliseconds(20);
constexpr auto kMostWait = std::chrono::milliseconds(1'000);

std::string log_event(std::int64_t claim, std::int64_t end, const std::string& text) {
  return fmt::format("event: log\nid: {}:{}\ndata: {}\n\n", claim, end,
                     dump({{"text", text}}, false));
}

// So that no character is cut in two: its bytes wait for the rest, unless the log ends there.
std::size_t whole_characters(std::string_view text) {
  std::size_t end = text.size();
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte < 0x80) break;
    if (byte < 0xC0) continue;
    const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    if (length > back) end = text.size() - back;
    break;
  }
  return end;
}

}  // namespace

LogStreams::LogStreams(QueuePool& queues, const ServiceLog& log)
    : queues_(queues), log_(log), thread_([this] { go(); }) {}

LogStreams::~LogStreams() {
  is_stopped_ = true;
  if (Queue* queue = waiting_) queue->wake();
  thread_.join();
}

void LogStreams::follow(std::int64_t job, std::int64_t claim, std::int64_t offset,
                        std::shared_ptr<HttpStream> stream) {
  {
    const std::lock_guard lock(mutex_);
    new_[job].push_back({std::move(stream), offset, claim});
  }
  ++count_;
  if (Queue* queue = waiting_) queue->wake();
}

std::size_t LogStreams::listeners() const {
  return count_;
}

void LogStreams::go() {
  auto pinged = Clock::now();
  std::string told;
  while (!is_stopped_) {
    try {
      const auto queue = queues_.lend();
      waiting_ = &*queue;
      while (!is_stopped_) {
        send_all(*queue);
        if (Clock::now() - pinged > kBetweenPings) {
          send_pings();
          pinged = Clock::now();
        }
        told.clear();
        if (is_stopped_) break;
        if (is_behind_) {
          std::this_thread::sleep_for(kBehind);
        } else {
          queue->wait(kMostWait);
        }
      }
      waiting_ = nullptr;
    } catch (const Error& error) {
      waiting_ = nullptr;
      if (told != error.what()) log_.error(error.what());
      told = error.what();
      std::this_thread::sleep_for(kMostWait);
    }
  }
  for (auto& [job, listeners] : all_) {
    for (const Listener& listener : listeners) listener.stream->close();
  }
}

void LogStreams::send_all(Queue& queue) {
  {
    const std::lock_guard lock(mutex_);
    for (auto& [job, listeners] : new_) {
      auto& known = all_[job];
      std::move(listeners.begin(), listeners.end(), std::back_inserter(known));
    }
    new_.clear();
  }
  is_behind_ = false;
  for (auto& [job, listeners] : all_) {
    send(queue, job, listeners);
    const std::size_t gone = std::erase_if(listeners, [](const Listener& listener) {
      return listener.is_complete || !listener.stream->is_open();
    });
    count_ -= gone;
  }
  std::erase_if(all_, [](const auto& job) { return job.second.empty(); });
}

void LogStreams::send(Queue& queue, std::int64_t id, std::vector<Listener>& listeners) {
  // First what it is, then its log: what has ended has all of its log written.
  const auto job = queue.find(id);
  std::map<std::int64_t, std::string> parts;  // by offset
  const auto part_at = [&](std::int64_t offset) -> const std::string& {
    const auto [place, is_new] = parts.try_emplace(offset);
    if (is_new) place->second = queue.read_log(id, offset, kPart, job->fence);
    return place->second;
  };
  for (Listener& listener : listeners) {
    if (!listener.stream->is_open()) continue;
    if (job && listener.fence != job->fence) {
      if (listener.fence != 0) {
        listener.offset = 0;
        listener.stream->send("event: restart\ndata: {}\n\n");
      }
      listener.fence = job->fence;
    }
    while (job && job->fence != 0) {
      // (Who reads slowly gets the rest when he has read.)
      if (listener.stream->waiting() > kMostWaiting) {
        is_behind_ = true;
        break;
      }
      const std::string& part = part_at(listener.offset);
      const bool is_last = part.size() < kPart && is_final(job->state);
      const std::size_t size = is_last ? part.size() : whole_characters(part);
      if (size == 0) {
        listener.is_complete = is_last;
        break;
      }
      listener.offset += static_cast<std::int64_t>(size);
      if (!listener.stream->send(log_event(listener.fence, listener.offset, part.substr(0, size))))
        break;
      if (part.size() < kPart) {
        listener.is_complete = is_last;
        break;
      }
    }
    if (!job || job->fence == 0) listener.is_complete = !job || is_final(job->state);
    if (listener.is_complete) {
      const std::string state = job ? word(job->state) : "gone";
      listener.stream->send(
          fmt::format("event: end\ndata: {}\n\n", dump({{"state", state}}, false)));
      listener.stream->close();
    }
  }
}

void LogStreams::send_pings() {
  for (auto& [job, listeners] : all_) {
    for (const Listener& listener : listeners) listener.stream->send(": still here\n\n");
  }
}

}  // namespace imagewright
