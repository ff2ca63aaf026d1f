# What the end-to-end tests share: a project of their own, engines of their own. To be loaded by every file.
#
#   project                in setup: an empty directory to work in, with homes, caches and state apart from the user's
#   own_buildah            in setup_file: Buildah with a store of its own, and no docker daemon to be found
#   own_podman             in setup_file: the same for Podman, and neither docker nor Buildah on PATH
#   exercised PROGRAM...   in setup: skips the test where a program is missing
#   is_long, long_only     whether this is scripts/test --long; skips the test where it is not
#   start_dockerd          in setup_file: a docker daemon of its own (DOCKER_HOST); stop_dockerd in teardown_file
#   directory_image DIR    a directory with a Dockerfile that copies all of it, and one file
#   iw ARGUMENTS...        the real binary
#   field JSON FILTER      a value out of JSON text, by jq
#
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # status, built and the like are for the tests

bats_require_minimum_version 1.5.0
load ports

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

# A directory with all programs of PATH but these, to be the whole PATH.
programs_without() {
  local directory program parts
  directory=$(mktemp -d "$BATS_FILE_TMPDIR/programs.XXXXXX")
  IFS=: read -ra parts <<<"$PATH"
  # The first of a name wins, as on PATH.
  for program in "${parts[@]}"; do find -L "$program" -maxdepth 1 -type f -printf '%f\t%p\n' 2>/dev/null || true; done |
    awk -F'\t' '!seen[$1]++ { printf "%s%c", $2, 0 }' | xargs -0 ln -s -t "$directory"
  for program in "$@"; do rm -f "$directory/$program"; done
  echo "$directory"
}

own_podman() {
  own_buildah
  export CONTAINERS_CONF=$BATS_FILE_TMPDIR/containers/containers.conf
  printf '[engine]\ntmp_dir = "%s"\nevents_logger = "none"\n' "$BATS_FILE_TMPDIR/containers/tmp" >"$CONTAINERS_CONF"
  export PATH_WITH_BUILDAH=$PATH
  PATH=$(programs_without docker buildah)
  export PATH
}

end_podman() {
  podman rm --all --force >/dev/null 2>&1 || true
  umount -l "$BATS_FILE_TMPDIR/containers/graph/overlay" 2>/dev/null || true
}

# Whether this is `scripts/test --long`.
is_long() { [ "${IMAGEWRIGHT_LONG:-0}" = 1 ]; }
long_only() { is_long || skip "only with --long"; }

exercised() {
  local program
  for program in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin type -P "$program" >/dev/null || skip "not exercised here: no $program"
  done
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
  [ -n "$mount" ] || return 1
  cp -a "$mount/." "$2"
  buildah umount "$container" >/dev/null
  buildah rm "$container" >/dev/null
}

unpack_podman() {
  local mount
  mkdir -p "$2"
  mount=$(podman image mount "$1")
  [ -n "$mount" ] || return 1
  cp -a "$mount/." "$2"
  podman image unmount "$1" >/dev/null
}

# --- Runs, and what they tell

