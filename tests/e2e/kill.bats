#!/usr/bin/env bats
# kill -9 at any moment of a run that builds, tags and pushes: the next run starts, loses no finished build, leaves no name
# on something half-done, and all ends as if nothing had happened. On Buildah.
#
# shellcheck disable=SC2034,SC2154 # variables that common.bash and Bats set or use

load common
load registry_servers

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  exercised buildah docker-registry curl
  project
  ENGINE=buildah
  start_plain_registry
}

teardown() {
  [ -z "${run_pid:-}" ] || kill -9 "$run_pid" 2>/dev/null || true
  stop_registries
}

# 20 images: four that stand on nothing of ours, four on each of those; all with a second name, all pushed.
twenty_images() {
  local number parent
  printf 'builder:\n  defaults: {push: true, tags: [":second"]}\n  images:\n' >imagewright.yml
  for number in {1..20}; do
    mkdir "dir$number"
    parent=scratch
    [ "$number" -le 4 ] || parent=$registry/image$((number % 4 + 1))
    printf 'FROM %s\nCOPY text%s /\n' "$parent" "$number" >"dir$number/Dockerfile"
    printf '  - {name: "%s", from: dir%s}\n' "$registry/image$number" "$number" >>imagewright.yml
  done
}

edit_all() { # VERSION
  local number
  for number in {1..20}; do echo "$1 of $number" >"dir$number/text$number"; done
}

# What the state has of successes, a line each.
successes() { state 'SELECT name, digest, image_id FROM image_state ORDER BY name'; }

# The config that the registry has under a name, which is the image's id.
pushed_id() { ask_manifest "$1" "$2" -f | jq -r .config.digest; }

@test "kill: at random moments of a run over 20 images with pushes" {
  local kills=30 round=0 version=0 before after finished=0 number id
  ! is_long || kills=300
  twenty_images
  edit_all 0
  for ((round = 1; round <= kills; ++round)); do
    before=$BATS_TEST_TMPDIR/before
    successes >"$before" 2>/dev/null || : >"$before"
    start_build -j 2
    sleep "$((RANDOM % 3)).$(printf %03d $((RANDOM % 1000)))"
    if kill -9 "$run_pid" 2>/dev/null; then
      wait "$run_pid" 2>/dev/null || true
    else
      # It was faster: it must have ended well, and there is something to do for the next one.
      wait "$run_pid" || { cat "$run_out" "$run_err" >&2; false; }
      finished=$((finished + 1))
      equal "$(iw status --json | jq -r '.[].state' | sort -u)" up-to-date
      edit_all "$((++version))"
    fi
    run_pid=
    [ -e .builder.state.db ] || continue # killed before there was one
    # The state is whole, and what was finished stays: a row changes only for a newer build.
    equal "$(state 'PRAGMA integrity_check')" ok
    after=$(state 'SELECT count(*) FROM image_state')
    [ "$after" -ge "$(wc -l <"$before")" ]
    equal "$(state "SELECT count(*) FROM image_state WHERE image_id NOT IN (SELECT image_id FROM build WHERE result = 'success')")" 0
  done
  echo "# $kills rounds, of which $finished came to their end" >&3
  edit_all last
  run_build
  [ "$status" -eq 0 ] || { echo "$events$errors" >&2; false; }
  run_build
  equal "$built" ""
  equal "$(jq -r 'select(.event | test("tagged|pushed|publishing")) | .event' <<<"$events")" ""
  # All is as if nothing had happened: each name, here and in the registry, is the last build of the last text.
  for number in {1..20}; do
    id=$(state "SELECT image_id FROM image_state WHERE name = '$registry/image$number'")
    equal "$(engine_id "$registry/image$number")" "$id"
    equal "$(engine_id "$registry/image$number:second")" "$id"
    equal "$(pushed_id "image$number" latest) $(pushed_id "image$number" second)" "$id $id"
  done
  for number in 1 7 20; do equal "$(content "$registry/image$number" "text$number")" "last of $number"; done
  equal "$(content "$registry/image20" text1)" "last of 1"
  # What the killed ones had in hand goes with the next build, once it is old enough to be nobody's.
  find "$XDG_CACHE_HOME/imagewright/staging" -mindepth 1 -maxdepth 1 -exec touch -d '2 minutes ago' {} +
  iw build --force -q -i "$registry/image1"
  no_leftovers
}
