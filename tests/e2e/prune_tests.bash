# `prune` on every engine: what it finds, what it removes, and above all what it leaves. Bodies of tests, to be wrapped by
# the file of each one. Wants what engine_tests.bash wants.
#
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # status, built, events come from run_build

engine_has() { engine_ids | grep -qx "$1"; }

engine_ids() {
  case $ENGINE in
    docker) docker images --all --quiet --no-trunc ;;
    buildah) buildah images --all --quiet --no-trunc ;;
    podman) podman images --all --quiet --no-trunc ;;
  esac
}

tag_by_hand() {
  case $ENGINE in
    docker) docker tag "$1" "$2" ;;
    *) "$ENGINE" tag "${1#sha256:}" "$2" ;;
  esac
}

# Builds $image anew, with this text: sets id.
version() {
  echo "$1 of $BATS_TEST_NAME" >test/file.txt
  run_build
  [ "$status" -eq 0 ] && [ "$built" = "$image" ] || return 1
  id=$(engine_id "$image")
}

# What prune finds of images, a line each: whose and which, removed or left.
found() { iw prune --json "$@" | jq -r '.[] | select(.kind == "image") | .what + (if .left then " left: " + .left else "" end)'; }

superseded_images_go() {
  directory_image test
  directory_image other
  one_image test
  version one
  local one=$id
  version two
  local two=$id
  version three
  local three=$id
  # The last superseded one stays, and so does what went out of use a moment ago.
  equal "$(found)" ""
  equal "$(found --grace 0s)" "$image $(short_digest "$one")"
  equal "$(found --grace 0s --keep 0 | sort)" "$(printf '%s\n' "$image $(short_digest "$one")" "$image $(short_digest "$two")" | sort)"
  engine_has "$one"
  expect 0 prune --grace 0s
  has "$output" "would remove image $image $(short_digest "$one") (a newer one has its place)" "--yes removes all of these"
  expect 0 prune --grace 0s --yes
  has "$output" "removed image $image $(short_digest "$one")"
  run ! engine_has "$one"
  engine_has "$two"
  engine_has "$three"
  equal "$(found --grace 0s)" ""
  run_build
  equal "$built" ""
}

images_of_others_and_in_use_stay() {
  directory_image test
  one_image test
  version one
  local used=$id
  version two
  local named=$id
  version three
  version four
  local container
  case $ENGINE in
    docker) container=$(docker create "$used" /none) ;;
    podman) container=$(podman create "${used#sha256:}" /none) ;;
    buildah) container=$(buildah from --pull-never "${used#sha256:}") ;;
  esac
  tag_by_hand "$named" "$image-mine:kept"
  local nobodys
  directory_image nobody
  echo "nobody's $BATS_TEST_NAME" >nobody/file.txt
  build_by_hand "$image-nobody" nobody
  nobodys=$(engine_id "$image-nobody")
  run found --grace 0s --keep 0 --yes
  has "$output" "$image $(short_digest "$used") left: a container uses it" \
    "$image $(short_digest "$named") left: it has a name that was not given here: "
  lacks "$output" "$(short_digest "$nobodys")"
  engine_has "$used"
  engine_has "$named"
  engine_has "$nobodys"
  engine_has "$id"
  "$ENGINE" rm "$container" >/dev/null
  found --grace 0s --keep 0 --yes >/dev/null
  run ! engine_has "$used"
}

what_left_the_configuration_goes() {
  directory_image test
  directory_image other
  echo "other of $BATS_TEST_NAME" >other/file.txt
  configuration imagewright.yml "$image" test "$image-other" other
  sed -i "s|from: other|from: other\n    tags: [':x']|" imagewright.yml
  echo "test of $BATS_TEST_NAME" >test/file.txt
  run_build
  [ "$status" -eq 0 ]
  local other logs
  other=$(engine_id "$image-other")
  logs=$(dirname "$(iw history "$image-other" --json | jq -r '.[0].log')")
  [ -d "$logs" ]
  one_image test
  expect 0 prune
  lacks "$output" "$image-other "
  expect 0 prune --grace 0s --keep 0
  has "$output" "would remove image $image-other $(short_digest "$other") (it left the configuration)" \
    "would remove row $image-other" "would remove logs $logs"
  [ -d "$logs" ]
  expect 0 prune --grace 0s --keep 0 --yes
  run ! engine_has "$other"
  [ ! -e "$logs" ]
  equal "$(row_names)" "$image"
  equal "$(state "SELECT count(*) FROM build WHERE name = '$image-other'")" 0
  run_build
  equal "$built" ""
  expect 0 prune --grace 0s --keep 0
  equal "$output" ""
}
