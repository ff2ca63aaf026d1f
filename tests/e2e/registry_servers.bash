# Registries for tests: docker-registry as it comes, in several dresses, and a proxy that makes trouble. To be loaded
# after common. All are on loopback, each on a free port and in a directory of its own below the test's.
#
#   start_plain_registry                      http, no password
#   start_password_registry USER PASSWORD     http, basic authentication
#   start_tls_registry                        https, of an authority of its own: $registry_ca, alone in its directory
#   start_token_registry USER PASSWORD        http, and tokens from a server beside it: $token_realm, its log
#                                             $token_log, its one refresh token $refresh_token; with ANONYMOUS_PULL=1
#                                             before it anybody may pull
#   start_troubled_registry [HOST:PORT]       a proxy before that registry (or $registry), by http: $troubled, its log
#                                             $proxy_log, the file with its rules $trouble (troubled_proxy.py has them)
#   make_trouble [RULES]                      these rules, a JSON list; without: none
#   stop_registries [HOST:PORT...]            in teardown: ends them all, and waits until they are gone
#   push_base REFERENCE TEXT [PLATFORM]       a tiny image; push_image.py has the options. Prints its digests, and sets
#                                             them: base_config, base_manifest
#   push_index REFERENCE PLATFORM=DIGEST...   a manifest list (with --oci an index). Prints and sets index_digest
#   ask_manifest NAME TAG [OPTIONS...]        what $registry, by http, answers for a manifest; options of curl
#   requests_for LOG PATTERN                  how many lines of a log match
#
# Each start function but the proxy's sets registry (127.0.0.1:PORT) and registry_log; what goes by http is in
# CONTAINERS_REGISTRIES_CONF. Also for setup_file, with stop_registries in teardown_file. A log has a line a request,
# and may be emptied at any time; docker-registry writes it when it has answered, which can be after the last byte.
#
# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set is for the tests

_registry_scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

_registries() { echo "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}/registries"; }

# A new directory for a server.
_registry_directory() {
  mkdir -p "$(_registries)" && mktemp -d "$(_registries)/XXXXXX"
}

# _registry_serve DIR FUNCTION ARGUMENTS...: on a free port, which is left in $_registry_port, the server of which
# FUNCTION DIR PORT ARGUMENTS... says the command, in the array command. Its output goes to DIR/out and DIR/errors.
_registry_serve() {
  local dir=$1 function=$2 command
  shift 2
  for _ in 1 2 3 4 5; do # somebody else may be faster to take a port
    _registry_port=$(free_port) || return 1
    "$function" "$dir" "$_registry_port" "$@" || return 1
    if _registry_comes_up "$dir" "$_registry_port" "${command[@]}"; then return 0; fi
  done
  cat "$dir/errors" >&2
  return 1
}

# Descriptor 3 is bats' own: whoever holds it open keeps bats waiting.
_registry_comes_up() {
  local dir=$1 port=$2 pid
  shift 2
  "$@" >>"$dir/out" 2>>"$dir/errors" </dev/null 3>&- &
  pid=$!
  echo "$pid" >"$(_registries)/$port.pid"
  for _ in {1..200}; do
    kill -0 "$pid" 2>/dev/null || break
    if port_is_open "$port" && kill -0 "$pid" 2>/dev/null; then return 0; fi
    sleep 0.05
  done
  stop_registries "127.0.0.1:$port"
  return 1
}

