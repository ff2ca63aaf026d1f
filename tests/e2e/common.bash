# What the end-to-end tests share: a project of their own, engines of their own. To be loaded by every file.
#
#   project                in setup: an empty directory to work in, with homes, caches and state apart from the user's
#   own_buildah            in setup_file: Buildah with a store of its own, and no docker daemon to be found
#   start_dockerd          in setup_file: a docker daemon of its own (DOCKER_HOST); stop_dockerd in teardown_file
#   directory_image DIR    a directory with a Dockerfile that copies all of it, and one file
#   iw ARGUMENTS...        the real binary
#   field JSON FILTER      a value out of JSON text, by jq
#
# shellcheck shell=bash

bats_require_minimum_version 1.5.0

IMAGEWRIGHT=${IMAGEWRIGHT:-$BATS_TEST_DIRNAME/../../build/release/imagewright}

iw() { "$IMAGEWRIGHT" "$@"; }

field() { jq -r "$2" <<<"$1"; }

project() {
  export HOME=$BATS_TEST_TMPDIR/home XDG_STATE_HOME=$BATS_TEST_TMPDIR/state
  # One cache a file: what was found out about an engine holds for all its tests.
  export XDG_CACHE_HOME=$BATS_FILE_TMPDIR/cache
  export GIT_CONFIG_GLOBAL=$HOME/.gitconfig GIT_CONFIG_NOSYSTEM=1
  mkdir -p "$HOME" "$BATS_TEST_TMPDIR/work"
  git config --global user.name tester
  git config --global user.email tester@example.com
  git config --global init.defaultBranch main
  cd "$BATS_TEST_TMPDIR/work" || return 1
}

# FROM scratch, so that nothing comes from the network.
directory_image() {
  mkdir -p "$1"
  printf 'FROM scratch\nCOPY . /\n' >"$1/Dockerfile"
  echo "some text" >"$1/file.txt"
}

own_buildah() {
  local store=$BATS_FILE_TMPDIR/containers
  mkdir -p "$store"
  cat >"$store/storage.conf" <<EOF
[storage]
driver = "overlay"
graphroot = "$store/graph"
runroot = "$store/run"
EOF
  export CONTAINERS_STORAGE_CONF=$store/storage.conf
  export DOCKER_HOST=unix:///nonexistent/docker.sock
}

end_buildah() {
  buildah rm --all >/dev/null 2>&1 || true
  umount -l "$BATS_FILE_TMPDIR/containers/graph/overlay" 2>/dev/null || true
}

start_dockerd() {
  local dir=$BATS_FILE_TMPDIR/docker
  mkdir -p "$dir"
  export DOCKER_HOST=unix://$dir/socket
  PATH=$PATH:/usr/sbin:/sbin dockerd --iptables=false --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/pid" -H "$DOCKER_HOST" >"$dir/log" 2>&1 </dev/null 3>&- &
  local _
  for _ in $(seq 300); do
    docker version >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  tail -n 20 "$dir/log" >&2
  return 1
}

stop_dockerd() {
  local dir=$BATS_FILE_TMPDIR/docker pid _
  [ -e "$dir/pid" ] || return 0
  pid=$(<"$dir/pid")
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 200); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
}

# What an image holds, as files in a directory: by the engine that the test uses.
unpack_docker() {
  local container
  mkdir -p "$2"
  container=$(docker create "$1" /none)
  docker export "$container" | tar -x -C "$2"
  docker rm "$container" >/dev/null
  # What docker puts into every container.
  rm -rf "$2/dev" "$2/proc" "$2/sys" "$2/etc" "$2/.dockerenv"
}

unpack_buildah() {
  local container mount
  mkdir -p "$2"
  container=$(buildah from --pull-never "$1")
  mount=$(buildah mount "$container")
  cp -a "$mount/." "$2"
  buildah umount "$container" >/dev/null
  buildah rm "$container" >/dev/null
}
