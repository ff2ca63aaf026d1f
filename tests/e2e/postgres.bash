# A PostgreSQL of a test's own: in a directory of its own, heard on a unix socket there and nowhere else. To be loaded
# after common; a test's teardown calls end_postgres.
#
# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set is for the tests

postgres_programs=/usr/lib/postgresql/15/bin
postgres_user=$(getent passwd postgres >/dev/null && echo postgres || echo nobody)

# (It refuses to be root's.)
as_postgres=(setpriv "--reuid=$postgres_user" "--regid=$(id -g "$postgres_user")" --clear-groups --)

# In the background; sets postgres_url and postgres_pid. Its directory is one that its user reaches.
start_postgres() {
  postgres=$(mktemp -d /tmp/imagewright-pg.XXXXXX)
  chown "$postgres_user" "$postgres"
  (cd / && "${as_postgres[@]}" "$postgres_programs/initdb" -D "$postgres/data" -U imagewright -A trust --encoding=UTF8 --locale=C --no-sync \
    >"$postgres/log" 2>&1) || { cat "$postgres/log"; return 1; }
  postgres_url="postgresql://imagewright@/postgres?host=$postgres"
  resume_postgres
}

# On the same directory; also after its end.
resume_postgres() {
  (cd / && exec "${as_postgres[@]}" "$postgres_programs/postgres" -D "$postgres/data" -c listen_addresses= -c "unix_socket_directories=$postgres" -c fsync=off -c shared_buffers=32MB) \
    >>"$postgres/log" 2>&1 3>&- &
  postgres_pid=$!
  until_true 30 postgres_answers || { cat "$postgres/log"; return 1; }
}
postgres_answers() { "$postgres_programs/pg_isready" -q -h "$postgres"; }

# stop_postgres [SIGNAL]: QUIT, at once; KILL, as when the machine fails.
stop_postgres() {
  [ -n "${postgres_pid:-}" ] || return 0
  kill -"${1:-QUIT}" "$postgres_pid" 2>/dev/null || true
  wait "$postgres_pid" 2>/dev/null || true
  postgres_pid=
}
end_postgres() {
  stop_postgres
  [ -z "${postgres:-}" ] || rm -rf "$postgres"
}
