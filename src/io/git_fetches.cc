#include "io/git_fetches.h"

#include <atomic>
#include <chrono>
#include <utility>

#include "io/error.h"
#include "io/http.h"

namespace imagewright {

namespace {

// It is all in memory. What is larger takes longer than git does to start.
constexpr std::size_t kLargestAnswer = std::size_t{32} << 20;
constexpr std::chrono::minutes kMostTime{5};

}  // namespace

std::optional<GitFetches::Pack> GitFetches::fetch(const GitRemote& remote,
                                                  const FetchQuestion& question) const {
  auto request = questions_.request_to(remote);
  if (!request) return std::nullopt;
  Pack pack;
  FetchAnswer answer(question.want, [&](std::string_view part) {
    pack.bytes += part;
    return true;
  });
  request->body = fetch_question(question);
  std::size_t taken = 0;
  request->on_body = [&](std::string_view part) {
    taken += part.size();
    return taken <= kLargestAnswer && answer.take(part);
  };
  request->most_time = kMostTime;
  static const std::atomic<bool> kNever{false};
  try {
    Http(kNever).send(*request);
  } catch (const HttpError&) {
    return std::nullopt;
  } catch (const Error& error) {
    if (error.kind() != Error::Kind::Missing) throw;
    return std::nullopt;
  }
  if (!answer.is_complete()) return std::nullopt;
  pack.is_shallow = answer.is_shallow();
  return pack;
}

}  // namespace imagewright
