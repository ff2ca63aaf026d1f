#!/usr/bin/env bats
# `why` and `history`: every input as it was and as it is, and what was built when. On Buildah.
#
# shellcheck disable=SC2034,SC2154 # variables that common.bash and Bats set or use

load common
load registry_servers

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  exercised buildah
  project
  ENGINE=buildah
  image=e2e/why$BATS_TEST_NUMBER
}

teardown() { stop_registries; }

why() { iw why "$image" --json "$@"; }

# The inputs of `why` that are not the same, a line each.
moved() {
  why | jq -r '.inputs[] | select(.state != "same") | [.state, .kind, .name, .before, .now] | map(. // "-") | join(" ")'
}

# The files that changed, a line each.
files() { why | jq -r '.reasons[] | select(.input == "context").changes.files[] | .change + " " + .path'; }

@test "why: nothing changed" {
  directory_image test
  one_image test 'args: {A: "1"}'
  run_build
  expect 0 why "$image"
  has "$output" "$image is up-to-date" "because  never built" "same     arg A" "same     context" "same     dockerfile"
  lacks "$output" changed
  equal "$(moved)" ""
}

@test "why: what was never built has inputs all the same" {
  directory_image test
  one_image test
  expect 0 why "$image"
  has "$output" "$image is stale: never built" "added    context"
}

@test "why: files that were added, removed and changed, and what of them" {
  directory_image test
  mkdir test/dir
  for file in content mode removed type dir/file; do echo "$file" >"test/$file"; done
  ln -s content test/link
  one_image test
  run_build
  echo other >test/content
  chmod 600 test/mode
  rm test/removed test/type
  ln -s content test/type
  ln -sfn mode test/link
  echo new >test/dir/new
  equal "$(files)" "content content
added dir/new
target link
mode mode
removed removed
type type"
  expect 0 why "$image"
  has "$output" "stale: content: 4 changed, 1 added, 1 removed" "           mode       mode" \
    "           added      dir/new"
}

@test "why: args, labels, target and options, old and new" {
  directory_image test
  printf 'FROM scratch AS a\nCOPY . /\nFROM scratch AS b\nCOPY . /\n' >test/Dockerfile
  one_image test 'args: {KEPT: x, CHANGED: "1.9", GONE: "1"}' 'labels: {a: old}' 'target: a' 'extra_hosts: {h: 10.0.0.1}'
  run_build
  [ "$status" -eq 0 ]
  one_image test 'args: {KEPT: x, CHANGED: "1.10", NEW: ""}' 'labels: {a: new}' 'target: b' 'extra_hosts: {h: 10.0.0.2}'
  equal "$(moved)" "changed target - a b
changed arg CHANGED 1.9 1.10
removed arg GONE 1 -
added arg NEW - -
changed label a old new
changed option extra_hosts h=10.0.0.1, h=10.0.0.2,"
  expect 0 why "$image"
  has "$output" "1.9 → 1.10" "added    arg NEW" "''"
}

@test "why: a secret's change is told, and not the secret" {
  directory_image test
  echo "the first" >secret
  one_image test 'secrets: [{id: s, file: secret}]'
  run_build
  echo "the second" >secret
  equal "$(why | jq -r '.inputs[] | select(.kind == "secret") | .state')" changed
  lacks "$(why)$(iw why "$image")$(state 'SELECT * FROM image_input')" "the first" "the second"
}

@test "why: parents and bases, old and new" {
  exercised docker-registry python3
  start_plain_registry
  push_base "$registry/base:1" one >/dev/null
  local before=$base_config
  directory_image parent
  mkdir test
  printf 'FROM %s\nCOPY --from=%s /file.txt /\n' "$registry/base:1" "$image-parent" >test/Dockerfile
  configuration imagewright.yml "$image" test "$image-parent" parent
  run_build
  [ "$status" -eq 0 ]
  local parent
  parent=$(engine_id "$image-parent")
  push_base "$registry/base:1" two >/dev/null
  equal "$(moved)" "changed base $registry/base:1 $before $registry/base@$(stored_manifest) $base_config $registry/base@$base_manifest"
  equal "$(why | jq -r '.inputs[] | select(.kind == "parent") | .before')" "$parent"
  echo other >parent/file.txt
  expect 0 why "$image"
  has "$output" "its parent $image-parent would be built first"
}

# The manifest that the state has of the base.
stored_manifest() { state "SELECT value FROM image_input WHERE kind = 'base'" | sed 's/.*@//'; }

@test "why: a parent that was never built has no digest" {
  directory_image parent
  echo 'COPY nothing /' >>parent/Dockerfile
  mkdir test
  printf 'FROM %s\n' "$image-parent" >test/Dockerfile
  configuration imagewright.yml "$image" test "$image-parent" parent
  expect 0 why "$image"
  has "$output" "parent $image-parent" "not built yet"
  lacks "$output" e3b0c44298fc
  equal "$(why | jq -c '.inputs[] | select(.kind == "parent") | [.now, .digest_now]')" '[null,null]'
}

