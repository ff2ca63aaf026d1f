#include "io/docker_socket.h"

#include <utility>
// (Boost 1.74's Asio needs <utility> before it on g++ 12.)
#include <rapidjson/reader.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "core/digest.h"
#include "core/json_text.h"
#include "io/environment.h"
#include "io/process.h"

namespace imagewright {

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Local = boost::asio::local::stream_protocol;
using Json = nlohmann::json;

constexpr char kDefaultHost[] = "unix:///var/run/docker.sock";
constexpr auto kPatience = std::chrono::seconds(30);
constexpr std::size_t kReadAtOnce = std::size_t{64} * 1024;
constexpr std::uint64_t kLargestAnswer = std::uint64_t{256} * 1024 * 1024;

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

// nullopt: nobody answers, or the answer is an error.
std::optional<http::response<http::string_body>> request(http::verb verb,
                                                         const std::string& target) {
  const auto path = socket_path();
  if (!path) return std::nullopt;
  try {
    boost::asio::io_context context;
    beast::basic_stream<Local> stream(context);
    http::response_parser<http::string_body> parser;
    parser.body_limit(kLargestAnswer);
    beast::error_code failure = boost::asio::error::would_block;
    beast::flat_buffer buffer;
    buffer.reserve(kReadAtOnce);
    http::request<http::empty_body> question(verb, target, 11);
    question.set(http::field::host, "docker");
    question.set(http::field::connection, "close");
    question.prepare_payload();
    stream.expires_after(kPatience);
    stream.async_connect(Local::endpoint(*path), [&](beast::error_code connected) {
      if ((failure = connected)) return;
      http::async_write(stream, question, [&](beast::error_code written, std::size_t) {
        if ((failure = written)) return;
        http::async_read(stream, buffer, parser,
                         [&](beast::error_code read, std::size_t) { failure = read; });
      });
    });
    context.run();
    if (failure || parser.get().result_int() / 100 != 2) return std::nullopt;
    return parser.release();
  } catch (const std::exception&) {
    return std::nullopt;  // a path that no socket can have
  }
}

std::optional<http::response<http::string_body>> get(const std::string& target) {
  return request(http::verb::get, target);
}

std::optional<std::string> ask_cli(const std::vector<std::string>& arguments) {
  Command command;
  command.argv = {"docker"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.timeout = kPatience;
  Output output = capture(command);
  if (!output.exit.ok()) return std::nullopt;
  return std::move(output.out);
}

std::optional<DockerDaemon> daemon_by_cli() {
  const auto answer = ask_cli({"version", "--format", "{{json .Server}}"});
  const Json version = Json::parse(answer.value_or(""), nullptr, false);
  if (!version.is_object()) return std::nullopt;
  DockerDaemon daemon;
  daemon.api = text_of(version, "ApiVersion");
  daemon.os = text_of(version, "Os");
  if (const auto components = version.find("Components"); components != version.end()) {
    for (const Json& component : *components)
      daemon.podman = daemon.podman || text_of(component, "Name") == "Podman Engine";
  }
  return daemon;
}

// The "Id" and the "RepoTags" of each object in a list: of thousands of images nothing else is
// wanted.
class ListedImages : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, ListedImages> {
 public:
  EngineImages take() { return std::move(images_); }

  // Each says whether to go on. (A list stands around all of it.)
  bool Default() const { return depth_ > 0; }
  bool StartArray() { return ++depth_ > 0; }
  bool EndArray(rapidjson::SizeType /*size*/) { return --depth_ >= 0; }
  bool StartObject() {
    key_ = Key::Other;
    return ++depth_ > 1;
  }
  bool EndObject(rapidjson::SizeType /*size*/) {
    if (depth_ == kOfImage) {
      for (std::string& name : names_) images_.names.insert_or_assign(std::move(name), id_);
      names_.clear();
      if (!id_.empty()) images_.ids.insert(std::move(id_));
      id_.clear();
    }
    return --depth_ >= 0;
  }
  bool Key(const char* name, rapidjson::SizeType size, bool /*copy*/) {
    if (depth_ != kOfImage) return true;
    const std::string_view key(name, size);
    key_ = key == "Id" ? Key::Id : key == "RepoTags" ? Key::Names : Key::Other;
    return true;
  }
  bool String(const char* value, rapidjson::SizeType size, bool /*copy*/) {
    if (key_ == Key::Id && depth_ == kOfImage) id_.assign(value, size);
    if (key_ == Key::Names && depth_ == kOfImage + 1) names_.emplace_back(value, size);
    return depth_ > 0;
  }

 private:
  enum class Key { Other, Id, Names };
  static constexpr int kOfImage = 2;

  EngineImages images_;
  int depth_ = 0;
  enum Key key_ = Key::Other;  // whose value comes next
  std::string id_;
  std::vector<std::string> names_;
};

// The texts of a list under a key of each of the objects, or of the one.
std::vector<std::string> texts_under(const std::string& answer, const char* key) {
  std::vector<std::string> texts;
  Json json = Json::parse(answer, nullptr, false);
  if (json.is_object()) json = Json::array({json});
  if (!json.is_array()) return texts;
  for (const Json& object : json) {
    const auto list = object.is_object() ? object.find(key) : object.end();
    if (list == object.end() || !list->is_array()) continue;
    for (const Json& text : *list) {
      if (text.is_string()) texts.push_back(text.get<std::string>());
    }
  }
  return texts;
}

}  // namespace

std::string docker_host() {
  if (std::string host = variable("DOCKER_HOST"); !host.empty()) return host;
  if (std::string host = context_host(); !host.empty()) return host;
  return kDefaultHost;
}

std::optional<DockerDaemon> docker_daemon() {
  if (!socket_path()) return daemon_by_cli();
  const auto answer = get("/_ping");
  if (!answer) return std::nullopt;
  DockerDaemon daemon;
  daemon.api = std::string((*answer)["Api-Version"]);
  daemon.os = std::string((*answer)["Ostype"]);
  daemon.podman = answer->find("Libpod-API-Version") != answer->end();
  return daemon;
}

std::string docker_info() {
  if (!socket_path()) return ask_cli({"info", "--format", "{{json .}}"}).value_or("");
  const auto answer = get("/info");
  return answer ? answer->body() : std::string();
}

std::optional<EngineImages> docker_images() {
  auto answer = get("/images/json?all=1");
  if (!answer) return std::nullopt;
  ListedImages images;
  // It is long where there are many images. (Iterative: whatever it holds, the stack stays small.)
  rapidjson::InsituStringStream text(answer->body().data());
  if (!rapidjson::Reader().Parse<rapidjson::kParseInsituFlag | rapidjson::kParseIterativeFlag>(
          text, images)) {
    return std::nullopt;
  }
  return images.take();
}

std::optional<std::set<std::string>> docker_used_image_ids() {
  std::set<std::string> ids;
  if (!socket_path()) {
    const auto containers = ask_cli({"ps", "--all", "--quiet", "--no-trunc"});
    if (!containers) return std::nullopt;
    std::istringstream stream(*containers);
    for (std::string id; std::getline(stream, id);) {
      const auto image = ask_cli({"inspect", "--format", "{{.Image}}", id});
      if (!image) return std::nullopt;
      ids.insert(image->substr(0, image->find('\n')));
    }
    return ids;
  }
  const auto answer = get("/containers/json?all=1");
  const Json list = Json::parse(answer ? answer->body() : "", nullptr, false);
  if (!list.is_array()) return std::nullopt;
  for (const Json& container : list) ids.insert(text_of(container, "ImageID"));
  return ids;
}

bool docker_tag(const std::string& image_id, const std::string& repository,
                const std::string& tag) {
  if (!socket_path()) {
    std::string reference = repository;
    reference += ':';
    reference += tag;
    return ask_cli({"tag", image_id, reference}).has_value();
  }
  return request(http::verb::post,
                 "/images/" + image_id + "/tag?repo=" + repository + "&tag=" + tag)
      .has_value();
}

void docker_untag(const std::string& reference) {
  if (!socket_path()) {
    ask_cli({"rmi", "--no-prune", reference});
  } else {
    request(http::verb::delete_, "/images/" + reference + "?noprune=1");
  }
}

std::string docker_image(const std::string& image) {
  // What may not stand in a target: then the CLI is asked, which quotes it.
  const bool is_plain = std::all_of(image.begin(), image.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("/:@._-").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (!socket_path() || !is_plain) {
    return image.starts_with('-')
               ? ""
               : ask_cli({"image", "inspect", "--format", "{{json .}}", image}).value_or("");
  }
  const auto answer = get("/images/" + image + "/json");
  return answer ? answer->body() : std::string();
}

std::vector<std::string> docker_names(const std::string& image_id) {
  const std::string image = docker_image(image_id);
  std::vector<std::string> names = texts_under(image, "RepoTags");
  for (std::string& name : texts_under(image, "RepoDigests")) names.push_back(std::move(name));
  return names;
}

std::vector<std::string> docker_tags(const std::string& repository) {
  if (!socket_path()) {
    std::vector<std::string> tags;
    const auto lines = ask_cli({"images", "--format", "{{.Repository}}:{{.Tag}}", repository});
    std::istringstream stream(lines.value_or(""));
    for (std::string line; std::getline(stream, line);) tags.push_back(line);
    return tags;
  }
  // {"reference":["REPOSITORY"]}; what may not stand in a target is encoded.
  const auto answer =
      get("/images/json?filters=%7B%22reference%22%3A%5B%22" + repository + "%22%5D%7D");
  std::vector<std::string> tags =
      answer ? texts_under(answer->body(), "RepoTags") : std::vector<std::string>();
  // (The images have other names, too.)
  std::erase_if(tags, [&](const std::string& tag) { return !tag.starts_with(repository + ':'); });
  return tags;
}

}  // namespace imagewright
