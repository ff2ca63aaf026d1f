# What must hold on every engine for images that stand on images from elsewhere: bodies of tests, to be wrapped by the
# file of each one. Wants what engine_tests.bash wants, and registry_servers.
#
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # status, built, events come from run_build; registry from the server

# $image on BASE, with a file of its own, from $image's directory test/.
on_base() {
  directory_image test
  printf 'FROM %s\nCOPY file.txt /\n' "$1" >test/Dockerfile
}

stale_reasons() { iw status --json | jq -r '.[].reasons[].text' | paste -sd,; }

a_base_that_moved_is_named_and_built_on() {
  exercised docker-registry python3
  start_plain_registry
  push_base "$registry/base:1" first >/dev/null
  local before=$base_config
  on_base "$registry/base:1"
  mkdir child
  directory_image other
  printf 'FROM %s\nCOPY --from=%s /base.txt /copied.txt\n' scratch "$image" >child/Dockerfile
  configuration imagewright.yml "$image" test "$image-child" child "$image-other" other
  run_build
  [ "$status" -eq 0 ]
  equal "$(tr ' ' '\n' <<<"$built" | sort | paste -sd' ')" "$image $image-child $image-other"
  run_build
  equal "$built" ""
  equal "$(iw status --json | jq -r '.[].state' | sort -u)" up-to-date
  push_base "$registry/base:1" second >/dev/null
  equal "$(iw status --json | jq -r '.[0].reasons[0].text')" \
    "base $registry/base:1 changed: $(short_digest "$before") is $(short_digest "$base_config") now"
  equal "$(iw status --json | jq -r '.[0].reasons[0] | .kind + " " + .input + " " + .name')" \
    "input-changed base $registry/base:1"
  run_build
  equal "$built" "$image $image-child"
  equal "$(content "$image" base.txt)" second
  equal "$(content "$image-child" copied.txt)" second
  run_build
  equal "$built" ""
}

an_index_that_grew_a_platform_builds_nothing() {
  exercised docker-registry python3
  start_plain_registry
  push_base "$registry/base" ours --by-digest >/dev/null
  local ours=$base_manifest
  push_base "$registry/base" theirs linux/s390x --by-digest >/dev/null
  local theirs=$base_manifest
  push_index "$registry/base:1" "linux/amd64=$ours" >/dev/null
  on_base "$registry/base:1"
  one_image test
  run_build
  [ "$status" -eq 0 ]
  equal "$(content "$image" base.txt)" ours
  push_index "$registry/base:1" --oci "linux/s390x=$theirs" "linux/amd64=$ours" >/dev/null
  run_build
  equal "$built" ""
  # And one in which ours is another one does.
  push_base "$registry/base" "ours anew" --by-digest >/dev/null
  push_index "$registry/base:1" "linux/s390x=$theirs" "linux/amd64=$base_manifest" >/dev/null
  run_build
  equal "$built" "$image"
  equal "$(content "$image" base.txt)" "ours anew"
}

a_registry_that_is_down_builds_nothing() {
  exercised docker-registry python3
  start_plain_registry
  push_base "$registry/base:1" first >/dev/null
  on_base "$registry/base:1"
  one_image test
  run_build
  [ "$status" -eq 0 ]
  stop_registries
  run_build
  [ "$status" -eq 0 ]
  equal "$built" ""
  has "$events" "cannot be asked" "left as it is"
  equal "$(stale_reasons)" ""
  # What is to be built for another reason is built on what is known.
  echo other >test/file.txt
  run_build
  [ "$status" -eq 0 ]
  equal "$built" "$image"
  equal "$(content "$image" base.txt)" first
  equal "$(content "$image" file.txt)" other
  run_build
  equal "$built" ""
}

# The tag moves after it was looked at, and before the build.
the_build_gets_the_base_that_was_looked_at() {
  exercised docker-registry python3
  start_plain_registry
  push_base "$registry/base:1" first >/dev/null
  on_base "$registry/base:1"
  held_image first
  cat >imagewright.yml <<END
builder:
  images:
  - {name: $image-first, from: first}
  - {name: $image, from: test, depends_on: $image-first}
END
  start_build
  until_true 30 holds
  push_base "$registry/base:1" second >/dev/null
  let_go
  end_of_build 60
  [ "$status" -eq 0 ]
  equal "$(content "$image" base.txt)" first
  run_build
  equal "$built" "$image"
  equal "$(content "$image" base.txt)" second
}

