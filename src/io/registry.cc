#include "io/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/challenge.h"
#include "core/digest.h"
#include "core/image_manifest.h"
#include "core/json_text.h"
#include "core/shown.h"
#include "io/backoff.h"
#include "io/environment.h"
#include "io/error.h"
#include "io/file_read.h"
#include "io/interrupt.h"
#include "io/registry_credentials.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using std::chrono::milliseconds;

constexpr const char* kHub = "docker.io";
constexpr const char* kHubAddress = "registry-1.docker.io";
constexpr int kMostAttempts = 4;
constexpr milliseconds kFirstPause{500};
constexpr milliseconds kMostWaiting{30'000};
// An index may hold indexes; deeper nobody nests them.
constexpr int kMostLevels = 3;
// After so many in a row a registry that answers nothing but errors is left alone.
constexpr int kMostFailures = 2;

constexpr int kOk = 200;
constexpr int kUnauthorized = 401;
constexpr int kForbidden = 403;
constexpr int kNotFound = 404;
constexpr int kTooMany = 429;

bool is_passing(int status) {
  return status == kTooMany || status >= 500;
}

// What docker, podman and buildah take from directories named after the registry.
HttpTrust trust_of(const std::string& registry) {
  HttpTrust trust;
  const std::string home = variable("HOME");
  std::vector<fs::path> places = {"/etc/docker/certs.d", "/etc/containers/certs.d"};
  if (!home.empty()) {
    places.emplace_back(home + "/.config/docker/certs.d");
    places.emplace_back(home + "/.config/containers/certs.d");
  }
  for (const fs::path& place : places) {
    std::error_code none;
    std::set<fs::path> files;
    for (const auto& file : fs::directory_iterator(place / registry, none))
      files.insert(file.path());
    for (const fs::path& file : files) {
      if (file.extension() == ".crt") {
        try {
          trust.authorities += read_file(file) + '\n';
        } catch (const Error&) {
          // As if it were not there: the registry's certificate says what is missing.
        }
      } else if (file.extension() == ".cert") {
        trust.certificate = file;
        trust.key = fs::path(file).replace_extension(".key");
      }
    }
  }
  return trust;
}

std::string token_in(const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  const std::string token = text_of(json, "token");
  return token.empty() ? text_of(json, "access_token") : token;
}

std::string about_image(const std::string& digest, const std::string& platform) {
  return "image of an index\n" + digest + '\n' + platform;
}

RegistryAnswer nothing(RegistryAnswer::Kind kind, std::string why) {
  return {kind, {}, std::move(why)};
}

std::string status_of(const HttpResponse& answer) {
  return fmt::format("its registry answers with status {}", answer.status);
}

std::string path_of_manifest(const RegistryName& name) {
  return "/v2/" + name.repository + "/manifests/" + name.tag;
}

// nullopt: it is the manifest of that digest.
std::optional<RegistryAnswer> problem_with(const HttpResponse& manifest,
                                           const std::string& digest) {
  using Kind = RegistryAnswer::Kind;
  if (manifest.status == kNotFound)
    return nothing(Kind::Missing, "its registry has the image no more");
  if (manifest.status != kOk) return nothing(Kind::Unreachable, status_of(manifest));
  if (named_digest(manifest.body) != digest)
    return nothing(Kind::Unreachable, "what its registry answers is another image");
  return std::nullopt;
}

// One is for a repository and for what may be done there.
std::string token_key(const RegistryName& name, const std::string& actions) {
  return name.full() + ' ' + actions;
}

}  // namespace

bool is_insecure_registry(const std::string& registry, const std::vector<std::string>& named) {
  return is_loopback(host_without_port(registry)) ||
         std::find(named.begin(), named.end(), registry) != named.end();
}

RegistryName registry_name(const Reference& reference) {
  RegistryName name;
  const std::string full = normalized(reference);
  const std::size_t slash = full.find('/');
  name.registry = full.substr(0, slash);
  std::string rest = full.substr(slash + 1);
  if (const std::size_t at = rest.find('@'); at != std::string::npos) {
    name.tag = rest.substr(at + 1);
    rest.resize(at);
  }
  if (const std::size_t colon = rest.find(':'); colon != std::string::npos) {
    if (name.tag.empty()) name.tag = rest.substr(colon + 1);
    rest.resize(colon);
  }
  name.repository = std::move(rest);
  return name;
}

