#!/usr/bin/env bats
# Images that stand on each other, several at once: what does not depend on the engine. On Buildah.
#
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # variables that common.bash and Bats set or use

load common

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  exercised buildah
  ENGINE=buildah
  project
  image=e2e/t$BATS_TEST_NUMBER
}

teardown() {
  [ -z "${run_pid:-}" ] || kill -9 "$run_pid" 2>/dev/null || true
  [ -z "${hold:-}" ] || held_pid | xargs -r kill
  no_leftovers
}

# from_images NAME PARENT...: a directory whose Dockerfile stands on the first and copies from the others.
from_images() {
  directory_image "$1"
  {
    echo "FROM ${2:-scratch}"
    for parent in "${@:3}"; do echo "COPY --from=$parent /file.txt /copied.txt"; done
    echo "COPY . /"
  } >"$1/Dockerfile"
}

# a <- b <- c, and d alone: named test/a …, the children first.
four_images() {
  from_images a
  from_images b test/a
  from_images c test/b test/a
  from_images d
  configuration imagewright.yml test/c c test/b b test/a a test/d d
}

@test "graph: text, DOT and JSON" {
  four_images
  sed -i '1s/scratch/debian:12/' d/Dockerfile
  expect 0 graph
  equal "$stderr" ""
  equal "$output" "test/a
test/b
  test/a (FROM, line 1)
test/c
  test/b (FROM, line 1)
  test/a (COPY --from, line 2)
test/d
  debian:12 (FROM, line 1; not of this file)"
  expect 0 graph --format dot
  has "$output" 'digraph imagewright {' '"test/a" -> "test/b";' '"test/a" -> "test/c" [label="copy"];' \
    '"debian:12" [style=dashed];'
  expect 0 graph --json
  equal "$(field "$output" '.[2] | [.name, .parents[0].image, .parents[0].kind, .parents[1].line] | join(" ")')" \
    "test/c test/b from 2"
  equal "$(field "$output" '.[3].external[0].image')" debian:12
  # Of what was asked for, and what that stands on.
  expect 0 graph -i test/b
  equal "$output" $'test/a\ntest/b\n  test/a (FROM, line 1)'
  [ ! -e .builder.state.db ]
}

@test "graph: an image without a Dockerfile is named, and the others are shown" {
  four_images
  rm a/Dockerfile
  expect 1 graph
  has "$output" "test/c"
  has "$stderr" "imagewright: test/a: there is no Dockerfile"
}

@test "cycle: it is printed, with what makes it, and nothing is built" {
  four_images
  sed -i '1s|.*|FROM test/c|' a/Dockerfile
  expect_refused 2 build
  has "$stderr" "test/c stands on test/b (FROM, line 1), test/b on test/a (FROM, line 1), test/a on test/c (FROM, line 1)"
  expect_refused 2 status
  expect_refused 2 graph
  # What does not need it can be built.
  run_build -i test/d
  equal "$built" test/d
}

@test "cycle: an image that stands on itself" {
  from_images a test/a
  one_image a
  sed -i "s|name: .*|name: docker.io/test/a:latest|" imagewright.yml
  expect_refused 2 build
  has "$stderr" "docker.io/test/a:latest stands on itself (FROM, line 1)"
}

@test "selection: what an image stands on comes along, and nothing else" {
  four_images
  run_build -i test/b
  [ "$status" -eq 0 ]
  equal "$built" "test/a test/b"
  run_build
  equal "$built" "test/d test/c"
}

@test "depends_on: it comes first, and when it changes, so does what depends on it" {
  directory_image a
  directory_image b
  cat >imagewright.yml <<'END'
builder:
  images:
  - {name: test/b, from: b, depends_on: [test/a]}
  - {name: test/a, from: a}
END
  run_build
  equal "$built" "test/a test/b"
  echo more >>a/file.txt
  run_build
  equal "$built" "test/a test/b"
  has "$(reasons)" "parent test/a changed"
}

@test "depends_on: a name that is no image is refused with the one that was meant" {
  directory_image a
  printf 'builder:\n  images:\n  - {name: test/a, from: a, depends_on: test/aa}\n  - {name: test/bb, from: a}\n' \
    >imagewright.yml
  expect_refused 2 build
  has "$stderr" "imagewright.yml:3:" "test/aa"
}