# One image in imagewright.yml: its name is $image, its directory DIR; further arguments are further lines of it.
one_image() {
  {
    printf 'builder:\n  images:\n  - name: %s\n    from: %s\n' "${image:?}" "$1"
    [ $# -lt 2 ] || printf '    %s\n' "${@:2}"
  } >imagewright.yml
}

# One whole run. Sets status, events (JSON lines), errors (stderr) and built (names with blanks between).
run_build() {
  status=0
  events=$(iw build --json "$@" 2>"$BATS_TEST_TMPDIR/stderr") || status=$?
  errors=$(<"$BATS_TEST_TMPDIR/stderr")
  built=$(images_with built)
}

# The images of $events that ended so: built, up-to-date, failed, skipped.
images_with() {
  jq -r --arg result "$1" 'select(.event == "image-finished" and .result == $result).image' <<<"$events" | paste -sd' '
}

# Why the images of $events were built, for people.
reasons() { jq -r 'select(.event == "image-decided").reasons[].text' <<<"$events" | paste -sd,; }

# What the state says: SQL on the database of the working directory.
state() { sqlite3 -readonly .builder.state.db "$1"; }

# A run that goes on while the test looks at it: sets run_pid; its output is in $run_out and $run_err.
start_build() {
  run_out=$BATS_TEST_TMPDIR/run.out run_err=$BATS_TEST_TMPDIR/run.err
  "$IMAGEWRIGHT" build "$@" >"$run_out" 2>"$run_err" 3>&- &
  run_pid=$!
}

# Its end, which must come within SECONDS (default 20). Sets status.
end_of_build() {
  until_true "${1:-20}" gone "$run_pid" || return 1
  status=0
  wait "$run_pid" || status=$?
  run_pid=
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# Polls until COMMAND succeeds; fails if it has not after SECONDS.
until_true() {
  local deadline=$((SECONDS + $1)) pauses=(0.02 0.02 0.05 0.05) pause
  shift
  until "$@"; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "did not come true: $*" >&2
      return 1
    fi
    pause=${pauses[0]:-0.1}
    pauses=("${pauses[@]:1}")
    sleep "$pause"
  done
}

# A directory whose build stays in a RUN step until the test lets it go, or ends it; file.txt is copied behind that
# step. The step is known by the number in $hold, in seconds the most it lasts.
held_image() {
  hold=${hold:-60.$RANDOM$RANDOM}
  directory_image "$1"
  cp "$(type -P busybox)" "$1/busybox"
  printf 'FROM scratch\nCOPY busybox /\nRUN ["/busybox","sh","-c","/busybox sleep %s || true"]\nCOPY . /\n' "$hold" \
    >"$1/Dockerfile"
}

held_pid() { pgrep -fx "/busybox sleep $hold"; }
holds() { held_pid >/dev/null; }
holds_no_more() { ! held_pid >/dev/null; }
let_go() { kill "$(held_pid)"; }

# Ends the run in the background as the kernel would, and then the step that it was held in.
kill_held_run() {
  kill -9 "$run_pid"
  until_true 30 gone "$run_pid"
  run_pid=
  let_go || true
}
make_old() { # what killed runs left
  find "$XDG_CACHE_HOME/imagewright/runs" "$XDG_CACHE_HOME/imagewright/staging" -mindepth 1 -maxdepth 1 \
    -exec touch -d '2 minutes ago' {} +
}

# For teardown: nothing that a test started in the background outlives it.
end_held() {
  [ -z "${run_pid:-}" ] || kill -9 "$run_pid" 2>/dev/null || true
  [ -z "${hold:-}" ] || ! holds || let_go
}

# Fails, and names it, if a run left something of its own behind.
no_leftovers() {
  local left
  left=$(find "$XDG_CACHE_HOME"/imagewright/{staging,checkouts} -mindepth 1 2>/dev/null || true)
  [ -z "$left" ] || { echo "left behind: $left" >&2; return 1; }
}

# --- The engine $ENGINE, docker, buildah or podman, asked by its own program

engine_id() {
  case $ENGINE in
    docker) docker image inspect --format '{{.Id}}' "$1" ;;
    buildah) echo "sha256:$(buildah inspect --type image --format '{{.FromImageID}}' "$1")" ;;
    podman) echo "sha256:$(podman image inspect --format '{{.Id}}' "$1")" ;;
  esac
}

engine_labels() {
  case $ENGINE in
    docker) docker image inspect --format '{{json .Config.Labels}}' "$1" ;;
    buildah) buildah inspect --type image "$1" | jq .OCIv1.config.Labels ;;
    podman) podman image inspect "$1" | jq '.[0].Labels' ;;
  esac
}

remove_image() {
  case $ENGINE in
    docker) docker rmi -f "$(engine_id "$1")" ;;
    buildah) buildah rmi -f "$(engine_id "$1")" ;; # by its id: by name, other names of it would stay
    podman) podman rmi -f "$(engine_id "$1")" ;;
  esac >/dev/null
}

# unpack IMAGE DIR; content IMAGE FILE
unpack() { "unpack_$ENGINE" "$@"; }
content() {
  local directory
  directory=$(mktemp -d "$BATS_TEST_TMPDIR/XXXXXX")
  unpack "$1" "$directory" && cat "$directory/$2"
}

# build_by_hand IMAGE DIR: what people do without us.
build_by_hand() {
  case $ENGINE in
    docker) DOCKER_BUILDKIT=1 "$(docker_with_buildkit)" build -q -t "$1" "$2" ;;
    buildah) buildah build --layers -q -t "$1" "$2" ;;
    podman) podman build -q -t "$1" "$2" ;;
  esac >/dev/null
}

# Everything below a directory that an image should have, as text to compare: paths, types, modes, link targets, bytes.
listing() {
  (
    cd "$1" || exit 1
    find . -mindepth 1 -printf '%P\t%y\t%m\t%l\n' | LC_ALL=C sort
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  )
}

# The first docker CLI on PATH that has BuildKit built in (before version 23), and the first that has not and no
# buildx either; 1 if there is none.
docker_with_buildkit() { _first_docker has_buildkit; }
docker_without_buildkit() { _first_docker lacks_buildkit; }
has_buildkit() { [ "$(docker_major "$1")" -lt 23 ]; }
lacks_buildkit() { [ "$(docker_major "$1")" -ge 23 ] && ! "$1" buildx version >/dev/null 2>&1; }
docker_major() { "$1" --version | sed -nE 's/^Docker version ([0-9]+)\..*/\1/p'; }
_first_docker() {
  local program
  while read -r program; do
    if "$1" "$program"; then
      echo "$program"
      return
    fi
  done < <(type -ap docker)
  return 1
}

# --- What is expected. Each says what was there instead.