// One registry. What is known of it changes under `mutex`.
struct Registries::Host {
  std::string registry;
  std::string address;
  HttpTrust trust;
  bool insecure = false;

  std::mutex mutex;
  std::string scheme;  // "": not known yet
  std::string down;    // why it is not asked any more
  // What it wants, once it has said so.
  std::string realm, service;
  bool basic = false;
  int failures = 0;                           // answers that it could not give, one after the other
  std::map<std::string, std::string> tokens;  // by token_key
  std::map<std::string, std::optional<RegistryCredentials>> credentials;  // by repository

  // (A part of a repository's path may have its own.)
  const std::optional<RegistryCredentials>& login(const RegistryName& name) {
    const auto [place, is_new] = credentials.try_emplace(name.repository);
    if (is_new) place->second = find_credentials(registry, name.repository);
    return place->second;
  }
};

Registries::Registries(fs::path cache, std::vector<std::string> insecure)
    : cache_(std::move(cache) / "registry"), insecure_(std::move(insecure)) {}
Registries::~Registries() = default;

bool Registries::is_insecure(const std::string& registry) const {
  return is_insecure_registry(registry, insecure_);
}

Registries::Host& Registries::host(const std::string& registry) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Host>& found = hosts_[registry];
  if (!found) {
    found = std::make_unique<Host>();
    found->registry = registry;
    found->address = registry == kHub ? kHubAddress : registry;
    found->trust = trust_of(registry);
    found->insecure = is_insecure(registry);
    if (found->insecure) found->trust.any_certificate = found->trust.authorities.empty();
  }
  return *found;
}

// --- One request

HttpResponse Registries::send(const HttpRequest& request) {
  std::unique_ptr<Http> http;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      http = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!http) http = std::make_unique<Http>(stop_);
  HttpResponse response = http->send(request);
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(http));
  return response;
}

HttpResponse Registries::send(Host& host, HttpRequest request, const std::string& path) {
  request.trust = host.trust;
  std::string scheme;
  {
    const std::lock_guard lock(host.mutex);
    scheme = host.scheme;
  }
  const auto by = [&](const std::string& one) {
    request.url = one + "://" + host.address + path;
    HttpResponse response = send(request);
    const std::lock_guard lock(host.mutex);
    host.scheme = one;
    return response;
  };
  if (!scheme.empty()) return by(scheme);
  if (!host.insecure) return by("https");
  try {
    return by("https");
  } catch (const HttpError& error) {
    // (Who speaks plain http answers at once, if only that he does not understand.)
    if (error.kind() == HttpError::Kind::Interrupted || error.kind() == HttpError::Kind::TimedOut)
      throw;
    try {
      return by("http");
    } catch (const HttpError&) {
      // Of what speaks TLS with a certificate that is not trusted, that is the news.
      if (error.kind() != HttpError::Kind::Untrusted || host.trust.any_certificate) throw;
    }
    throw;
  }
}

// --- Authentication

std::string Registries::fetch_token(Host& host, const RegistryName& name,
                                    const std::string& actions) {
  const std::string scope = "repository:" + name.repository + ':' + actions;
  std::optional<RegistryCredentials> login;
  HttpRequest request;
  std::string service;
  {
    const std::lock_guard lock(host.mutex);
    request.url = host.realm;
    service = host.service;
    login = host.login(name);
  }
  const std::string realm_host = authority_of(request.url);
  // A password is not shown to whoever listens because a registry says so.
  if (realm_host.empty() || realm_host.find('@') != std::string::npos) return "";
  if (!request.url.starts_with("https://") && !is_insecure(realm_host)) return "";
  request.trust = realm_host == host.address ? host.trust : trust_of(realm_host);
  request.trust.any_certificate = request.trust.any_certificate || is_insecure(realm_host);
  if (login && !login->identity_token.empty()) {
    request.method = "POST";
    request.body =
        "grant_type=refresh_token&client_id=imagewright&service=" + percent_encoded(service) +
        "&scope=" + percent_encoded(scope) +
        "&refresh_token=" + percent_encoded(login->identity_token);
  } else {
    request.url += request.url.find('?') == std::string::npos ? '?' : '&';
    if (!service.empty()) request.url += "service=" + percent_encoded(service) + '&';
    request.url += "scope=" + percent_encoded(scope);
    if (login) request.user_and_password = login->user + ':' + login->password;
  }
  const HttpResponse response = send(request);
  if (is_passing(response.status))
    throw HttpError(
        HttpError::Kind::Broken,
        fmt::format("who gives out its tokens answers with status {}", response.status));
  return response.status == kOk ? token_in(response.body) : "";
}

