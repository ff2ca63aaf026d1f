#!/usr/bin/env bats
# `imagewright serve` on one machine: what changes is queued and built by itself, it can be asked over HTTP and by the
# command line, and it survives its own death. On Buildah.
#
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # variables that common.bash and Bats set or use

load common
load git_servers
load servers

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  ENGINE=buildah
  project
}

teardown() {
  end_held
  stop_git_servers "$BATS_TEST_TMPDIR/http"
  end_servers
}

@test "serve: an edit is noticed by itself, queued and built" {
  directory_image a
  directory_image b
  configuration imagewright.yml e2e/a a e2e/b b
  start_server -j 1
  until_true 30 jobs_are "e2e/a succeeded,e2e/b succeeded"
  equal "$(content e2e/a file.txt)" "some text"
  echo two >a/file.txt
  until_true 20 jobs_are "e2e/a succeeded,e2e/b succeeded,e2e/a succeeded"
  equal "$(content e2e/a file.txt)" two
  has "$(job_field "$(last_job)" why)" "content: 1 changed: file.txt"
  # The commands that read work as ever.
  equal "$(iw status --json | jq -r '[.[].state] | unique | join(" ")')" up-to-date
  equal "$(iw history e2e/a --json | jq length)" 2
  sleep 0.7
  equal "$(jobs_now)" "e2e/a succeeded,e2e/b succeeded,e2e/a succeeded"
  end_server
  equal "$status" 0
  equal "$(iw status --json | jq -r '[.[].state] | unique | join(" ")')" up-to-date
}

@test "serve: a child waits for its parent, and is built on exactly that" {
  directory_image base
  mkdir child
  printf 'FROM e2e/base\nCOPY own /own\n' >child/Dockerfile
  echo own >child/own
  configuration imagewright.yml e2e/child child e2e/base base
  start_server
  until_true 30 jobs_are "e2e/base succeeded,e2e/child succeeded"
  echo two >base/file.txt
  until_true 30 jobs_are "e2e/base succeeded,e2e/child succeeded,e2e/base succeeded,e2e/child succeeded"
  equal "$(content e2e/child file.txt)" two
  # A parent that fails: its child is skipped, and says because of whom.
  printf 'FROM scratch\nRUN ["/none"]\n' >base/Dockerfile
  until_true 30 eval 'jobs_now | grep -q "e2e/base failed"'
  has "$(iw jobs --all --json | jq -r '[.[] | select(.image == "e2e/child" and .state == "skipped")][0].message')" "e2e/base failed"
  end_server
}

@test "serve: build is handed to it and followed" {
  directory_image a
  directory_image b
  configuration imagewright.yml e2e/a a e2e/b b
  start_server
  until_true 30 jobs_are "e2e/a succeeded,e2e/b succeeded"
  run_build
  equal "$status" 0
  equal "$(images_with up-to-date)" "e2e/a e2e/b"
  run_build --force -i e2e/b
  equal "$status" 0
  equal "$built" e2e/b
  has "$events" '"e2e/b"'
  printf 'FROM scratch\nRUN ["/none"]\n' >b/Dockerfile
  run_build
  equal "$status" 1
  equal "$(images_with failed)" e2e/b
  # What only a run of one's own could do is refused.
  run -2 iw build --clean
  has "$output" "a server has the state"
  end_server
}

@test "serve: build tries at once what waits for another day, and knows the configuration of this moment" {
  directory_image a
  printf 'FROM scratch\nRUN ["/none"]\n' >a/Dockerfile
  configuration imagewright.yml e2e/a a
  start_server
  # Nobody is asked: at once, at once, and then in an hour.
  until_true 30 jobs_are "e2e/a failed,e2e/a failed,e2e/a failed,e2e/a queued"
  run_build
  equal "$status" 1
  equal "$(images_with failed)" e2e/a
  until_true 20 jobs_are "e2e/a failed,e2e/a failed,e2e/a failed,e2e/a failed,e2e/a queued"
  mkdir child
  printf 'FROM e2e/b\nCOPY own /own\n' >child/Dockerfile
  echo own >child/own
  directory_image b
  configuration imagewright.yml e2e/child child e2e/b b
  run_build
  equal "$status" 0
  equal "$built" "e2e/b e2e/child"
  # Whatever the verdict, and still parents first.
  run_build --force
  equal "$status" 0
  equal "$built" "e2e/b e2e/child"
  # A child of what fails fails, too.
  printf 'FROM scratch\nRUN ["/none"]\n' >b/Dockerfile
  run_build -i e2e/child
  equal "$status" 1
  end_server
}

