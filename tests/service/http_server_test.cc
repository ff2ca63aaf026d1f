#include "service/http_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "http_client.h"
#include "io/error.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;
namespace fs = std::filesystem;

// For what has to happen soon, but on a machine that does other things, too.
constexpr auto kPatience = 30s;

template <typename Claim>
bool eventually(const Claim& claim) {
  const auto end = Clock::now() + kPatience;
  while (!claim()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

// Opened once; whoever waits goes on.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    opened_.wait_for(lock, kPatience, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

std::string described(const HttpHead& head, const std::string& body) {
  return Json{{"method", head.method},
              {"target", head.target},
              {"path", head.path},
              {"query", head.query},
              {"headers", head.headers},
              {"peer", head.peer},
              {"loopback", head.is_loopback},
              {"local", head.is_local_user},
              {"encrypted", head.is_encrypted},
              {"body", body}}
      .dump();
}

// Tells what it was asked, where a test does not say otherwise.
class Handler : public HttpHandler {
 public:
  Admission admit(const HttpHead& head) override {
    ++admitted;
    if (on_admit) return on_admit(head);
    return {std::nullopt, 1000};
  }
  HttpReply answer(const HttpHead& head, const std::string& body) override {
    ++answered;
    if (on_answer) return on_answer(head, body);
    HttpReply reply;
    reply.body = described(head, body);
    return reply;
  }
  std::function<Admission(const HttpHead&)> on_admit;
  std::function<HttpReply(const HttpHead&, const std::string&)> on_answer;
  std::atomic<int> admitted{0};
  std::atomic<int> answered{0};
};

HttpReply text_reply(std::string body) {
  HttpReply reply;
  reply.type = "text/plain";
  reply.body = std::move(body);
  return reply;
}

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.log = [this](const std::string& line) {
      const std::lock_guard lock(log_mutex_);
      log_ += line + "\n";
    };
  }

  HttpServer& start() {
    server_.reset();
    server_ = std::make_unique<HttpServer>(options_, handler_);
    return *server_;
  }
  HttpServer& server() { return server_ ? *server_ : start(); }
  Client client() { return Client(server().port()); }
  std::string log() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  static std::string get(const std::string& target, const std::string& headers = "") {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
  }
  static std::string post(const std::string& body, const std::string& headers = "") {
    return "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n" + headers + "\r\n" + body;
  }
  // What the server itself says of a request, on a connection of its own; 0: nothing.
  int status_of(const std::string& request) { return client().ask(request).status; }

  // All streams of the handler's, each as it comes.
  void hand_out_streams() {
    handler_.on_answer = [this](const HttpHead&, const std::string&) {
      HttpReply reply;
      reply.type = "text/event-stream";
      reply.stream = [this](std::shared_ptr<HttpStream> stream) {
        const std::lock_guard lock(stream_mutex_);
        streams_.push_back(std::move(stream));
      };
      return reply;
    };
  }
  std::shared_ptr<HttpStream> stream(std::size_t index = 0) {
    std::shared_ptr<HttpStream> found;
    eventually([&] {
      const std::lock_guard lock(stream_mutex_);
      if (streams_.size() <= index) return false;
      found = streams_[index];
      return true;
    });
    return found;
  }

  TempDirectory directory_;
  HttpServerOptions options_;
  Handler handler_;
  std::mutex log_mutex_;
  std::string log_;
  std::mutex stream_mutex_;
  std::vector<std::shared_ptr<HttpStream>> streams_;
  std::unique_ptr<HttpServer> server_;  // the first to go
};

// --- What a handler is told

TEST_F(HttpServerTest, HandlersAreToldWhatWasAsked) {
  const auto reply = client().ask(
      "PUT /api/v1/jobs?state=running&q=a+b%26c&q=last&flag HTTP/1.1\r\nHost: localhost:1\r\n"
      "X-Thing: one\r\nx-thing:  two \r\nContent-Length: 4\r\n\r\nbody");
  EXPECT_EQ(reply.status, 200);
  const Json told = Json::parse(reply.body);
  EXPECT_EQ(told["method"], "PUT");
  EXPECT_EQ(told["target"], "/api/v1/jobs?state=running&q=a+b%26c&q=last&flag");
  EXPECT_EQ(told["path"], (Json{"api", "v1", "jobs"}));
  EXPECT_EQ(told["query"], (Json{{"state", "running"}, {"q", "last"}, {"flag", ""}}));
  EXPECT_EQ(told["headers"]["x-thing"], "two");
  EXPECT_EQ(told["headers"]["host"], "localhost:1");
  EXPECT_EQ(told["peer"], "127.0.0.1");
  EXPECT_EQ(told["loopback"], true);
  EXPECT_EQ(told["local"], false);
  EXPECT_EQ(told["encrypted"], false);
  EXPECT_EQ(told["body"], "body");
}

TEST_F(HttpServerTest, PathsAreDecodedBySegments) {
  const auto path_of = [&](const std::string& target) {
    return Json::parse(client().ask(get(target)).body)["path"].dump();
  };
  EXPECT_EQ(path_of("/"), "[]");
  EXPECT_EQ(path_of("/?a"), "[]");
  EXPECT_EQ(path_of("/a"), R"(["a"])");
  EXPECT_EQ(path_of("/a/"), R"(["a",""])");
  EXPECT_EQ(path_of("//a"), R"(["","a"])");
  EXPECT_EQ(path_of("/images/team%2Fapp/log%20s"), R"(["images","team/app","log s"])");
  EXPECT_EQ(path_of("/a+b/..."), R"(["a+b","..."])");
  EXPECT_EQ(path_of("/%2e%2e%2f"), R"(["../"])");
}

