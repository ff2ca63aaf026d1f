# Names of images and their way to a registry, on every engine: bodies of tests, to be wrapped by the file of each one.
# Wants what engine_tests.bash wants, and registry_servers.
#
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # status, built, events come from run_build; registry from the server

# The digest that the registry has under NAME:TAG; "" if it has none.
in_registry() { ask_manifest "${1%:*}" "${1##*:}" -I | tr -d '\r' | sed -n 's/^docker-content-digest: //ip'; }

# What $events tell of names: "tagged REFERENCE", "pushed REFERENCE", "failed REFERENCE", in order.
published() {
  jq -r 'select(.event == "image-tagged" or .event == "image-pushed" or .event == "publishing-failed")
    | (.event | sub("image-"; "") | sub("publishing-"; "")) + " " + .reference' <<<"$events" | sort | paste -sd,
}

names_are_set_and_pushed() {
  exercised docker-registry curl
  start_plain_registry
  image=$registry/app
  directory_image test
  one_image test 'tags: [":1.0", "'"$registry"'/other/name:x"]' 'push: true'
  run_build
  [ "$status" -eq 0 ]
  equal "$built" "$image"
  equal "$(published)" "pushed $image,pushed $image:1.0,pushed $registry/other/name:x,tagged $image:1.0,tagged $registry/other/name:x"
  local name
  for name in app:latest app:1.0 other/name:x; do [ -n "$(in_registry "$name")" ]; done
  equal "$(engine_id "$registry/other/name:x")" "$(engine_id "$image")"
  equal "$(state "SELECT reference || ' ' || digest FROM published ORDER BY reference")" \
    "$image $(in_registry app:latest)
$image:1.0 $(in_registry app:1.0)
$registry/other/name:x $(in_registry other/name:x)"
  # Nothing is new.
  : >"$registry_log"
  run_build
  equal "$built$(published)" ""
  equal "$(requests_for "$registry_log" '"(PUT|POST|PATCH|HEAD) ')" 0
  equal "$(iw status --json | jq -r '.[0].state')" up-to-date
  # What is built anew is.
  echo other >test/file.txt
  run_build
  equal "$built" "$image"
  equal "$(engine_id "$image:1.0")" "$(engine_id "$image")"
  equal "$(state "SELECT DISTINCT image_id FROM published")" "$(engine_id "$image")"
}

only_a_name_changed() {
  exercised docker-registry curl
  start_plain_registry
  image=$registry/app
  directory_image test
  one_image test 'push: true'
  run_build
  [ "$status" -eq 0 ]
  one_image test 'push: true' 'tags: [":new"]'
  equal "$(iw status --json | jq -r '.[0] | .state + ": " + .message')" \
    "unpublished: to be tagged $image:new, to be pushed $image:new"
  expect 1 status --exit-code
  : >"$registry_log"
  run_build
  [ "$status" -eq 0 ]
  equal "$built" ""
  equal "$(published)" "pushed $image:new,tagged $image:new"
  equal "$(in_registry app:new)" "$(in_registry app:latest)"
  run_build
  equal "$(published)" ""
}

a_name_that_was_moved_away_is_set_again() {
  directory_image test
  directory_image other
  echo other >other/file.txt
  one_image test
  run_build
  local id
  id=$(engine_id "$image")
  build_by_hand "$image" other
  [ "$(engine_id "$image")" != "$id" ]
  equal "$(iw status --json | jq -r '.[0].state')" unpublished
  run_build
  [ "$status" -eq 0 ]
  equal "$built" ""
  equal "$(published)" "tagged $image"
  equal "$(engine_id "$image")" "$id"
  run_build
  equal "$(published)" ""
}

a_failed_push_is_no_failed_build() {
  exercised docker-registry curl
  start_plain_registry
  image=$registry/app
  stop_registries
  directory_image test
  mkdir child
  printf 'FROM %s\nCOPY --from=%s file.txt /\n' scratch "$image" >child/Dockerfile
  cat >imagewright.yml <<END
builder:
  images:
  - {name: $image, from: test, push: true}
  - {name: $image-child, from: child}
END
  run_build
  [ "$status" -eq 1 ]
  equal "$(tr ' ' '\n' <<<"$built" | sort | paste -sd' ')" "$image $image-child"
  equal "$(published)" "failed $image"
  has "$events" "refused"
  equal "$(jq -r 'select(.event == "run-finished") | "\(.built) \(.failed) \(.not_published)"' <<<"$events")" "2 0 1"
  equal "$(iw status --json | jq -r '.[0].state')" unpublished
  expect 1 build
  has "$stderr" "not published $image as $image: "
  # The next run only pushes.
  serve_again
  run_build
  [ "$status" -eq 0 ]
  equal "$built" ""
  equal "$(published)" "pushed $image"
  [ -n "$(in_registry app:latest)" ]
}