@test "serve: an engine that is gone for a while ends nobody" {
  directory_image a
  directory_image b
  configuration imagewright.yml e2e/a a e2e/b b
  programs=$(programs_without buildah podman)
  ln -s "$(type -P buildah)" "$programs/buildah"
  PATH=$programs start_server -j 2
  until_true 30 all_have_ended 2
  rm "$programs/buildah"
  echo two >a/file.txt
  echo two >b/file.txt
  expect 0 retry e2e/a
  until_true 20 grep -qE 'job [0-9]+ e2e/a: no engine' "$server_log"
  sleep 5 # (It tries every two seconds.)
  kill -0 "$server_pid"
  ln -s "$(type -P buildah)" "$programs/buildah"
  until_true 30 all_have_ended 4 # (what changed is noticed at the next look, which an end brings about)
  equal "$(content e2e/b file.txt)" two
  end_server
  equal "$status" 0
}

@test "serve: a job can be cancelled, and tried again" {
  held_image slow
  image=e2e/slow
  one_image slow
  start_server
  until_true 30 holds
  id=$(last_job)
  expect 0 cancel e2e/slow
  until_true 20 has_state "$id" cancelled
  holds_no_more
  # Cancelled is not forgotten: somebody can have it after all.
  expect 0 retry e2e/slow
  until_true 20 holds
  lacks "$(last_job)" "$id"
  let_go
  until_true 20 has_state "$(last_job)" succeeded
  end_server
}

@test "serve: what stands on a cancelled image is not built on the old one, over and over" {
  held_image base
  printf 'FROM scratch\nCOPY file.txt /\n' >base/Dockerfile.quick
  mkdir child
  printf 'FROM e2e/base\nCOPY own /own\n' >child/Dockerfile
  echo own >child/own
  configuration imagewright.yml e2e/child child e2e/base base
  printf '    dockerfile: Dockerfile.quick\n' >>imagewright.yml
  start_server -j 2
  until_true 30 jobs_are "e2e/base succeeded,e2e/child succeeded"
  configuration imagewright.yml e2e/child child e2e/base base
  until_true 30 holds
  expect 0 cancel e2e/base
  until_true 20 eval 'jobs_now | grep -q "e2e/base cancelled"'
  echo more >child/more # a reason of its own, and looks
  sleep 1
  equal "$(jobs_now)" "e2e/base succeeded,e2e/child succeeded,e2e/base cancelled,e2e/child skipped"
  end_server
}

@test "serve: who ends it lets builds end, a second signal ends them, and they wait for the next server" {
  held_image slow
  image=e2e/slow
  one_image slow
  start_server
  until_true 30 holds
  kill -TERM "$server_pid"
  until_true 10 grep -q 'ending when a build has ended' "$server_log"
  sleep 0.3
  holds
  kill -TERM "$server_pid"
  until_true 20 gone "$server_pid"
  status=0
  wait "$server_pid" || status=$?
  server_pid=
  equal "$status" 143
  holds_no_more
  start_server
  until_true 30 holds
  equal "$(job_field "$(last_job)" attempts)" 1
  kill -TERM "$server_pid"
  until_true 10 grep -q 'ending when a build has ended' "$server_log"
  let_go
  until_true 20 gone "$server_pid"
  server_pid=
  equal "$(iw status --json | jq -r '.[0].state')" up-to-date
}

