# What a registry has is not built again, on every engine: bodies of tests, to be wrapped by the file of each one. Wants
# what publish_tests.bash wants, which has to be loaded, too.
#
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # status, built, events come from run_build; registry from the server

# A parent and a child in the registry, each with a file of its own.
published_pair() {
  exercised docker-registry curl
  start_plain_registry
  image=$registry/child
  parent=$registry/parent
  directory_image parent
  directory_image child
  echo "of the parent" >parent/file.txt
  printf 'FROM %s\nCOPY file.txt /child.txt\n' "$parent" >child/Dockerfile
  configuration imagewright.yml "$image" child "$parent" parent
  run_build --state registry --push
  [ "$status" -eq 0 ]
  equal "$built" "$parent $image"
  first_id=$(engine_id "$image")
}

# As on a machine that never built any of it.
forget_everything() {
  local name
  for name in "$@"; do remove_image "$name"; done
  rm -rf .builder.state.db* "$HOME/empty-cache"
  export XDG_CACHE_HOME=$HOME/empty-cache
}

engine_lacks() { [[ "$(engine_id "$1" 2>/dev/null)" != sha256:[0-9a-f]* ]]; }

found_in_registry() {
  jq -r 'select(.event == "image-finished" and .in_registry != null).image' <<<"$events" | paste -sd' '
}

a_fresh_machine_builds_nothing_that_the_registry_has() {
  published_pair
  forget_everything "$image" "$parent"
  equal "$(iw status --state registry --push --json | jq -r '[.[] | .state + " " + .image_id] | join(",")')" \
    "up-to-date $first_id,up-to-date $(state_of_pushed parent)"
  run_build --dry-run --state registry --push
  equal "$(images_with would-build)$(found_in_registry)" "$parent $image"
  : >"$registry_log"
  run_build --state registry --push
  [ "$status" -eq 0 ]
  equal "$built$(published)" ""
  equal "$(found_in_registry)" "$parent $image"
  engine_lacks "$image"
  engine_lacks "$parent"
  # Neither pushed nor pulled.
  equal "$(requests_for "$registry_log" '"(PUT|POST|PATCH) ')" 0
  equal "$(state "SELECT name || ' ' || image_id FROM image_state WHERE name = '$image'")" "$image $first_id"
  # Without the option it is built, and comes to the same.
  run_build
  equal "$built" "$parent $image"
}

# The config's digest by the registry.
state_of_pushed() { ask_manifest "$1" latest | jq -r .config.digest; }

a_parent_is_pulled_where_its_child_is_built() {
  published_pair
  forget_everything "$image" "$parent"
  echo "another text" >child/file.txt
  equal "$(iw status --state registry --push --json | jq -r '[.[].state] | join(",")')" "stale,up-to-date"
  run_build --state registry --push
  [ "$status" -eq 0 ]
  equal "$built" "$image"
  equal "$(found_in_registry)" "$parent"
  equal "$(content "$image" file.txt)" "of the parent"
  equal "$(content "$image" child.txt)" "another text"
  equal "$(state_of_pushed child)" "$(engine_id "$image")"
  # What was there before is still known: on another branch it need not be built, and the tag moves back.
  forget_everything "$image"
  echo "some text" >child/file.txt
  run_build --state registry --push
  [ "$status" -eq 0 ]
  equal "$built" ""
  [[ "$(found_in_registry)" == *"$image" ]] # (Buildah and Podman have the parent, by its pull)
  [[ "$(published)" == "pushed $image"* ]]
  equal "$(state_of_pushed child)" "$first_id"
  engine_lacks "$image"
}

a_new_name_of_what_the_registry_has_is_set_there() {
  published_pair
  forget_everything "$image" "$parent"
  cat >imagewright.yml <<END
builder:
  images:
  - {name: $image, from: child, tags: [":new", "$registry/else/where:1"]}
  - {name: $parent, from: parent}
END
  equal "$(iw status --state registry --push --json | jq -r '.[0] | .state + ": " + .message')" \
    "unpublished: to be pushed $image:new, to be pushed $registry/else/where:1"
  run_build --state registry --push
  [ "$status" -eq 0 ]
  equal "$built" ""
  equal "$(published)" "pushed $image:new,pushed $registry/else/where:1"
  equal "$(in_registry child:new)" "$(in_registry child:latest)"
  equal "$(ask_manifest else/where 1 | jq -r .config.digest)" "$first_id"
  # To go elsewhere it had to come to the engine, which calls it by its names from now on.
  run_build --state registry --push
  equal "$built$(published)" "tagged $image,tagged $image:new"
  run_build --state registry --push
  equal "$built$(published)" ""
}

a_registry_without_an_answer_is_no_obstacle() {
  published_pair
  forget_everything "$image" "$parent"
  stop_registries
  run_build --state registry
  [ "$status" -eq 0 ]
  equal "$built" "$parent $image"
  equal "$(jq -r 'select(.event == "warning").text' <<<"$events" | grep -c "cannot be asked what was built before")" 1
}

what_is_to_be_built_anew_is() {
  published_pair
  run_build --state registry --push --force
  equal "$built" "$parent $image"
  forget_everything
  run_build --state registry --push --clean
  equal "$built" "$parent $image"
  # An image that is too old is no better for being in a registry.
  forget_everything "$image" "$parent"
  one_image parent "max_age: 1h"
  sed -i "s|$image|$parent|" imagewright.yml
  run_build --state registry --push
  equal "$built" ""
  sed -i "s|max_age: 1h|max_age: 1ms|" imagewright.yml
  forget_everything
  run_build --state registry --push
  equal "$built" "$parent"
  equal "$(reasons)" "never built,older than its max_age of 1ms"
}

what_changed_during_its_build_is_found_by_nobody() {
  exercised docker-registry curl
  start_plain_registry
  image=$registry/app
  directory_image test
  one_image test "push: true"
  meddling_engine
  echo "echo meanwhile >test/file.txt" >before
  : >after
  local path=$PATH
  PATH=$PWD/meddling:$PATH
  run_build --state registry
  PATH=$path
  [ "$status" -eq 0 ]
  equal "$built" "$image"
  equal "$(curl -s "http://$registry/v2/app/tags/list" | jq -r '.tags | join(",")')" latest
}

# (Of bases that BuildKit brings the daemon knows nothing.)
what_is_built_on_a_base_that_nobody_knows_is_not_found_by_it() {
  exercised docker-registry curl
  start_plain_registry
  start_troubled_registry
  local unknown='[{"match": "HEAD /v2/base/manifests/", "times": 1, "status": 429, "headers": {"Retry-After": "3600"}}]'
  push_base "$registry/base:1" first >/dev/null
  mkdir test
  printf 'FROM %s/base:1\nCOPY x /\n' "$troubled" >test/Dockerfile
  echo x >test/x
  image=$registry/app
  one_image test "push: true"
  make_trouble "$unknown"
  run_build --state registry
  [ "$status" -eq 0 ]
  equal "$built" "$image"
  forget_everything "$image"
  [ "$ENGINE" = docker ] || remove_image "$troubled/base:1"
  push_base "$registry/base:1" second >/dev/null
  make_trouble "$unknown"
  run_build --state registry
  [ "$status" -eq 0 ]
  equal "$built" "$image"
  equal "$(content "$image" base.txt)" second
}
