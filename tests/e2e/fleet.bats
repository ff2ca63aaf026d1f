#!/usr/bin/env bats
# `imagewright serve --fleet` and its workers: what is queued is built by them, images are in a registry and nowhere
# else, and nobody's death is anybody else's. On Buildah, each worker with a store of its own.
#
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # variables that common.bash and Bats set or use

load common
load registry_servers
load servers
load git_servers
load postgres

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  ENGINE=buildah
  exercised docker-registry
  project
  start_plain_registry
}

teardown() {
  end_held
  end_servers
  end_postgres
  stop_git_servers "$BATS_TEST_TMPDIR/http"
  stop_registries
}

tags_of() { curl -s "http://$registry/v2/$1/tags/list" | jq -r '.tags // [] | sort | join(" ")'; }
digest_of() { curl -sI -H 'Accept: application/vnd.oci.image.manifest.v1+json' -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "http://$registry/v2/$1/manifests/$2" | sed -nE 's/^docker-content-digest: ([^\r]*)\r?$/\1/Ip'; }
job_log() { iw_log=$(curl -s --unix-socket "$(find "$XDG_STATE_HOME" -name '*.sock')" "http://localhost/api/v1/jobs/$1/log"); echo "$iw_log"; }
jobs_short() { jobs_now | sed "s|$registry/e2e/||g"; }
short_jobs_are() { [ "$(jobs_short)" = "$1" ]; }

second_jobs() { iw jobs --all --json -s second | jq -r 'reverse | .[] | .image + " " + .state' | paste -sd, | sed "s|$registry/e2e/||g"; }
second_jobs_are() { [ "$(second_jobs)" = "$1" ]; }
jobs_of_both_are() { short_jobs_are "$1" && second_jobs_are "$1"; }

@test "fleet: a worker builds what is queued, and the server gives it its names" {
  directory_image base
  mkdir child
  printf 'FROM %s/e2e/base\nCOPY own /own\n' "$registry" >child/Dockerfile
  echo own >child/own
  configuration imagewright.yml "$registry/e2e/child" child "$registry/e2e/base" base
  printf '    tags: [":1", ":latest"]\n' >>imagewright.yml
  start_server --fleet --push
  start_worker one --label size=big
  until_true 40 short_jobs_are "base succeeded,child succeeded"
  equal "$(tags_of e2e/base)" "1 j1-l1 latest"
  equal "$(digest_of e2e/base 1)" "$(digest_of e2e/base j1-l1)"
  equal "$(pushed "$registry/e2e/child" file.txt)" "some text"
  equal "$(pushed "$registry/e2e/child" own)" own
  equal "$(job_field 1 worker)" one
  has "$(job_log 1)" "building: never built" "COPY" "built in" "pushed as $registry/e2e/base:1"
  has "$(iw workers)" one "size=big" "engine=buildah" working
  # What changes goes the same way, and the child is on exactly the new parent.
  echo two >base/file.txt
  until_true 40 short_jobs_are "base succeeded,child succeeded,base succeeded,child succeeded"
  equal "$(pushed "$registry/e2e/child" file.txt)" two
  equal "$(digest_of e2e/base latest)" "$(digest_of e2e/base j3-l3)"
  # The commands that read know where the images are.
  equal "$(iw status --json | jq -r '[.[].state] | unique | join(" ")')" up-to-date
  sleep 1
  equal "$(jobs_short)" "base succeeded,child succeeded,base succeeded,child succeeded"
  end_worker one
  equal "$status" 0
  end_server
  equal "$status" 0
}