# The registry of before, on its port.
serve_again() {
  local dir=$BATS_TEST_TMPDIR/again
  mkdir -p "$dir"
  printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s/data}}\nhttp: {addr: "%s"}\n' "$dir" "$registry" \
    >"$dir/config.yml"
  docker-registry serve "$dir/config.yml" >"$dir/log" 2>&1 </dev/null 3>&- &
  echo $! >"$BATS_TEST_TMPDIR/registries/${registry#*:}.pid"
  until_true 10 port_is_open "${registry#*:}"
}

together_all_or_none() {
  exercised docker-registry curl
  start_plain_registry
  directory_image first
  directory_image second
  cat >imagewright.yml <<END
builder:
  publish: together
  defaults: {push: true}
  images:
  - {name: $registry/first, from: first, tags: [":x"]}
  - {name: $registry/second, from: second}
END
  run_build
  [ "$status" -eq 0 ]
  equal "$(published)" "pushed $registry/first,pushed $registry/first:x,pushed $registry/second,tagged $registry/first,tagged $registry/first:x,tagged $registry/second"
  local first in
  first=$(engine_id "$registry/first")
  in=$(in_registry first:latest)
  run_build
  equal "$built$(published)" ""
  # One fails: none moves.
  echo other >first/file.txt
  printf 'FROM scratch\nCOPY nothing /\n' >second/Dockerfile
  run_build
  [ "$status" -eq 1 ]
  equal "$built" "$registry/first"
  equal "$(published)" ""
  has "$events" "nothing is tagged or pushed"
  equal "$(engine_id "$registry/first") $(in_registry first:latest)" "$first $in"
  # What was built is not built again, once the other one can be.
  printf 'FROM scratch\nCOPY file.txt /\n' >second/Dockerfile
  run_build
  [ "$status" -eq 0 ]
  equal "$built" "$registry/second"
  [ "$(engine_id "$registry/first")" != "$first" ]
  [ "$(in_registry first:x)" != "$in" ]
}

push_says_what_is_pushed() {
  exercised docker-registry curl
  start_plain_registry
  directory_image test
  cat >imagewright.yml <<END
builder:
  images:
  - {name: $registry/silent, from: test}
  - {name: $registry/never, from: test, push: false}
END
  run_build
  equal "$(published)" ""
  equal "$(iw status --push --json | jq -r '.[].state' | paste -sd' ')" "unpublished up-to-date"
  run_build --push
  [ "$status" -eq 0 ]
  equal "$(published)" "pushed $registry/silent"
  run_build --push
  equal "$(published)" ""
}

oci_labels_say_where_it_is_from() {
  exercised docker-registry curl git
  start_plain_registry
  push_base "$registry/base:1" base >/dev/null
  git init -q repository
  directory_image repository
  printf 'FROM scratch AS other\nFROM %s\nCOPY file.txt /\n' "$registry/base:1" >repository/Dockerfile
  git -C repository add .
  GIT_COMMITTER_DATE='2026-03-21T22:02:01+01:00' git -C repository commit -q -m first
  git -C repository remote add origin https://someone:secret@git.example.com/repository.git
  git -C repository tag v1.2
  cat >imagewright.yml <<END
builder:
  defaults: {oci_labels: true}
  images:
  - {name: $image, from: {git: ./repository}, labels: {org.opencontainers.image.source: ours}}
  - {name: $image-directory, from: repository, tags: [":{git.short}", ":{git.tag}", ":{git.branch}", ":{date}-x"]}
END
  run_build
  [ "$status" -eq 0 ]
  local commit labels
  commit=$(git -C repository rev-parse HEAD)
  labels=$(engine_labels "$image")
  label() { jq -r --arg key "org.opencontainers.image.$1" '.[$key] // "-"' <<<"$labels"; }
  equal "$(label source) $(label revision) $(label created) $(label base.name) $(label base.digest)" \
    "ours $commit 2026-03-21T21:02:01Z $registry/base:1 $base_manifest"
  labels=$(engine_labels "$image-directory")
  equal "$(label source) $(label revision) $(label created)" \
    "https://xxxxx@git.example.com/repository.git $commit 2026-03-21T21:02:01Z"
  # (Which of the date and the commit comes first is for the commit to say.)
  equal "$(published)" "$(printf "tagged $image-directory:%s\n" "$(date -u +%F)-x" "${commit:0:12}" main v1.2 | sort | paste -sd,)"
  # They make nothing stale; but a new commit is a new name.
  git -C repository commit -q --allow-empty -m second
  git -C repository checkout -q -b feature/x
  run_build
  equal "$built" ""
  equal "$(published)" "tagged $image-directory:$(git -C repository rev-parse --short=12 HEAD),tagged $image-directory:feature-x"
}