copied_and_mounted_images_are_bases_too() {
  exercised docker-registry python3
  start_plain_registry
  push_base "$registry/copied:1" copied >/dev/null
  push_base "$registry/mounted:1" mounted --busybox >/dev/null
  mkdir test
  cat >test/Dockerfile <<END
FROM $registry/mounted:1 AS build
RUN --mount=type=bind,from=$registry/mounted:1,target=/mnt cat /mnt/base.txt >/seen.txt
FROM scratch
COPY --from=$registry/copied:1 /base.txt /
COPY --from=build /seen.txt /
END
  one_image test
  run_build
  [ "$status" -eq 0 ]
  equal "$(content "$image" base.txt) $(content "$image" seen.txt)" "copied mounted"
  run_build
  equal "$built" ""
  push_base "$registry/copied:1" "copied anew" >/dev/null
  run_build
  equal "$built" "$image"
  has "$(reasons)" "base $registry/copied:1 changed"
  push_base "$registry/mounted:1" "mounted anew" --busybox >/dev/null
  run_build
  equal "$built" "$image"
  equal "$(content "$image" base.txt) $(content "$image" seen.txt)" "copied anew mounted anew"
}

# An image that no registry has: one that was built by hand.
the_engines_own_image_is_a_base() {
  exercised docker-registry python3
  start_plain_registry
  directory_image base
  echo one >base/base.txt
  build_by_hand "$registry/mine" base
  on_base "$registry/mine"
  one_image test
  run_build
  [ "$status" -eq 0 ]
  equal "$(content "$image" base.txt)" one
  run_build
  equal "$built$errors" ""
  echo two >base/base.txt
  build_by_hand "$registry/mine" base
  run_build
  equal "$built" "$image"
  equal "$(content "$image" base.txt)" two
  # Once the registry has one, it is that.
  push_base "$registry/mine" three >/dev/null
  run_build
  equal "$built" "$image"
  equal "$(content "$image" base.txt)" three
}

with_track_base_local_nothing_is_pulled() {
  exercised docker-registry python3
  start_plain_registry
  push_base "$registry/base:1" "the registry's" >/dev/null
  on_base "$registry/base:1"
  one_image test 'track_base: local'
  : >"$registry_log"
  run_build
  [ "$status" -eq 1 ]
  has "$events" "$ENGINE has no image $registry/base:1 for linux/" ", and with 'track_base: local' none is pulled"
  expect 1 status
  has "$output" unknown "none is pulled"
  directory_image base
  echo ours >base/base.txt
  build_by_hand "$registry/base:1" base
  run_build
  [ "$status" -eq 0 ]
  equal "$(content "$image" base.txt)" ours
  run_build
  equal "$built" ""
  echo "ours anew" >base/base.txt
  build_by_hand "$registry/base:1" base
  run_build
  equal "$built" "$image"
  equal "$(content "$image" base.txt)" "ours anew"
  equal "$(requests_for "$registry_log" imagewright)" 0
}

with_track_base_off_the_name_is_all() {
  exercised docker-registry python3
  start_plain_registry
  push_base "$registry/base:1" first >/dev/null
  on_base "$registry/base:1"
  one_image test 'track_base: off'
  run_build
  [ "$status" -eq 0 ]
  push_base "$registry/base:1" second >/dev/null
  run_build
  equal "$built" ""
  equal "$(requests_for "$registry_log" imagewright)" 0
}

# What a base brings into the build is known before the engine has it.
a_registrys_base_narrows_the_context() {
  exercised docker-registry python3
  start_plain_registry
  push_base "$registry/base:1" base --env PART=src >/dev/null
  mkdir -p test/src test/docs
  echo main >test/src/main.c
  echo docs >test/docs/index
  printf 'FROM %s\nCOPY $PART /src/\n' "$registry/base:1" >test/Dockerfile
  one_image test
  equal "$(iw context "$image" --json | jq -r '.[] | select(.type == "file").path' | paste -sd ' ')" src/main.c
  run iw build -vv
  [ "$status" -eq 0 ]
  has "$output" "Of the context count: src"
  echo more >test/docs/index
  run_build
  equal "$built" ""
  # Another one may bring another variable.
  push_base "$registry/base:1" base --env PART=docs >/dev/null
  run_build
  equal "$built" "$image"
  equal "$(content "$image" src/index)" more
  echo other >test/src/main.c
  run_build
  equal "$built" ""
}