// False: nothing more can be done about it.
bool Registries::authorize(Host& host, const RegistryName& name, const std::string& actions,
                           const std::string& challenge, bool had_login) {
  for (const Challenge& offer : parse_challenges(challenge)) {
    if (offer.scheme == "bearer") {
      {
        const std::lock_guard lock(host.mutex);
        host.realm = offer.parameter("realm");
        host.service = offer.parameter("service");
      }
      const std::string token = fetch_token(host, name, actions);
      if (token.empty()) return false;
      const std::lock_guard lock(host.mutex);
      host.tokens[token_key(name, actions)] = token;
      return true;
    }
    if (offer.scheme == "basic") {
      const std::lock_guard lock(host.mutex);
      const auto& login = host.login(name);
      host.basic = true;
      return !had_login && login && !login->user.empty();
    }
  }
  return false;
}

HttpResponse Registries::exchange_once(Host& host, const RegistryName& name,
                                       const HttpRequest& request, const std::string& path) {
  const std::string actions = request.method == "PUT" ? "pull,push" : "pull";
  const std::string key = token_key(name, actions);
  const auto with_what_is_known = [&] {
    HttpRequest complete = request;
    const std::lock_guard lock(host.mutex);
    if (const auto token = host.tokens.find(key); token != host.tokens.end())
      complete.bearer = token->second;
    if (!host.basic) return complete;
    if (const auto& login = host.login(name); login && !login->user.empty())
      complete.user_and_password = login->user + ':' + login->password;
    return complete;
  };
  bool wants_token = false;
  {
    const std::lock_guard lock(host.mutex);
    wants_token = !host.realm.empty() && host.tokens.count(key) == 0;
  }
  if (wants_token) {
    // (Without one, it says what is wrong.)
    if (const std::string token = fetch_token(host, name, actions); !token.empty()) {
      const std::lock_guard lock(host.mutex);
      host.tokens[key] = token;
    }
  }
  const HttpRequest first = with_what_is_known();
  HttpResponse response = send(host, first, path);
  if (response.status != kUnauthorized) return response;
  const bool had_login = !first.user_and_password.empty();
  if (!authorize(host, name, actions, response.header("www-authenticate"), had_login))
    return response;
  return send(host, with_what_is_known(), path);
}

HttpResponse Registries::get(const RegistryName& name, const std::string& method,
                             const std::string& path, bool even_if_down) {
  HttpRequest request;
  request.method = method;
  request.headers = {"Accept: " + std::string(kManifestTypes)};
  return exchange(name, request, path, even_if_down);
}

