#!/usr/bin/env bats
# Registries as they are out there: with passwords, tokens, authorities of their own, under stress. With Buildah, as what
# is asked and believed is the same for every engine.
#
# shellcheck disable=SC2034,SC2154 # variables that common.bash and Bats set or use

load common
load registry_servers

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  exercised buildah docker-registry python3 openssl perl
  project
  ENGINE=buildah
  image=e2e/bases$BATS_TEST_NUMBER
  mkdir -p "$HOME/.docker"
}

teardown() { stop_registries; }

# $image on BASE, with nothing of its own.
on_base() {
  mkdir -p test
  printf 'FROM %s\nCOPY x /\n' "$1" >test/Dockerfile
  echo x >test/x
  one_image test "${@:2}"
}

login() { # REGISTRY USER PASSWORD
  printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$1" "$(printf '%s:%s' "$2" "$3" | base64)" >"$HOME/.docker/config.json"
}

# The base is the registry's, and a new one of it is noticed. Arguments: options for push_base.
follows_the_base() {
  push_base "$registry/base:1" first "$@" >/dev/null
  on_base "$registry/base:1" "${keys[@]}"
  run_build
  [ "$status" -eq 0 ] || { echo "$events" >&2; return 1; }
  equal "$(content "$image" base.txt)" first || return 1
  equal "$errors" "" || return 1
  run_build
  equal "$built" "" || return 1
  push_base "$registry/base:1" second "$@" >/dev/null
  run_build
  equal "$built" "$image" || return 1
  equal "$(content "$image" base.txt)" second
}

@test "bases: a registry with a password" {
  start_password_registry someone 'pass:wörd'
  login "$registry" someone 'pass:wörd'
  follows_the_base --user 'someone:pass:wörd'
}

@test "bases: without the password, what came from there is left as it is" {
  start_password_registry someone secret
  login "$registry" someone secret
  push_base "$registry/base:1" first --user someone:secret >/dev/null
  on_base "$registry/base:1"
  run_build
  [ "$status" -eq 0 ]
  push_base "$registry/base:1" second --user someone:secret >/dev/null
  login "$registry" someone wrong
  run_build
  equal "$built" ""
  has "$events" "$registry does not say what $registry/base:1 is (it refuses it to the login that is known here)"
  rm "$HOME/.docker/config.json"
  expect 0 status
  has "$stderr" "it wants a login, or has no such image"
  lacks "$output$stderr$events" secret
}

@test "bases: a credential helper knows the password" {
  start_password_registry someone secret
  mkdir bin
  cat >bin/docker-credential-test <<END
#!/bin/sh
read -r server
[ "\$1 \$server" = "get $registry" ] || exit 1
echo '{"ServerURL": "$registry", "Username": "someone", "Secret": "secret"}'
END
  chmod +x bin/docker-credential-test
  PATH=$PWD/bin:$PATH
  printf '{"credHelpers": {"%s": "test"}}\n' "$registry" >"$HOME/.docker/config.json"
  follows_the_base --user someone:secret
  printf '{"credsStore": "test"}\n' >"$HOME/.docker/config.json"
  expect_nothing build
}

@test "bases: what podman login left is known" {
  start_password_registry someone secret
  export REGISTRY_AUTH_FILE=$PWD/auth.json
  printf '{"auths": {"%s/base": {"auth": "%s"}}}\n' "$registry" "$(printf someone:secret | base64)" >auth.json
  follows_the_base --user someone:secret
}

@test "bases: a registry that wants tokens" {
  start_token_registry someone secret
  login "$registry" someone secret
  follows_the_base --user someone:secret
}

