#!/usr/bin/env bats
# What of a configuration is worked out before anything is built: variables, defaults, matrices.

# shellcheck disable=SC2016,SC2034,SC2154 # `${NAME}` is for the file; variables that common.bash and Bats set or use

load common

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  exercised buildah
  ENGINE=buildah
  project
}

@test "vars, defaults and a matrix come out as images" {
  directory_image app
  printf 'FROM scratch\nARG KIND\nCOPY . /\nLABEL kind=$KIND\n' >app/Dockerfile
  cat >imagewright.yml <<'END'
builder:
  vars: {PREFIX: e2e, KIND: from vars}
  defaults:
    from: app
    args: {KIND: "${KIND}"}
    labels: {maker: someone, price: 5$$}
  images:
  - name: ${PREFIX}/m:${A}-${B}
    matrix:
      A: [1, 2]
      B: [x, y]
      exclude: [{A: 2, B: y}]
      include: [{A: 3, B: z, KIND: of three}]
    labels: {of: "${A}"}
  - {name: "${PREFIX}/plain", args: {KIND: own}}
END
  KIND='from outside' run_build -j 1
  [ "$status" -eq 0 ]
  [ "$built" = "e2e/m:1-x e2e/m:1-y e2e/m:2-x e2e/m:3-z e2e/plain" ]
  engine_labels e2e/m:1-x | jq -e '.kind == "from outside" and .of == "1" and .maker == "someone" and .price == "5$"'
  engine_labels e2e/m:3-z | jq -e '.kind == "of three" and .of == "3"'
  engine_labels e2e/plain | jq -e '.kind == "own" and .of == null and .maker == "someone"'
  KIND='from outside' run_build -j 1
  [ "$built" = "" ]
  run_build -j 1
  [ "$built" = "e2e/m:1-x e2e/m:1-y e2e/m:2-x" ]
  [ "$(jq -r 'select(.event == "image-decided").reasons[].text' <<<"$events" | sort -u)" = "arg KIND changed" ]
}

@test "what config prints is what it is printed of" {
  cat >imagewright.yml <<'END'
builder:
  vars: {DIR: app}
  images:
  - name: e2e/a:${V}
    from: ${DIR}
    matrix: {V: [1, 2]}
    dockerfile_inline: |
      FROM scratch
      COPY . /
    secrets: [{id: token, environment: A_TOKEN}, {id: key, file: keys/k}]
    ssh: [default, k=keys/k]
    timeout: 90m
    weight: 3
    retries: 2
    shm_size: 1g
    ulimits: {nofile: 10}
    extra_hosts: {h: 10.0.0.1}
    args: {PRICE: 5$$}
  - {name: e2e/b, from: {git: ../clone, tag: v1}, depends_on: ["e2e/a:1"], platforms: [linux/amd64]}
END
  mkdir elsewhere
  A_TOKEN=hush-hush iw config >elsewhere/imagewright.yml
  run ! grep hush elsewhere/imagewright.yml
  diff elsewhere/imagewright.yml <(iw config elsewhere/imagewright.yml)
  iw config --json >json
  jq -e '.builder.images | length == 3' json
  jq -e '.builder.images[1] | .name == "e2e/a:2" and .timeout == "1h30m" and .shm_size == 1073741824 and
    .ulimits.nofile == {soft: 10, hard: 10} and .secrets[1] == {id: "key", file: "'"$PWD"'/keys/k"} and
    .args.PRICE == "5$"' json
}

@test "every example of the documentation is read, and printed as it is read" {
  awk -v RS='```' 'NR % 2 == 0 && sub(/^yaml\n/, "") { print > ("example" NR ".yml") }' \
    "$BATS_TEST_DIRNAME/../../docs/config.md"
  local example count=0
  for example in example*.yml; do
    iw config "$example" >printed.yml
    diff printed.yml <(iw config printed.yml)
    count=$((count + 1))
  done
  [ "$count" -ge 18 ]
}

@test "a variable that is not set is an error with its place" {
  printf 'builder:\n  vars: {}\n  images:\n  - name: a\n    from: ${NO_SUCH_VARIABLE}\n' >imagewright.yml
  run --separate-stderr iw build
  [ "$status" -eq 2 ]
  [[ "$stderr" == *"imagewright.yml:5:11: the variable 'NO_SUCH_VARIABLE' is not set"* ]]
}

@test "in a file of before, a dollar sign is what it was" {
  directory_image app
  printf 'FROM scratch\nCOPY . /\n' >app/Dockerfile
  one_image_with_dollars
  run_build
  [ "$status" -eq 0 ]
  engine_labels e2e/dollar | jq -e '.a == "${HOME}" and .b == "5$$" and .c == "$HOME"'
}

one_image_with_dollars() {
  cat >imagewright.yml <<'END'
builder:
  images:
  - name: e2e/dollar
    from: app
    labels: ['a=${HOME}', b=5$$, c=$HOME]
END
}
