// What the user's git configuration and environment say of http, as far as it takes to know whether
// a repository may be asked without git. Asks nobody.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/http.h"

namespace imagewright {

class GitSettings {
 public:
  /// `list`: what `git config --list -z` says.
  explicit GitSettings(std::string_view list);

  /// How the certificate of this http(s) URL is judged, if the repository there may be asked by us.
  /// It may not where its URL is another one by insteadOf, where anything is set for it that git
  /// would heed and we do not (a proxy, headers, cookies …), nor by another protocol than version
  /// 2.
  std::optional<HttpTrust> trust_for(const std::string& url) const;

  /// The user has rules of his own for what objects may be like (fetch.fsck).
  bool judges_objects() const { return judges_objects_; }

 private:
  // An http setting that we do not heed: the URL that it is for ("": all), and whether it is about
  // TLS.
  struct Unheeded {
    std::string url;
    bool tls = false;
  };

  void read(std::string_view section, const std::string& of, std::string_view name,
            const std::string& value);
  void read_variables();

  std::vector<std::string> rewritten_;  // what URLs begin with that are others
  std::vector<Unheeded> unheeded_;
  HttpTrust trust_;  // of what stands for all URLs
  bool judges_objects_ = false;
  bool leave_all_to_git_ = false;
};

}  // namespace imagewright
