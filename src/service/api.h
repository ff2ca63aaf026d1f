// The HTTP API and the status page of a server (docs/http-api.md): who may ask what, and what is
// answered. Knows nothing of sockets.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "service/builder.h"
#include "service/checker.h"
#include "service/current.h"
#include "service/http_server.h"
#include "service/log_streams.h"
#include "service/packs.h"
#include "service/queue_pool.h"
#include "service/remote_builder.h"
#include "service/service_log.h"

namespace imagewright {

/// What a token may do. Each may what those before it may; a worker's only what workers do.
enum class Role { None, Read, Build, Admin, Worker };
const char* word(Role role);
std::optional<Role> parse_role(std::string_view word);

/// The digest under which a token is kept.
std::string digest_of_token(const std::string& token);
/// A new one: 256 random bits, with a prefix by which leaked ones are found.
std::string new_token();

/// What the API serves. Borrowed.
struct ApiParts {
  Checker& checker;
  Builder& builder;
  QueuePool& queues;
  LogStreams& logs;
  Remembered& remembered;
  const Current& current;
  const ServiceLog& log;
  std::function<void()> reload;  ///< reads the configuration anew
  std::string webhook_secret;    ///< "": webhooks are refused
  std::string version;
  RemoteBuilder* workers = nullptr;  ///< nullptr: what is built is built here
  Packs* packs = nullptr;            ///< with it
};

class Api : public HttpHandler {
 public:
  explicit Api(ApiParts parts);

  Admission admit(const HttpHead& head) override;
  HttpReply answer(const HttpHead& head, const std::string& body) override;

  /// From now on `/readyz` says that no more is taken on.
  void drain() { is_draining_ = true; }

  /// "GET /api/v1/jobs/{id} read", …: all that there is and the role it takes, for the
  /// documentation's test.
  static std::vector<std::string> routes();

 private:
  using Parameters = std::map<std::string, std::string>;
  struct Call {
    const HttpHead& head;
    const std::string& body;
    Parameters parameters;
  };
  struct Route {
    std::string method;
    std::vector<std::string> path;  // "{name}": any one segment
    Role role = Role::Read;
    std::size_t largest_body = 0;
    HttpReply (Api::*handler)(const Call& call) = nullptr;
  };

  static const std::vector<Route>& all_routes();
  const Route* find(const HttpHead& head, Parameters* parameters, bool* any_method) const;
  static bool is_to_be_built(const Looked& looked, const Served& served, const std::string& unit);
  Role role_of(const HttpHead& head);
  std::optional<HttpReply> refuse(const Route& route, const HttpHead& head);

  HttpReply status_page(const Call& call);
  HttpReply job_page(const Call& call);
  HttpReply style(const Call& call);
  HttpReply login(const Call& call);
  HttpReply health(const Call& call);
  HttpReply readiness(const Call& call);
  HttpReply metrics(const Call& call);
  HttpReply images(const Call& call);
  HttpReply jobs(const Call& call);
  HttpReply job(const Call& call);
  HttpReply job_log(const Call& call);
  HttpReply cancel(const Call& call);
  HttpReply retry(const Call& call);
  HttpReply trigger(const Call& call);
  HttpReply workers(const Call& call);
  HttpReply reload(const Call& call);
  HttpReply hook(const Call& call);
  HttpReply work(const Call& call);
  HttpReply order_log(const Call& call);
  HttpReply order_outcome(const Call& call);
  HttpReply hand_back(const Call& call);
  HttpReply pack(const Call& call);
  std::shared_ptr<RemoteJob> held_job(const Call& call) const;

  ApiParts parts_;
  std::atomic<bool> is_draining_{false};
};

}  // namespace imagewright