case $(uname -m) in
  aarch64) native=arm64 foreign=amd64 ;;
  *) native=amd64 foreign=arm64 ;;
esac

# The index under NAME:TAG: a line "PLATFORM DIGEST" for each of its images.
index_of() {
  curl -s -H "Accept: application/vnd.docker.distribution.manifest.list.v2+json,application/vnd.oci.image.index.v1+json" \
    "http://$registry/v2/${1%:*}/manifests/${1##*:}" |
    jq -r '.manifests[]? | .platform.os + "/" + .platform.architecture + (.platform.variant // "") + " " + .digest'
}

# What the image of a platform says of itself.
architecture_in() { # NAME DIGEST
  curl -s "http://$registry/v2/$1/blobs/$(ask_manifest "$1" "$2" | jq -r .config.digest)" | jq -r '.os + "/" + .architecture'
}

# An image for two platforms, each of which takes one file; and one that stands on it.
two_platforms() {
  image=$registry/team/base
  mkdir base child
  printf 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n' >base/Dockerfile
  echo native >base/$native
  echo foreign >base/$foreign
  printf 'FROM %s\nCOPY x /x\n' "$image" >child/Dockerfile
  echo x >child/x
  cat >imagewright.yml <<END
builder:
  defaults: {push: true, platforms: [linux/$foreign, linux/$native]}
  images:
  - {name: $registry/team/child, from: child}
  - {name: $image, from: base, tags: [":1.0", "$registry/other/base:x", ":{date}"]}
END
}