@test "bases: one token, one question for each base" {
  start_token_registry someone secret
  login "$registry" someone secret
  local number
  printf 'builder:\n  images:\n' >imagewright.yml
  for number in 1 2 3; do
    push_base "$registry/base$number:1" "base $number" --user someone:secret >/dev/null
    mkdir "dir$number"
    printf 'FROM %s\n' "$registry/base$number:1" >"dir$number/Dockerfile"
    printf '  - {name: %s-%s, from: dir%s}\n' "$image" $number $number >>imagewright.yml
  done
  run_build
  [ "$status" -eq 0 ]
  : >"$token_log"
  : >"$registry_log"
  expect_nothing build
  equal "$(requests_for "$token_log" Basic)" 3
  # (One of them, or what asked at the same time as the first, learnt where the tokens are.)
  equal "$(requests_for "$registry_log" 'HEAD .* 200 .*imagewright')" 3
  equal "$(requests_for "$registry_log" '"GET .*imagewright')" 0
}

@test "bases: anybody may pull by token" {
  ANONYMOUS_PULL=1 start_token_registry someone secret
  follows_the_base --user someone:secret
}

@test "bases: an identity token gives out the others" {
  start_token_registry someone secret
  printf '{"auths": {"%s": {"auth": "%s", "identitytoken": "%s"}}}\n' "$registry" \
    "$(printf '<token>:' | base64)" "$refresh_token" >"$HOME/.docker/config.json"
  export REGISTRY_AUTH_FILE=$HOME/.docker/config.json
  follows_the_base --user someone:secret
}

@test "bases: a private authority" {
  start_tls_registry
  push_base "$registry/base:1" first --ca "$registry_ca" >/dev/null
  mkdir -p "$HOME/.config/containers/certs.d/$registry"
  cp "$registry_ca" "$HOME/.config/containers/certs.d/$registry/"
  on_base "$registry/base:1"
  run iw status
  [ "$status" -eq 0 ]
  lacks "$output" "cannot be asked"
  equal "$(iw context "$image" --json | jq -r '.[] | select(.type == "file").path')" x
  equal "$(requests_for "$registry_log" 'HEAD .* 200 .*imagewright')" 2
}