@test "contexts: an image stands in for a name of the Dockerfile" {
  from_images a
  from_images b base
  echo "of a" >a/of-a
  cat >imagewright.yml <<'END'
builder:
  images:
  - name: test/b
    from: b
    additional_contexts: {base: "image:test/a"}
  - {name: test/a, from: a}
END
  run_build
  [ "$status" -eq 0 ]
  equal "$built" "test/a test/b"
  equal "$(content test/b of-a)" "of a"
}

@test "status and dry runs: what stands on what would be built is told to be so" {
  four_images
  run_build
  [ "$status" -eq 0 ]
  echo more >>a/file.txt
  expect 0 status
  has "$output" "test/a  stale       content: 1 changed: file.txt"
  [[ "$output" == *"test/b  stale       its parent test/a would be built first"* ]]
  has "$output" "test/c  stale       its parent test/b would be built first; its parent test/a would be built first"
  has "$output" "test/d  up-to-date"
  expect 0 status --json
  equal "$(field "$output" '.[1].reasons[0].kind')" parent-stale
  expect 0 build -n
  equal "$output" "would build test/a (content: 1 changed: file.txt)
would build test/b (its parent test/a would be built first)
would build test/c (its parent test/b would be built first; its parent test/a would be built first)"
  run_build
  equal "$built" "test/a test/b test/c"
}

@test "dockerfile: what is wrong in it is told with its line before anything is built" {
  directory_image a
  printf 'FROM scratch\nCOPY a b\nFROM\n' >a/Dockerfile
  one_image a
  expect 1 build
  has "$stderr" "failed $image: Dockerfile:3: FROM takes an image"
}

# --- Several at once

# Three images that stay in a RUN step each: names the number of those that are there at once.
three_held() {
  local name
  for name in one two three; do
    held_image $name
    echo "$name" >$name/file.txt
    # Of its own from the first step on: none finds the others' among the engine's earlier steps.
    sed -i 's|COPY busybox /|COPY busybox file.txt /|' $name/Dockerfile
  done
  configuration imagewright.yml test/one one test/two two test/three three
}
so_many_hold() { [ "$(held_pid | wc -l)" -eq "$1" ]; }

@test "jobs: as many as were asked for build at once, and no more" {
  three_held
  start_build --json -j 2
  until_true 30 so_many_hold 2
  sleep 1
  so_many_hold 2
  kill "$(held_pid | head -n 1)"
  until_true 30 so_many_hold 2 # the third one took its place
  let_all_go
  end_of_build
  [ "$status" -eq 0 ]
  events=$(<"$run_out")
  [ "$(images_with built | wc -w)" -eq 3 ]
  equal "$(jq 'select(.event == "run-started").jobs' <<<"$events")" 2
}
let_all_go() {
  until gone "$run_pid"; do
    held_pid | xargs -r kill 2>/dev/null || true
    sleep 0.05
  done
}

one_holds_after_the_other() {
  local _
  for _ in 1 2 3; do
    until_true 30 so_many_hold 1
    sleep 0.3
    so_many_hold 1
    let_go
  done
  end_of_build
  [ "$status" -eq 0 ]
}

@test "jobs: one at a time with -j 1" {
  three_held
  start_build -j 1
  one_holds_after_the_other
}

@test "jobs: a heavy image is built alone, and the lighter ones behind it wait" {
  three_held
  sed -i 's|from: two|&\n    weight: 5|' imagewright.yml
  start_build -j 3
  one_holds_after_the_other
}

@test "jobs: Ctrl-C ends all that build, and nothing of them stays" {
  three_held
  start_build --json -j 3
  until_true 30 so_many_hold 3
  kill -INT "$run_pid"
  end_of_build
  [ "$status" -eq 130 ]
  until_true 5 holds_no_more
  equal "$(buildah containers -q)" ""
  events=$(<"$run_out")
  [ "$(images_with skipped | wc -w)" -eq 3 ]
  equal "$(state "select distinct result from build")" interrupted
}