@test "serve: killed in mid-build, the next server does the job again, and not for ever" {
  held_image slow
  image=e2e/slow
  one_image slow
  for attempt in 1 2 3; do
    start_server
    until_true 30 holds
    id=$(last_job)
    equal "$id" 1
    equal "$(job_field 1 attempts)" "$attempt"
    kill -9 "$server_pid"
    until_true 20 gone "$server_pid"
    server_pid=
    let_go || true
    until_true 20 holds_no_more
  done
  start_server
  until_true 20 has_state 1 quarantined
  has "$(<"$server_log")" "lost too often"
  sleep 0.5
  equal "$(jobs_now)" "e2e/slow quarantined"
  # A change of its inputs, or somebody who asks, ends the quarantine.
  expect 0 retry 1
  until_true 30 holds
  let_go
  until_true 20 has_state 2 succeeded
  end_server
}

@test "serve: a configuration that is broken is told of, and the old one kept" {
  directory_image a
  directory_image b
  configuration imagewright.yml e2e/a a
  start_server
  until_true 30 jobs_are "e2e/a succeeded"
  echo 'builder: {' >imagewright.yml
  until_true 20 grep -q 'what was read before is kept' "$server_log"
  echo two >a/file.txt
  until_true 20 jobs_are "e2e/a succeeded,e2e/a succeeded"
  configuration imagewright.yml e2e/a a e2e/b b
  until_true 20 jobs_are "e2e/a succeeded,e2e/a succeeded,e2e/b succeeded"
  # One that left is forgotten, and by hand it is read anew, too.
  configuration imagewright.yml e2e/b b
  kill -HUP "$server_pid"
  until_true 20 eval '[ "$(row_names)" = e2e/b ]'
  end_server
}

