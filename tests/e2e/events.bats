#!/usr/bin/env bats
# What `build --json` prints is what docs/events.schema.json says, in all kinds of runs. On Buildah.
#
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # variables that common.bash and Bats set or use

load common

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  ENGINE=buildah
  project
  schema=$BATS_TEST_DIRNAME/../../docs/events.schema.json
}

teardown() { end_held; }

fits() { python3 "$BATS_TEST_DIRNAME/fits_schema.py" "$schema"; }

# have EVENT...: these kinds are among $events, which fit.
have() {
  fits <<<"$events" || return 1
  local kinds kind
  kinds=" $(jq -r .event <<<"$events" | sort -u | paste -sd' ') "
  for kind in "$@"; do has "$kinds" " $kind " || return 1; done
}

@test "events: those of a run fit the schema" {
  directory_image good
  directory_image bad
  echo 'COPY nothing /' >>bad/Dockerfile
  echo 'a|b*' >good/.dockerignore # with a warning
  configuration imagewright.yml e2e/good good e2e/bad bad e2e/missing missing
  run_build -j 1
  equal "$status $built $(images_with failed)" "1 e2e/good e2e/bad e2e/missing"
  have step run-started image-started image-decided build-started output image-finished warning run-finished
}

@test "events: those of later runs, too" {
  directory_image first
  directory_image second
  configuration imagewright.yml e2e/first first e2e/second second
  run_build -j 1
  equal "$built" "e2e/first e2e/second"
  # Each kind of change.
  echo changed >first/file.txt
  touch first/added
  run_build -n
  equal "$(images_with would-build)" "e2e/first"
  have image-finished
  run_build
  equal "$(jq -c 'select(.event == "image-decided" and .build).reasons[0].changes | [.changed, .added]' <<<"$events")" "[1,1]"
  have image-decided build-started
  configuration imagewright.yml e2e/first first
  run_build --force
  have row-retired
  echo 'builder: {images: [{name: e2e/first, from: first, args: {A: b}, labels: {l: m}}]}' >imagewright.yml
  run_build
  equal "$(reasons)" "arg A added,label l added"
  have image-decided
}

@test "events: those of a run that stops at a failure, and of one that is interrupted" {
  directory_image bad
  echo 'COPY nothing /' >>bad/Dockerfile
  held_image held
  configuration imagewright.yml e2e/bad bad e2e/held held
  run_build --fail-fast -j 1
  equal "$(images_with skipped)" e2e/held
  have image-finished
  configuration imagewright.yml e2e/held held
  start_build --json
  until_true 30 holds
  run_build --no-wait
  equal "$status" 3
  kill -INT "$run_pid"
  end_of_build
  equal "$status" 130
  events=$(<"$run_out")
  have build-started run-finished
  equal "$(images_with skipped)" e2e/held
}

@test "events: those of a run that waits for another one" {
  held_image held
  configuration imagewright.yml e2e/held held
  start_build
  until_true 30 holds
  local first=$run_pid
  "$IMAGEWRIGHT" build --json >second 2>/dev/null 3>&- &
  local second=$!
  until_true 10 grep -q '"waiting"' second
  let_go
  wait "$first" "$second"
  run_pid=
  events=$(<second)
  have waiting run-finished
}

# refused WORDS EVENT: the schema does not fit it, for that reason.
refused() {
  run fits <<<"$2"
  [ "$status" -eq 1 ] && has "$output" "$1"
}

@test "events: the schema refuses what is none" {
  fits <<<'{"event": "step", "text": "something"}'
  refused "event.text is no string" '{"event": "step", "text": 1}'
  refused "has no text" '{"event": "step"}'
  refused "is not in the schema" '{"event": "step", "text": "", "more": 1}'
  refused "fits 0 of the ways" '{"event": "no such"}'
  refused "reasons[0].kind is none of" '{"event": "image-decided", "image": "a", "build": true, "reasons": [{"kind": "x"}]}'
  refused "is not 1" '{"event": "run-started", "version": 2, "config": "c", "images": 1, "jobs": 1}'
  refused "is less than 1" '{"event": "run-started", "version": 1, "config": "c", "images": 1, "jobs": 0}'
}
