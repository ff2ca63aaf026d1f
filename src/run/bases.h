// The images from elsewhere that images are built from: what each one is now, by its registry or by
// the engine, and how a build gets exactly that. Each is asked for once a run, however many images
// stand on it. Decides nothing.
// Rules: track_base in docs/config.md.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/fingerprint.h"
#include "core/graph.h"
#include "core/links.h"
#include "core/reach.h"
#include "io/engine.h"
#include "io/registry.h"
#include "run/outside.h"
#include "run/project.h"
#include "run/remembered.h"

namespace imagewright {

/// An image of the configuration, as it is for a build on it.
struct ParentImage {
  std::string id;
  /// Where it is, if the engine does not have it: `repository@sha256:…`; else "".
  std::string in_registry;
};

/// Of a link that means one.
using FindParent = std::function<std::optional<ParentImage>(const Link& link)>;

/// How a build names the images that were tracked, so that it gets no others.
struct Pins {
  References references;
  bool insecure = false;  ///< all that is pulled is from registries that may be asked by plain http
};

/// One thread at a time, but for `brings` and `parent_brings`.
class Bases {
 public:
  /// The value (base_input) of a base at an image's last success; "": not known.
  using Stored = std::function<std::string(const std::string& image, const std::string& base)>;
  using Warn = std::function<void(const std::string& text)>;

  /// Borrows all of them. `names`: the configuration's own images, which are no bases.
  Bases(Outside& outside, Engine& engine, const ImageNames& names, Stored stored, Warn warn);
  ~Bases();
  /// What registries said lately is not asked again; or, with `ask_anew`, only what they said just
  /// now (Remembered::kJustNow).
  /// Borrowed; to be called first. nullptr: every run asks.
  void remember_in(Remembered* remembered, bool ask_anew) {
    remembered_ = remembered;
    ask_anew_ = ask_anew;
    if (remembered != nullptr) asking_ = remembered->asking();
  }
  Bases(const Bases&) = delete;
  Bases& operator=(const Bases&) = delete;

  /// Begins to ask registries, in the background, for what an image with these links stands on.
  void want(const ImageConfig& image, const std::vector<Link>& links);

  /// Would `inputs` have its answer without waiting?
  bool are_known(const ImageConfig& image, const std::vector<Link>& links);

  /// What it stands on, as inputs, by name. A registry that does not answer leaves the images that
  /// came from it as they were at the last success, with a warning. Throws Error(Source) where the
  /// engine must have an image (`track_base: local`) and has none.
  std::vector<Input> inputs(const ImageConfig& image, const std::vector<Link>& links);

  /// For a build by these inputs. `parents`: of links that mean one, which the engine has by now.
  /// To be called where Engine::reference_to may be, and throws as that.
  Pins pins(const ImageConfig& image, const std::vector<Link>& links,
            const std::vector<Input>& inputs, const FindParent& parents);

  /// What one of them brings into a build. Several threads may ask at once. `unknown_until_built`:
  /// the build brings what is known by its name alone.
  std::optional<BaseImage> brings(const ImageConfig& image, const Link& base,
                                  const std::vector<Input>& inputs, bool unknown_until_built);

  /// The same of a parent.
  std::optional<BaseImage> parent_brings(const ImageConfig& image, const Link& link,
                                         const ParentImage& parent);

  /// A build with these links ended well: what the engine did not have before is asked for anew.
  void built(const ImageConfig& image, const std::vector<Link>& links);

 private:
  struct Question {
    Link link;
    std::string platform;
    RegistryName at;  // where it was found, or asked for last
    std::optional<RegistryAnswer> answer;
  };
  using Key = std::pair<std::string, std::string>;  // a reference in full, and a platform

  bool is_tracked(const ImageConfig& image, const Link& link) const;
  std::string platform_of(const ImageConfig& image, const Link& link) const;
  std::optional<BaseImage> brought(const std::string& manifest, const std::string& config,
                                   const std::string& platform);
  std::optional<BaseImage> brought(const RegistryName& name, const RegistryImage& image,
                                   const std::string& platform);
  Input resolve(const ImageConfig& image, const Link& link);
  Input own(const Link& link, const std::string& name, const std::string& platform);
  std::optional<EngineImage> find_own(const std::string& image, const std::string& platform);
  const Question& ask(const Link& link, const std::string& platform);
  std::vector<std::string> meanings(const Link& link, const std::string& platform);
  RegistryAnswer find(const Question& question, RegistryName& at);
  RegistryAnswer ask_registries(const Question& question, RegistryName& at);
  Question* question(const Link& link, const std::string& platform);
  void answer_questions();
  void warn(const std::string& about, const std::string& text);

  const ImageNames& names_;
  Engine& engine_;
  Stored stored_;
  Warn warn_;
  std::string host_;  // platform
  Remembered* remembered_ = nullptr;
  bool ask_anew_ = false;
  Remembered::Asking asking_;
  Outside& outside_;
  std::set<std::string> warned_;

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::map<Key, Question> questions_;
  std::deque<Question*> open_;
  bool stop_ = false;
  std::map<Key, std::optional<EngineImage>> own_;
  std::vector<std::thread> threads_;
};

}  // namespace imagewright