# expect STATUS ARGUMENTS...: runs the binary. $output is its stdout, $stderr its stderr, as of `run`.
expect() {
  local wanted=$1
  shift
  run --separate-stderr iw "$@"
  [ "$status" -eq "$wanted" ] && return 0
  printf 'imagewright %s: exit %s, not %s\n--- stdout\n%s\n--- stderr\n%s\n' \
    "$*" "$status" "$wanted" "$output" "$stderr" >&2
  return 1
}

# expect_nothing ARGUMENTS...: exit 0, and not a word.
expect_nothing() {
  expect 0 "$@" || return 1
  equal "$output$stderr" ""
}

# expect_refused STATUS ARGUMENTS...: that exit status, and one line, on stderr.
expect_refused() {
  expect "$@" || return 1
  equal "$output" "" || return 1
  [[ "${#stderr_lines[@]}" -eq 1 && "$stderr" == "imagewright: "* ]] || {
    printf 'not the one line it should be:\n%s\n' "$stderr" >&2
    return 1
  }
}

# has TEXT PART...
has() {
  local text=$1 part
  shift
  for part in "$@"; do
    [[ "$text" == *"$part"* ]] || {
      printf 'there is no "%s" in:\n%s\n' "$part" "$text" >&2
      return 1
    }
  done
}

# lacks TEXT PART...
lacks() {
  local text=$1 part
  shift
  for part in "$@"; do
    [[ "$text" != *"$part"* ]] || {
      printf 'there is "%s" in:\n%s\n' "$part" "$text" >&2
      return 1
    }
  done
}

# equal WAS SHOULD
equal() {
  [[ "$1" == "$2" ]] || {
    printf -- '--- was\n%s\n--- should be\n%s\n' "$1" "$2" >&2
    return 1
  }
}

# sql SQL [DATABASE]: on the state, also to change it.
sql() { sqlite3 "${2:-.builder.state.db}" "$1"; }

# short_digest DIGEST: as much of it as messages show.
short_digest() {
  local digits=${1#sha256:}
  echo "${digits:0:12}"
}

# name_again IMAGE: Buildah calls the image of the state so, whatever another test has given its name to.
name_again() {
  local id
  id=$(sql "SELECT image_id FROM image_state WHERE name = '$1'")
  buildah tag "${id#sha256:}" "$1"
}

# row_names [DATABASE]: of all rows, in one line.
row_names() { sql "SELECT name FROM image_state ORDER BY name" "$@" | paste -sd' '; }

# configuration FILE [NAME FROM]...: in the original's form.
configuration() {
  local file=$1
  shift
  printf 'builder:\n  images:\n' >"$file"
  while [ $# -gt 0 ]; do
    printf '  - name: %s\n    from: %s\n' "$1" "$2" >>"$file"
    shift 2
  done
}

# as_nobody COMMAND...: without root's rights, if we have them. The binary that everybody can read is "$READABLE".
as_nobody() {
  export READABLE=$BATS_FILE_TMPDIR/imagewright
  [ -e "$READABLE" ] || cp "$IMAGEWRIGHT" "$READABLE"
  if [ "$(id -u)" -ne 0 ]; then
    "$@"
    return
  fi
  # (Not all that is there: other files' tests come and go beside this one.)
  chmod a+x "$BATS_RUN_TMPDIR" "${BATS_FILE_TMPDIR%/*}" "$BATS_FILE_TMPDIR" "${BATS_TEST_TMPDIR%/*}" "$BATS_TEST_TMPDIR"
  setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

# --- A build that stands still until it is told to go on, so that no test has to guess how long something takes.

# gate IMAGE: from now on Buildah stops at the gate when it builds IMAGE, after one line of output.
gate() {
  local gate=$BATS_TEST_TMPDIR/gate
  mkdir -p "$gate"
  cat >"$gate/buildah" <<END
#!/bin/sh
case " \$* " in
*" $1 "*)
  echo "at the gate"
  echo reached >"$gate/reached"
  read -r _ <"$gate/open"
  ;;
esac
exec $(type -P buildah) "\$@"
END
  chmod +x "$gate/buildah"
  mkfifo "$gate/reached" "$gate/open"
  PATH=$gate:$PATH
  # Both ends, so that nobody waits for the other one; closed, and so open to all, when the test ends.
  exec 7<>"$gate/reached" 8<>"$gate/open"
}

# in_background OUT ERR ARGUMENTS...: runs the binary; its process id is in $!.
in_background() {
  local out=$1 err=$2
  shift 2
  "$IMAGEWRIGHT" "$@" >"$out" 2>"$err" </dev/null 3>&- 6>&- 7>&- 8>&- &
}

await_gate() { read -r -t 30 -u 7 _; }
open_gate() { echo go >&8; }

# await FD PART: reads lines until one has PART in it.
await() {
  local line
  while read -r -t 30 -u "$1" line; do
    [[ "$line" != *"$2"* ]] || return 0
  done
  echo "nobody said '$2'" >&2
  return 1
}
