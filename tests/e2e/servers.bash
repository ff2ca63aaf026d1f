# Servers and workers for tests. To be loaded after common; a test's teardown calls end_servers.
#
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set is for the tests

# In the background; sets server_pid, server_log and url.
# By LISTEN=HOST:PORT on that one. Of several each has a name: SERVER=NAME.
server_pids=()
start_server() {
  server_log=$BATS_TEST_TMPDIR/${SERVER:-server}.log
  "$IMAGEWRIGHT" serve --listen "${LISTEN:-127.0.0.1:0}" "$@" >"$server_log" 2>&1 3>&- &
  server_pid=$!
  server_pids+=("$server_pid")
  until_true 20 grep -q ' on http://' "$server_log" || { cat "$server_log" >&2; return 1; }
  url=$(sed -nE 's/.* on (http:[^,]+),.*/\1/p' "$server_log" | head -n 1)
}

# Its end, as SIGTERM asks for. Sets status.
end_server() {
  kill -TERM "$server_pid"
  until_true 20 gone "$server_pid" || return 1
  status=0
  wait "$server_pid" || status=$?
  server_pid=
}

# What a file of a pushed image holds now.
pushed() {
  buildah pull -q --policy always "$1" >/dev/null && content "$1" "$2"
}

# tell_of_push REPOSITORY CHECKOUT DELIVERY: tells the server at $url, as GitHub does, that the checkout's commit was
# pushed to the repository's main branch; its secret is in $BATS_TEST_TMPDIR/secret. Prints the answer's status.
tell_of_push() {
  local body signature
  body='{"ref":"refs/heads/main","after":"'$(git -C "$2" rev-parse HEAD)'","deleted":false,"repository":{"clone_url":"'$1'.git","ssh_url":"","git_url":"","html_url":"'$1'"}}'
  signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$(cat "$BATS_TEST_TMPDIR/secret")" | sed 's/.* //')
  curl -s -o /dev/null -w '%{http_code}' -X POST -H 'Content-Type: application/json' -H 'X-GitHub-Event: push' -H "X-GitHub-Delivery: $3" \
    -H "X-Hub-Signature-256: sha256=$signature" --data-binary "$body" "$url/hooks"
}

# "IMAGE STATE" of all jobs, the oldest first.
jobs_now() { iw jobs --all --json | jq -r 'reverse | .[] | .image + " " + .state' | paste -sd,; }
jobs_are() { [ "$(jobs_now)" = "$1" ]; }
all_have_ended() { [ "$(iw jobs --all --json | jq '[.[] | select(.state == "succeeded")] | length')" = "$1" ]; }
last_job() { iw jobs --all --json | jq -r '.[0].id'; }
job_field() { iw jobs --all --json | jq -r --argjson id "$1" ".[] | select(.id == \$id).$2"; }
has_state() { [ "$(job_field "$1" state)" = "$2" ]; }

# start_worker NAME [OPTIONS...]: in the background, with an engine store of its own; its pid is in
# worker_pids[NAME], its log in $(worker_log NAME). `worker_token` is a file with a worker's token.
declare -A worker_pids=()
worker_log() { echo "$BATS_TEST_TMPDIR/worker-$1.log"; }
start_worker() {
  local name=$1 home=$BATS_TEST_TMPDIR/worker-$1
  shift
  worker_token=$BATS_TEST_TMPDIR/worker.token
  [ -e "$worker_token" ] || iw token --name workers --role worker >"$worker_token" || return 1
  mkdir -p "$home"
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' "$home" "$home" >"$home/storage.conf"
  CONTAINERS_STORAGE_CONF=$home/storage.conf XDG_CACHE_HOME=$BATS_FILE_TMPDIR/worker-cache XDG_STATE_HOME=$home/state \
    "$IMAGEWRIGHT" worker --server "$url" --token-file "$worker_token" --name "$name" -j 2 "$@" >>"$(worker_log "$name")" 2>&1 3>&- &
  worker_pids[$name]=$!
}

# end_worker NAME [SIGNAL]: sets status.
end_worker() {
  kill -"${2:-TERM}" "${worker_pids[$1]}"
  until_true 30 gone "${worker_pids[$1]}" || return 1
  status=0
  wait "${worker_pids[$1]}" || status=$?
  unset "worker_pids[$1]"
}

# Shows their logs, where the test failed.
end_servers() {
  local pid log
  for log in "$BATS_TEST_TMPDIR"/*.log; do
    [ ! -e "$log" ] || { echo "# $log"; cat "$log"; }
  done
  for pid in "${worker_pids[@]}" "${server_pids[@]}"; do
    kill -CONT "$pid" 2>/dev/null || true
    kill -9 "$pid" 2>/dev/null || true
  done
  worker_pids=()
  server_pids=()
  # What a worker that was killed had mounted.
  awk -v below="$BATS_TEST_TMPDIR/worker-" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
}
