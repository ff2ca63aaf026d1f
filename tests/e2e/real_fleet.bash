#!/usr/bin/env bash
# The body of real_fleet.bats: real_fleet.bash DIRECTORY (10 images; with IMAGEWRIGHT_LONG=1 30), in a network namespace of its own, with IMAGEWRIGHT, HOME and
# git's configuration as the tests have them. Ends with status 0 if everything holds.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$1
mkdir -p "$work"
cd "$work"
# shellcheck disable=SC1090 # they are beside this
load() { . "$here/$1.bash"; }
bats_require_minimum_version() { :; }
BATS_TEST_DIRNAME=$here
# shellcheck source=tests/e2e/common.bash
. "$here/common.bash"
# shellcheck source=tests/e2e/git_servers.bash
. "$here/git_servers.bash"
# shellcheck source=tests/e2e/postgres.bash
. "$here/postgres.bash"

# The servers' machine. Each worker's has a line to it.
address=10.77.0.1
registry=$address:5000
pids=()
end() {
  local status=$? pid
  [ "$status" -eq 0 ] || tail -n 60 "$work"/server-*.log "$work"/worker-*.log
  for pid in "${pids[@]}"; do
    kill -CONT "$pid" 2>/dev/null || true
    kill -9 "$pid" 2>/dev/null || true
  done
  end_postgres
  stop_git_servers "$work/http"
}
trap end EXIT
say() { echo "# $SECONDS s: $*"; }
# As until_true, but without taking the time of what it waits for.
until_seen() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || { echo "did not come true: $*"; return 1; }
    sleep 0.5
  done
}

# --- Sources: roots that others stand on, images in the middle, and leaves

count_of_roots=2 count_of_others=4
[ "${IMAGEWRIGHT_LONG:-0}" = 0 ] || count_of_roots=6 count_of_others=12
roots=() mids=() leaves=()
declare -A parent=() content=()
for i in $(seq "$count_of_roots"); do roots+=("r$i"); done
for i in $(seq "$count_of_others"); do
  mids+=("m$i") leaves+=("l$i")
  parent[m$i]=r$(((i - 1) % count_of_roots + 1))
  parent[l$i]=m$i
done
repository_of() {
  case $1 in
    r*) echo roots ;;
    m*) echo mids ;;
    l*) echo leaves ;;
  esac
}
# shellcheck disable=SC2016 # for the shell in the image
steps() { printf 'RUN ["/busybox","sh","-c","for i in $(/busybox seq 30); do echo line $i of %s; /busybox usleep 20000; done"]\n' "$1"; }

mkdir -p repositories trees
for repository in roots mids leaves; do
  git init -q "trees/$repository"
done
for image in "${roots[@]}" "${mids[@]}" "${leaves[@]}"; do
  tree=trees/$(repository_of "$image")/$image
  mkdir "$tree"
  content[$image]="$image 0"
  echo "${content[$image]}" >"$tree/content"
  case $image in
    r*)
      cp "$(type -P busybox)" "$tree/busybox"
      { printf 'FROM scratch\nCOPY busybox /busybox\nCOPY content /content-%s\n' "$image"; steps "$image"; } >"$tree/Dockerfile"
      ;;
    *) { printf 'FROM %s/e2e/%s\nCOPY content /content-%s\n' "$registry" "${parent[$image]}" "$image"; steps "$image"; } >"$tree/Dockerfile" ;;
  esac
done
for repository in roots mids leaves; do
  git -C "trees/$repository" add .
  git -C "trees/$repository" commit -qm 0
  git clone -q --bare "trees/$repository" "repositories/$repository.git"
done

# change IMAGE...: a commit for all of them of a repository.
change() {
  local image repository
  repository=$(repository_of "$1")
  for image in "$@"; do
    content[$image]="$image $SECONDS"
    echo "${content[$image]}" >"trees/$repository/$image/content"
  done
  git -C "trees/$repository" commit -qam "$*"
  git -C "trees/$repository" push -q "$work/repositories/$repository.git" main
  say "changed: $*"
}

# --- Machines

