// The queue's tables, in either database, and how they came to be so. Knows nothing of what is done
// with them (service/queue.cc does). What they mean is in docs/formats.md, "Queue".
#pragma once

#include <string>

#include "io/sql.h"

namespace imagewright {

/// The version of the tables. Its history:
///   1  the first one
///   2  servers
inline constexpr int kQueueVersion = 2;

/// Makes the tables, or brings older ones up to date, in one transaction, whoever else does at the
/// same time. `named` is for messages. Throws Error(Missing) where they are of a newer version.
void prepare_queue_tables(SqlConnection& sql, const std::string& named);

}  // namespace imagewright