HttpResponse Registries::exchange(const RegistryName& name, const HttpRequest& request,
                                  const std::string& path, bool even_if_down) {
  Host& its = host(name.registry);
  milliseconds waited{0};
  for (int attempt = 0;; ++attempt) {
    {
      const std::lock_guard lock(its.mutex);
      if (!its.down.empty() && !even_if_down)
        throw HttpError(HttpError::Kind::Unreachable, its.down);
    }
    milliseconds pause = backoff(kFirstPause, attempt);
    std::string why;
    bool all_of_it = true;  // is it the registry that has to be left alone, not this image?
    try {
      HttpResponse response = exchange_once(its, name, request, path);
      if (!is_passing(response.status)) {
        const std::lock_guard lock(its.mutex);
        its.failures = 0;
        return response;
      }
      why = fmt::format("it answers with status {}", response.status);
      all_of_it = response.status == kTooMany;
      if (const int asked = retry_after_seconds(response.header("retry-after")); asked >= 0) {
        pause = milliseconds(asked * 1000);
        why += fmt::format(" and asks to wait {} s", asked);
      }
    } catch (const HttpError& error) {
      if (error.kind() == HttpError::Kind::Interrupted) throw;
      why = error.what();
      if (error.kind() != HttpError::Kind::Broken) {
        const std::lock_guard lock(its.mutex);
        if (!error.elsewhere() && error.kind() != HttpError::Kind::Wrong) its.down = why;
        throw;
      }
    }
    waited += pause;
    if (attempt + 1 == kMostAttempts || waited > kMostWaiting || interrupted() != 0 || stop_) {
      const std::lock_guard lock(its.mutex);
      if (all_of_it || ++its.failures >= kMostFailures) its.down = why;
      throw HttpError(HttpError::Kind::Unreachable, why);
    }
    wait_patiently(pause, [this] { return stop_.load(); });
  }
}

// --- Images

MemoFile Registries::memo(const std::string& about) const {
  return memo_in(cache_, about);
}

RegistryAnswer Registries::find(const RegistryName& name, const std::string& platform) {
  using Kind = RegistryAnswer::Kind;
  try {
    return ask(name, platform);
  } catch (const HttpError& error) {
    return nothing(Kind::Unreachable, printable(error.what()));
  }
}

RegistryAnswer Registries::ask(const RegistryName& name, const std::string& platform) {
  using Kind = RegistryAnswer::Kind;
  const std::string manifests = "/v2/" + name.repository + "/manifests/";
  std::string digest = is_sha256_digest(name.tag) ? name.tag : "";
  if (digest.empty()) {
    const HttpResponse head = get(name, "HEAD", manifests + name.tag);
    if (head.status == kNotFound || head.status == kUnauthorized || head.status == kForbidden)
      return read(name, head, platform);
    if (head.status == kOk) digest = head.header("docker-content-digest");
    if (!is_sha256_digest(digest)) digest.clear();
  }
  if (!digest.empty()) {
    if (const auto known = recall(digest, platform)) return {Kind::Found, *known, ""};
  }
  HttpResponse answer = get(name, "GET", manifests + (digest.empty() ? name.tag : digest));
  const std::string its = named_digest(answer.body);
  if (answer.status == kOk && !digest.empty() && its != digest)
    return nothing(Kind::Unreachable, "what it answers is not what its digest says");
  RegistryAnswer found = read(name, std::move(answer), platform);
  if (found.kind == Kind::Found) remember(its, platform, found.image);
  return found;
}

// What the index or manifest of this digest came to for the platform, which can never change.
std::optional<RegistryImage> Registries::recall(const std::string& digest,
                                                const std::string& platform) const {
  const std::string about = about_image(digest, platform);
  const auto known = memo(about).recall();
  const std::size_t blank = known ? known->find(' ') : std::string::npos;
  if (blank == std::string::npos) return std::nullopt;
  return RegistryImage{known->substr(0, blank), known->substr(blank + 1)};
}

void Registries::remember(const std::string& digest, const std::string& platform,
                          const RegistryImage& image) const {
  const std::string about = about_image(digest, platform);
  memo(about).remember(image.config + ' ' + image.manifest);
}

RegistryAnswer Registries::read(const RegistryName& name, HttpResponse answer,
                                const std::string& platform) {
  using Kind = RegistryAnswer::Kind;
  for (int level = 0; level < kMostLevels; ++level) {
    if (answer.status == kNotFound) return nothing(Kind::Missing, "it has no such image");
    if (answer.status == kUnauthorized || answer.status == kForbidden) {
      Host& its = host(name.registry);
      const std::lock_guard lock(its.mutex);
      return nothing(Kind::Refused, its.login(name)
                                        ? "it refuses it to the login that is known here"
                                        : "it wants a login, or has no such image");
    }
    if (answer.status != kOk)
      return nothing(Kind::Unreachable, fmt::format("it answers with status {}", answer.status));
    const auto manifest = read_manifest(answer.body, platform);
    if (!manifest) {
      const auto& [message, is_answer] = manifest.error();
      return nothing(is_answer ? Kind::Missing : Kind::Unreachable, message);
    }
    if (const auto* one = std::get_if<ManifestOfOne>(&*manifest)) {
      return {Kind::Found, {one->config, named_digest(answer.body)}, ""};
    }
    const std::string digest = std::get<ManifestElsewhere>(*manifest).digest;
    answer = get(name, "GET", "/v2/" + name.repository + "/manifests/" + digest);
    if (answer.status == kOk && named_digest(answer.body) != digest)
      return nothing(Kind::Unreachable, "what it answers is not what its digest says");
  }
  return nothing(Kind::Missing, "its index leads to ever more indexes");
}

