#!/usr/bin/env bats
# A fleet whose database is killed or away, that is told of many pushes at once, or whose worker is cut off for long.
# With --long as often and as long as it takes to say that it survives it; else the same, shorter. On Buildah.
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

state_of() { iw jobs --all --json | jq -r --arg image "$registry/e2e/$1" '[.[] | select(.image == $image)][0].state'; }
none_is_open() { [ "$(iw jobs --all --json | jq '[.[] | select(.state == "running" or .state == "queued" or .state == "blocked")] | length')" = 0 ]; }
# Puts a server and a worker over a PostgreSQL.
start_fleet() {
  start_postgres
  iw token --name workers --role worker --store "$postgres_url" >"$BATS_TEST_TMPDIR/worker.token"
  start_server --store "$postgres_url" --push "$@"
  start_worker one
}

@test "faults: PostgreSQL is killed over and over, and no job that somebody was told of is lost" {
  local kills=5 images=4 kill image
  ! is_long || kills=100
  local lines=()
  for image in $(seq "$images"); do
    directory_image "i$image"
    lines+=("$registry/e2e/i$image" "i$image")
  done
  configuration imagewright.yml "${lines[@]}"
  start_fleet
  until_true 60 none_is_open
  declare -A told=()
  for kill in $(seq "$kills"); do
    image=i$((kill % images + 1))
    echo "$kill" >"$image/file.txt"
    # Somebody asks for it, and is told which job it is; or is told that it cannot be said now, and asks again.
    stop_postgres KILL &
    local killing=$!
    for _ in {1..60}; do
      run --separate-stderr iw trigger -i "$registry/e2e/$image"
      [ "$status" -ne 0 ] || break
      wait "$killing" 2>/dev/null || true
      postgres_answers || resume_postgres
      sleep 0.3
    done
    [ "$status" -eq 0 ] || { echo "trigger: $status: $stderr" >&2; return 1; }
    told[$image]=$kill
    wait "$killing" 2>/dev/null || true
    postgres_answers || resume_postgres
  done
  until_true 180 none_is_open
  for image in "${!told[@]}"; do
    # (Up to date: it was built and pushed already, and that could not be said at once.)
    until_true 60 eval "[[ \$(state_of $image) =~ ^(succeeded|up-to-date)\$ ]]"
    equal "$(pushed "$registry/e2e/$image" file.txt)" "${told[$image]}"
  done
  equal "$(iw jobs --all --json | jq '[.[] | select(.state == "failed")] | length')" 0
  end_worker one
  end_server
}

@test "faults: PostgreSQL is away, and the build goes on and is nobody else's afterwards" {
  local away=15
  ! is_long || away=300
  hold=600.$RANDOM$RANDOM
  held_image slow
  configuration imagewright.yml "$registry/e2e/slow" slow
  start_fleet
  until_true 60 holds
  local step
  step=$(held_pid)
  stop_postgres KILL
  sleep "$away"
  equal "$(held_pid)" "$step"
  resume_postgres
  sleep 15
  equal "$(held_pid)" "$step"
  equal "$(state_of slow)" running
  let_go
  until_true 60 eval '[ "$(state_of slow)" = succeeded ]'
  equal "$(iw jobs --all --json | jq -r '[.[].attempts] | join(" ")')" 1
  equal "$(grep -c ': building' "$(worker_log one)")" 1
  equal "$(pushed "$registry/e2e/slow" file.txt)" "some text"
  end_worker one
  end_server
}

@test "faults: many pushes while one is built are one more build, of the last" {
  exercised lighttpd
  local work=$BATS_TEST_TMPDIR/repos/work pushes=20 push
  ! is_long || pushes=100
  hold=600.$RANDOM$RANDOM
  mkdir -p "$work"
  git init -q "$work"
  held_image held
  mv held/* "$work/"
  (cd "$work" && echo 0 >file.txt && git add . && git commit -qm 0)
  git clone -q --bare "$work" "$BATS_TEST_TMPDIR/repos/app.git"
  start_git_http "$BATS_TEST_TMPDIR/http" "$BATS_TEST_TMPDIR/repos"
  configuration imagewright.yml "$registry/e2e/app" "$git_http_url/app.git"
  echo secret >"$BATS_TEST_TMPDIR/secret"
  start_fleet --webhook-secret-file "$BATS_TEST_TMPDIR/secret" --interval 1h
  until_true 60 holds
  for push in $(seq "$pushes"); do
    (cd "$work" && echo "$push" >file.txt && git commit -qam "$push" && git push -q "$BATS_TEST_TMPDIR/repos/app.git" main)
    equal "$(tell_of_push "$git_http_url/app" "$work" "$push")" 202
  done
  let_go
  until_true 60 none_is_open
  equal "$(iw jobs --all --json | jq -r '[.[].state] | join(" ")')" "succeeded succeeded"
  equal "$(pushed "$registry/e2e/app" file.txt)" "$pushes"
  equal "$(grep -c ': building' "$(worker_log one)")" 2
  end_worker one
  end_server
}

@test "faults: a worker that is cut off for long ends what it builds after ten minutes, and not before" {
  is_long || skip "it takes twelve minutes (--long)"
  hold=1800.$RANDOM$RANDOM
  held_image slow
  configuration imagewright.yml "$registry/e2e/slow" slow
  start_fleet
  until_true 60 holds
  # (A server that does not answer is one that cannot be reached.)
  kill -STOP "$server_pid"
  local since=$SECONDS
  sleep 540
  holds
  until_true 120 holds_no_more
  [ $((SECONDS - since)) -ge 590 ]
  kill -CONT "$server_pid"
  # It is done again, and only once more.
  until_true 120 holds
  let_go
  until_true 60 eval '[ "$(state_of slow)" = succeeded ]'
  equal "$(grep -c ': building' "$(worker_log one)")" 2
  end_worker one
  end_server
}
