// Objects of a repository on this disk, read without a process for each question: by libgit2, where
// that is there and can read it. Who is told that it cannot asks git. Knows nothing of mirrors.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace imagewright {

/// One thread at a time. What is fetched into the repository after it was opened may not be seen.
class GitObjects {
 public:
  /// nullptr: there is no library for it, or the repository is of another kind than that can read
  /// (SHA-256, other forms of keeping refs), or none.
  static std::unique_ptr<GitObjects> open(const std::filesystem::path& repository);
  ~GitObjects();
  GitObjects(const GitObjects&) = delete;
  GitObjects& operator=(const GitObjects&) = delete;

  /// What a ref (its full name) stands for; nullopt: there is none such, or it cannot be told.
  std::optional<std::string> ref(const std::string& name) const;

  /// "commit", "tree", "blob" or "tag"; "": it is not there, or cannot be read.
  std::string type_of(const std::string& id) const;

  /// Gives an object's type and content, which live as long as the call. False: it is not there, or
  /// cannot be read; then `on_object` was not called.
  using OnObject = std::function<void(std::string_view type, std::string_view content)>;
  bool read(const std::string& id, const OnObject& on_object) const;

 private:
  struct Database;
  GitObjects(std::filesystem::path repository, std::unique_ptr<Database> database);

  std::filesystem::path repository_;
  std::unique_ptr<Database> database_;
};

}  // namespace imagewright