@test "fleet: what fails says why, and what stands on it is skipped" {
  directory_image base
  printf 'FROM scratch\nRUN ["/none"]\n' >base/Dockerfile
  mkdir child
  printf 'FROM %s/e2e/base\nCOPY own /own\n' "$registry" >child/Dockerfile
  echo own >child/own
  configuration imagewright.yml "$registry/e2e/child" child "$registry/e2e/base" base
  start_server --fleet
  start_worker one
  until_true 40 eval 'jobs_short | grep -q "base failed,child skipped"'
  has "$(job_field 1 message)" "fleet build ended with status"
  has "$(job_log 1)" /none
  equal "$(tags_of e2e/base)" ""
  end_worker one
  end_server
}

@test "fleet: an image without a registry needs one to be kept in" {
  directory_image a
  configuration imagewright.yml e2e/a a
  start_server --fleet
  start_worker one
  # (Twice it is tried again at once.)
  until_true 40 has_state 3 failed
  has "$(job_field 1 message)" "'e2e/a' needs one in its name" "--registry"
  end_server
  LISTEN=${url#http://} start_server --fleet --registry "$registry/kept"
  expect 0 retry e2e/a
  until_true 40 eval 'jobs_now | grep -q "e2e/a succeeded"'
  has "$(tags_of kept/e2e/a)" j
  equal "$(iw status --json | jq -r '.[0].state')" up-to-date
  end_worker one
  end_server
}

@test "fleet: all that a build is about reaches the worker" {
  directory_image a
  mkdir more
  echo more >more/extra
  cp "$(type -P busybox)" a/busybox
  mkdir a/below
  chmod 0750 a/below
  ln -s ../file.txt a/below/link
  echo not >a/ignored
  printf 'ignored\n' >a/.dockerignore
  cat >a/Dockerfile <<'END'
FROM scratch AS other
FROM scratch AS wanted
ARG WHAT=none
COPY . /
COPY --from=more extra /extra
RUN ["/busybox", "sh", "-c", "echo $WHAT $(/busybox stat -c %a /below) $(/busybox readlink /below/link) >/said"]
LABEL b=2
END
  cat >imagewright.yml <<END
builder:
  images:
  - name: $registry/e2e/a
    from: a
    target: wanted
    args: {WHAT: some words}
    labels: {a: "1"}
    additional_contexts: {more: more}
END
  start_server --fleet --push
  start_worker one
  until_true 60 short_jobs_are "a succeeded"
  equal "$(pushed "$registry/e2e/a" said)" "some words 750 ../file.txt"
  equal "$(content "$registry/e2e/a" extra)" more
  run -0 buildah inspect --type image "$registry/e2e/a"
  equal "$(field "$output" '.OCIv1.config.Labels.a + .OCIv1.config.Labels.b')" 12
  run ! content "$registry/e2e/a" ignored
  end_worker one
  end_server
}

@test "fleet: a server that is killed loses nothing: its worker goes on, and tells the next one" {
  held_image slow
  configuration imagewright.yml "$registry/e2e/slow" slow
  start_server --fleet --push
  start_worker one
  until_true 40 holds
  step=$(held_pid)
  kill -9 "$server_pid"
  until_true 20 gone "$server_pid"
  sleep 1
  equal "$(held_pid)" "$step"
  LISTEN=${url#http://} start_server --fleet --push
  until_true 40 grep -q "taken on while one builds it" "$server_log"
  equal "$(held_pid)" "$step"
  let_go
  until_true 40 short_jobs_are "slow succeeded"
  equal "$(grep -c ': building' "$(worker_log one)")" 1
  equal "$(job_field 1 attempts)" 1
  log=$(job_log 1)
  has "$log" "building: never built" "STEP 1" "pushed as"
  equal "$(grep -c 'STEP 1' <<<"$log")" 1
  equal "$(pushed "$registry/e2e/slow" file.txt)" "some text"
  end_worker one
  end_server
}

@test "fleet: a worker that begins anew begins its job anew, at once and as no further attempt" {
  held_image slow
  configuration imagewright.yml "$registry/e2e/slow" slow
  start_server --fleet --push
  start_worker one
  until_true 40 holds
  end_worker one KILL
  let_go || true
  until_true 20 holds_no_more
  start_worker one
  until_true 40 holds
  equal "$(job_field 1 attempts)" 1
  let_go
  until_true 40 short_jobs_are "slow succeeded"
  end_worker one
  end_server
}

@test "fleet: a worker ends what it builds, or hands it back" {
  held_image slow
  configuration imagewright.yml "$registry/e2e/slow" slow
  start_server --fleet --push
  start_worker one
  until_true 40 holds
  kill -TERM "${worker_pids[one]}"
  until_true 20 eval 'iw workers | grep -q draining'
  holds
  kill -TERM "${worker_pids[one]}"
  until_true 20 gone "${worker_pids[one]}"
  status=0
  wait "${worker_pids[one]}" || status=$?
  unset "worker_pids[one]"
  equal "$status" 143
  holds_no_more
  until_true 20 short_jobs_are "slow queued"
  equal "$(job_field 1 attempts)" 0
  start_worker two
  until_true 60 holds
  kill -TERM "${worker_pids[two]}"
  sleep 0.5
  let_go
  until_true 40 gone "${worker_pids[two]}"
  unset "worker_pids[two]"
  until_true 20 short_jobs_are "slow succeeded"
  end_server
}

@test "fleet: a job that is cancelled is ended where it is built" {
  held_image slow
  configuration imagewright.yml "$registry/e2e/slow" slow
  start_server --fleet --push
  start_worker one
  until_true 40 holds
  expect 0 cancel 1
  until_true 20 short_jobs_are "slow cancelled"
  until_true 20 holds_no_more
  equal "$(tags_of e2e/slow)" ""
  end_worker one
  end_server
}

@test "fleet: what a registry lost is built again, and no name moves without its manifest" {
  directory_image a
  configuration imagewright.yml "$registry/e2e/a" a
  start_server --fleet --push --interval 1s
  start_worker one
  until_true 40 short_jobs_are "a succeeded"
  first=$(digest_of e2e/a latest)
  curl -sf -X DELETE "http://$registry/v2/e2e/a/manifests/$first"
  until_true 40 short_jobs_are "a succeeded,a succeeded"
  has "$(job_field 2 why)" "image"
  lacks "$(digest_of e2e/a latest)" "none"
  end_worker one
  end_server
}

@test "fleet: a build that never stops talking is cancelled all the same" {
  mkdir loud
  cp "$(type -P busybox)" loud/busybox
  printf 'FROM scratch\nCOPY busybox /\nRUN ["/busybox","yes","a line that is said again and again"]\n' >loud/Dockerfile
  configuration imagewright.yml "$registry/e2e/loud" loud
  start_server --fleet
  start_worker one
  until_true 40 eval '[ "$(job_field 1 log_bytes)" -gt 1000000 ]'
  expect 0 cancel 1
  until_true 20 short_jobs_are "loud cancelled"
  until_true 20 eval '! pgrep -fx "/busybox yes a line that is said again and again"'
  end_worker one
  end_server
  equal "$status" 0
}

@test "fleet: an image that is to be elsewhere, too, is built for there" {
  directory_image a
  configuration imagewright.yml "$registry/e2e/a" a
  start_server --fleet --push
  start_worker one
  until_true 40 short_jobs_are "a succeeded"
  printf '    tags: [":1", "%s/other/a:{date}"]\n' "$registry" >>imagewright.yml
  until_true 40 short_jobs_are "a succeeded,a succeeded"
  has "$(tags_of e2e/a)" 1
  has "$(tags_of other/a)" "$(date -u +%Y-)"
  # What is published nowhere any more is no matter.
  configuration imagewright.yml "$registry/e2e/a" a
  sleep 1
  equal "$(iw status --json | jq -r '.[0].state')" up-to-date
  equal "$(jobs_short)" "a succeeded,a succeeded"
  end_worker one
  end_server
}

@test "fleet: servers share a database; who builds for one that is killed goes on with another" {
  start_postgres
  held_image slow
  directory_image app
  configuration imagewright.yml "$registry/e2e/slow" slow "$registry/e2e/app" app
  iw token --name workers --role worker --store "$postgres_url" >"$BATS_TEST_TMPDIR/worker.token"
  SERVER=second start_server --store "$postgres_url" --push -s second
  second_log=$server_log second_url=$url
  SERVER=first start_server --store "$postgres_url" --push
  start_worker one --server "$second_url"
  until_true 40 holds
  until_true 40 jobs_of_both_are "slow running,app succeeded"
  step=$(held_pid)
  kill -9 "$server_pid"
  until_true 40 grep -q "taken on while one builds it" "$second_log"
  equal "$(held_pid)" "$step"
  let_go
  until_true 40 second_jobs_are "slow succeeded,app succeeded"
  equal "$(grep -c ': building' "$(worker_log one)")" 2
  has "$(cat "$(worker_log one)")" "asking $second_url" "$second_url answers"
  equal "$(pushed "$registry/e2e/slow" file.txt)" "some text"
  # What both know of it is one thing.
  equal "$(iw status --store "$postgres_url" --json | jq -r '[.[].state] | unique | join(" ")')" up-to-date
  equal "$(IMAGEWRIGHT_STORE=$postgres_url iw history --json | jq -r '[.[].result] | join(" ")')" "success success"
  [ ! -e .builder.state.db ]
  [ ! -e second/.builder.state.db ]
  # The first comes back, and takes part.
  SERVER=third start_server --store "$postgres_url" --push
  echo changed >app/file.txt
  until_true 40 jobs_of_both_are "slow succeeded,app succeeded,app succeeded"
  sleep 2
  equal "$(second_jobs)" "slow succeeded,app succeeded,app succeeded"
  equal "$(pushed "$registry/e2e/app" file.txt)" changed
  end_worker one
  end_server
}

@test "fleet: servers over one database ask a repository once, and what one was told of a push all know" {
  exercised lighttpd
  start_postgres
  mkdir -p "$BATS_TEST_TMPDIR/repos/work"
  git init -q "$BATS_TEST_TMPDIR/repos/work"
  (cd "$BATS_TEST_TMPDIR/repos/work" && printf 'FROM scratch\nCOPY . /\n' >Dockerfile && echo one >file.txt && git add . && git commit -qm one)
  git clone -q --bare "$BATS_TEST_TMPDIR/repos/work" "$BATS_TEST_TMPDIR/repos/app.git"
  start_git_http "$BATS_TEST_TMPDIR/http" "$BATS_TEST_TMPDIR/repos"
  # (The server writes its log when it likes to, or when it is told to begin it anew.)
  asked() {
    pkill -HUP -F "$BATS_TEST_TMPDIR"/http/*.pid
    sleep 1
    grep -c 'POST /git/app.git/git-upload-pack' "$BATS_TEST_TMPDIR/http/access.log"
  }
  configuration imagewright.yml "$registry/e2e/app" "$git_http_url/app.git"
  iw token --name workers --role worker --store "$postgres_url" >"$BATS_TEST_TMPDIR/worker.token"
  echo secret >"$BATS_TEST_TMPDIR/secret"
  local both=(--store "$postgres_url" --push --interval 1h --webhook-secret-file "$BATS_TEST_TMPDIR/secret")
  SERVER=first start_server "${both[@]}"
  local first_pid=$server_pid
  start_worker one
  until_true 40 jobs_are "$registry/e2e/app succeeded"
  local before
  before=$(asked)
  # A second one asks once, as it may be the first after a while; and finds nothing to do.
  SERVER=second start_server "${both[@]}" -s second
  until_true 40 curl -sf -o /dev/null "$url/readyz"
  equal "$(asked)" $((before + 1))
  equal "$(jobs_now)" "$registry/e2e/app succeeded"
  # One of them is told of a push: one question, one fetch (and a question more where the build was not begun in two
  # seconds), one build.
  (cd "$BATS_TEST_TMPDIR/repos/work" && echo two >file.txt && git commit -qam two && git push -q "$BATS_TEST_TMPDIR/repos/app.git" main)
  equal "$(tell_of_push "$git_http_url/app" "$BATS_TEST_TMPDIR/repos/work" one)" 202
  until_true 40 jobs_are "$registry/e2e/app succeeded,$registry/e2e/app succeeded"
  equal "$(pushed "$registry/e2e/app" file.txt)" two
  local after
  after=$(asked)
  [ $((after - before)) -ge 3 ]
  [ $((after - before)) -le 4 ]
  # The other one looks, too: it knows what was asked, and finds nothing to do.
  kill -HUP "$first_pid"
  until_true 20 grep -q 'imagewright.yml: 1 image' "$BATS_TEST_TMPDIR/first.log"
  sleep 2
  equal "$(jobs_now)" "$registry/e2e/app succeeded,$registry/e2e/app succeeded"
  equal "$(asked)" "$after"
  end_worker one
}

@test "fleet: of servers with other settings one counts, and the others leave the queue alone" {
  start_postgres
  directory_image app
  configuration imagewright.yml "$registry/e2e/app" app
  iw token --name workers --role worker --store "$postgres_url" >"$BATS_TEST_TMPDIR/worker.token"
  SERVER=first start_server --store "$postgres_url"
  first_pid=$server_pid first_url=$url
  SERVER=second start_server --store "$postgres_url" --push -s second
  has "$(cat "$server_log")" "another server over this store has another configuration"
  start_worker one --server "$first_url"
  until_true 40 short_jobs_are "app succeeded"
  has "$(cat "$(worker_log one)")" "another server's settings count" "asking $first_url"
  run iw trigger -s second
  equal "$status" 3
  has "$output" "another server's settings count"
  equal "$(curl -s -o /dev/null -w '%{http_code}' "$url/readyz")" 503
  # Alone it counts.
  kill -TERM "$first_pid"
  until_true 30 gone "$first_pid"
  until_true 30 grep -q "the same settings again" "$server_log"
  until_true 60 second_jobs_are "app succeeded,app up-to-date"
  equal "$(pushed "$registry/e2e/app" file.txt)" "some text"
  end_worker one
  end_server
}

@test "fleet: mistakes people make" {
  directory_image a
  configuration imagewright.yml "$registry/e2e/a" a
  expect 2 worker
  has "$stderr" "--server is required"
  expect 2 serve --registry localhost:5000
  has "$stderr" "--fleet"
  expect 2 serve --fleet --registry myname --listen 127.0.0.1:0
  has "$stderr" "'myname' is no registry"
  expect 2 serve --fleet --state registry --listen 127.0.0.1:0
  has "$stderr" "leave '--state registry' out"
  start_server
  iw token --name w --role worker >token
  expect 2 worker --server "$url" --token-file token
  has "$stderr" "this server builds by itself" "--fleet"
  end_server
  start_server --fleet
  expect 2 worker --server "$url"
  has "$stderr" "this takes a token"
  iw token --name r >reader
  expect 2 worker --server "$url" --token-file reader
  has "$stderr" "this takes a token for 'worker'"
  expect 2 worker --server "127.0.0.1:1" --token-file token
  has "$stderr" "begins with http://"
  # A worker's token is good for nothing else.
  expect 2 jobs --server "$url" --token-file token
  has "$stderr" "this takes a token for 'read'"
  # Two of one name: the older one ends.
  start_worker one
  until_true 20 grep -q "worker one:" "$server_log"
  first=${worker_pids[one]}
  start_worker one
  until_true 30 gone "$first"
  has "$(<"$(worker_log one)")" "another process works as 'one' now"
  end_worker one
  end_server
}
