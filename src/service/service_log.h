// What a server tells its operator: one line for each thing that happened, on stderr.
#pragma once

#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>

namespace imagewright {

/// What a line is about; what is empty or 0 is left out.
struct LogSubject {
  std::int64_t job = 0;
  int attempt = 0;
  std::string image;
};

/// Any number of threads.
class ServiceLog {
 public:
  enum class Style { Text, Json };

  /// Borrows the stream.
  ServiceLog(std::FILE* to, Style style) : to_(to), style_(style) {}

  void info(const std::string& text, const LogSubject& subject = {}) const {
    write("info", text, subject);
  }
  void warning(const std::string& text, const LogSubject& subject = {}) const {
    write("warning", text, subject);
  }
  void error(const std::string& text, const LogSubject& subject = {}) const {
    write("error", text, subject);
  }

 private:
  void write(const char* level, const std::string& text, const LogSubject& subject) const;

  std::FILE* to_;
  Style style_;
  mutable std::mutex mutex_;
};

}  // namespace imagewright