several_platforms_are_an_index() {
  exercised docker-registry curl
  start_plain_registry
  two_platforms
  run_build
  [ "$status" -eq 0 ]
  local name platform digest
  for name in team/base team/child; do
    equal "$(index_of $name:latest | cut -d' ' -f1 | paste -sd' ')" "linux/$foreign linux/$native"
    while read -r platform digest; do
      equal "$(architecture_in $name "$digest")" "$platform"
      equal "$(in_registry "$name:latest-${platform//\//-}")" "$digest"
    done < <(index_of $name:latest)
    equal "$(engine_id "$registry/$name")" "$(engine_id "$registry/$name:latest-linux-$native")"
  done
  equal "$(index_of team/base:1.0)" "$(index_of team/base:latest)"
  equal "$(index_of team/base:"$(date -u +%F)")" "$(index_of team/base:latest)"
  # Another repository has the images, too.
  equal "$(index_of other/base:x | cut -d' ' -f1 | paste -sd' ')" "linux/$foreign linux/$native"
  equal "$(index_of other/base:x | grep $native | cut -d' ' -f2)" "$(in_registry other/base:latest-linux-$native)"
  equal "$(iw status --json | jq -r '[.[].state] | unique | join(" ")')" up-to-date
  # The child of each platform stands on the parent of the same.
  equal "$(content "$registry/team/child:latest-linux-$native" arch)" native
  equal "$(content "$registry/team/child:latest-linux-$foreign" arch)" foreign
  # Nothing is new.
  : >"$registry_log"
  run_build
  equal "$built$(published)" ""
  equal "$(requests_for "$registry_log" '"(PUT|POST|PATCH|HEAD) ')" 0
  equal "$(iw status --json | jq -r '[.[].state] | unique | join(" ")')" up-to-date
  # What one platform alone reads is built for it alone.
  local before
  before=$(index_of team/base:latest | grep $native)
  echo new >base/$foreign
  run_build
  [ "$status" -eq 0 ]
  equal "$(tr ' ' '\n' <<<"$built" | sort | paste -sd' ')" "$image:latest-linux-$foreign $registry/team/child:latest-linux-$foreign"
  equal "$(index_of team/base:latest | grep $native)" "$before"
  equal "$(index_of team/base:latest | grep $foreign | cut -d' ' -f2)" "$(in_registry team/base:latest-linux-$foreign)"
  equal "$(index_of team/base:1.0)" "$(index_of team/base:latest)"
  equal "$(content "$registry/team/child:latest-linux-$foreign" arch)" new
  # One name is all of them, and -i takes it.
  equal "$(iw status -i "$image" --json | jq -r '.[].name' | paste -sd' ')" "$image:latest-linux-$foreign $image:latest-linux-$native"
  has "$(iw why "$image")" "$image:latest-linux-$native is up-to-date"
  # A part alone is pushed, and the index stays.
  before=$(index_of team/base:latest)
  echo newer >base/$foreign
  run_build -i "$image:latest-linux-$foreign"
  [ "$status" -eq 0 ]
  equal "$(index_of team/base:latest)" "$before"
  has "$events" "$image stays as it is, as not all its images are in this run"
  # Nobody else's image is taken for a platform that there is none for.
  cat >>imagewright.yml <<END
  - {name: $registry/team/odd, from: child, platforms: [linux/s390x]}
END
  run_build
  [ "$status" -eq 1 ]
  equal "$(images_with failed)" "$registry/team/odd"
  has "$events" "it stands on $image (FROM, line 1), which is not built for linux/s390x"
}

what_the_registry_lost_is_pushed_again() {
  exercised docker-registry curl
  start_plain_registry
  two_platforms
  run_build
  [ "$status" -eq 0 ]
  curl -sf -X DELETE "http://$registry/v2/team/base/manifests/$(in_registry team/base:latest-linux-$native)"
  echo new >base/$foreign
  run_build
  [ "$status" -eq 1 ]
  has "$events" "its registry has the image no more"
  run_build
  [ "$status" -eq 0 ]
  equal "$(index_of team/base:latest | grep $native | cut -d' ' -f2)" "$(in_registry team/base:latest-linux-$native)"
  [ -n "$(in_registry team/base:latest-linux-$native)" ]
}

an_index_moves_when_all_its_images_are_there() {
  exercised docker-registry curl
  start_plain_registry
  two_platforms
  run_build
  [ "$status" -eq 0 ]
  local before
  before=$(index_of team/base:latest)
  echo new >base/$native
  mv base/$foreign away
  run_build
  [ "$status" -eq 1 ]
  equal "$(images_with failed)" "$image:latest-linux-$foreign"
  equal "$(index_of team/base:latest)" "$before"
  has "$events$(cat "$BATS_TEST_TMPDIR/stderr")" "$image is not pushed, as not all its images could be"
  mv away base/$foreign
  run_build
  [ "$status" -eq 0 ]
  [ "$(index_of team/base:latest)" != "$before" ]
  # A run for one platform gives that one the name; the next one for all puts the index there again.
  before=$(index_of team/base:latest)
  run_build --platform linux/$foreign
  [ "$status" -eq 0 ]
  equal "$(index_of team/base:latest)" ""
  has "$(iw status)" "to be pushed as an index $image, to be pushed as an index $image:1.0"
  run_build
  [ "$status" -eq 0 ]
  equal "$built" ""
  equal "$(index_of team/base:latest)" "$before"
  # Together, or not at all.
  sed -i 's/^builder:/builder:\n  publish: together/' imagewright.yml
  echo other >base/$native
  echo y >child/x
  printf 'FROM %s\nCOPY nothing /\n' "$image" >child/Dockerfile
  run_build
  [ "$status" -eq 1 ]
  equal "$(index_of team/base:latest)" "$before"
  printf 'FROM %s\nCOPY x /\n' "$image" >child/Dockerfile
  run_build
  [ "$status" -eq 0 ]
  [ "$(index_of team/base:latest)" != "$before" ]
  equal "$(index_of team/base:latest | grep $native | cut -d' ' -f2)" "$(in_registry team/base:latest-linux-$native)"
}