# elsewhere SCRIPT: runs it in a network of its own, where servers on loopback are also at 192.0.2.1, which is not this
# machine itself for us. $output has what it says.
elsewhere() {
  [ "$(id -u)" -eq 0 ] || skip "not exercised here: it takes root"
  export BATS_TEST_DIRNAME BATS_TEST_TMPDIR BATS_FILE_TMPDIR IMAGEWRIGHT image
  run unshare --net bash -euc '
    ip link set lo up
    ip address add 192.0.2.1/32 dev lo
    bats_require_minimum_version() { :; }
    load() { source "$BATS_TEST_DIRNAME/$1.bash"; }
    load common
    load registry_servers
    also_elsewhere() {
      away=192.0.2.1:${1#*:}
      python3 "$BATS_TEST_DIRNAME/forward.py" 192.0.2.1 "${1#*:}" &
      trap "kill $!; stop_registries" EXIT
      until (exec 5<>"/dev/tcp/192.0.2.1/${1#*:}") 2>/dev/null; do sleep 0.05; done
    }
    trap stop_registries EXIT
    '"$1"
  [ "$status" -eq 0 ] || { echo "$output" >&2; return 1; }
}

@test "bases: an authority that is not trusted is not believed" {
  elsewhere '
    start_tls_registry
    push_base "$registry/base:1" first --ca "$registry_ca" >/dev/null
    also_elsewhere "$registry"
    mkdir test
    printf "FROM %s\n" "$away/base:1" >test/Dockerfile
    one_image test
    iw status 2>&1
    echo "insecure now"
    printf "  insecure_registries: [\"%s\"]\n" "$away" >>imagewright.yml
    iw status 2>&1
  '
  has "$output" "cannot be asked (SSL"
  lacks "$(sed '1,/insecure now/d' <<<"$output")" "cannot be asked"
}

@test "bases: plain http elsewhere is for those that the configuration names" {
  elsewhere '
    start_plain_registry
    push_base "$registry/base:1" first >/dev/null
    start_troubled_registry
    also_elsewhere "$troubled"
    mkdir test
    printf "FROM %s\n" "$away/base:1" >test/Dockerfile
    one_image test
    : >"$proxy_log"
    iw status 2>&1
    equal "$(<"$proxy_log")" ""
    echo "insecure now"
    printf "  insecure_registries: [\"%s\"]\n" "$away" >>imagewright.yml
    iw build 2>&1
    equal "$(requests_for "$proxy_log" "HEAD /v2/base/manifests/1")" 1
  '
  has "$output" "cannot be asked (" "built $image"
  lacks "$(sed '1,/insecure now/d' <<<"$output")" "cannot be asked"
}

# A base behind the proxy, known from a first build; then trouble of the kind that the rules say.
in_trouble() {
  start_plain_registry
  start_troubled_registry
  push_base "$registry/base:1" "first of $image" >/dev/null
  on_base "$troubled/base:1"
  run_build
  [ "$status" -eq 0 ]
  push_base "$registry/base:1" "second of $image" >/dev/null
  : >"$proxy_log"
  make_trouble "$1"
  run_build
}

@test "bases: Retry-After is heeded" {
  in_trouble '[{"match": "HEAD", "status": 429, "headers": {"Retry-After": "1"}, "times": 2}]'
  equal "$built" "$image"
  equal "$(requests_for "$proxy_log" '^HEAD')" 3
}

@test "bases: a registry that asks to wait for longer is left alone" {
  in_trouble '[{"match": "HEAD", "status": 429, "headers": {"Retry-After": "3600"}}]'
  equal "$built" ""
  has "$events" "cannot be asked (it answers with status 429 and asks to wait 3600 s)"
  equal "$(requests_for "$proxy_log" '^HEAD')" 1
}

@test "bases: what a registry closes half-way is asked for again" {
  in_trouble '[{"match": "(HEAD|GET) /v2/base/manifests/", "close": "before", "times": 2}]'
  equal "$built" "$image"
}

@test "bases: a registry that fails for long changes nothing" {
  in_trouble '[{"match": ".*", "status": 500}]'
  [ "$status" -eq 0 ]
  equal "$built" ""
  has "$events" "cannot be asked (it answers with status 500)"
}

@test "bases: rubbish changes nothing" {
  in_trouble '[{"match": "(HEAD|GET) /v2/base/manifests/", "body": "rubbish", "status": 200}]'
  [ "$status" -eq 0 ]
  equal "$built" ""
  has "$events" warning
}

@test "bases: another manifest than the digest says changes nothing" {
  in_trouble '[{"match": "GET /v2/base/manifests/", "body": "{}"}]'
  [ "$status" -eq 0 ]
  equal "$built" ""
  has "$events" "what it answers is not what its digest says"
}

@test "bases: a registry that says no digest is understood" {
  in_trouble '[{"match": ".*", "drop_headers": ["Docker-Content-Digest"]}]'
  equal "$built" "$image"
  make_trouble '[{"match": "HEAD", "status": 405}]'
  run_build
  equal "$built" ""
}

@test "bases: blobs may be elsewhere" {
  start_plain_registry
  local elsewhere=$registry
  start_troubled_registry
  push_base "$registry/base:1" first --env PART=part >/dev/null
  make_trouble '[{"match": "GET /v2/.*/blobs/", "redirect": "http://'"$elsewhere"'"}]'
  on_base "$troubled/base:1"
  printf 'FROM %s\nCOPY $PART /\n' "$troubled/base:1" >test/Dockerfile
  echo part >test/part
  equal "$(iw context "$image" --json | jq -r '.[] | select(.type == "file").path')" part
  run_build
  [ "$status" -eq 0 ]
}

@test "bases: an image that left its registry" {
  start_plain_registry
  start_troubled_registry
  push_base "$registry/base:1" first >/dev/null
  on_base "$troubled/base:1"
  run_build
  [ "$status" -eq 0 ]
  make_trouble '[{"match": ".*/manifests/1", "status": 404}]'
  run_build
  equal "$built" ""
  has "$events" "$troubled has no $troubled/base:1 any more (it has no such image); what stands on it is left as it is"
}

@test "bases: 1000 images on 10 bases ask 10 questions" {
  start_plain_registry
  local number
  printf 'builder:\n  defaults: {from: test}\n  images:\n' >imagewright.yml
  mkdir test
  printf 'ARG BASE\nFROM $BASE\n' >test/Dockerfile
  for number in {0..9}; do push_base "$registry/base:$number" "base $number of ten" >/dev/null; done
  for number in {0..999}; do
    printf '  - {name: %s-%s, args: {BASE: "%s/base:%s"}}\n' "$image" "$number" "$registry" "$((number % 10))"
  done >>imagewright.yml
  : >"$registry_log"
  expect 0 status
  equal "$(requests_for "$registry_log" 'HEAD .*imagewright')" 10
  equal "$(requests_for "$registry_log" '"GET .*imagewright')" 10
  : >"$registry_log"
  expect 0 status
  equal "$(requests_for "$registry_log" imagewright)" 10
}

@test "bases: a short name is what podman and buildah take it for" {
  start_plain_registry
  push_base "$registry/base:1" first >/dev/null
  printf '[aliases]\n"e2e-alias" = "%s/base"\n' "$registry" >>"$CONTAINERS_REGISTRIES_CONF"
  on_base e2e-alias:1
  run_build
  [ "$status" -eq 0 ]
  equal "$(content "$image" base.txt)" first
  push_base "$registry/base:1" second >/dev/null
  run_build
  equal "$built" "$image"
  equal "$(content "$image" base.txt)" second
  # What is no alias is the engine's own first, and then looked for.
  printf 'unqualified-search-registries = ["%s"]\n' "$registry" | cat - "$CONTAINERS_REGISTRIES_CONF" >conf
  cp conf "$CONTAINERS_REGISTRIES_CONF"
  on_base base:1
  run_build
  equal "$(content "$image" base.txt)" second
  directory_image own
  echo own >own/base.txt
  build_by_hand base:1 own
  run_build
  equal "$built" "$image"
  equal "$(content "$image" base.txt)" own
}

@test "bases: of several behind one password none is taken for refused" {
  start_password_registry someone secret
  login "$registry" someone secret
  local number
  printf 'builder:\n  images:\n' >imagewright.yml
  for number in {1..8}; do
    push_base "$registry/base$number:1" "base $number of $BATS_TEST_NAME" --user someone:secret >/dev/null
    mkdir "dir$number"
    printf 'FROM %s\n' "$registry/base$number:1" >"dir$number/Dockerfile"
    printf '  - {name: %s-%s, from: dir%s}\n' "$image" "$number" "$number" >>imagewright.yml
  done
  run_build
  [ "$status" -eq 0 ]
  equal "$(state "SELECT count(*) FROM image_input WHERE kind = 'base' AND value LIKE '%@%'")" 8
  lacks "$events" '"warning"'
}

@test "bases: a login for one part of a registry is not all that there is" {
  start_password_registry someone secret
  push_base "$registry/a/base:1" "in a" --user someone:secret >/dev/null
  push_base "$registry/b/base:1" "in b" --user someone:secret >/dev/null
  export REGISTRY_AUTH_FILE=$PWD/auth.json
  printf '{"auths": {"%s/b": {"auth": "%s"}}}\n' "$registry" "$(printf someone:secret | base64)" >auth.json
  mkdir test
  printf 'FROM %s AS a\nFROM %s\nCOPY --from=a /x /\n' "$registry/a/base:1" "$registry/b/base:1" >test/Dockerfile
  one_image test
  expect 0 why "$image" --json
  equal "$(jq -r '.inputs[] | select(.kind == "base") | .name + " " + (if .now then "known" else "unknown" end)' <<<"$output")" \
    "$registry/a/base:1 unknown
$registry/b/base:1 known"
}

# The engine has an older one of that name.
@test "bases: a page in a registry's place does not bring an older image back" {
  start_plain_registry
  start_troubled_registry
  directory_image old
  echo old >old/base.txt
  build_by_hand "$troubled/base:1" old
  push_base "$registry/base:1" "new of $image" >/dev/null
  on_base "$troubled/base:1"
  run_build
  equal "$(content "$image" base.txt)" "new of $image"
  make_trouble '[{"match": ".*", "status": 200, "body": "<html>Welcome</html>", "drop_headers": ["Docker-Content-Digest"]}]'
  run_build
  equal "$built" ""
  has "$events" "cannot be asked (what it answers is no manifest)"
}

@test "bases: the engine's own image for another platform is another image" {
  start_plain_registry
  directory_image base
  build_by_hand "$registry/base:1" base
  on_base "$registry/base:1" 'track_base: local' 'platforms: [linux/s390x]'
  expect 1 status
  has "$output" "buildah has no image $registry/base:1 for linux/s390x"
}

@test "bases: all of a build by plain http, or nothing of it" {
  start_plain_registry
  push_base "$registry/base:1" base >/dev/null
  mkdir wrapped
  printf '#!/bin/sh\necho "$*" >>%s/argv\nexec %s "$@"\n' "$PWD" "$(type -P buildah)" >wrapped/buildah
  chmod +x wrapped/buildah
  PATH=$PWD/wrapped:$PATH
  on_base "$registry/base:1"
  run_build
  has "$(grep -e --iidfile argv)" --tls-verify=false
  : >argv
  printf 'COPY --from=registry.invalid/tool@%s /x /\n' "$base_manifest" >>test/Dockerfile
  run_build
  [ "$status" -eq 1 ]
  lacks "$(grep -e --iidfile argv)" --tls-verify
}

@test "bases: a proxy's password is not told" {
  on_base registry.invalid/base:1
  https_proxy='foo://someone:secret@proxy.invalid' expect 0 status
  has "$stderr" "cannot be asked"
  lacks "$stderr" secret
  https_proxy='someone:secret@proxy.invalid:99999999' expect 0 status
  lacks "$stderr" secret
}

@test "bases: an argument's password is not stored" {
  on_base scratch 'args: {REPOSITORY: "https://someone:secret@git.example.com/x.git"}'
  run_build
  [ "$status" -eq 0 ]
  lacks "$(state 'SELECT * FROM image_input; SELECT * FROM build')$(iw why "$image")$(iw why "$image" --json)" secret
}

# A server that takes what comes and says nothing: sets silent.
start_silent_server() {
  local port
  port=$(free_port)
  silent=127.0.0.1:$port
  python3 -c 'import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
kept = []
while True: kept.append(server.accept())' "$port" >/dev/null 2>&1 </dev/null 3>&- &
  mkdir -p "$BATS_TEST_TMPDIR/registries"
  echo $! >"$BATS_TEST_TMPDIR/registries/$port.pid"
  until_true 10 port_is_open "$port"
}

@test "bases: what is wrong is told without waiting for a registry that says nothing" {
  start_silent_server
  mkdir a b
  printf 'FROM %s\nCOPY --from=%s /x /\n' "$silent/base:1" "$image-b" >a/Dockerfile
  printf 'FROM %s\n' "$image-a" >b/Dockerfile
  configuration imagewright.yml "$image-a" a "$image-b" b
  run timeout 8 "$IMAGEWRIGHT" build
  [ "$status" -eq 2 ]
  has "$output" "no order can build them"
}

@test "bases: who waits for a registry keeps nobody else waiting" {
  start_silent_server
  directory_image quick
  mkdir slow
  printf 'FROM %s\n' "$silent/base:1" >slow/Dockerfile
  configuration imagewright.yml "$image-slow" slow "$image-quick" quick
  start_build -j 2
  until_true 8 grep -q "built $image-quick" "$run_out"
  kill -INT "$run_pid"
  end_of_build 8
  [ "$status" -eq 130 ]
}

@test "bases: Ctrl-C ends a question to a registry that says nothing" {
  start_silent_server
  on_base "$silent/base:1"
  start_build
  sleep 0.5
  kill -INT "$run_pid"
  end_of_build 8
  [ "$status" -eq 130 ]
  lacks "$(<"$run_err")" "cannot be asked"
}

@test "bases: localhost is no registry" {
  on_base localhost/not/there
  expect 0 status
  equal "$stderr" ""
}
