#!/usr/bin/env bats
# `--state registry` with registries as they are out there. With Buildah, as what is asked and kept is the same for every
# engine.
#
# shellcheck disable=SC2034,SC2154 # variables that common.bash and Bats set or use

load common
load publish_tests
load registry_servers
load registry_state_tests

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  exercised buildah docker-registry python3 openssl perl curl
  project
  ENGINE=buildah
  mkdir -p "$HOME/.docker"
  export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
}

teardown() { stop_registries; }

login() { # REGISTRY USER PASSWORD
  printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$1" "$(printf '%s:%s' "$2" "$3" | base64)" >"$HOME/.docker/config.json"
  export REGISTRY_AUTH_FILE=$HOME/.docker/config.json
}

app() {
  image=$registry/app
  directory_image test
  one_image test "push: true" "$@"
}

# Built and kept by one machine, found by the next.
is_kept_and_found() {
  app "$@"
  run_build --state registry
  [ "$status" -eq 0 ] || { echo "$events" >&2; return 1; }
  equal "$built" "$image"
  forget_everything "$image"
  run_build --state registry
  [ "$status" -eq 0 ] || { echo "$events" >&2; return 1; }
  equal "$built" ""
  equal "$(found_in_registry)" "$image"
}

# $image from child/ on $registry/parent from parent/: pushed by another machine.
pair_of_another_machine() {
  image=$registry/child
  configuration imagewright.yml "$image" child "$registry/parent" parent
  run_build --state registry --push
  [ "$status" -eq 0 ]
  buildah rmi -a -f >/dev/null
  forget_everything
}

tags_of() { curl -s "${@:2}" "http://$registry/v2/$1/tags/list" | jq -r '.tags | length'; }

@test "registry state: a registry with a password" {
  start_password_registry someone secret
  login "$registry" someone secret
  is_kept_and_found
}

@test "registry state: a registry that wants tokens" {
  start_token_registry someone secret
  login "$registry" someone secret
  is_kept_and_found
  # To keep it took a right of its own.
  [ "$(requests_for "$token_log" 'pull(,|%2C)push')" -ge 1 ]
}

@test "registry state: labels and tags that are made for each build are no obstacle" {
  start_plain_registry
  git init -q . && git add . && git commit -q --allow-empty -m "first one"
  is_kept_and_found "oci_labels: true" 'tags: [":{git.short}", ":{digest.short}"]'
  # Another commit, the same directory: one more name, set in the registry.
  git commit -q --allow-empty -m "second one"
  run_build --state registry
  equal "$built" ""
  equal "$(published)" "pushed $image:$(git rev-parse --short=12 HEAD | cut -c1-12)"
  [ -n "$(in_registry "app:$(git rev-parse HEAD | cut -c1-12)")" ]
}

@test "registry state: what was pushed before is kept without a build" {
  start_plain_registry
  app
  run_build
  equal "$(tags_of app)" 1
  equal "$(iw status --state registry --json | jq -r '.[0].state')" unpublished
  run_build --state registry
  [ "$status" -eq 0 ]
  equal "$built$(published)" ""
  equal "$(tags_of app)" 2
  : >"$registry_log"
  run_build --state registry
  equal "$(requests_for "$registry_log" 'HTTP')" 0
  forget_everything "$image"
  run_build --state registry
  equal "$(found_in_registry)" "$image"
}

@test "registry state: what could not be kept is kept by the next run" {
  start_plain_registry
  start_troubled_registry
  registry=$troubled
  app
  make_trouble '[{"match": "PUT /v2/app/manifests/imagewright-", "status": 403}]'
  run_build --state registry
  [ "$status" -eq 1 ]
  equal "$built" "$image"
  equal "$(jq -r 'select(.event == "publishing-failed").message' <<<"$events")" \
    "its registry refuses it to the login that is known here"
  make_trouble
  run_build --state registry
  [ "$status" -eq 0 ]
  equal "$built$(published)" ""
  forget_everything "$image"
  run_build --state registry
  equal "$(found_in_registry)" "$image"
}