RegistryAnswer Registries::has(const RegistryName& name) {
  using Kind = RegistryAnswer::Kind;
  try {
    HttpResponse head = get(name, "HEAD", path_of_manifest(name));
    if (head.status == kOk) return {Kind::Found, {"", name.tag}, ""};
    return read(name, std::move(head), "");
  } catch (const HttpError& error) {
    return nothing(Kind::Unreachable, printable(error.what()));
  }
}

std::string Registries::config(const RegistryName& name, const RegistryImage& image) {
  const std::string about = "config of an image\n" + image.config;
  const auto is_it = [&](const std::string& text) { return named_digest(text) == image.config; };
  if (const auto known = memo(about).recall(); known && is_it(*known)) return *known;
  try {
    HttpResponse answer = get(name, "GET", "/v2/" + name.repository + "/blobs/" + image.config);
    if (answer.status != kOk || !is_it(answer.body)) return "";
    memo(about).remember(answer.body);
    return std::move(answer.body);
  } catch (const HttpError&) {
    return "";
  }
}

RegistryAnswer Registries::add_tag(const RegistryName& name, const std::string& tag) {
  try {
    const HttpResponse manifest = get(name, "GET", path_of_manifest(name), true);
    if (auto problem = problem_with(manifest, name.tag)) return *std::move(problem);
    RegistryName target = name;
    target.tag = tag;
    return put_manifest(target, manifest.header("content-type"), manifest.body);
  } catch (const HttpError& error) {
    return nothing(RegistryAnswer::Kind::Unreachable, printable(error.what()));
  }
}

RegistryAnswer Registries::put_index(
    const RegistryName& name, const std::vector<std::pair<std::string, std::string>>& images) {
  try {
    std::vector<ManifestOfPlatform> all;
    for (const auto& [digest, platform] : images) {
      RegistryName source = name;
      source.tag = digest;
      const HttpResponse manifest = get(source, "GET", path_of_manifest(source), true);
      if (auto problem = problem_with(manifest, digest)) {
        problem->image.manifest = digest;
        return *std::move(problem);
      }
      all.push_back({manifest.header("content-type"), digest, manifest.body.size(), platform});
    }
    const IndexManifest index = make_index(all);
    return put_manifest(name, index.media_type, index.text);
  } catch (const HttpError& error) {
    return nothing(RegistryAnswer::Kind::Unreachable, printable(error.what()));
  }
}

// Throws HttpError.
RegistryAnswer Registries::put_manifest(const RegistryName& name, const std::string& type,
                                        const std::string& body) {
  using Kind = RegistryAnswer::Kind;
  constexpr int kCreated = 201;
  HttpRequest request;
  request.method = "PUT";
  request.headers = {"Content-Type: " + type};
  request.body = body;
  request.follow = false;
  const HttpResponse done = exchange(name, request, path_of_manifest(name), true);
  if (done.status == kUnauthorized || done.status == kForbidden)
    return nothing(Kind::Refused, "its registry refuses it to the login that is known here");
  if (done.status != kCreated) return nothing(Kind::Unreachable, status_of(done));
  const std::string digest = named_digest(body);
  const std::string stored = done.header("docker-content-digest");
  if (!stored.empty() && stored != digest)
    return nothing(Kind::Unreachable, "its registry made another image of it");
  return {Kind::Found, {"", digest}, ""};
}

}  // namespace imagewright
