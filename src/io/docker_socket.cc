#include "io/docker_socket.h"

#include <utility>
// (Boost 1.74's Asio needs <utility> before it on g++ 12.)
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/digest.h"
#include "io/process.h"

namespace imagewright {

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Local = boost::asio::local::stream_protocol;
using Json = nlohmann::json;

constexpr char kDefaultHost[] = "unix:///var/run/docker.sock";
constexpr auto kPatience = std::chrono::seconds(30);
constexpr std::uint64_t kLargestAnswer = std::uint64_t{256} * 1024 * 1024;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::optional<Json> read_json(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  Json json = Json::parse(std::string((std::istreambuf_iterator<char>(file)), {}), nullptr, false);
  if (json.is_discarded() || !json.is_object()) return std::nullopt;
  return json;
}

// The endpoint of the docker context that the CLI would use; "" for its default one.
std::string context_host() {
  const std::string own = variable("DOCKER_CONFIG");
  const std::string directory = own.empty() ? variable("HOME") + "/.docker" : own;
  std::string context = variable("DOCKER_CONTEXT");
  if (context.empty()) {
    const auto config = read_json(directory + "/config.json");
    if (config && config->contains("currentContext") && (*config)["currentContext"].is_string()) {
      context = (*config)["currentContext"].get<std::string>();
    }
  }
  if (context.empty() || context == "default") return "";
  const auto meta = read_json(directory + "/contexts/meta/" + hex(sha256(context)) + "/meta.json");
  if (!meta) return "";
  const Json::json_pointer host("/Endpoints/docker/Host");
  return meta->contains(host) && (*meta)[host].is_string() ? (*meta)[host].get<std::string>() : "";
}

std::optional<std::string> socket_path() {
  const std::string host = docker_host();
  constexpr std::string_view kScheme = "unix://";
  if (host.compare(0, kScheme.size(), kScheme) != 0) return std::nullopt;
  return host.substr(kScheme.size());
}

std::optional<http::response<http::string_body>> get(const std::string& target) {
  const auto path = socket_path();
  if (!path) return std::nullopt;
  try {
    boost::asio::io_context context;
    beast::basic_stream<Local> stream(context);
    http::response_parser<http::string_body> parser;
    parser.body_limit(kLargestAnswer);
    beast::error_code failure = boost::asio::error::would_block;
    beast::flat_buffer buffer;
    http::request<http::empty_body> request(http::verb::get, target, 11);
    request.set(http::field::host, "docker");
    request.set(http::field::connection, "close");
    stream.expires_after(kPatience);
    stream.async_connect(Local::endpoint(*path), [&](beast::error_code connected) {
      if ((failure = connected)) return;
      http::async_write(stream, request, [&](beast::error_code written, std::size_t) {
        if ((failure = written)) return;
        http::async_read(stream, buffer, parser,
                         [&](beast::error_code read, std::size_t) { failure = read; });
      });
    });
    context.run();
    if (failure || parser.get().result() != http::status::ok) return std::nullopt;
    return parser.release();
  } catch (const std::exception&) {
    return std::nullopt;  // a path that no socket can have
  }
}

}  // namespace

std::string docker_host() {
  if (std::string host = variable("DOCKER_HOST"); !host.empty()) return host;
  if (std::string host = context_host(); !host.empty()) return host;
  return kDefaultHost;
}

bool docker_answers() {
  if (socket_path()) return get("/_ping").has_value();
  Command command;
  command.argv = {"docker", "version", "--format", "{{.Server.Version}}"};
  command.timeout = kPatience;
  return capture(command).exit.ok();
}

std::optional<std::set<std::string>> docker_image_ids() {
  const auto answer = get("/images/json?all=1");
  if (!answer) return std::nullopt;
  const Json images = Json::parse(answer->body(), nullptr, false);
  if (!images.is_array()) return std::nullopt;
  std::set<std::string> ids;
  for (const Json& image : images) {
    if (image.is_object() && image.contains("Id") && image["Id"].is_string())
      ids.insert(image["Id"].get<std::string>());
  }
  return ids;
}

std::optional<bool> docker_has_buildkit() {
  const auto answer = get("/_ping");
  if (!answer) return std::nullopt;
  int major = 0;
  int minor = 0;
  const std::string version((*answer)["Api-Version"]);
  if (std::sscanf(version.c_str(), "%d.%d", &major, &minor) != 2) return std::nullopt;
  return (*answer)["Ostype"] != "windows" && (major > 1 || minor >= 39);
}

}  // namespace imagewright