@test "registry state: an answer that its digest does not fit is no image" {
  start_plain_registry
  start_troubled_registry
  registry=$troubled
  app
  run_build --state registry
  forget_everything "$image"
  make_trouble '[{"match": "GET /v2/app/blobs/", "body": "{}"}]'
  run_build --state registry -n
  equal "$(images_with would-build)" "$image"
}

@test "registry state: who is not to push reads what others pushed" {
  start_plain_registry
  app
  run_build --state registry
  forget_everything "$image"
  one_image test
  run_build --state registry
  equal "$built$(published)" ""
  equal "$(found_in_registry)" "$image"
  # Nobody pushes it: nobody is asked.
  one_image test "push: false"
  forget_everything
  : >"$registry_log"
  run_build --state registry
  equal "$built" "$image"
  equal "$(requests_for "$registry_log" 'HTTP')" 0
}

@test "registry state: an image whose build gets secrets is this machine's" {
  start_plain_registry
  echo hush >secret
  app "secrets: [{id: token, file: secret}]"
  run_build --state registry
  [ "$status" -eq 0 ]
  remove_image "$image"
  rm -rf .builder.state.db*
  run_build --state registry # the same key
  equal "$(found_in_registry)" "$image"
  forget_everything
  rm -rf "$XDG_STATE_HOME"
  run_build --state registry
  equal "$built" "$image"
}

@test "registry state: twenty images on one parent at once" {
  start_plain_registry
  local number
  directory_image parent
  printf 'builder:\n  images:\n  - {name: %s/parent, from: parent}\n' "$registry" >imagewright.yml
  for number in {1..20}; do
    mkdir "dir$number"
    printf 'FROM %s/parent\nCOPY x /\n' "$registry" >"dir$number/Dockerfile"
    echo "$number" >"dir$number/x"
    printf '  - {name: %s/app%s, from: dir%s}\n' "$registry" "$number" "$number" >>imagewright.yml
  done
  run_build --state registry --push -j 4
  [ "$status" -eq 0 ]
  equal "$(wc -w <<<"$built")" 21
  buildah rmi -a -f >/dev/null
  forget_everything
  run_build --state registry --push -j 4
  [ "$status" -eq 0 ]
  equal "$built$(published)" ""
  equal "$(found_in_registry | wc -w)" 21
  echo other >dir7/x
  run_build --state registry --push -j 4
  [ "$status" -eq 0 ]
  equal "$built" "$registry/app7"
}

# --- What went wrong

@test "registry state: a name that another machine moved is moved back" {
  start_plain_registry
  app
  run_build --state registry
  local first
  first=$(in_registry app:latest)
  # Another machine, with a state of its own.
  echo other >test/file.txt
  run_build --state registry -s "$PWD/other-state"
  equal "$built" "$image"
  [ "$(in_registry app:latest)" != "$first" ]
  # This one, with what it remembers of its last job, but no images.
  echo "some text" >test/file.txt
  buildah rmi -a -f >/dev/null
  equal "$(iw status --state registry --json | jq -r '.[0].state')" unpublished
  run_build --state registry
  [ "$status" -eq 0 ]
  equal "$built" ""
  equal "$(in_registry app:latest)" "$first"
}

@test "registry state: a dry run tells of a registry that does not answer, and does not hang" {
  start_plain_registry
  app
  stop_registries
  run_build --state registry -n
  [ "$status" -eq 0 ]
  equal "$(images_with would-build)" "$image"
  equal "$(jq -r 'select(.event == "warning").text' <<<"$events" | grep -c "cannot be asked what was built before")" 1
}

