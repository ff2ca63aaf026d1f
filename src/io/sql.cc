#include "io/sql.h"

#include <algorithm>

#include "core/utf8.h"
#include "io/backoff.h"

namespace imagewright {

namespace {

constexpr int kMostAttempts = 10;
constexpr std::chrono::milliseconds kFirstPause{2};

}  // namespace

std::int64_t SqlRow::number(std::size_t column) const {
  const auto* number = std::get_if<std::int64_t>(&fields_.at(column));
  return number == nullptr ? 0 : *number;
}

const std::string& SqlRow::text(std::size_t column) const {
  static const std::string none;
  const SqlValue& field = fields_.at(column);
  if (const auto* text = std::get_if<std::string>(&field)) return *text;
  if (const auto* bytes = std::get_if<SqlBytes>(&field)) return bytes->bytes;
  return none;
}

SqlRows SqlConnection::run(const std::string& sql, const std::vector<SqlValue>& parameters) {
  SqlRows rows;
  each(sql, parameters, [&](const SqlFields& row) {
    std::vector<SqlValue> fields;
    fields.reserve(row.count());
    for (std::size_t at = 0; at < row.count(); ++at) fields.push_back(row.value(at));
    rows.emplace_back(std::move(fields));
  });
  return rows;
}

void SqlConnection::transaction(Access access, const std::function<void()>& work) {
  for (int attempt = 0;; ++attempt) {
    try {
      begin(access);
      work();
      commit();
      return;
    } catch (const SqlAgain&) {
      rollback();
      if (attempt + 1 >= kMostAttempts) throw;
    } catch (...) {
      rollback();
      throw;
    }
    wait_patiently(backoff(kFirstPause, attempt));
  }
}

std::string sql_text(const std::string& text) {
  std::u32string characters = decoded(text);
  std::replace(characters.begin(), characters.end(), U'\0', kReplacement);
  return encoded(characters);
}

}  // namespace imagewright