ip link set lo up
ip address add "$address/32" dev lo
declare -A machine=() # of a worker: the process that keeps its network
for i in 1 2 3; do
  unshare --net sleep 100000 &
  machine[w$i]=$!
  pids+=($!)
  ip link add "to-w$i" type veth peer name line
  until ip link set line netns "${machine[w$i]}" 2>/dev/null; do sleep 0.02; done
  ip address add "10.77.$i.1/30" dev "to-w$i"
  ip link set "to-w$i" up
  nsenter --net="/proc/${machine[w$i]}/ns/net" sh -c \
    "ip link set lo up && ip address add 10.77.$i.2/30 dev line && ip link set line up && ip route add default via 10.77.$i.1"
done

printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "%s", secret: "none"}\n' \
  "$work/registry" "$registry" >registry.yml
printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$registry" >registries.conf
export CONTAINERS_REGISTRIES_CONF=$work/registries.conf
env -i "PATH=$PATH" docker-registry serve registry.yml >registry.log 2>&1 &
pids+=($!)
start_git_http "$work/http" "$work/repositories"
start_postgres

mkdir project
{
  printf 'builder:\n  insecure_registries: ["%s"]\n  images:\n' "$registry"
  for image in "${roots[@]}" "${mids[@]}" "${leaves[@]}"; do
    printf '  - {name: "%s/e2e/%s", from: "%s/%s.git#main:%s"}\n' "$registry" "$image" "$git_http_url" "$(repository_of "$image")" "$image"
  done
} >project/imagewright.yml

export IMAGEWRIGHT_STORE=$postgres_url
IMAGEWRIGHT=$(realpath "$IMAGEWRIGHT")
iw token --name workers --role worker project/imagewright.yml >worker.token
token=$(iw token --name reader project/imagewright.yml)

declare -A server=() worker=()
port_of() { [ "$1" = a ] && echo 8081 || echo 8082; }
url_of() { echo "http://$address:$(port_of "$1")"; }
start_server() {
  XDG_CACHE_HOME=$work/server-$1/cache XDG_STATE_HOME=$work/server-$1/state "$IMAGEWRIGHT" serve project/imagewright.yml \
    -s "$work/server-$1" --listen "0.0.0.0:$(port_of "$1")" --host "$address" --push --interval 3s >>"server-$1.log" 2>&1 &
  server[$1]=$!
  pids+=($!)
}
# start_worker NAME SERVER SERVER: which it asks first, and where that is away.
start_worker() {
  mkdir -p "worker-$1"
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' "$work/worker-$1" "$work/worker-$1" >"worker-$1/storage.conf"
  CONTAINERS_STORAGE_CONF=$work/worker-$1/storage.conf XDG_CACHE_HOME=$work/worker-$1/cache XDG_STATE_HOME=$work/worker-$1/state \
    DOCKER_HOST=unix:///nonexistent/docker.sock \
    nsenter --net="/proc/${machine[$1]}/ns/net" "$IMAGEWRIGHT" worker --server "$(url_of "$2")" --server "$(url_of "$3")" \
    --token-file worker.token --name "$1" -j 1 >>"worker-$1.log" 2>&1 &
  worker[$1]=$!
  pids+=($!)
}

ask() { curl -sS --max-time 10 -H "Authorization: Bearer $token" "$(url_of "$1")$2"; }
jobs_of() { ask "$1" '/api/v1/jobs?limit=1000' | jq -c '.jobs[]'; }
count_of() { jobs_of "${2:-b}" | jq -r "select(.state == \"$1\") | .id" | wc -l; }
have_succeeded() { [ "$(count_of succeeded)" -ge "$1" ]; }
is_building() { jobs_of b | jq -es "any(.state == \"running\" and .worker == \"$1\")" >/dev/null; }
is_quiet() {
  [ "$(ask b '/api/v1/jobs?state=active' | jq '.jobs | length')" = 0 ] &&
    [ "$(CONTAINERS_STORAGE_CONF=$work/worker-w1/storage.conf iw status project/imagewright.yml --push --json 2>/dev/null | jq -r '[.[].state] | unique | join(" ")')" = up-to-date ]
}

# --- What happens