@test "registry state: what is led elsewhere is not taken for kept" {
  start_plain_registry
  start_troubled_registry
  registry=$troubled
  app
  make_trouble '[{"match": "PUT /v2/app/manifests/imagewright-", "status": 302,
    "headers": {"Location": "http://'"$troubled"'/v2/"}}]'
  run_build --state registry
  [ "$status" -eq 1 ]
  equal "$(jq -r 'select(.event == "publishing-failed").message' <<<"$events")" \
    "its registry answers with status 302"
  make_trouble
  run_build --state registry
  [ "$status" -eq 0 ]
  equal "$(tags_of app)" 2
}

@test "registry state: what its registry dropped is pushed again" {
  start_plain_registry
  app
  run_build
  curl -sf -X DELETE "http://$registry/v2/app/manifests/$(in_registry app:latest)"
  run_build --state registry
  [ "$status" -eq 0 ]
  equal "$built" ""
  equal "$(published)" "pushed $image"
  equal "$(tags_of app)" 2
}

@test "registry state: a registry that faltered at a question still gets what is pushed" {
  start_plain_registry
  start_troubled_registry
  registry=$troubled
  directory_image test
  configuration imagewright.yml "$registry/a" test "$registry/b" test "$registry/c" test
  make_trouble '[{"match": "HEAD /v2/./manifests/imagewright-", "status": 503}]'
  run_build --state registry --push
  [ "$status" -eq 0 ]
  make_trouble
  equal "$(tags_of a)$(tags_of b)$(tags_of c)" 222
}

@test "registry state: a parent at plain http and a base elsewhere go together" {
  start_tls_registry
  local secure=$registry
  mkdir -p "$HOME/.config/containers/certs.d/$secure" "$HOME/.docker"
  cp "$registry_ca" "$HOME/.config/containers/certs.d/$secure/"
  push_base "$secure/base:1" "the base" --ca "$registry_ca" >/dev/null
  start_plain_registry
  directory_image parent
  mkdir child
  printf 'FROM %s/base:1 AS base\nFROM %s/parent\nCOPY --from=base /base.txt /\nCOPY x /\n' "$secure" "$registry" \
    >child/Dockerfile
  echo x >child/x
  pair_of_another_machine
  unset CONTAINERS_REGISTRIES_CONF # which lets the engine speak http whatever it is told
  echo y >child/x
  run_build --state registry --push
  [ "$status" -eq 0 ]
  equal "$built" "$image"
  equal "$(content "$image" base.txt)" "the base"
}

@test "registry state: with track base off it is found by what was looked at" {
  start_plain_registry
  push_base "$registry/base:1" first >/dev/null
  mkdir test
  printf 'FROM %s/base:1\nCOPY x /\n' "$registry" >test/Dockerfile
  echo x >test/x
  echo y >test/y # nothing reads it
  image=$registry/app
  one_image test "push: true" "track_base: off"
  run_build --state registry
  equal "$built" "$image"
  forget_everything "$image" "$registry/base:1"
  run_build --state registry
  [ "$status" -eq 0 ]
  equal "$built" ""
}

@test "registry state: a parent under two spellings is one" {
  start_plain_registry
  directory_image parent
  mkdir child
  printf 'FROM %s/parent AS one\nFROM %s/parent:latest\nCOPY --from=one /file.txt /x\n' "$registry" "$registry" \
    >child/Dockerfile
  pair_of_another_machine
  equal "$(iw status --state registry --push --json | jq -r '[.[].state] | join(",")')" up-to-date,up-to-date
}

@test "registry state: what failed is told as failed, with the option and without" {
  start_plain_registry
  push_base "$registry/base:1" first >/dev/null
  mkdir test
  printf 'FROM %s/base:1\nCOPY missing /\n' "$registry" >test/Dockerfile
  image=$registry/app
  one_image test "push: true"
  run_build --state registry
  equal "$(images_with failed)" "$image"
  equal "$(iw status --state registry --json | jq -r '.[0].state')" failed
  equal "$(iw status --json | jq -r '.[0].state')" failed
}
