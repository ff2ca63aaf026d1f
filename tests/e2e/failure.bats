#!/usr/bin/env bats
# What goes wrong during a run: builds that fail, interrupts, other runs over the same state, kill -9. On Buildah.
#
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # variables that common.bash and Bats set or use

load common

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  ENGINE=buildah
  project
  image=e2e/t$$-$BATS_TEST_NUMBER
}

teardown() { end_held; }

# A directory whose build says "line 1" to "line 40" and fails with status 3.
failing_image() {
  directory_image "$1"
  cp "$(type -P busybox)" "$1/busybox"
  cat >"$1/Dockerfile" <<'END'
FROM scratch
COPY busybox /
RUN ["/busybox", "sh", "-c", "for i in $(/busybox seq 40); do echo line $i; done; exit 3"]
END
}

# imagewright.yml with images $image-WORD of the directories WORD...
images() {
  local word
  echo "builder: {images: [" >imagewright.yml
  for word in "$@"; do echo "  {name: $image-$word, from: $word}," >>imagewright.yml; done
  echo "]}" >>imagewright.yml
}

no_containers() { [ "$(buildah containers -q)" = "" ]; }

@test "failure: the others go on, and the last lines and the log's place are told; exit 1" {
  directory_image one
  failing_image bad
  directory_image two
  images one bad two
  run --separate-stderr iw build
  [ "$status" -eq 1 ]
  [[ "$output" == *"built $image-one in "*"built $image-two in "* ]]
  [[ "$output" != *"$image-bad"* ]]
  [[ "$stderr" == "failed $image-bad: buildah build ended with status 3"* ]]
  [[ "$stderr" == *"  | line 40"* ]]
  [[ "$stderr" != *"line 2"[^0-9]* ]] # the last lines, not all of them
  local log
  log=$(sed -n 's/^  the whole log: //p' <<<"$stderr")
  [ "$(grep -xE 'line [0-9]+' "$log")" = "$(seq -f 'line %g' 40)" ]
  [ "$(state "select log from build where name = '$image-bad'")" = "$log" ]
  [ "$(iw log "$image-bad")" = "$(<"$log")" ]
  [ "$(state "select name from image_state order by name")" = "$image-one
$image-two" ]
}

@test "failure: the last success stays in the state, status says failed, and mending it builds" {
  directory_image app
  images app
  run_build
  local before
  before=$(state "select * from image_state; select * from image_input")
  cp -r app good
  failing_image app
  run_build
  [ "$status" -eq 1 ]
  [ "$(images_with failed)" = "$image-app" ]
  [ "$(state "select * from image_state; select * from image_input")" = "$before" ]
  run iw status --json
  [ "$status" -eq 0 ]
  [ "$(field "$output" '.[0].state')" = failed ]
  [[ "$(field "$output" '.[0].message')" == *"ended with status 3"* ]]
  # It is tried again, not taken for granted.
  run_build
  [ "$status" -eq 1 ]
  [ "$(state "select result from build order by id" | paste -sd' ')" = "success failed failed" ]
  sed -i 's/exit 3/exit 0/' app/Dockerfile
  [ "$(iw status --json | jq -r '.[0].state')" = stale ]
  run_build
  [ "$status" -eq 0 ]
  [ "$built" = "$image-app" ]
  # Back to what was built first: the failures between left no claim.
  rm -r app
  mv good app
  run_build
  [ "$built" = "$image-app" ]
  [ "$(content "$image-app" file.txt)" = "some text" ]
  run_build
  [ "$built" = "" ]
}

@test "failure: a source that is missing fails its image only" {
  directory_image here
  images gone here
  run --separate-stderr iw build
  [ "$status" -eq 1 ]
  [[ "$stderr" == *"failed $image-gone: "*"gone"* ]]
  [[ "$output" == *"built $image-here in "* ]]
}

@test "failure: with --fail-fast nothing more is started" {
  directory_image one
  failing_image bad
  directory_image two
  images one bad two
  run_build --fail-fast -j 1
  [ "$status" -eq 1 ]
  [ "$built" = "$image-one" ]
  [ "$(images_with failed)" = "$image-bad" ]
  [ "$(images_with skipped)" = "$image-two" ]
  [ "$(state "select name from image_state")" = "$image-one" ]
  # Without it the same run goes on.
  run_build
  [ "$status" -eq 1 ]
  [ "$built" = "$image-two" ]
}

@test "state: an image is in it as soon as it is built, while the next one still builds" {
  directory_image quick
  held_image slow
  images quick slow
  start_build
  until_true 30 holds
  [ "$(state "select name, verified from image_state")" = "$image-quick|1" ]
  [ "$(state "select image_id from image_state")" = "$(engine_id "$image-quick")" ]
  [ "$(state "select name, result from build")" = "$image-quick|success" ]
  # status takes no lock, and sees it too.
  [ "$(timeout 10 "$IMAGEWRIGHT" status --json | jq -r '.[].state' | paste -sd' ')" = "up-to-date stale" ]
  holds
  let_go
  end_of_build
  [ "$status" -eq 0 ]
  [ "$(state "select count(*) from image_state")" = 2 ]
}

# interrupted_by SIGNAL STATUS
interrupted_by() {
  directory_image quick
  held_image slow
  images quick slow
  start_build -v
  until_true 30 holds
  grep -q "Working on $image-slow" "$run_err"
  local before
  before=$(state "select * from image_state")
  kill "-$1" "$run_pid"
  end_of_build 10
  [ "$status" -eq "$2" ]
  # Nothing is awaited here: when we end, all that we started has ended.
  holds_no_more
  no_containers
  [ "$(pgrep -f -- "-t $image-slow" | wc -l)" -eq 0 ]
  [ "$(state "select * from image_state")" = "$before" ]
  [ "$(state "select name from image_state")" = "$image-quick" ]
  run --separate-stderr iw build -i "$image-quick" -v
  [ "$status" -eq 0 ]
  [[ "$stderr" == *"Build? False"* ]]
}

@test "interrupt: SIGINT ends the engine and keeps what is finished; exit 130" { interrupted_by INT 130; }
@test "interrupt: SIGTERM ends the engine and keeps what is finished; exit 143" { interrupted_by TERM 143; }

@test "interrupt: a run that waits for another one ends at once" {
  held_image slow
  images slow
  start_build
  until_true 30 holds
  local first=$run_pid
  start_build -v
  until_true 10 grep -q "Waiting for another run" "$run_err"
  kill -INT "$run_pid"
  end_of_build 5
  [ "$status" -eq 130 ]
  run_pid=$first
  holds
  let_go
  end_of_build
  [ "$status" -eq 0 ]
}

@test "lock: a second run waits, says for whom, and then does its job" {
  held_image slow
  images slow
  directory_image other
  printf 'builder: {images: [{name: %s-other, from: other}]}\n' "$image" >second.yml
  start_build
  until_true 30 holds
  local first=$run_pid
  "$IMAGEWRIGHT" build second.yml >second.out 2>second.err 3>&- &
  local second=$!
  until_true 10 grep -q . second.err
  [ "$(<second.err)" = "imagewright: waiting for another run (process $first) to finish with the state in $PWD" ]
  holds
  [ ! -s second.out ]
  [ "$(buildah images -q "$image-other" 2>/dev/null)" = "" ]
  let_go
  end_of_build
  [ "$status" -eq 0 ]
  run_pid=$second
  end_of_build
  [ "$status" -eq 0 ]
  [[ "$(<second.out)" == "built $image-other in "* ]]
  [ "$(state "select name from image_state order by name" | paste -sd' ')" = "$image-other $image-slow" ]
}

@test "lock: with --no-wait the second run gives up; exit 3" {
  held_image slow
  images slow
  start_build
  until_true 30 holds
  run --separate-stderr timeout 10 "$IMAGEWRIGHT" build --no-wait
  [ "$status" -eq 3 ]
  [ "$stderr" = "imagewright: another run holds the state in $PWD" ]
  [ "$output" = "" ]
  # Another state directory is another matter.
  directory_image other
  printf 'builder: {images: [{name: %s-other, from: other}]}\n' "$image" >second.yml
  run timeout 20 "$IMAGEWRIGHT" build second.yml --no-wait -s elsewhere
  [ "$status" -eq 0 ]
  holds
  let_go
  end_of_build
  [ "$status" -eq 0 ]
}

@test "kill -9: the lock is free at once, and what was left behind is cleared away later" {
  directory_image quick
  held_image slow
  images quick slow
  start_build
  until_true 30 holds
  kill -9 "$run_pid"
  end_of_build
  [ "$status" -eq 137 ]
  let_go # the RUN process, which has lost its engine
  [ "$(find "$XDG_CACHE_HOME/imagewright/staging" -mindepth 1 -maxdepth 1 | wc -l)" -eq 1 ]
  cp quick/Dockerfile slow/Dockerfile
  # What is older than a minute and in nobody's use.
  touch -d '2 minutes ago' "$XDG_CACHE_HOME"/imagewright/staging/*
  run timeout 20 "$IMAGEWRIGHT" build --no-wait
  [ "$status" -eq 0 ]
  [[ "$output" == "built $image-slow in "* ]]
  no_leftovers
}

# The rows of the state, read from a copy: what a crash left is for imagewright to mend, not for sqlite3. None before
# there is a table; fails for a damaged file.
rows() {
  local copy database
  copy=$(mktemp -d "$BATS_TEST_TMPDIR/XXXXXX")
  database=$copy/.builder.state.db
  [ ! -e .builder.state.db ] || cp .builder.state.db "$copy" || return 1
  [ ! -e .builder.state.db-wal ] || cp .builder.state.db-wal "$copy" || return 1
  [ "$(sqlite3 "$database" 'pragma integrity_check')" = ok ] || return 1
  if [ "$(sqlite3 "$database" "select count(*) from sqlite_schema where name = 'image_state'")" = 1 ]; then
    sqlite3 "$database" "select name, digest, image_id, verified from image_state order by name" || return 1
  fi
  rm -r "$copy"
}

# "NAME IMAGE-ID" of every build that the run in $run_out had told as finished.
told_as_built() {
  # The last line may be cut off.
  jq -Rr 'fromjson? | select(.event == "image-finished" and .result == "built") | "\(.image) \(.image_id)"' "$run_out"
}

# A run that is killed after so many milliseconds. What the run had told as finished must be in the state, and in the
# engine; what was in the state stays unless this run built it anew.
killed_after() {
  local before after name id
  before=$(rows)
  start_build --json
  sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
  kill -9 "$run_pid" 2>/dev/null || true # it may have ended before
  end_of_build
  [ "$status" -eq 137 ] || [ "$status" -eq 0 ]
  after=$(rows)
  while read -r name id; do
    [ -n "$name" ] || continue
    grep -q "^$name|.*|$id|1$" <<<"$after" || { echo "told, but not in the state: $name $id"; return 1; }
    [ "$(engine_id "$name")" = "$id" ] || { echo "in the state, but not in the engine: $name $id"; return 1; }
  done < <(told_as_built)
  while IFS='|' read -r name _; do
    [ -n "$name" ] || continue
    grep -q "^$name|" <<<"$after" || { echo "lost: $name"; return 1; }
  done <<<"$before"
}

# What is finished is not built again: every image whose row is of the present round.
not_built_again() {
  local name
  while read -r name; do
    [[ " $built " != *" $name "* ]] || { echo "built twice: $name"; return 1; }
  done <<<"$finished"
}

@test "kill -9 at random moments: the next run starts, no finished build is lost, and the runs converge" {
  local rounds=20 seed=${IMAGEWRIGHT_SEED:-$RANDOM} round word finished fresh now longest
  ! is_long || rounds=100
  echo "IMAGEWRIGHT_SEED=$seed" # shown where it fails
  RANDOM=$seed
  for word in one two three; do directory_image "$word"; done
  images one two three
  # Something that says how long a run is here.
  run_build
  [ "$status" -eq 0 ]
  longest=$(jq 'select(.event == "run-finished").seconds * 1200 | floor' <<<"$events")
  finished=
  for ((round = 1; round <= rounds; ++round)); do
    # New contents when all is built; else the killed run's work goes on.
    if [ "$(wc -w <<<"$finished")" -eq 0 ]; then
      for word in one two three; do echo "round $round" >"$word/file.txt"; done
      fresh=$(rows)
    fi
    killed_after $((RANDOM % longest))
    now=$(rows)
    finished=$(LC_ALL=C comm -13 <(echo "$fresh") <(echo "$now") | cut -d'|' -f1)
    if [ "$(wc -w <<<"$finished")" -eq 3 ] || [ $((RANDOM % 3)) -eq 0 ]; then
      run_build
      [ "$status" -eq 0 ]
      not_built_again
      [ "$(($(wc -w <<<"$built") + $(wc -w <<<"$finished")))" -eq 3 ]
      finished=
    fi
  done
  run_build
  [ "$status" -eq 0 ]
  for word in one two three; do [ "$(content "$image-$word" file.txt)" = "$(<"$word/file.txt")" ]; done
  run_build
  [ "$status" -eq 0 ]
  [ "$built" = "" ]
}
