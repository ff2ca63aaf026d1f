// Asks a server over its API: on its machine by its unix socket, elsewhere by its URL.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "io/error.h"
#include "io/http.h"
#include "run/json.h"
#include "run/project.h"

namespace imagewright {

/// How a server is reached.
struct ServerAddress {
  std::filesystem::path socket;  ///< "": by the URL
  std::string url;               ///< http://… or https://…
  std::string token;             ///< "": none
};

/// Part of a job's log.
struct LogPart {
  std::string bytes;
  std::int64_t next = 0;   ///< the offset behind it
  std::int64_t claim = 0;  ///< whose log it is: another one begins anew
  bool is_complete = false;
};

/// What a server refused, or could not do at the moment.
struct ServerError : Error {
  ServerError(Kind kind, const std::string& message, int its_status)
      : Error(kind, message), status(its_status) {}
  int status;
};

/// One thread at a time. Throws Error(Missing) if the server cannot be reached or used at the
/// moment, Error(Usage) for what it refuses, with its words; either is a ServerError where it
/// answers.
class ServerClient {
 public:
  /// `stop`: becomes true, and no request goes on; borrowed. nullptr: all go on to their end.
  explicit ServerClient(ServerAddress address, const std::atomic<bool>* stop = nullptr);

  /// The one over a project's state on this machine; nullopt: none is running there.
  static std::optional<ServerAddress> find(const Project& project);

  Json get(const std::string& path);
  Json post(const std::string& path, const Json& body);
  /// The same, even after an interrupt: a last word.
  Json say_last(const std::string& path, const Json& body);
  /// Bytes as they are.
  Json post_bytes(const std::string& path, const std::string& bytes);
  LogPart log(std::int64_t job, std::int64_t offset);
  /// What is there, part by part, for as long as it takes; a `sink` that gives false ends it
  /// (Error(Missing)).
  void download(const std::string& path, const std::function<bool(std::string_view part)>& sink);

 private:
  Json post(const std::string& path, const Json& body, bool even_interrupted);
  HttpResponse send(HttpRequest request);

  ServerAddress address_;
  std::atomic<bool> never_{false};
  Http http_;
};

}  // namespace imagewright
