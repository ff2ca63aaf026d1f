// Questions to registries: which image of a platform a reference means now, and what that image's
// config says; and further tags for what a registry has. Builds and uploads nothing. Knows nothing
// of engines, of which images there are, or of what follows from an answer. Rules: the OCI
// distribution specification; the token authentication of the distribution project; Docker's for
// plain http and for /etc/docker/certs.d.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/reference.h"
#include "io/http.h"
#include "io/memo_file.h"

namespace imagewright {

/// One platform's image in a registry.
struct RegistryImage {
  std::string config;    ///< the digest of its config: what identifies it everywhere
  std::string manifest;  ///< of its manifest: `repository@manifest` means exactly it
  bool operator==(const RegistryImage&) const = default;
};

struct RegistryAnswer {
  enum class Kind {
    Found,
    Missing,      ///< the registry has no such image, or none of this platform
    Refused,      ///< it does not tell us
    Unreachable,  ///< nobody knows: no answer, or none that makes sense
  };
  Kind kind = Kind::Unreachable;
  RegistryImage image;  ///< where it was found
  std::string why;      ///< where it was not: a part of a sentence
};

/// Where a reference leads to.
struct RegistryName {
  std::string registry;    ///< as references name it: "docker.io", "localhost:5000"
  std::string repository;  ///< "library/debian"
  std::string tag;         ///< or the digest
  std::string full() const { return registry + '/' + repository; }
};

/// May a registry be asked by plain http, or show any certificate? Those of this machine may, and
/// those that are `named`.
bool is_insecure_registry(const std::string& registry, const std::vector<std::string>& named);

RegistryName registry_name(const Reference& reference);

/// The registries of one run. Several threads may ask at once. What an answer's digest stands for
/// is remembered in the cache, so that an image that did not move costs one short question.
class Registries {
 public:
  /// `cache` is our cache directory. `insecure`: registries that may be asked by plain http or
  /// whatever certificate they show, beside those of this machine.
  Registries(std::filesystem::path cache, std::vector<std::string> insecure);
  ~Registries();
  Registries(const Registries&) = delete;
  Registries& operator=(const Registries&) = delete;

  /// What `name` means now for `platform` ("linux/arm64"). Waits and asks again, for half a minute
  /// at most, where a registry says so (Retry-After) or falters. A registry that did not answer is
  /// not asked again. Throws Error(Missing) without libcurl.
  RegistryAnswer find(const RegistryName& name, const std::string& platform);

  /// Is the manifest of this digest (`name.tag`) there now? Asks whatever is remembered; of what
  /// was found, nothing but the digest is said. Throws as above.
  RegistryAnswer has(const RegistryName& name);

  /// An image's config, JSON, from the cache or its registry; "": it cannot be had. Throws as
  /// above.
  std::string config(const RegistryName& name, const RegistryImage& image);

  /// Gives the image of this manifest (`name.tag` is its digest) another tag in its repository,
  /// which it takes from whichever image has it. Waits as `find`, but asks whatever came of earlier
  /// questions. Found: done. Missing: there is no such manifest. Throws as above.
  RegistryAnswer add_tag(const RegistryName& name, const std::string& tag);

  /// Puts an index over images that are in its repository under a tag, which it takes from whatever
  /// has it. `images`: the digest of each one's manifest, and its platform. Waits and answers as
  /// add_tag; what was found is the index's digest, as the manifest. Missing: `manifest` is the one
  /// that is not there. Throws as above.
  RegistryAnswer put_index(const RegistryName& name,
                           const std::vector<std::pair<std::string, std::string>>& images);

  /// Whoever asks or is going to ask gets no answer any more.
  void stop() { stop_ = true; }

  /// May it be asked by plain http?
  bool is_insecure(const std::string& registry) const;

 private:
  struct Host;

  Host& host(const std::string& registry);
  RegistryAnswer ask(const RegistryName& name, const std::string& platform);
  RegistryAnswer read(const RegistryName& name, HttpResponse answer, const std::string& platform);
  MemoFile memo(const std::string& about) const;
  std::optional<RegistryImage> recall(const std::string& digest, const std::string& platform) const;
  void remember(const std::string& digest, const std::string& platform,
                const RegistryImage& image) const;
  RegistryAnswer put_manifest(const RegistryName& name, const std::string& type,
                              const std::string& body);
  HttpResponse get(const RegistryName& name, const std::string& method, const std::string& path,
                   bool even_if_down = false);
  HttpResponse exchange(const RegistryName& name, const HttpRequest& request,
                        const std::string& path, bool even_if_down);
  HttpResponse exchange_once(Host& host, const RegistryName& name, const HttpRequest& request,
                             const std::string& path);
  HttpResponse send(Host& host, HttpRequest request, const std::string& path);
  HttpResponse send(const HttpRequest& request);
  bool authorize(Host& host, const RegistryName& name, const std::string& actions,
                 const std::string& challenge, bool had_login);
  std::string fetch_token(Host& host, const RegistryName& name, const std::string& actions);

  std::filesystem::path cache_;
  std::vector<std::string> insecure_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Host>> hosts_;
  std::vector<std::unique_ptr<Http>> idle_;  // connections that nobody uses now
};

}  // namespace imagewright
