#include "service/queue_schema.h"

#include "io/sql_schema.h"

namespace imagewright {

namespace {

// Columns that only serve to find the next job quickly: `lane`, by whom a job may be claimed now
// ("": anybody; null: nobody), and `turn_ms`, when that has to be looked at again.
constexpr const char* kSchema1 = R"(
  CREATE TABLE queue_job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image TEXT NOT NULL, state TEXT NOT NULL, inputs TEXT NOT NULL, reasons TEXT NOT NULL,
    details TEXT NOT NULL, cause TEXT NOT NULL, priority INTEGER NOT NULL, needs TEXT NOT NULL,
    waits_for TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0, worker TEXT NOT NULL DEFAULT '',
    queued_ms INTEGER NOT NULL, not_before_ms INTEGER NOT NULL, open_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL DEFAULT 0, lease_until_ms INTEGER NOT NULL DEFAULT 0,
    finished_ms INTEGER NOT NULL DEFAULT 0, cancel_asked INTEGER NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT '', image_id TEXT NOT NULL DEFAULT '',
    kept_for TEXT NOT NULL, lane TEXT, turn_ms INTEGER,
    CHECK (state IN ('blocked', 'queued', 'running', 'succeeded', 'up-to-date', 'failed',
                     'skipped', 'cancelled', 'superseded', 'quarantined'))) BUSY_TABLE;
  CREATE UNIQUE INDEX queue_one_waits ON queue_job (image) WHERE state IN ('blocked', 'queued');
  CREATE UNIQUE INDEX queue_one_runs ON queue_job (image) WHERE state = 'running';
  CREATE INDEX queue_next ON queue_job (lane, needs, priority DESC, queued_ms, id)
    WHERE lane IS NOT NULL;
  CREATE INDEX queue_turn ON queue_job (turn_ms) WHERE turn_ms IS NOT NULL;
  CREATE INDEX queue_due ON queue_job (state, not_before_ms) WHERE not_before_ms > 0;
  CREATE INDEX queue_by_state ON queue_job (state, id);
  CREATE INDEX queue_by_image ON queue_job (image, id);

  CREATE TABLE queue_wait (
    job INTEGER NOT NULL REFERENCES queue_job (id) ON DELETE CASCADE, image TEXT NOT NULL,
    PRIMARY KEY (job, image)) KEY_TABLE;
  CREATE INDEX queue_wait_by_image ON queue_wait (image, job);

  CREATE TABLE queue_claim (
    fence INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL REFERENCES queue_job (id) ON DELETE CASCADE, worker TEXT NOT NULL,
    started_ms INTEGER NOT NULL, log_bytes INTEGER NOT NULL DEFAULT 0) BUSY_TABLE;
  CREATE INDEX queue_claim_by_job ON queue_claim (job);

  CREATE TABLE queue_log (
    fence INTEGER NOT NULL REFERENCES queue_claim (fence) ON DELETE CASCADE,
    begins INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (fence, begins)) ROW_TABLE;

  CREATE TABLE queue_image (
    image TEXT PRIMARY KEY, built_by TEXT NOT NULL DEFAULT '', failed_inputs TEXT,
    failures INTEGER NOT NULL DEFAULT 0, failed_ms INTEGER NOT NULL DEFAULT 0) ROW_TABLE;
  CREATE TABLE queue_quarantine (
    image TEXT NOT NULL, inputs TEXT NOT NULL, PRIMARY KEY (image, inputs)) KEY_TABLE;

  CREATE TABLE queue_worker (
    name TEXT PRIMARY KEY, labels TEXT NOT NULL, engine TEXT NOT NULL, version TEXT NOT NULL,
    seen_ms INTEGER NOT NULL, draining INTEGER NOT NULL, alive INTEGER NOT NULL) BUSY_TABLE;
  CREATE INDEX queue_worker_alive ON queue_worker (seen_ms) WHERE alive = 1;

  CREATE TABLE queue_delivery (id TEXT PRIMARY KEY, seen_ms INTEGER NOT NULL) ROW_TABLE;
  CREATE INDEX queue_delivery_by_age ON queue_delivery (seen_ms);

  CREATE TABLE queue_token (
    digest TEXT PRIMARY KEY, role TEXT NOT NULL, name TEXT NOT NULL,
    created_ms INTEGER NOT NULL) ROW_TABLE;

  ANALYZE queue_job;
)";

constexpr const char* kSchema2 = R"(
  CREATE TABLE queue_server (
    name TEXT PRIMARY KEY, settings TEXT NOT NULL, since_ms INTEGER NOT NULL,
    read_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL) BUSY_TABLE;
  ALTER TABLE queue_claim ADD COLUMN instead_of INTEGER NOT NULL DEFAULT 0;
)";

}  // namespace

void prepare_queue_tables(SqlConnection& sql, const std::string& named) {
  static const Schema schema{"queue_version", "queue", {{1, kSchema1}, {kQueueVersion, kSchema2}}};
  bring_up_to_date(sql, schema, named);
}

}  // namespace imagewright