stop_registries() {
  local files=() address file pid
  for address in "$@"; do files+=("$(_registries)/${address##*:}.pid"); done
  [ $# -gt 0 ] || files=("$(_registries)"/*.pid)
  for file in "${files[@]}"; do
    [ -e "$file" ] || continue
    pid=$(<"$file")
    rm -f "$file"
    kill "$pid" 2>/dev/null || continue
    wait "$pid" 2>/dev/null || true # returns at once where it is no child of this shell
    for _ in {1..100}; do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.05
    done
    kill -9 "$pid" 2>/dev/null || true
  done
}

# Engines are to speak http there, and elsewhere whatever they were told before.
_registry_by_http() {
  local conf
  conf=$(_registries)/registries.conf
  if [ ! -e "$conf" ]; then
    cat "${CONTAINERS_REGISTRIES_CONF:-/dev/null}" >"$conf" || return 1
    export CONTAINERS_REGISTRIES_CONF=$conf
  fi
  printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$1" >>"$conf"
}

# _registry_start DIR HTTP [AUTH]: docker-registry with this in its configuration's http and auth.
_registry_start() {
  local dir=$1
  _registry_serve "$dir" _registry_command "${@:2}" || return 1
  registry=127.0.0.1:$_registry_port
  registry_log=$dir/out
}

_registry_command() {
  local dir=$1 port=$2
  cat >"$dir/config.yml" <<EOF
version: 0.1
log: {level: error, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: $dir/data}
  delete: {enabled: true}
http: {addr: "127.0.0.1:$port", secret: "of no use"$3}
${4:+auth: $4}
EOF
  # All REGISTRY_... is configuration to it, even REGISTRY_AUTH_FILE, by which the engines find passwords.
  command=(env -i "PATH=$PATH" docker-registry serve "$dir/config.yml")
}

start_plain_registry() {
  local dir
  dir=$(_registry_directory) || return 1
  _registry_start "$dir" "" && _registry_by_http "$registry"
}

start_password_registry() {
  local dir hash
  dir=$(_registry_directory) || return 1
  # bcrypt by libcrypt, with the least cost: it is paid for each request.
  # shellcheck disable=SC2016 # they are its own
  hash=$(perl -e 'print crypt($ARGV[0], q($2y$04$abcdefghijklmnopqrstuu))' "$2") || return 1
  [[ ${#hash} -eq 60 ]] || { echo "no bcrypt here" >&2; return 1; }
  echo "$1:$hash" >"$dir/passwords"
  _registry_start "$dir" "" "{htpasswd: {realm: registry, path: $dir/passwords}}" && _registry_by_http "$registry"
}

# _registry_openssl DIR EXTENSIONS ARGUMENTS...: a certificate, valid for two days, whatever the machine's openssl.cnf
# would have in it. Shows what went wrong.
_registry_openssl() {
  local dir=$1 extensions=$2 said
  shift 2
  cat >"$dir/openssl.cnf" <<'EOF'
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
EOF
  said=$(openssl req -x509 -config "$dir/openssl.cnf" -extensions "$extensions" -nodes -days 2 "$@" 2>&1) || {
    echo "$said" >&2
    return 1
  }
}

start_tls_registry() {
  local dir curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256)
  dir=$(_registry_directory) || return 1
  mkdir "$dir/authority" || return 1
  registry_ca=$dir/authority/ca.crt
  _registry_openssl "$dir" authority "${curve[@]}" -subj "/CN=authority of tests" -keyout "$dir/ca.key" \
    -out "$registry_ca" || return 1
  _registry_openssl "$dir" server "${curve[@]}" -subj /CN=127.0.0.1 -CA "$registry_ca" -CAkey "$dir/ca.key" \
    -keyout "$dir/server.key" -out "$dir/server.crt" || return 1
  _registry_start "$dir" ", tls: {certificate: $dir/server.crt, key: $dir/server.key}"
}

start_token_registry() {
  local dir auth
  dir=$(_registry_directory) || return 1
  mkdir "$dir/tokens" || return 1
  token_log=$dir/tokens/log
  refresh_token=refresh-$RANDOM$RANDOM
  : >"$token_log"
  _registry_openssl "$dir" authority -newkey rsa:2048 -subj /CN=tokens -keyout "$dir/tokens.key" \
    -out "$dir/tokens.crt" || return 1
  _registry_serve "$dir/tokens" _registry_token_command "$@" || return 1
  token_realm=http://127.0.0.1:$_registry_port/token
  auth="{token: {realm: '$token_realm', service: registry, issuer: tokens, rootcertbundle: $dir/tokens.crt}}"
  _registry_start "$dir" "" "$auth" && _registry_by_http "$registry"
}

_registry_token_command() {
  local dir=$1 port=$2
  # (-B: no __pycache__ beside the scripts.)
  command=(env "ANONYMOUS_PULL=${ANONYMOUS_PULL:-}" python3 -B "$_registry_scripts/token_server.py" "$port"
    "$dir/../tokens.key" "$dir/../tokens.crt" "$token_log" "$3" "$4" "$refresh_token")
}

start_troubled_registry() {
  local dir
  dir=$(_registry_directory) || return 1
  trouble=$dir/rules.json
  proxy_log=$dir/log
  echo '[]' >"$trouble"
  : >"$proxy_log"
  _registry_serve "$dir" _registry_proxy_command "${1:-$registry}" || return 1
  troubled=127.0.0.1:$_registry_port
  _registry_by_http "$troubled"
}

_registry_proxy_command() {
  command=(python3 -B "$_registry_scripts/troubled_proxy.py" "$2" "$3" "$trouble" "$proxy_log")
}

# At once: the proxy never sees half of it.
make_trouble() {
  local new
  new=$(mktemp "$trouble.XXXXXX") && echo "${1:-[]}" >"$new" && mv "$new" "$trouble"
}

push_base() {
  local digests
  digests=$(python3 -B "$_registry_scripts/push_image.py" base "$@") || return 1
  read -r base_config base_manifest <<<"$digests"
  echo "$digests"
}

push_index() {
  index_digest=$(python3 -B "$_registry_scripts/push_image.py" index "$@") || return 1
  echo "$index_digest"
}

ask_manifest() {
  local types=application/vnd.docker.distribution.manifest.v2+json,application/vnd.oci.image.manifest.v1+json
  curl -s -H "Accept: $types" "${@:3}" "http://$registry/v2/$1/manifests/$2"
}

requests_for() { grep -cE -- "$2" "$1" || [ $? -eq 1 ]; }
