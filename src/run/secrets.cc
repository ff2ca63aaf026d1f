#include "run/secrets.h"

#include <algorithm>

#include "core/digest.h"
#include "core/replace_all.h"
#include "io/environment.h"
#include "io/error.h"
#include "io/file_read.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kShortestWord = 4;

std::string content(const Secret& secret, const fs::path& base) {
  const std::string what = "the secret '" + secret.id + "'";
  if (secret.file.empty()) {
    if (auto value = variable_if_set(secret.environment)) return *std::move(value);
    throw Error(Error::Kind::Source,
                what + " is to be in the variable '" + secret.environment + "', which is not set");
  }
  try {
    return read_file((base / secret.file).lexically_normal());
  } catch (const Error& error) {
    throw Error(error.kind(), what + ": " + error.what());
  }
}

}  // namespace

std::vector<std::string> contents_of(const std::vector<Secret>& secrets, const fs::path& base) {
  std::vector<std::string> all;
  for (const Secret& secret : secrets) all.push_back(content(secret, base));
  return all;
}

std::map<std::string, std::string> Secrets::digests(const std::vector<Secret>& secrets) {
  std::map<std::string, std::string> all;
  if (secrets.empty()) return all;
  const std::vector<std::string> held = contents_of(secrets, base_);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (key_.empty()) key_ = make_key_();
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    all[secrets[i].id] = hex(hmac_sha256(key_, held[i]));
  }
  return all;
}

Redaction::Redaction(const std::vector<std::string>& contents) {
  const auto add = [&](std::string_view text) {
    constexpr std::string_view kLineEnds = "\r\n";
    const std::size_t begin = std::min(text.find_first_not_of(kLineEnds), text.size());
    text = text.substr(begin, text.find_last_not_of(kLineEnds) + 1 - begin);
    if (text.size() >= kShortestWord) words_.emplace_back(text);
  };
  for (const std::string& content : contents) {
    add(content);
    for (std::size_t at = 0; at < content.size();) {
      const std::size_t end = std::min(content.find('\n', at), content.size());
      add(std::string_view(content).substr(at, end - at));
      at = end + 1;
    }
  }
  std::sort(words_.begin(), words_.end(), [](const std::string& one, const std::string& other) {
    return one.size() != other.size() ? one.size() > other.size() : one < other;
  });
  words_.erase(std::unique(words_.begin(), words_.end()), words_.end());
}

std::string Redaction::operator()(std::string line) const {
  for (const std::string& word : words_) {
    replace_all(line, word, "***");
  }
  return line;
}

BuildOptions with_absolute_paths(BuildOptions options, const fs::path& base) {
  const auto below_base = [&](const std::string& path) {
    return fs::absolute(base / path).lexically_normal().string();
  };
  for (Secret& secret : options.secrets) {
    if (!secret.file.empty()) secret.file = below_base(secret.file);
  }
  for (std::string& ssh : options.ssh) {
    const std::size_t path = ssh.find('=') + 1;
    if (path != 0) ssh = ssh.substr(0, path) + below_base(ssh.substr(path));
  }
  return options;
}

}  // namespace imagewright