TEST_F(HttpServerTest, PathsThatLeadElsewhereAreRefused) {
  for (const char* target :
       {"/a/../b", "/..", "/.", "/./a", "/%2e%2E/a", "/a/%2e", "/a%00b", "/%", "/%4", "/%zz",
        "/a#b", "/a?b=%00", "/a?%zz", "http://localhost/a", "localhost:80", "*", "a", "\\a"}) {
    EXPECT_EQ(status_of(get(target)), 400) << target;
  }
  EXPECT_EQ(status_of("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
  EXPECT_EQ(status_of("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
  EXPECT_EQ(handler_.admitted, 0);
}

TEST_F(HttpServerTest, WhoIsForwardedIsNotTakenForLocal) {
  for (const char* header : {"Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1",
                             "X-Real-IP: 192.0.2.1", "Via: 1.1 proxy"}) {
    const auto reply = client().ask(get("/", std::string(header) + "\r\n"));
    EXPECT_EQ(Json::parse(reply.body)["loopback"], false) << header;
  }
}

// --- Replies

TEST_F(HttpServerTest, RepliesProtectWhoReadsThem) {
  const auto reply = client().ask(get("/"));
  EXPECT_EQ(reply.header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
            "'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'");
  EXPECT_EQ(reply.header("x-content-type-options"), "nosniff");
  EXPECT_EQ(reply.header("referrer-policy"), "no-referrer");
  EXPECT_EQ(reply.header("cache-control"), "no-store");
  EXPECT_THAT(reply.header("date"),
              testing::MatchesRegex("[A-Z][a-z]+, [0-9]+ [A-Z][a-z]+ [0-9]+ ..:..:.. GMT"));
  EXPECT_EQ(reply.headers.count("server"), 0U);
  EXPECT_EQ(reply.headers.count("connection"), 0U);
  EXPECT_EQ(client().ask(get("/..")).header("x-content-type-options"), "nosniff");
}

TEST_F(HttpServerTest, HandlersMaySayOtherwise) {
  handler_.on_answer = [](const HttpHead&, const std::string&) {
    HttpReply reply = text_reply("kept");
    reply.status = 201;
    reply.headers = {{"cache-control", "max-age=60"}, {"X-More", "1"}};
    return reply;
  };
  const auto reply = client().ask(get("/"));
  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(reply.header("cache-control"), "max-age=60");
  EXPECT_EQ(reply.header("x-more"), "1");
  EXPECT_EQ(reply.header("content-type"), "text/plain");
  EXPECT_EQ(reply.header("content-length"), "4");
  EXPECT_EQ(reply.body, "kept");
}

TEST_F(HttpServerTest, RepliesWithoutABodyHaveNone) {
  handler_.on_answer = [](const HttpHead& head, const std::string&) {
    HttpReply reply = text_reply("not sent");
    reply.status = std::stoi(head.path.at(0));
    return reply;
  };
  Client client = this->client();
  client.send(get("/204") + get("/304") + get("/200"));
  for (const int status : {204, 304}) {
    const auto reply = client.read_reply(false);
    EXPECT_EQ(reply.status, status);
    EXPECT_EQ(reply.headers.count("content-length"), 0U);
  }
  EXPECT_EQ(client.read_reply().body, "not sent");
}

TEST_F(HttpServerTest, AHeaderThatWouldEndItsLineIsNotSent) {
  handler_.on_answer = [](const HttpHead&, const std::string&) {
    HttpReply reply;
    reply.headers = {{"Location", "/\r\nSet-Cookie: a=b"}};
    return reply;
  };
  const auto reply = client().ask(get("/"));
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.headers.count("set-cookie"), 0U);
  EXPECT_THAT(log(), HasSubstr("Location"));
}

TEST_F(HttpServerTest, WhatWouldBreakTheConnectionIsNotSent) {
  handler_.on_answer = [](const HttpHead& head, const std::string&) {
    HttpReply reply = text_reply("text");
    if (head.target == "/status") reply.status = 100;
    if (head.target == "/length") reply.headers = {{"content-Length", "1"}};
    if (head.target == "/encoding") reply.headers = {{"Transfer-Encoding", "gzip"}};
    if (head.target == "/connection") reply.headers = {{"Connection", "close"}};
    if (head.target == "/type") reply.headers = {{"Content-Type", "text/html"}};
    if (head.target == "/throw") throw 42;
    return reply;
  };
  Client client = this->client();
  for (const char* target : {"/status", "/length", "/encoding", "/connection", "/throw"}) {
    EXPECT_EQ(client.ask(get(target)).status, 500) << target;
  }
  EXPECT_EQ(client.ask(get("/type")).header("content-type"), "text/html");
}

TEST_F(HttpServerTest, HeadIsAnsweredWithoutTheBody) {
  handler_.on_answer = [](const HttpHead&, const std::string&) { return text_reply("12345"); };
  Client client = this->client();
  client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n" + get("/"));
  const auto reply = client.read_reply(false);
  EXPECT_EQ(reply.header("content-length"), "5");
  EXPECT_EQ(client.read_reply().body, "12345");
}

TEST_F(HttpServerTest, ALongReplyArrivesWhole) {
  std::string body(5'000'000, 'x');
  for (std::size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>('a' + i % 26);
  handler_.on_answer = [&](const HttpHead&, const std::string&) { return text_reply(body); };
  EXPECT_TRUE(client().ask(get("/")).body == body);
}

TEST_F(HttpServerTest, WhatHandlersThrowIsLoggedAndNotShown) {
  handler_.on_answer = [](const HttpHead&, const std::string&) -> HttpReply {
    throw std::runtime_error("the password is 12345");
  };
  Client client = this->client();
  for (int i = 0; i < 2; ++i) {
    const auto reply = client.ask(get("/api/jobs?token=hidden"));
    EXPECT_EQ(reply.status, 500);
    EXPECT_TRUE(Json::parse(reply.body)["error"].is_string());
    EXPECT_THAT(reply.body, testing::Not(HasSubstr("12345")));
  }
  EXPECT_THAT(log(), HasSubstr("GET /api/jobs: the password is 12345\n"));
  EXPECT_THAT(log(), testing::Not(HasSubstr("hidden")));
  handler_.on_admit = [](const HttpHead&) -> HttpHandler::Admission {
    throw std::runtime_error("no admission");
  };
  EXPECT_EQ(client.ask(get("/")).status, 500);
  EXPECT_THAT(log(), HasSubstr("no admission"));
}

// --- Connections

TEST_F(HttpServerTest, AConnectionServesManyRequests) {
  Client client = this->client();
  for (int i = 0; i < 5; ++i) {
    const auto reply = client.ask(post(std::to_string(i)));
    EXPECT_EQ(Json::parse(reply.body)["body"], std::to_string(i));
  }
  EXPECT_EQ(server().connections(), 1U);
  EXPECT_EQ(client.ask(get("/", "Connection: close\r\n")).header("connection"), "close");
  EXPECT_TRUE(client.is_at_end());
  client.close();
  EXPECT_TRUE(eventually([&] { return server().connections() == 0; }));
}

TEST_F(HttpServerTest, Http10EndsUnlessItIsToldNotTo) {
  Client client = this->client();
  const auto kept =
      client.ask("GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(kept.header("connection"), "keep-alive");
  EXPECT_EQ(client.ask("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").header("connection"), "close");
  EXPECT_TRUE(client.is_at_end());
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n"), 505);
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInTheirOrder) {
  handler_.on_answer = [](const HttpHead& head, const std::string& body) {
    return text_reply(head.target + body);
  };
  std::string requests;
  for (int i = 0; i < 2000; ++i) {
    requests += i % 2 == 0 ? get("/" + std::to_string(i)) : post(std::to_string(i));
  }
  Client client = this->client();
  std::thread sender([&] {
    EXPECT_TRUE(client.send(requests));
    client.finish();
  });
  for (int i = 0; i < 2000; ++i) {
    EXPECT_EQ(client.read_reply().body, (i % 2 == 0 ? "/" : "/x") + std::to_string(i));
  }
  sender.join();
  EXPECT_TRUE(client.is_at_end());
}

TEST_F(HttpServerTest, WhoSaysNoMoreIsStillAnswered) {
  Gate gate;
  handler_.on_answer = [&](const HttpHead&, const std::string&) {
    gate.wait();
    return text_reply("late");
  };
  Client client = this->client();
  client.send(get("/"));
  client.finish();
  eventually([&] { return handler_.answered == 1; });
  gate.open();
  EXPECT_EQ(client.read_reply().body, "late");
  EXPECT_TRUE(client.is_at_end());
}

TEST_F(HttpServerTest, WhoGoesInTheMiddleOfARequestIsForgotten) {
  for (const std::string& part : {std::string("GET / HT"), post("12345").substr(0, 60)}) {
    Client client = this->client();
    client.send(part);
    client.finish();
    EXPECT_TRUE(client.is_at_end());
    Client other = this->client();
    other.send(part);
    other.reset();
  }
  EXPECT_TRUE(eventually([&] { return server().connections() == 0; }));
  EXPECT_EQ(handler_.answered, 0);
}

TEST_F(HttpServerTest, WhoGoesWhileItIsAnsweredEndsNothingElse) {
  Gate gate;
  handler_.on_answer = [&](const HttpHead&, const std::string&) {
    gate.wait();
    return text_reply(std::string(10'000'000, 'x'));
  };
  Client client = this->client();
  client.send(get("/"));
  eventually([&] { return handler_.answered == 1; });
  client.reset();
  EXPECT_TRUE(eventually([&] { return server().connections() == 0; }));
  gate.open();
  Client second = this->client();
  second.send(get("/"));
  EXPECT_EQ(second.read(1000).size(), 1000U);
  second.reset();  // in the middle of what is written
  EXPECT_EQ(this->client().ask(get("/")).body.size(), 10'000'000U);
}

TEST_F(HttpServerTest, TooManyConnectionsAreTurnedAway) {
  options_.most_connections = 3;
  options_.socket = directory_ / "server.sock";
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(client());
    EXPECT_EQ(clients.back().ask(get("/")).status, 200);
  }
  for (int i = 0; i < 20; ++i) {
    Client more = client();
    EXPECT_EQ(more.read_reply().status, 503);
    EXPECT_TRUE(more.is_at_end());
  }
  EXPECT_EQ(clients.back().ask(get("/")).status, 200);
  EXPECT_EQ(Client(options_.socket).ask(get("/", "Connection: close\r\n")).status, 200);
  EXPECT_TRUE(eventually([&] { return server().connections() == 3; }));
  clients.pop_back();
  EXPECT_TRUE(eventually([&] { return server().connections() == 2; }));
  EXPECT_EQ(status_of(get("/")), 200);
}

TEST_F(HttpServerTest, WithoutDescriptorsConnectionsWait) {
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
  GTEST_SKIP() << "the sanitizer itself needs descriptors to look at memory";
#endif
#endif
  start();
  Client client = this->client();
  EXPECT_EQ(client.ask(get("/")).status, 200);
  Fd waiting(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  const Fd lowest(
      open("/dev/null", O_RDONLY | O_CLOEXEC));  // the lowest that is free; all below are taken
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(lowest.get());
  setrlimit(RLIMIT_NOFILE, &none);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(server().port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(waiting.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_TRUE(eventually([&] { return !log().empty(); }));
  EXPECT_EQ(client.ask(get("/")).status, 200);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(log(), "cannot accept connections for now: Too many open files\n");
  const std::string request = get("/", "Connection: close\r\n");
  EXPECT_EQ(send(waiting.get(), request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  char status[12];
  EXPECT_EQ(recv(waiting.get(), status, sizeof status, MSG_WAITALL), 12);
  EXPECT_EQ(std::string_view(status, 12), "HTTP/1.1 200");
}

// --- Limits

TEST_F(HttpServerTest, HeadsThatAreTooLongAreRefused) {
  options_.largest_head = 1000;
  const std::size_t others = get("/", "X: \r\n").size();
  EXPECT_EQ(status_of(get("/", "X: " + std::string(1000 - others, 'x') + "\r\n")), 200);
  EXPECT_EQ(status_of(get("/", "X: " + std::string(1001 - others, 'x') + "\r\n")), 431);
  Client client = this->client();
  const auto reply = client.ask("GET /" + std::string(5000, 'x'));
  EXPECT_EQ(reply.status, 431);
  EXPECT_TRUE(Json::parse(reply.body)["error"].is_string());
  EXPECT_TRUE(client.is_at_end());
}

TEST_F(HttpServerTest, HeadsThatAreTooSlowAreRefused) {
  options_.head_time = 200ms;
  Client client = this->client();
  std::atomic<bool> stop{false};
  std::thread drip([&] {
    client.send("GET / HTTP/1.1\r\n");
    while (!stop && client.send("X")) std::this_thread::sleep_for(10ms);
  });
  const auto reply = client.read_reply();
  stop = true;
  drip.join();
  EXPECT_EQ(reply.status, 408);
  EXPECT_EQ(reply.header("connection"), "close");
}

TEST_F(HttpServerTest, WhoSaysNothingIsLeft) {
  options_.head_time = 50ms;
  options_.idle_time = 50ms;
  start();
  Client silent = client();
  EXPECT_EQ(silent.read_to_end(), "");
  options_.head_time = kPatience;
  start();
  Client idle = client();
  idle.send(get("/"));
  EXPECT_THAT(idle.read_to_end(), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, BetweenRequestsThereIsMoreTime) {
  options_.head_time = 100ms;
  for (int i = 0; i < 50; ++i) {
    Client client = this->client();
    // On a busy machine, that can be too slow already.
    if (client.ask(get("/")).status != 200) continue;
    std::this_thread::sleep_for(200ms);
    client.send("GET /");
    EXPECT_EQ(client.read_reply().status, 408);
    return;
  }
  FAIL() << "never was a request fast enough";
}

TEST_F(HttpServerTest, BodiesThatStopAreRefused) {
  options_.body_time = 100ms;
  Client client = this->client();
  EXPECT_EQ(client.ask("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n123").status,
            408);
  EXPECT_TRUE(client.is_at_end());
}

TEST_F(HttpServerTest, WhoDoesNotReadIsLeft) {
  options_.body_time = 100ms;
  handler_.on_answer = [](const HttpHead&, const std::string&) {
    return text_reply(std::string(30'000'000, 'x'));
  };
  Client client(server().port(), false, 4096);
  client.send(get("/"));
  EXPECT_TRUE(eventually([&] { return handler_.answered == 1 && server().connections() == 0; }));
}

TEST_F(HttpServerTest, BodiesThatAreTooLongAreRefusedUnread) {
  EXPECT_EQ(Json::parse(client().ask(post(std::string(1000, 'x'))).body)["body"],
            std::string(1000, 'x'));
  handler_.answered = 0;
  EXPECT_EQ(status_of(post(std::string(1001, 'x'))), 413);
  // At once: not one byte of it is awaited.
  Client client = this->client();
  EXPECT_EQ(client
                .ask("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551615"
                     "\r\n\r\n")
                .status,
            413);
  EXPECT_TRUE(client.is_at_end());
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                      "18446744073709551616\r\n\r\n"),
            400);
  EXPECT_EQ(handler_.answered, 0);
}

TEST_F(HttpServerTest, ChunkedBodiesAreCountedAsTheyCome) {
  const std::string head =
      "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  Client client = this->client();
  const auto reply =
      client.ask(head + "3\r\nabc\r\n2;name=value\r\nde\r\n0\r\nTrailer: x\r\n\r\n" + get("/next"));
  const Json told = Json::parse(reply.body);
  EXPECT_EQ(told["body"], "abcde");
  EXPECT_EQ(told["headers"].count("trailer"), 0U);
  EXPECT_EQ(Json::parse(client.read_reply().body)["target"], "/next");
  EXPECT_EQ(status_of(head + "3e8\r\n" + std::string(1000, 'x') + "\r\n0\r\n\r\n"), 200);
  EXPECT_EQ(status_of(head + "3e8\r\n" + std::string(1000, 'x') + "\r\n1\r\n"), 413);
  EXPECT_EQ(status_of(head + "3e9\r\n"), 413);
  for (const char* chunk :
       {"x\r\n", "0x3\r\nabc\r\n", "-1\r\n", "\r\n", "3\r\nabcd\r\n", " 3\r\nabc\r\n",
        "fffffffffffffffff\r\n", "3 \nabc", "3\r\nabc\n", "3;\x01\r\nabc\r\n"}) {
    EXPECT_THAT(status_of(head + chunk + "\r\n\r\n"), testing::AnyOf(400, 413)) << chunk;
  }
  // What never becomes a chunk does not grow.
  options_.largest_head = 1000;
  start();
  EXPECT_EQ(status_of(head + "3;" + std::string(2000, 'x')), 400);
  EXPECT_EQ(status_of(head + "0\r\n" + std::string(2000, 'x')), 400);
}

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  statm >> all >> resident;
  return resident * 4096;
}

TEST_F(HttpServerTest, AnEndlessBodyTakesNoMemory) {
  handler_.on_admit = [](const HttpHead&) { return HttpHandler::Admission{{}, 1 << 20}; };
  Client client = this->client();
  client.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  const std::size_t before = resident_bytes();
  const auto end = Clock::now() + kPatience;
  std::size_t sent = 0;
  while (client.send(chunk) && Clock::now() < end) sent += chunk.size();
  EXPECT_LT(resident_bytes() - std::min(before, resident_bytes()), 64U << 20) << sent;
  EXPECT_LT(Clock::now(), end);
  EXPECT_GT(sent, 1U << 20);
  EXPECT_EQ(client.read_reply().status, 413);
  EXPECT_EQ(handler_.answered, 0);
}

TEST_F(HttpServerTest, BodiesAreOnlyReadWhenTheyAreAdmitted) {
  handler_.on_admit = [](const HttpHead& head) {
    HttpHandler::Admission admission{std::nullopt, 1000};
    if (head.headers.count("authorization") == 0) {
      admission.refusal = text_reply("who are you?");
      admission.refusal->status = 401;
    }
    return admission;
  };
  Client client = this->client();
  // Without a body, the connection can be used again.
  EXPECT_EQ(client.ask(get("/")).body, "who are you?");
  EXPECT_EQ(client.ask(get("/", "Authorization: me\r\n")).status, 200);
  const auto reply = client.ask(post("body"));
  EXPECT_EQ(reply.status, 401);
  EXPECT_EQ(reply.header("connection"), "close");
  EXPECT_TRUE(client.is_at_end());
  EXPECT_EQ(handler_.answered, 1);
}

TEST_F(HttpServerTest, ContinueIsSaidToWhoWaitsForIt) {
  handler_.on_admit = [](const HttpHead& head) {
    HttpHandler::Admission admission{std::nullopt, 10};
    if (head.path.size() == 1 && head.path[0] == "no") admission.refusal = text_reply("no");
    return admission;
  };
  const auto head = [](const std::string& target, int length) {
    return "POST " + target + " HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n" +
           "Content-Length: " + std::to_string(length) + "\r\n\r\n";
  };
  Client client = this->client();
  client.send(head("/", 4));
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(client.ask("1234").status, 200);
  // Who does not wait is not told.
  EXPECT_EQ(client.ask(head("/", 4) + "1234").status, 200);
  EXPECT_EQ(this->client().ask(head("/", 11)).status, 413);
  EXPECT_EQ(this->client().ask(head("/no", 4)).body, "no");
  EXPECT_EQ(status_of(get("/", "Expect: tea\r\n")), 417);
}

// --- What could be read in two ways

TEST_F(HttpServerTest, RequestsWithTwoMeaningsAreRefused) {
  const std::string start = "POST / HTTP/1.1\r\nHost: localhost\r\n";
  const std::string hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::vector<std::string> heads = {
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
      "Content-Length: 5\r\nContent-Length: 6\r\n",
      "Content-Length: 5\r\nContent-Length: 5\r\n",
      "Content-Length: 5, 5\r\n",
      "Content-Length: 5,6\r\n",
      "Content-Length: +5\r\n",
      "Content-Length: -5\r\n",
      "Content-Length: 0x5\r\n",
      "Content-Length: 5 5\r\n",
      "Content-Length:\r\n",
      "Content-Length: 5\r\n folded: 1\r\n",
      "X: 1\r\n\tfolded\r\n",
      " X: 1\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding : chunked\r\n",
      "Transfer-Encoding\r\n",
      "Transfer-Encoding:\x0b"
      "chunked\r\n",
      "X: 1\nTransfer-Encoding: chunked\r\n",
      "X: 1\rTransfer-Encoding: chunked\r\n",
      std::string("X: 1\0\r\n", 7),
      "Host: localhost\r\n",
      "X: 1\r\n: empty\r\n",
      "X Y: 1\r\n",
  };
  for (const std::string& head : heads) {
    Client client = this->client();
    EXPECT_EQ(client.ask(start + head + "\r\n" + hidden).status, 400) << head;
    EXPECT_TRUE(client.is_at_end()) << head;
  }
  for (const char* encoding : {"gzip, chunked", "chunked, gzip", "chunked, chunked", "identity",
                               "xchunked", "\"chunked\"", "chunked;q=1"}) {
    Client client = this->client();
    EXPECT_EQ(client.ask(start + "Transfer-Encoding: " + encoding + "\r\n\r\n" + hidden).status,
              501)
        << encoding;
    EXPECT_TRUE(client.is_at_end());
  }
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" +
                      hidden),
            400);
  EXPECT_EQ(handler_.admitted, 0);
  EXPECT_EQ(status_of(start + "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"), 200);
}

TEST_F(HttpServerTest, EmptyLinesBeforeARequestArePassedOver) {
  EXPECT_EQ(status_of("\r\n\r\n" + get("/")), 200);
}

TEST_F(HttpServerTest, WhatIsNoHttpIsRefused) {
  for (const char* bytes : {"\x16\x03\x01\x02\r\n\r\n", "GET\r\n\r\n", "GET /\r\n\r\n",
                            "GET / HTTP/1.1 \r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "\n\n",
                            "GET / HTTX/1.1\r\n\r\n", "GE T / HTTP/1.1\r\n\r\n", ":\r\n\r\n"}) {
    EXPECT_THAT(status_of(bytes), testing::AnyOf(400, 505)) << bytes;
  }
}

// --- From where

TEST_F(HttpServerTest, NamesThatAreNotItsOwnAreRefused) {
  options_.hosts = {"builds.example.com", "[2001:db8::1]", "Other.Example."};
  start();
  const auto status = [&](const std::string& host) {
    return status_of("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  };
  for (const char* host : {"localhost", "LocalHost:1234", "localhost.", "127.0.0.1", "127.1.2.3:80",
                           "[::1]", "[::1]:80", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
                           "builds.example.com", "BUILDS.example.com:443", "builds.example.com.",
                           "[2001:db8::1]:8080", "[2001:DB8:0::1]", "other.example"}) {
    EXPECT_EQ(status(host), 200) << host;
  }
  for (const char* host : {"example.com", "evil.builds.example.com", "localhost.evil.example",
                           "192.0.2.1", "[2001:db8::2]", "0.0.0.0", "127.0.0.1.evil.example"}) {
    EXPECT_EQ(status(host), 421) << host;
  }
  for (const char* host : {"", "a b", "localhost:80:80", "localhost:x", "user@localhost", "[::1",
                           "[::1]x", "::1", "localhost/", "localhost,evil", ":80", "[127.0.0.1]"}) {
    EXPECT_EQ(status(host), 400) << host;
  }
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.0\r\n\r\n"), 400);
}

TEST_F(HttpServerTest, OtherSitesPagesMayOnlyRead) {
  const auto status = [&](const std::string& method, const std::string& headers) {
    return status_of(method + " / HTTP/1.1\r\nHost: localhost:8080\r\n" + headers + "\r\n");
  };
  for (const char* origin :
       {"http://localhost:8080", "https://localhost:8080", "HTTP://LOCALHOST:8080"}) {
    EXPECT_EQ(status("POST", "Origin: " + std::string(origin) + "\r\n"), 200) << origin;
  }
  for (const char* origin :
       {"http://evil.example", "null", "", "http://localhost", "http://localhost:8081",
        "localhost:8080", "http://localhost:8080.evil.example", "http://", "http://localhost:8080/",
        "http://a@localhost:8080"}) {
    const std::string header = "Origin: " + std::string(origin) + "\r\n";
    for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get"}) {
      EXPECT_EQ(status(method, header), 403) << method << " " << origin;
    }
    EXPECT_EQ(status("GET", header), 200) << origin;
  }
  EXPECT_EQ(status("POST", "Sec-Fetch-Site: cross-site\r\n"), 403);
  EXPECT_EQ(status("POST", "Sec-Fetch-Site: cross-site\r\nOrigin: http://localhost:8080\r\n"), 403);
  EXPECT_EQ(status("POST", "Sec-Fetch-Site: same-origin\r\n"), 200);
  EXPECT_EQ(status("GET", "Sec-Fetch-Site: cross-site\r\n"), 200);
  // Behind a proxy that speaks TLS, the port is a scheme's.
  options_.hosts = {"builds.example.com"};
  start();
  const auto proxied = [&](const std::string& host, const std::string& origin) {
    return status_of("POST / HTTP/1.1\r\nHost: " + host + "\r\nOrigin: " + origin + "\r\n\r\n");
  };
  EXPECT_EQ(proxied("builds.example.com", "https://builds.example.com"), 200);
  EXPECT_EQ(proxied("builds.example.com:443", "https://builds.example.com"), 200);
  EXPECT_EQ(proxied("builds.example.com:80", "https://builds.example.com"), 403);
}

// --- Where it listens

TEST_F(HttpServerTest, AUnixSocketIsItsOwnersOnly) {
  options_.host = "";
  options_.socket = directory_ / "server.sock";
  start();
  struct stat status = {};
  ASSERT_EQ(lstat(options_.socket.c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  for (const char* host : {"Host: anything at all\r\n", ""}) {
    const auto reply =
        Client(options_.socket).ask("GET / HTTP/1.1\r\n" + std::string(host) + "\r\n");
    EXPECT_EQ(reply.status, 200);
    const Json told = Json::parse(reply.body);
    EXPECT_EQ(told["local"], true);
    EXPECT_EQ(told["peer"], "");
    EXPECT_EQ(told["loopback"], false);
  }
  server_.reset();
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 0);
}

TEST_F(HttpServerTest, ASocketOfADeadServerIsReplacedAndThatOfALiveOneIsNot) {
  options_.host = "";
  options_.socket = directory_ / "server.sock";
  {
    const Fd dead(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    options_.socket.string().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  start();
  EXPECT_EQ(Client(options_.socket).ask(get("/")).status, 200);
  const auto message = [&](HttpServerOptions options) -> std::string {
    try {
      HttpServer second(std::move(options), handler_);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::Missing);
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message(options_),
            "cannot listen on '" + options_.socket.string() + "': another server listens there");
  EXPECT_EQ(Client(options_.socket).ask(get("/")).status, 200);
  HttpServerOptions other = options_;
  other.socket = directory_ / "file";
  directory_.write("file", "kept");
  EXPECT_THAT(message(other), HasSubstr("no socket"));
  EXPECT_TRUE(fs::is_regular_file(other.socket));
  other.socket = directory_ / "missing/socket";
  EXPECT_THAT(message(other), HasSubstr("No such file or directory"));
  other.socket = directory_ / std::string(200, 'x');
  EXPECT_THAT(message(other), HasSubstr("longer"));
  other.socket.clear();
  other.host = "127.0.0.1";
  const HttpServer tcp(other, handler_);
  other.port = tcp.port();
  EXPECT_EQ(message(other), "cannot listen on 127.0.0.1:" + std::to_string(other.port) +
                                ": another server listens there");
  other.host = "no-such-host.invalid";
  EXPECT_THAT(message(other), StartsWith("cannot listen on no-such-host.invalid:"));
  other.host = "192.0.2.1";
  EXPECT_THAT(message(other), HasSubstr("192.0.2.1"));
}

TEST_F(HttpServerTest, AnothersSocketIsNotRemoved) {
  options_.host = "";
  options_.socket = directory_ / "server.sock";
  start();
  fs::remove(options_.socket);
  Handler handler;
  const HttpServer second(options_, handler);
  server_.reset();
  EXPECT_EQ(Client(options_.socket).ask(get("/")).status, 200);
}

TEST_F(HttpServerTest, ItListensOnIpv6) {
  options_.host = "::1";
  try {
    start();
  } catch (const Error& error) {
    GTEST_SKIP() << "no IPv6 here: " << error.what();
  }
  const auto reply = Client(server().port(), true).ask("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
  EXPECT_EQ(Json::parse(reply.body)["peer"], "::1");
  EXPECT_EQ(Json::parse(reply.body)["loopback"], true);
  options_.host = "::";
  start();
  const auto mapped = client().ask(get("/"));
  EXPECT_EQ(Json::parse(mapped.body)["peer"], "127.0.0.1");
  EXPECT_EQ(Json::parse(mapped.body)["loopback"], true);
}

TEST_F(HttpServerTest, ItListensOnAllAddressesOfAName) {
  options_.host = "localhost";
  start();
  int answered = 0;
  for (const bool v6 : {false, true}) {
    Client client(server().port(), v6);
    if (client.is_connected() && client.ask(get("/")).status == 200) ++answered;
  }
  EXPECT_GE(answered, 1);
  options_.port = server().port();
  Handler handler;
  EXPECT_THROW(HttpServer(options_, handler), Error);
}

TEST_F(HttpServerTest, ChildrenInheritNoneOfItsDescriptors) {
  options_.socket = directory_ / "server.sock";
  Client client = this->client();
  EXPECT_EQ(client.ask(get("/")).status, 200);
  Client local(options_.socket);
  EXPECT_EQ(local.ask(get("/")).status, 200);
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    const int flags = fcntl(fd, F_GETFD);
    std::error_code gone;
    const std::string what = fs::read_symlink(entry.path(), gone);
    if (fd <= 2 || flags < 0 || !what.starts_with("socket:")) continue;
    EXPECT_NE(flags & FD_CLOEXEC, 0) << what;
  }
}

// --- Streams

TEST_F(HttpServerTest, AStreamIsSentBitByBit) {
  hand_out_streams();
  Client client = this->client();
  client.send(get("/"));
  const auto head = client.read_head();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-type"), "text/event-stream");
  EXPECT_EQ(head.header("transfer-encoding"), "chunked");
  EXPECT_EQ(head.headers.count("content-length"), 0U);
  const auto stream = this->stream();
  EXPECT_TRUE(stream->is_open());
  EXPECT_TRUE(stream->send("one"));
  EXPECT_EQ(client.read_chunk(), "one");
  EXPECT_TRUE(stream->send(""));
  EXPECT_TRUE(stream->send("two"));
  EXPECT_EQ(client.read_chunk(), "two");
  EXPECT_TRUE(eventually([&] { return stream->waiting() == 0; }));
  EXPECT_TRUE(stream->send("end"));
  stream->close();
  EXPECT_FALSE(stream->is_open());
  EXPECT_FALSE(stream->send("too late"));
  EXPECT_EQ(client.read_chunk(), "end");
  EXPECT_EQ(client.read_chunk(), "");
  client.close();
  EXPECT_TRUE(eventually([&] { return server().connections() == 0; }));
}

TEST_F(HttpServerTest, AStreamForHttp10LastsUntilTheEnd) {
  handler_.on_answer = [](const HttpHead&, const std::string&) {
    HttpReply reply;
    reply.stream = [](const std::shared_ptr<HttpStream>& stream) {
      stream->send("a");
      stream->send("b");
    };
    return reply;
  };
  Client client = this->client();
  client.send("GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
  const auto head = client.read_head();
  EXPECT_EQ(head.header("connection"), "close");
  EXPECT_EQ(head.headers.count("transfer-encoding"), 0U);
  EXPECT_EQ(client.read_to_end(), "ab");
}

TEST_F(HttpServerTest, WhoLetsGoOfAStreamClosesIt) {
  handler_.on_answer = [](const HttpHead& head, const std::string&) {
    HttpReply reply;
    reply.stream = [throws = head.target == "/throws"](const std::shared_ptr<HttpStream>& stream) {
      stream->send("sent");
      if (throws) throw std::runtime_error("no more of it");
    };
    return reply;
  };
  EXPECT_EQ(client().ask(get("/")).body, "sent");
  EXPECT_EQ(client().ask(get("/throws")).body, "sent");
  EXPECT_TRUE(eventually([&] { return log() == "GET /throws: no more of it\n"; }));
}

TEST_F(HttpServerTest, WhereThereIsNoBodyThereIsNoStream) {
  hand_out_streams();
  Client client = this->client();
  client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.read_reply(false).header("content-type"), "text/event-stream");
  client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.read_reply(false).status, 200);
  EXPECT_EQ(handler_.answered, 2);
  server_.reset();
  EXPECT_TRUE(streams_.empty());
}

TEST_F(HttpServerTest, AViewerThatGoesIsNoticedAtOnce) {
  hand_out_streams();
  for (const int how : {0, 1, 2}) {
    Client client = this->client();
    client.send(get("/"));
    EXPECT_EQ(client.read_head().status, 200);
    const auto stream = this->stream(static_cast<std::size_t>(how));
    EXPECT_TRUE(stream->is_open());
    if (how == 0) client.close();
    if (how == 1) client.reset();
    if (how == 2) client.finish();
    EXPECT_TRUE(eventually([&] { return !stream->is_open(); }));
    EXPECT_FALSE(stream->send("x"));
  }
  EXPECT_TRUE(eventually([&] { return server().connections() == 0; }));
}

TEST_F(HttpServerTest, AfterAStreamTheNextRequestIsAnswered) {
  hand_out_streams();
  Client client = this->client();
  client.send(get("/1") + get("/2"));
  EXPECT_EQ(client.read_head().headers.count("connection"), 0U);
  EXPECT_TRUE(stream(0)->send("one"));
  EXPECT_EQ(client.read_chunk(), "one");
  EXPECT_EQ(handler_.answered, 1);
  stream(0)->close();
  EXPECT_EQ(client.read_chunk(), "");
  EXPECT_EQ(client.read_head().status, 200);
  EXPECT_TRUE(stream(1)->send("two"));
  stream(1)->close();
  EXPECT_EQ(client.read_chunk(), "two");
  EXPECT_EQ(client.read_chunk(), "");
  client.send(get("/3", "Connection: close\r\n"));
  EXPECT_EQ(client.read_head().header("connection"), "close");
  stream(2)->close();
  EXPECT_EQ(client.read_to_end(), "0\r\n\r\n");
}

TEST_F(HttpServerTest, AViewerThatTalksIsNotListenedTo) {
  hand_out_streams();
  Client client = this->client();
  client.send(get("/"));
  EXPECT_EQ(client.read_head().status, 200);
  const auto stream = this->stream();
  client.send(std::string(100'000, 'x'));
  EXPECT_TRUE(eventually([&] { return !stream->is_open(); }));
}

TEST_F(HttpServerTest, AViewerThatIsTooSlowIsDropped) {
  hand_out_streams();
  Client client(server().port(), false, 4096);
  client.send(get("/"));
  EXPECT_EQ(client.read_head().status, 200);
  const auto stream = this->stream();
  std::size_t sent = 0;
  while (stream->send(std::string(100'000, 'x')) && sent < 1'000'000'000) {
    sent += 100'000;
    EXPECT_LE(stream->waiting(), 1U << 20);
  }
  EXPECT_LT(sent, 100'000'000U);
  EXPECT_FALSE(stream->is_open());
  EXPECT_TRUE(eventually([&] { return server().connections() == 0; }));
}

TEST_F(HttpServerTest, MuchIsSentByWhoWaitsForRoom) {
  hand_out_streams();
  Client client = this->client();
  client.send(get("/"));
  const auto stream = this->stream();
  EXPECT_TRUE(stream->send(std::string(3'000'000, 'x')));  // nothing waits: as long as it likes
  std::thread sender([&] {
    for (int i = 0; i < 26; ++i) {
      EXPECT_TRUE(eventually([&] { return stream->waiting() < 500'000; }));
      EXPECT_TRUE(stream->send(std::string(500'000, static_cast<char>('a' + i))));
    }
    stream->close();
  });
  const auto reply = client.read_reply();
  sender.join();
  EXPECT_EQ(reply.body.size(), 16'000'000U);
  EXPECT_EQ(reply.body.back(), 'z');
}

TEST_F(HttpServerTest, FiveHundredViewersDoNotWaitForTheSlowOnes) {
  hand_out_streams();
  constexpr std::size_t kViewers = 500;
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_max < 3 * kViewers) GTEST_SKIP() << "too few files may be open";
  std::vector<Client> clients;
  for (std::size_t i = 0; i < kViewers; ++i) {
    clients.emplace_back(server().port(), false, i % 50 == 0 ? 4096 : 0);
    ASSERT_TRUE(clients.back().send(get("/" + std::to_string(i))));
    ASSERT_EQ(clients.back().read_head().status, 200);
    ASSERT_TRUE(stream(i)->is_open());
  }
  EXPECT_EQ(server().connections(), kViewers);
  // Every fiftieth reads nothing, and much is sent to it.
  std::atomic<bool> stop{false};
  std::thread flood([&] {
    std::size_t open = 1;
    while (!stop && open != 0) {
      open = 0;
      for (std::size_t i = 0; i < kViewers; i += 50) {
        if (streams_[i]->send(std::string(50'000, 'x'))) ++open;
      }
    }
  });
  for (int round = 0; round < 5; ++round) {
    const std::string text = "line " + std::to_string(round);
    for (std::size_t i = 0; i < kViewers; ++i) {
      if (i % 50 == 0) continue;
      EXPECT_TRUE(streams_[i]->send(text));
    }
    for (std::size_t i = 0; i < kViewers; ++i) {
      if (i % 50 == 0) continue;
      EXPECT_EQ(clients[i].read_chunk(), text);
    }
  }
  // Others are answered meanwhile.
  handler_.on_answer = nullptr;
  EXPECT_EQ(status_of(get("/")), 200);
  EXPECT_TRUE(eventually([&] { return server().connections() <= kViewers - kViewers / 50; }));
  stop = true;
  flood.join();
  for (std::size_t i = 0; i < kViewers; ++i) EXPECT_EQ(streams_[i]->is_open(), i % 50 != 0);
}

// --- The end

TEST_F(HttpServerTest, DrainingWaitsForWhatIsUnderWay) {
  Gate gate;
  handler_.on_answer = [&](const HttpHead&, const std::string&) {
    gate.wait();
    return text_reply("done");
  };
  options_.socket = directory_ / "server.sock";
  Client idle = client();
  Client busy = client();
  busy.send(get("/"));
  EXPECT_TRUE(eventually([&] { return handler_.answered == 1; }));
  EXPECT_TRUE(eventually([&] { return server().connections() == 2; }));
  server().drain(1ms);
  EXPECT_TRUE(idle.is_at_end());
  EXPECT_FALSE(client().is_connected());
  EXPECT_FALSE(fs::exists(options_.socket));
  std::thread opener([&] {
    std::this_thread::sleep_for(20ms);
    gate.open();
  });
  std::thread reader([&] {
    const auto reply = busy.read_reply();
    EXPECT_EQ(reply.body, "done");
    EXPECT_EQ(reply.header("connection"), "close");
    EXPECT_TRUE(busy.is_at_end());
    busy.close();
  });
  server().drain(kPatience);
  EXPECT_EQ(server().connections(), 0U);
  opener.join();
  reader.join();
}

TEST_F(HttpServerTest, DrainingEndsStreams) {
  hand_out_streams();
  Client client = this->client();
  client.send(get("/"));
  EXPECT_EQ(client.read_head().status, 200);
  EXPECT_TRUE(stream()->send("last words"));
  std::thread reader([&] {
    EXPECT_EQ(client.read_to_end(), "a\r\nlast words\r\n0\r\n\r\n");
    client.close();
  });
  server().drain(kPatience);
  EXPECT_EQ(server().connections(), 0U);
  EXPECT_FALSE(stream()->is_open());
  reader.join();
}

TEST_F(HttpServerTest, ItCanEndInTheMiddleOfEverything) {
  for (int round = 0; round < 10; ++round) {
    handler_.answered = 0;
    streams_.clear();
    std::atomic<bool> stop{false};
    handler_.on_answer = [&](const HttpHead& head, const std::string&) {
      HttpReply reply = text_reply(std::string(100'000, 'x'));
      if (head.target == "/stream") {
        reply.stream = [&](std::shared_ptr<HttpStream> stream) {
          const std::lock_guard lock(stream_mutex_);
          streams_.push_back(std::move(stream));
        };
      } else {
        std::this_thread::sleep_for(1ms);
      }
      return reply;
    };
    start();
    std::vector<Client> clients;
    for (int i = 0; i < 20; ++i) {
      clients.push_back(client());
      const std::string requests = get("/") + get("/") + get("/stream");
      clients.back().send(i % 3 == 0   ? get("/stream")
                          : i % 3 == 1 ? requests
                                       : post("12345").substr(0, static_cast<std::size_t>(i * 4)));
    }
    std::thread sender([&] {
      while (!stop) {
        const std::lock_guard lock(stream_mutex_);
        for (const auto& stream : streams_) stream->send("some text\n");
      }
    });
    EXPECT_TRUE(eventually([&] { return handler_.answered > round; }));
    server_.reset();
    {
      const std::lock_guard lock(stream_mutex_);
      for (const auto& stream : streams_) {
        EXPECT_FALSE(stream->is_open());
        EXPECT_FALSE(stream->send("x"));
      }
    }
    stop = true;
    sender.join();
  }
}

// --- Anything

TEST_F(HttpServerTest, ItSurvivesRandomBytes) {
  std::mt19937 random(4711);
  const auto below = [&](std::size_t end) { return random() % end; };
  const std::vector<std::string> good = {
      get("/a?b=c"), post("12345"),
      "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n"
      "A: b\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab"};
  for (int i = 0; i < 600; ++i) {
    std::string bytes;
    if (i % 10 == 0) {
      for (std::size_t size = below(3000); size > 0; --size) bytes += static_cast<char>(below(256));
    } else {
      for (std::size_t count = 1 + below(3); count > 0; --count) bytes += good[below(good.size())];
      for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
        const std::size_t at = below(bytes.size());
        switch (below(4)) {
          case 0:
            bytes[at] = static_cast<char>(below(256));
            break;
          case 1:
            bytes.erase(at, 1 + below(20));
            break;
          case 2:
            bytes.insert(at, bytes.substr(below(bytes.size()), below(40)));
            break;
          default:
            bytes.insert(at, 1, "\r\n :;,%\0"[below(8)]);
            break;
        }
        if (bytes.empty()) bytes = "x";
      }
    }
    Client client = this->client();
    const std::size_t half = below(bytes.size());
    client.send(std::string_view(bytes).substr(0, half));
    client.send(std::string_view(bytes).substr(half));
    client.finish();
    if (below(4) == 0) {
      client.reset();
    } else {
      client.read_to_end();
    }
    if (i % 50 == 0) {
      EXPECT_EQ(status_of(get("/")), 200);
    }
  }
  EXPECT_EQ(status_of(get("/")), 200);
  EXPECT_TRUE(eventually([&] { return server().connections() == 0; }));
}

// --- TLS

class EncryptedHttpServerTest : public HttpServerTest {
 protected:
  void SetUp() override {
    HttpServerTest::SetUp();
    options_.certificate = directory_ / "certificate.pem";
    options_.key = directory_ / "key.pem";
    make(options_.certificate, options_.key);
  }

  static void make(const fs::path& certificate_path, const fs::path& key_path) {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"),
                                                                  &EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* const name = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    X509_sign(certificate.get(), key.get(), EVP_sha256());
    std::FILE* file = std::fopen(certificate_path.c_str(), "w");
    PEM_write_X509(file, certificate.get());
    std::fclose(file);
    file = std::fopen(key_path.c_str(), "w");
    PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
  }

  Client encrypted() {
    Client client = this->client();
    EXPECT_TRUE(client.encrypt());
    return client;
  }
};

TEST_F(EncryptedHttpServerTest, RequestsAreAnswered) {
  Client client = encrypted();
  const auto reply = client.ask(post("body"));
  EXPECT_EQ(Json::parse(reply.body)["encrypted"], true);
  EXPECT_EQ(Json::parse(reply.body)["body"], "body");
  EXPECT_EQ(client.ask(get("/", "Connection: close\r\n")).status, 200);
  EXPECT_TRUE(client.is_at_end());
  EXPECT_TRUE(client.was_told_end());
  client.close();
  EXPECT_TRUE(eventually([&] { return server().connections() == 0; }));
}

TEST_F(EncryptedHttpServerTest, LongBodiesComeWholeBothWays) {
  handler_.on_admit = [](const HttpHead&) { return HttpHandler::Admission{{}, 10'000'000}; };
  handler_.on_answer = [](const HttpHead&, const std::string& body) { return text_reply(body); };
  const std::string body(5'000'000, 'x');
  Client client = encrypted();
  EXPECT_TRUE(client.ask(post(body)).body == body);
  EXPECT_EQ(client.ask(get("/")).body, "");
}

TEST_F(EncryptedHttpServerTest, RefusalsAreReadByWhoGoesOnSending) {
  Client client = encrypted();
  client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n");
  client.send(std::string(1000, 'x'));
  EXPECT_EQ(client.read_reply().status, 413);
}

TEST_F(EncryptedHttpServerTest, StreamsEndInAWayThatIsNoCut) {
  hand_out_streams();
  Client client = encrypted();
  client.send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.read_head().status, 200);
  EXPECT_TRUE(stream()->send("text"));
  EXPECT_EQ(client.read(4), "text");
  stream()->close();
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_TRUE(client.was_told_end());
}

TEST_F(EncryptedHttpServerTest, AViewerThatGoesIsNoticedAtOnce) {
  hand_out_streams();
  Client client = encrypted();
  client.send(get("/"));
  EXPECT_EQ(client.read_head().status, 200);
  EXPECT_TRUE(stream()->is_open());
  client.close();
  EXPECT_TRUE(eventually([&] { return !stream()->is_open(); }));
}

TEST_F(EncryptedHttpServerTest, WhatIsNotEncryptedIsNotAnswered) {
  EXPECT_EQ(client().ask(get("/")).status, 0);
  EXPECT_FALSE(client().encrypt(TLS1_1_VERSION));
  EXPECT_TRUE(client().encrypt(TLS1_2_VERSION));
  // Who never begins to agree is left as one whose head is slow.
  options_.head_time = 50ms;
  start();
  Client silent = client();
  EXPECT_EQ(silent.read_to_end(), "");
}

TEST_F(EncryptedHttpServerTest, TheUnixSocketIsNotEncrypted) {
  options_.socket = directory_ / "server.sock";
  start();
  EXPECT_EQ(Json::parse(Client(options_.socket).ask(get("/")).body)["encrypted"], false);
}

TEST_F(EncryptedHttpServerTest, ItCanEndInTheMiddleOfEverything) {
  hand_out_streams();
  for (int round = 0; round < 5; ++round) {
    start();
    std::vector<Client> clients;
    for (int i = 0; i < 4; ++i) {
      clients.push_back(encrypted());
      clients.back().send(get("/"));
    }
    const auto stream = this->stream(static_cast<std::size_t>(round));
    stream->send(std::string(100'000, 'x'));
    Client begun = client();
    server_.reset();
    EXPECT_FALSE(stream->is_open());
    const std::lock_guard lock(stream_mutex_);
    streams_.resize(static_cast<std::size_t>(round) + 1);
  }
}

TEST_F(EncryptedHttpServerTest, FilesThatCannotBeUsedAreNamed) {
  const auto message = [&](HttpServerOptions options) -> std::string {
    try {
      HttpServer second(std::move(options), handler_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  HttpServerOptions other = options_;
  other.certificate = directory_ / "missing.pem";
  EXPECT_THAT(message(other),
              StartsWith("cannot use the certificate '" + other.certificate.string()));
  other = options_;
  other.key = directory_ / "broken.pem";
  directory_.write("broken.pem", "no key");
  EXPECT_THAT(message(other), StartsWith("cannot use the key '" + other.key.string()));
  make(directory_ / "other.pem", other.key);
  EXPECT_THAT(message(other), HasSubstr("key values mismatch"));
}

}  // namespace
}  // namespace imagewright