@test "serve: who may ask what" {
  directory_image a
  configuration imagewright.yml e2e/a a
  start_server
  until_true 30 jobs_are "e2e/a succeeded"
  status_of() { curl -s -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' "$@"; }
  # Without a token: that it lives, and on this machine its figures.
  equal "$(status_of "$url/healthz") $(status_of "$url/readyz") $(status_of "$url/metrics")" "200 200 200"
  has "$(<"$BATS_TEST_TMPDIR/body")" 'imagewright_images{state="up-to-date"} 1' 'imagewright_jobs{state="succeeded"} 1'
  equal "$(status_of -H 'X-Forwarded-For: 192.0.2.1' "$url/metrics")" 401
  equal "$(status_of "$url/api/v1/jobs")" 401
  equal "$(status_of -H 'Accept: text/html' "$url/")" 401
  has "$(<"$BATS_TEST_TMPDIR/body")" '<form method="post" action="/login">'
  # By one that may read.
  expect 0 token --name reader
  reader=$output
  equal "$(status_of -H "Authorization: Bearer $reader" "$url/api/v1/jobs/1")" 200
  equal "$(jq -r .state "$BATS_TEST_TMPDIR/body")" succeeded
  equal "$(status_of -H "Authorization: Bearer $reader" "$url/api/v1/jobs/1/log")" 200
  has "$(<"$BATS_TEST_TMPDIR/body")" "building: never built" "built in"
  equal "$(status_of -X POST -H "Authorization: Bearer $reader" "$url/api/v1/trigger")" 403
  equal "$(status_of -H "Authorization: Bearer ${reader}0" "$url/api/v1/jobs")" 401
  # In a browser: a cookie.
  jar=$BATS_TEST_TMPDIR/jar
  equal "$(status_of -c "$jar" -d "token=$reader" "$url/login")" 303
  equal "$(status_of -b "$jar" -H 'Accept: text/html' "$url/")" 200
  has "$(<"$BATS_TEST_TMPDIR/body")" "<td>e2e/a</td>"
  equal "$(status_of -b "$jar" "$url/jobs/1")" 200
  has "$(<"$BATS_TEST_TMPDIR/body")" "<h1>e2e/a</h1>"
  # From another site, or under another name.
  expect 0 token --name builder --role build
  builder=$output
  equal "$(status_of -X POST -H "Authorization: Bearer $builder" "$url/api/v1/trigger")" 202
  equal "$(status_of -X POST -H "Authorization: Bearer $builder" -H 'Origin: http://evil.example' "$url/api/v1/trigger")" 403
  equal "$(status_of -H "Authorization: Bearer $builder" -H 'Host: evil.example' "$url/api/v1/jobs")" 421
  equal "$(status_of -X POST -H "Authorization: Bearer $builder" "$url/api/v1/reload")" 403
  # The command line, from elsewhere.
  IMAGEWRIGHT_TOKEN=$builder expect 0 trigger --server "$url" --force
  until_true 20 jobs_are "e2e/a succeeded,e2e/a succeeded"
  # Gone.
  expect 0 token --remove reader
  equal "$(status_of -H "Authorization: Bearer $reader" "$url/api/v1/jobs")" 401
  equal "$(iw token --json | jq -r '.[].name')" builder
  end_server
}

@test "serve: a log is followed as it comes, and from where it was left" {
  held_image slow
  image=e2e/slow
  one_image slow
  start_server
  until_true 30 holds
  expect 0 token --name reader
  curl -sN -H 'Accept: text/event-stream' -H "Authorization: Bearer $output" "$url/api/v1/jobs/1/log" \
    >"$BATS_TEST_TMPDIR/events" 3>&- &
  follower=$!
  until_true 20 grep -q 'building: never built' "$BATS_TEST_TMPDIR/events"
  lacks "$(<"$BATS_TEST_TMPDIR/events")" "event: end"
  let_go
  until_true 30 gone "$follower"
  has "$(tail -n 3 "$BATS_TEST_TMPDIR/events")" "event: end" succeeded
  log() { curl -s -H "Authorization: Bearer $output" "$url/api/v1/jobs/1/log$1"; }
  log "" >"$BATS_TEST_TMPDIR/whole"
  equal "$(sed -n 's/^data: {"text":/{"text":/p' "$BATS_TEST_TMPDIR/events" | jq -j .text)" "$(<"$BATS_TEST_TMPDIR/whole")"
  equal "$(log '?offset=10')" "$(tail -c +11 "$BATS_TEST_TMPDIR/whole")"
  end_server
}

@test "serve: mistakes people make" {
  directory_image a
  configuration imagewright.yml e2e/a a
  expect 2 serve --listen 8080
  has "$stderr" "'8080' is no HOST:PORT"
  expect 3 serve --listen 127.0.0.1:0 --tls-cert none.pem --tls-key none.pem
  has "$stderr" none.pem
  expect 3 jobs
  has "$stderr" "no server runs over the state in" "imagewright serve"
  start_server
  until_true 30 jobs_are "e2e/a succeeded"
  expect 3 serve --listen 127.0.0.1:0
  has "$stderr" "another run or server" "$server_pid"
  expect 2 cancel e2e/a
  has "$stderr" "no waiting or running job of an image 'e2e/a'"
  expect 2 retry 77
  has "$stderr" "there is no such job"
  expect 2 trigger -i nothing
  has "$stderr" "nothing"
  mkdir other
  directory_image other/b
  configuration other/imagewright.yml e2e/b b
  expect 3 serve --listen "${url#http://}" other/imagewright.yml
  has "$stderr" "${url##*:}"
  end_server
}

@test "serve: a webhook makes its repository due at once, and others are not asked" {
  exercised lighttpd
  mkdir -p "$BATS_TEST_TMPDIR/repos/work"
  git init -q "$BATS_TEST_TMPDIR/repos/work"
  (cd "$BATS_TEST_TMPDIR/repos/work" && printf 'FROM scratch\nCOPY . /\n' >Dockerfile && echo one >file.txt && git add . && git commit -qm one)
  git clone -q --bare "$BATS_TEST_TMPDIR/repos/work" "$BATS_TEST_TMPDIR/repos/app.git"
  start_git_http "$BATS_TEST_TMPDIR/http" "$BATS_TEST_TMPDIR/repos"
  configuration imagewright.yml e2e/app "$git_http_url/app.git"
  directory_image local
  printf '  - name: e2e/local\n    from: local\n' >>imagewright.yml
  printf 'It is a secret\n' >secret
  start_server --webhook-secret-file secret --interval 1h
  until_true 30 jobs_are "e2e/app succeeded,e2e/local succeeded"
  (cd "$BATS_TEST_TMPDIR/repos/work" && echo two >file.txt && git commit -qam two && git push -q "$BATS_TEST_TMPDIR/repos/app.git" main)
  # A change here does not ask there.
  echo two >local/file.txt
  until_true 20 jobs_are "e2e/app succeeded,e2e/local succeeded,e2e/local succeeded"
  sleep 0.5
  equal "$(jobs_now)" "e2e/app succeeded,e2e/local succeeded,e2e/local succeeded"
  body='{"ref":"refs/heads/main","after":"'$(git -C "$BATS_TEST_TMPDIR/repos/work" rev-parse HEAD)'","deleted":false,"repository":{"clone_url":"'$git_http_url/app.git'","ssh_url":"git@127.0.0.1:app.git","git_url":"git://127.0.0.1/app.git","html_url":"'$git_http_url/app'"}}'
  signature=$(printf %s "$body" | openssl dgst -sha256 -hmac 'It is a secret' | sed 's/.* //')
  hook() { # SIGNATURE [DELIVERY]
    curl -s -o "$BATS_TEST_TMPDIR/answer" -w '%{http_code}' -X POST -H 'Content-Type: application/json' -H 'X-GitHub-Event: push' \
      -H "X-GitHub-Delivery: ${2:-one}" ${1:+-H "X-Hub-Signature-256: $1"} --data-binary "$body" "$url/hooks"
  }
  equal "$(hook "")" 401
  equal "$(hook "sha256=")" 401
  equal "$(hook "sha256=${signature/[0-9]/x}")" 401
  sleep 0.3
  equal "$(jobs_now)" "e2e/app succeeded,e2e/local succeeded,e2e/local succeeded"
  equal "$(hook "sha256=$signature")" 202
  until_true 20 jobs_are "e2e/app succeeded,e2e/local succeeded,e2e/local succeeded,e2e/app succeeded"
  equal "$(content e2e/app file.txt)" two
  # The same once more is heard, and that is all.
  for _ in 1 2 3; do equal "$(hook "sha256=$signature")" 200; done
  equal "$(jq -r .status "$BATS_TEST_TMPDIR/answer")" "heard before"
  # Somebody who asks has everything asked anew.
  (cd "$BATS_TEST_TMPDIR/repos/work" && echo three >file.txt && git commit -qam three && git push -q "$BATS_TEST_TMPDIR/repos/app.git" main)
  expect 0 trigger
  has "$output" e2e/app
  until_true 20 jobs_are "e2e/app succeeded,e2e/local succeeded,e2e/local succeeded,e2e/app succeeded,e2e/app succeeded"
  equal "$(content e2e/app file.txt)" three
  end_server
}

@test "serve: answers are what the OpenAPI file says" {
  held_image slow
  directory_image b
  configuration imagewright.yml e2e/slow slow e2e/b b
  start_server -j 1
  until_true 30 holds
  expect 0 token --name builder --role build
  fits() { # METHOD PATH PART
    curl -s -X "$1" -H "Authorization: Bearer $output" "$url$2" |
      python3 "$BATS_TEST_DIRNAME/fits_schema.py" "$BATS_TEST_DIRNAME/../../docs/openapi.json" "#/components/schemas/$3"
  }
  fits GET /healthz Health
  fits GET /api/v1/images Images
  fits GET /api/v1/jobs Jobs
  fits GET '/api/v1/jobs?state=active&limit=1' Jobs
  fits GET /api/v1/jobs/1 Job
  fits GET /api/v1/jobs/99 Error
  fits GET '/api/v1/jobs?state=none' Error
  fits GET '/api/v1/nothing' Error
  fits GET /api/v1/workers Workers
  fits POST /api/v1/trigger Triggered
  fits POST /api/v1/reload Error
  fits POST /api/v1/jobs/1/cancel Job
  until_true 20 has_state 2 succeeded
  fits POST /api/v1/jobs/1/cancel Error
  fits POST /api/v1/jobs/1/retry Job
  fits GET /api/v1/jobs Jobs
  fits POST /hooks Error
  until_true 20 holds
  let_go
  end_server
}
