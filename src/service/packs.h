// The packed contexts that workers are to get, as long as somebody needs them, and sending them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/context.h"
#include "io/fd.h"
#include "io/scratch.h"
#include "service/http_server.h"

namespace imagewright {

/// Any number of threads.
class Packs {
 public:
  /// A context that was packed. Its file goes with it.
  struct Pack {
    std::filesystem::path file;
    std::string digest;  ///< of the file: `sha256:…`
    std::uint64_t size = 0;
    Pack() = default;
    ~Pack();
    Pack(const Pack&) = delete;
    Pack& operator=(const Pack&) = delete;
  };

  /// Keeps them in a directory of its own below `parent`. Throws as ScratchDirectory.
  explicit Packs(const std::filesystem::path& parent);
  ~Packs();
  Packs(const Packs&) = delete;
  Packs& operator=(const Packs&) = delete;

  /// Packs what counts of a directory, unless that is there already: `content` is the digest over
  /// the entries. Throws as pack_context.
  std::shared_ptr<const Pack> pack(const std::filesystem::path& directory,
                                   const std::vector<Entry>& entries, const std::string& content);

  /// By the digest of its file. nullptr: there is none.
  std::shared_ptr<const Pack> find(const std::string& digest);

  /// Sends a pack's bytes from an offset on, as fast as the client takes them.
  void send(std::shared_ptr<const Pack> pack, std::uint64_t offset,
            std::shared_ptr<HttpStream> stream);

 private:
  struct Sending {
    std::shared_ptr<const Pack> pack;
    Fd file;
    std::uint64_t offset = 0;
    std::shared_ptr<HttpStream> stream;
  };

  void go();
  static bool send_some(Sending& one, bool* any);

  ScratchDirectory directory_;
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::map<std::string, std::weak_ptr<const Pack>> by_content_;
  std::map<std::string, std::weak_ptr<const Pack>> by_digest_;
  std::uint64_t count_ = 0;
  std::list<Sending> new_;
  bool is_stopped_ = false;
  std::thread thread_;
};

}  // namespace imagewright