@test "why: an image that is gone, --force and max_age" {
  directory_image test
  one_image test 'max_age: 1h'
  run_build
  equal "$(iw status --json | jq -r '.[0].state')" up-to-date
  expect 0 why "$image" --force
  has "$output" "is stale: forced"
  sql "UPDATE image_state SET built_ms = built_ms - 3600001"
  expect 0 why "$image"
  has "$output" "is stale: older than its max_age of 1h"
  run_build
  equal "$(reasons)" "older than its max_age of 1h"
  equal "$(iw status --json | jq -r '.[0].state')" up-to-date
  remove_image "$image"
  expect 0 why "$image"
  has "$output" "is stale: image is gone from buildah"
}

@test "max_age: what is too old gets what its steps bring today" {
  mkdir test
  cp "$(type -P busybox)" test/busybox
  printf 'FROM scratch\nCOPY busybox /\nRUN ["/busybox","sh","-c","/busybox cat /proc/uptime > /now"]\n' >test/Dockerfile
  one_image test 'max_age: 1h'
  run_build
  [ "$status" -eq 0 ]
  local before
  before=$(content "$image" now)
  sql "UPDATE image_state SET built_ms = built_ms - 3600001"
  sleep 0.02
  run_build
  equal "$built" "$image"
  [ "$(content "$image" now)" != "$before" ]
}

@test "why: git trees and the commits between" {
  exercised git
  git init -q repository
  mkdir repository/sub
  directory_image repository/sub
  git -C repository add .
  git -C repository commit -q -m "the first"
  printf 'builder:\n  images:\n  - {name: %s, from: {git: ./repository, subdir: sub}}\n' "$image" >imagewright.yml
  run_build
  [ "$status" -eq 0 ]
  local tree
  tree=$(git -C repository rev-parse HEAD:sub)
  git -C repository commit -q --allow-empty -m "beside it"
  echo other >repository/sub/file.txt
  git -C repository commit -q -a -m $'the second\n\nwith a body'
  equal "$(why | jq -r '.git | .tree_before + " " + .tree_now')" "$tree $(git -C repository rev-parse HEAD:sub)"
  equal "$(why | jq -r '.git.commits[] | .id + " " + .subject')" "$(git -C repository log --format='%H %s' HEAD~2..)"
  expect 0 why "$image"
  has "$output" "tree     ${tree:0:12} → " "the second" "beside it"
  lacks "$output" "the first"
  # A history that was rewritten leaves what was built behind.
  git -C repository checkout -q --orphan other
  git -C repository commit -q -m rewritten
  git -C repository branch -f main other
  git -C repository checkout -q main
  expect 0 why "$image"
  has "$output" rewritten "is not among them"
}

@test "why: an image whose source cannot be read" {
  one_image nowhere
  expect 1 why "$image"
  has "$output" "$image is unknown: " nowhere
}

@test "why: a state of an older version has digests alone" {
  directory_image test
  one_image test 'args: {A: "1"}'
  run_build
  sql "UPDATE image_input SET value = ''"
  one_image test 'args: {A: "2"}'
  expect 0 why "$image"
  has "$output" "changed  arg A" "6b86b273ff34 → 2"
}

@test "history: when, why, how long, result and id, the newest first" {
  directory_image test
  directory_image other
  configuration imagewright.yml "$image" test "$image-other" other
  run_build
  echo other >test/file.txt
  run_build
  printf 'FROM scratch\nCOPY nothing /\n' >test/Dockerfile
  run_build
  [ "$status" -eq 1 ]
  equal "$(iw history "$image" --json | jq -r '.[] | [.result, .reasons] | join(": ")')" \
    "failed: content: 1 changed: Dockerfile; dockerfile changed
success: content: 1 changed: file.txt
success: never built"
  equal "$(iw history "$image" --json | jq -r '.[1] | .image_id')" "$(state "SELECT image_id FROM image_state WHERE name = '$image'")"
  equal "$(iw history "$image" --json | jq -r '.[1].details[0].changes.files[0] | .change + " " + .path')" "content file.txt"
  equal "$(iw history --json | jq length)" 4
  expect 0 history
  equal "${#lines[@]}" 4
  has "${lines[0]}" "$image " failed "buildah build ended with status 125"
  has "${lines[3]}" built "never built"
  expect 2 history nobody
}

@test "history: nothing is known yet" {
  directory_image test
  one_image test
  expect 0 history
  has "$stderr" "no build is known"
  equal "$(iw history --json)" "[]"
}

@test "history: 100,000 files cost at most 10 MB" {
  export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
  mkdir -p test/{0..99}
  printf 'FROM scratch\nCOPY Dockerfile /\n' >test/Dockerfile
  ( cd test && for dir in {0..99}; do (cd $dir && printf '%s\n' {1..1000} | xargs touch); done )
  one_image test 'narrow: false'
  # (Buildah would copy all of them; what is stored does not depend on it.)
  run_build
  [ "$status" -eq 0 ]
  ( cd test && for dir in {0..99}; do (cd $dir && for file in {1..9}; do echo x >"$file"; done); done )
  local before after
  size() { find "$XDG_CACHE_HOME/imagewright/contexts" .builder.state.db* -name "$1" -printf '%s\n' | awk '{s += $1} END {print s + 0}'; }
  before=$(size '.builder*')
  run_build
  equal "$built" "$image"
  after=$(size '.builder*')
  [ "$((after - before))" -lt 1000000 ]
  # (At the place there is one of what was built last.)
  echo "# kept: $(size 'built-*') bytes" >&3
  [ "$(size 'built-*')" -lt 10000000 ]
}