start_server a
start_server b
until_seen 20 grep -q ' on http://' server-a.log
until_seen 20 grep -q ' on http://' server-b.log
start_worker w1 a b
start_worker w2 b a
start_worker w3 a b
say "begun"
until_seen 120 have_succeeded 2
change r1 r2
until_seen 120 is_building w1
kill -9 "${worker[w1]}"
say "w1 is killed"
until_seen 120 is_building w2
kill -STOP "${worker[w2]}"
frozen=$SECONDS
say "w2 is frozen"
until_seen 120 is_building w3
ip link set to-w3 down
cut=$SECONDS
say "w3 is cut off"
change l3 l4
sleep 5
kill -9 "${server[a]}"
say "server a is killed"
start_worker w1 a b
until_seen 120 is_building w1
change m3
while [ $((SECONDS - cut)) -lt 30 ]; do sleep 0.2; done
ip link set to-w3 up
say "w3 is there again"
start_server a
change "${roots[-1]}"
while [ $((SECONDS - frozen)) -lt 75 ]; do sleep 0.2; done
change l1 l2 l3
kill -CONT "${worker[w2]}"
say "w2 goes on"
until_seen 400 is_quiet
say "quiet"

# --- What must hold

# Nothing failed, and nothing that was built was built again with the same inputs.
jobs_of b >all-jobs
[ "$(jobs_of a | sha256sum)" = "$(sha256sum <all-jobs)" ] || { echo "the servers do not know the same"; exit 1; }
jq -r '.state' all-jobs | sort | uniq -c
jq -es 'all(.state == "succeeded" or .state == "up-to-date" or .state == "superseded")' all-jobs >/dev/null || { cat all-jobs; exit 1; }
twice=$(jq -r 'select(.state == "succeeded") | .image + " " + .inputs' all-jobs | sort | uniq -d)
[ -z "$twice" ] || { echo "built twice: $twice"; exit 1; }

# What the frozen one held, somebody else built, or a newer job was for it.
jq -es 'any((.state == "succeeded" and .attempts > 1) or .state == "superseded")' all-jobs >/dev/null ||
  { echo "nothing was taken from the frozen worker"; exit 1; }

# Logs are complete: each line of a build's once, and in order.
for job in $(jq -r 'select(.state == "succeeded") | .id' all-jobs); do
  image=$(jq -r "select(.id == $job) | .image" all-jobs)
  ask a "/api/v1/jobs/$job/log" >log-a
  ask b "/api/v1/jobs/$job/log" >log-b
  cmp log-a log-b
  [ "$(stat -c %s log-b)" = "$(jq -r "select(.id == $job) | .log_bytes" all-jobs)" ] || { echo "the log of job $job is not as long as is said"; exit 1; }
  diff <(grep -oE '^line [0-9]+ of [a-z0-9]+$' log-b) <(seq 30 | sed "s/.*/line & of ${image##*/}/") >difference ||
    { echo "the log of job $job ($image) is not whole:"; cat difference; exit 1; }
done

# Every tag holds what the newest source says, down to the root.
accept='application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json'
layer() { # a layer's files, once for all
  [ -d "layers/$1" ] || { mkdir -p "layers/$1" && curl -sS "http://$registry/v2/e2e/$2/blobs/$1" | tar -xz -C "layers/$1" --no-same-owner; }
}
for image in "${roots[@]}" "${mids[@]}" "${leaves[@]}"; do
  rm -rf files && mkdir files
  for digest in $(curl -sS -H "Accept: $accept" "http://$registry/v2/e2e/$image/manifests/latest" | jq -r '.layers[].digest'); do
    layer "$digest" "$image"
    cp -r "layers/$digest/." files/
  done
  for ancestor in "$image" "${parent[$image]:-}" "${parent[${parent[$image]:-none}]:-}"; do
    [ -n "$ancestor" ] || continue
    [ "$(cat "files/content-$ancestor")" = "${content[$ancestor]}" ] ||
      { echo "$image has '$(cat "files/content-$ancestor")' of $ancestor instead of '${content[$ancestor]}'"; exit 1; }
  done
done
say "$(jq -r 'select(.state == "succeeded") | .id' all-jobs | wc -l) builds of $((count_of_roots + 2 * count_of_others)) images"
