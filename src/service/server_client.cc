#include "service/server_client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <system_error>

#include "io/error.h"
#include "io/fd.h"
#include "service/serve.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

// A socket's file stays behind when its server was killed.
bool is_listening(const fs::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, text.data(), text.size());
  const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd && connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// The server's own words, where there are some.
std::string words_of(const HttpResponse& response) {
  const Json json = Json::parse(response.body, nullptr, false);
  if (json.is_object() && json.contains("error") && json["error"].is_string())
    return json["error"].get<std::string>();
  return fmt::format("it answers with status {}", response.status);
}

}  // namespace

ServerClient::ServerClient(ServerAddress address, const std::atomic<bool>* stop)
    : address_(std::move(address)), http_(stop == nullptr ? never_ : *stop) {
  while (address_.url.ends_with('/')) address_.url.pop_back();
  if (address_.socket.empty() && !address_.url.starts_with("http://") &&
      !address_.url.starts_with("https://"))
    throw Error(Error::Kind::Usage,
                "a server's URL begins with http:// or https://, not so '" + address_.url + "'");
}

std::optional<ServerAddress> ServerClient::find(const Project& project) {
  const fs::path path = server_socket(project);
  std::error_code ignored;
  if (!fs::is_socket(path, ignored) || !is_listening(path)) return std::nullopt;
  return ServerAddress{path, "http://localhost", ""};
}

HttpResponse ServerClient::send(HttpRequest request) {
  request.url = address_.url + request.url;
  request.socket = address_.socket.string();
  request.bearer = address_.token;
  request.follow = false;
  const std::string who = address_.socket.empty() ? address_.url : address_.socket.string();
  HttpResponse response;
  try {
    response = http_.send(request);
  } catch (const HttpError& error) {
    throw Error(Error::Kind::Missing,
                fmt::format("the server at {} cannot be asked: {}", who, error.what()));
  }
  if (response.status < 300) return response;
  throw ServerError(response.status >= 500 ? Error::Kind::Missing : Error::Kind::Usage,
                    fmt::format("the server at {}: {}", who, words_of(response)), response.status);
}

namespace {

Json parsed(const HttpResponse& response) {
  Json json = Json::parse(response.body, nullptr, false);
  if (!json.is_object())
    throw Error(Error::Kind::Missing, "what answers there is no server of imagewright");
  return json;
}

}  // namespace

Json ServerClient::get(const std::string& path) {
  HttpRequest request;
  request.url = path;
  request.largest = std::size_t{64} << 20;
  return parsed(send(std::move(request)));
}

Json ServerClient::post(const std::string& path, const Json& body) {
  return post(path, body, false);
}

Json ServerClient::say_last(const std::string& path, const Json& body) {
  return post(path, body, true);
}

Json ServerClient::post(const std::string& path, const Json& body, bool even_interrupted) {
  HttpRequest request;
  request.even_interrupted = even_interrupted;
  request.method = "POST";
  request.url = path;
  request.body = dump(body, false);
  request.headers = {"Content-Type: application/json"};
  request.largest = std::size_t{64} << 20;
  request.idle_time = std::chrono::seconds(60);
  return parsed(send(std::move(request)));
}

Json ServerClient::post_bytes(const std::string& path, const std::string& bytes) {
  HttpRequest request;
  request.method = "POST";
  request.url = path;
  request.body = bytes;
  request.headers = {"Content-Type: application/octet-stream"};
  return parsed(send(std::move(request)));
}

void ServerClient::download(const std::string& path,
                            const std::function<bool(std::string_view part)>& sink) {
  HttpRequest request;
  request.url = path;
  request.on_body = sink;
  request.most_time = std::chrono::hours(24);
  send(std::move(request));
}

LogPart ServerClient::log(std::int64_t job, std::int64_t offset) {
  HttpRequest request;
  request.url = fmt::format("/api/v1/jobs/{}/log?offset={}", job, offset);
  const HttpResponse response = send(std::move(request));
  LogPart part;
  part.bytes = response.body;
  part.next = std::atoll(response.header("imagewright-log-next").c_str());
  part.claim = std::atoll(response.header("imagewright-log-claim").c_str());
  part.is_complete = response.header("imagewright-log-complete") == "true";
  return part;
}

}  // namespace imagewright