@test "interrupt: a build that copies when Ctrl-C comes leaves no container" {
  local name
  for name in one two; do
    mkdir $name
    head -c 20000000 /dev/urandom >$name/big
    { echo "FROM scratch"; printf 'COPY big /%s\n' 1 2 3 4 5 6 7 8; } >$name/Dockerfile
  done
  configuration imagewright.yml test/one one test/two two
  local layers
  for layers in 1 3; do
    start_build --json -j 2 --force
    until_true 30 grep -q "STEP $((layers + 1))/9" "$run_out"
    kill -INT "$run_pid"
    end_of_build
    [ "$status" -eq 130 ]
    equal "$(buildah containers -q)" ""
  done
}

@test "timeout: a build that takes longer is ended, the others are not touched" {
  three_held
  sed -i 's|from: one|&\n    timeout: 4s|' imagewright.yml
  start_build --json -j 3
  until_true 60 grep -q '"image":"test/one","result":"failed"' "$run_out"
  until_true 60 so_many_hold 2
  sleep 0.5
  so_many_hold 2
  let_all_go
  end_of_build
  [ "$status" -eq 1 ]
  events=$(<"$run_out")
  equal "$(images_with failed)" test/one
  has "$(jq -r 'select(.result == "failed").message' <<<"$events")" "took longer than 4.0 s"
  [ "$(images_with built | wc -w)" -eq 2 ]
  equal "$(buildah containers -q)" ""
}

@test "retries: a build that fails is tried again, and each attempt is remembered" {
  directory_image a
  cp "$(type -P busybox)" a/
  # Fails until something outside says otherwise: the second attempt finds it.
  mkdir flag
  cat >a/Dockerfile <<'END'
FROM scratch
COPY . /
RUN ["/busybox", "false"]
END
  one_image a "retries: 2"
  run_build
  [ "$status" -eq 1 ]
  equal "$(state "select count(*), group_concat(distinct result) from build")" "3|failed"
  equal "$(jq -r 'select(.event == "warning").text' <<<"$events")" \
    "$image: buildah build ended with status 1; trying again (2 left)
$image: buildah build ended with status 1; trying again (1 left)"
}

@test "fail-fast: what builds is ended well, what waits is not begun" {
  held_image slow
  directory_image bad
  echo 'COPY missing /' >>bad/Dockerfile
  directory_image later
  configuration imagewright.yml test/slow slow test/bad bad test/later later
  start_build --json -j 2 --fail-fast
  until_true 30 holds
  until_true 30 grep -q '"result":"failed"' "$run_out"
  let_go
  end_of_build
  [ "$status" -eq 1 ]
  events=$(<"$run_out")
  equal "$(images_with built)" test/slow
  equal "$(images_with failed)" test/bad
  equal "$(images_with skipped)" test/later
  # Though it does not stand on it.
  equal "$(jq -r 'select(.result == "skipped").because' "$run_out")" test/bad
}

@test "order: what much stands on and takes long comes first, by earlier durations" {
  four_images
  run_build
  sqlite3 .builder.state.db "update build set duration_ms = case name when 'test/d' then 9000 else 1000 end"
  run_build --force -j 2
  [ "$status" -eq 0 ]
  equal "$(jq -r 'select(.event == "image-started").image' <<<"$events" | head -n 1)" test/d
  sqlite3 .builder.state.db "update build set duration_ms = case name when 'test/d' then 900 else 1000 end"
  run_build --force -j 2
  equal "$(jq -r 'select(.event == "image-started").image' <<<"$events" | head -n 1)" test/a
}

@test "many: more images than files may be open are looked at" {
  printf 'builder:\n  images:\n' >imagewright.yml
  local i
  for i in $(seq 1200); do
    mkdir "d$i"
    printf 'FROM scratch\nCOPY . /\n' >"d$i/Dockerfile"
    printf '  - {name: test/d%s, from: d%s}\n' "$i" "$i" >>imagewright.yml
  done
  ulimit -Sn 1024
  expect 0 status --json
  equal "$stderr" ""
  equal "$(field "$output" '[.[].state] | unique | join(" ")')" stale
  equal "$(field "$output" length)" 1200
}
