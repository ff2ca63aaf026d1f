#!/usr/bin/env bats
# Bad input: one clear message, the right exit status, nothing lost. On Buildah, where an engine is needed at all.
# shellcheck disable=SC2154 # what `run` sets

load common

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  project
  directory_image test
  configuration good.yml test/tmp test
}

# Nothing may hang.
iw() { timeout 60 "$IMAGEWRIGHT" "$@"; }

# refused TEXT PART...: bad.yml with this text is refused with one line that has these parts, and leaves no trace.
refused() {
  local parts=("${@:2}")
  printf '%s' "$1" >bad.yml
  expect_refused 2 build bad.yml
  has "$stderr" "imagewright: bad.yml" "${parts[@]}"
  expect_refused 2 bad.yml -c
  [ ! -e .builder.state.db ]
}

# image KEYS...: a configuration of one image with these keys, a line each, from line 3, column 5.
image() {
  printf 'builder:\n  images:\n'
  printf '  - %s\n' "$1"
  shift
  [ $# -eq 0 ] || printf '    %s\n' "$@"
}

# fails PART...: the context of test/tmp cannot be had, and one line says why.
fails() {
  expect_refused 1 context test/tmp good.yml
  has "$stderr" "$@"
}

# --- The command line

@test "bad input: without arguments the usage is shown, and it is an error" {
  expect 2
  equal "$output" ""
  has "$stderr" "imagewright FILE" "build" "status"
}

@test "bad input: an unknown option is refused with the one that was meant" {
  expect 2 build good.yml --dry-rn
  equal "$stderr" "imagewright: there is no option '--dry-rn'; did you mean '--dry-run'?
see: imagewright build --help"
  expect 2 good.yml --claen
  has "$stderr" "did you mean '--clean'?"
  expect 2 status good.yml --exitcode
  has "$stderr" "did you mean '--exit-code'?"
  [ ! -e .builder.state.db ]
}

@test "bad input: options alone are refused" {
  expect 2 -v
  equal "$stderr" "imagewright: a command or a configuration file is missing
see: imagewright --help"
  expect 2 --verison
  has "$stderr" "did you mean '--version'?"
}

@test "bad input: an option of another command is refused" {
  expect 2 status good.yml --clean
  has "$stderr" "--clean" "imagewright status --help"
}

@test "bad input: an unknown command is refused with the one that was meant" {
  expect_refused 2 biuld
  has "$stderr" "'biuld'" "did you mean 'build'?"
  expect_refused 2 statsu
  has "$stderr" "did you mean 'status'?"
}

@test "bad input: one file too many is refused" {
  expect 2 build good.yml good.yml
  has "${stderr_lines[0]}" "imagewright: 'good.yml' is one argument too many"
  [ ! -e .builder.state.db ]
}

@test "bad input: a missing IMAGE, a missing value and a wrong value are refused" {
  local arguments
  for arguments in "log" "context" "build good.yml -s" "build good.yml -i" "build good.yml --engine dcoker" \
    "build good.yml --progress loud" "build good.yml --color blue" "build good.yml -j 0"; do
    # shellcheck disable=SC2086
    expect 2 $arguments
    equal "$output" ""
    equal "${#stderr_lines[@]}" 2
    has "${stderr_lines[0]}" "imagewright: "
    equal "${stderr_lines[1]}" "see: imagewright ${arguments%% *} --help"
  done
}

@test "bad input: an image that is not in the file is refused with the one that was meant" {
  expect_refused 2 context test/tpm good.yml
  has "$stderr" "'test/tpm'" "good.yml" "did you mean 'test/tmp'?"
}

# --- The file

@test "bad input: a missing configuration is refused" {
  expect_refused 2 build missing.yml
  has "$stderr" "'missing.yml'" "No such file or directory"
  expect_refused 2 build
  has "$stderr" "'imagewright.yml'" "No such file or directory"
  equal "$(ls -A)" $'good.yml\ntest'
}

@test "bad input: a configuration that is a directory, a FIFO or a device is refused" {
  expect_refused 2 test
  has "$stderr" "'test'" "is a directory"
  mkfifo fifo
  expect_refused 2 build fifo
  has "$stderr" "'fifo'" "not a file"
  expect_refused 2 build /dev/zero
  has "$stderr" "'/dev/zero'" "not a file"
}

@test "bad input: a configuration without read permission is refused" {
  chmod 600 good.yml
  [ "$(id -u)" -eq 0 ] || chmod 000 good.yml
  # shellcheck disable=SC2016
  run --separate-stderr as_nobody sh -c '"$READABLE" build good.yml'
  equal "$status$output" 2
  equal "$stderr" "imagewright: cannot read the configuration 'good.yml': Permission denied"
}

@test "bad input: an empty file, and one without images, are refused" {
  refused '' "the file is empty"
  refused $'# only a comment\n' "the file is empty"
  refused $'builder:\n' "bad.yml:1:1: " "'builder'"
  refused $'builder:\n  engine: buildah\n' "bad.yml:2:3: " "no list 'images'"
  refused $'builder:\n  images: []\n' "bad.yml:2:11: " "at least one image"
  refused $'builder:\n  images: test\n' "bad.yml:2:11: " "must be a list"
  refused $'other:\n  images: []\n' "bad.yml:1:1: " "no map 'builder'"
  refused $'just text\n' "bad.yml:1:1: " "must be a map"
}

@test "bad input: what is not YAML is refused with its place" {
  refused $'builder:\n  images: [\n' "bad.yml:" "not valid YAML" "'['"
  refused $'builder:\n\timages: []\n' "bad.yml:2:1: " "a tab in the indentation"
  refused $'builder:\n  images:\n  - name: "test/tmp\n    from: test\n' "bad.yml:3:11: " "never closed"
  refused $'builder:\n  images:\n  - name: test/tmp\n   from: test\n' "bad.yml:4:" "indentation"
}

@test "bad input: a second document is refused with its place" {
  refused "$(image 'name: test/tmp' 'from: test')"$'\n---\nbuilder: {}\n' "bad.yml:5:1: " "one document"
}

@test "bad input: what is not UTF-8 is refused with its place" {
  refused "$(image 'name: test/tmp' $'from: t\xe4st')" "bad.yml:4:12: " "not UTF-8"
  refused $'\xff\xfeb\x00u\x00' "bad.yml:1:1: " "not UTF-8"
}

@test "bad input: control characters are refused with their place" {
  refused "$(image 'name: test/tmp' $'from: te\x1bst')" "bad.yml:4:13: " "0x1b"
  refused "$(image 'name: test/tmp' 'from: "te\0st"')" "bad.yml:4:11: "
  refused "$(image 'name: test/tmp' 'from: "te\x1b[31mst"')" "bad.yml:4:11: " "control character"
}

@test "bad input: a file of more than 1 MiB is refused, one of 1 MiB is not" {
  image 'name: test/tmp' 'from: test' >bad.yml
  local size
  size=$(stat -c %s bad.yml)
  head -c $((1048576 - size)) /dev/zero | tr '\0' '#' >>bad.yml
  expect 0 config bad.yml
  echo '#' >>bad.yml
  expect_refused 2 config bad.yml
  has "$stderr" "bad.yml: " "1048576 bytes"
}

@test "bad input: aliases that expand without bounds are refused" {
  local text i
  text=$'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n'
  for i in {1..9}; do
    text+="a$i: &a$i [*a$((i - 1)), *a$((i - 1)), *a$((i - 1)), *a$((i - 1)), *a$((i - 1)), *a$((i - 1)), *a$((i - 1))]"$'\n'
  done
  refused "$text"$'builder:\n  images: *a9\n' "bad.yml:" "must be a map"
  text=$'m0: &m0 {k: v}\n'
  for i in {1..40}; do text+="m$i: &m$i {<<: [*m$((i - 1)), *m$((i - 1))]}"$'\n'; done
  refused "$text"$'builder:\n  images:\n  - {name: test/tmp, from: test, args: *m40}\n' "bad.yml:" "aliases expanded"
}

@test "bad input: lists and maps that are nested without bounds are refused" {
  refused "builder: $(printf '[%.0s' {1..100000})" "bad.yml:1:" "nested more than 64 deep"
  refused "builder: $(printf '{a: %.0s' {1..20000})" "bad.yml:1:" "nested more than 64 deep"
}

# --- Keys and values

@test "bad input: a key with a slip is refused with its place and the one that was meant" {
  refused "$(image 'name: test/tmp' 'form: test')" "bad.yml:4:5: " "'form'" "did you mean 'from'?"
  refused "$(image 'name: test/tmp' 'from: test' 'dokerfile: x')" "bad.yml:5:5: " "did you mean 'dockerfile'?"
  refused "$(image 'name: test/tmp' 'from: {gitt: ../x}')" "bad.yml:4:12: " "did you mean 'git'?"
  refused $'builder:\n  image:\n  - {name: test/tmp, from: test}\n' "bad.yml:2:3: " "did you mean 'images'?"
  refused $'bilder:\n  images:\n  - {name: test/tmp, from: test}\n' "bad.yml:1:1: " "did you mean 'builder'?"
}

@test "bad input: a key that is like none is refused with those that there are" {
  refused "$(image 'name: test/tmp' 'from: test' 'nonsense: 1')" "bad.yml:5:5: " "'nonsense'" "dockerfile" "target"
}

@test "bad input: a key for git sources is refused where a directory is the source" {
  refused "$(image 'name: test/tmp' 'from: test' 'lfs: true')" "bad.yml:5:5: " \
    "'lfs' is for a git source, and 'from' is a directory"
}

@test "bad input: a key that is given twice is refused with its place" {
  refused "$(image 'name: test/tmp' 'from: test' 'from: other')" "bad.yml:5:5: " "'from'" "twice"
  refused "$(image 'name: test/tmp' 'from: test' 'args: [A=1, A=2]')" "bad.yml:5:17: " "'A'" "twice"
}

@test "bad input: an image without name or from is refused with its place" {
  refused "$(image 'from: test')" "bad.yml:3:5: " "no 'name'"
  refused "$(image 'name: test/tmp')" "bad.yml:3:5: " "'test/tmp' has no 'from'"
  refused "$(image 'name: test/tmp' 'from:')" "bad.yml:4:10: " "'from' is empty"
}

@test "bad input: two images of one name are refused, however it is spelled" {
  refused $'builder:\n  images:\n  - {name: test/tmp, from: test}\n  - {name: test/tmp, from: .}\n' \
    "bad.yml:4:12: " "'test/tmp'" "in line 3"
  refused $'builder:\n  images:\n  - {name: busybox, from: test}\n  - {name: docker.io/library/busybox:latest, from: .}\n' \
    "bad.yml:4:12: " "in line 3"
}

@test "bad input: names that no registry takes are refused with their place" {
  refused "$(image 'name: Test/Tmp' 'from: test')" "bad.yml:3:11: " "'Test/Tmp'" "lower case"
  refused "$(image 'name: test//tmp' 'from: test')" "bad.yml:3:11: " "'test//tmp'"
  refused "$(image 'name: -test' 'from: test')" "bad.yml:3:11: " "'-test'"
  refused "$(image 'name: "test tmp"' 'from: test')" "bad.yml:3:11: " "'test tmp'"
  refused "$(image 'name: test/tmp:a+b' 'from: test')" "bad.yml:3:11: " "tag"
  refused "$(image "name: test/tmp@sha256:$(printf '%064d' 0)" 'from: test')" "bad.yml:3:11: " "digest"
  refused "$(image "name: $(printf 'a%.0s' {1..256})" 'from: test')" "bad.yml:3:11: " "255"
}

@test "bad input: an engine with a slip is refused with the one that was meant" {
  refused $'builder:\n  engine: dcoker\n  images:\n  - {name: test/tmp, from: test}\n' "bad.yml:2:11: " "'dcoker'" \
    "did you mean 'docker'?"
}

@test "bad input: https without .git is refused with a hint" {
  refused "$(image 'name: test/tmp' 'from: https://example.com/path')" "bad.yml:4:11: " "'https://example.com/path'" \
    "add '.git'"
}

@test "bad input: a password in a refused URL is not shown" {
  printf '%s' "$(image 'name: test/tmp' 'from: https://user:secret@example.com/path')" >bad.yml
  expect_refused 2 bad.yml
  lacks "$stderr" "secret"
  has "$stderr" "example.com/path"
}

@test "bad input: sources that would run a program, leave the checkout or hold an option are refused" {
  refused "$(image 'name: test/tmp' "from: 'ext::sh -c touch% pwned'")" "bad.yml:4:11: " "run a program"
  refused "$(image 'name: test/tmp' 'from: file:///etc')" "bad.yml:4:11: " "'file'"
  refused "$(image 'name: test/tmp' 'from: --upload-pack=touch')" "bad.yml:4:11: " "begins with '-'"
  refused "$(image 'name: test/tmp' 'from: https://example.com/x.git#main:../..')" "bad.yml:4:11: " "'..'"
  refused "$(image 'name: test/tmp' 'from: https://example.com/x.git#-x')" "bad.yml:4:11: " "begins with '-'"
  refused "$(image 'name: test/tmp' 'from: ssh://-oProxyCommand=touch/x')" "bad.yml:4:11: " "begins with '-'"
  refused "$(image 'name: test/tmp' 'from: {git: ../x, branch: a, tag: b}')" "bad.yml:4:34: " "'tag'" "'branch'"
  refused "$(image 'name: test/tmp' 'from: {git: ../x, commit: abc}')" "bad.yml:4:31: " "40"
}

# --- What is in a context

@test "bad input: a FIFO or a socket in a context is named; ignored, it is none of our business" {
  mkfifo test/pipe
  fails "'$PWD/test/pipe' is a FIFO" "ignore file"
  echo pipe >test/.dockerignore
  expect 0 context test/tmp good.yml
  perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un("test/talk"))'
  [ -S test/talk ]
  fails "'$PWD/test/talk' is a socket"
  echo talk >>test/.dockerignore
  expect 0 context test/tmp good.yml
}

@test "bad input: a file or directory that cannot be read is named; ignored, it is none of our business" {
  mkdir test/closed
  chmod 000 test/file.txt
  cat >look <<'END'
"$READABLE" context test/tmp good.yml
END
  run --separate-stderr as_nobody sh look
  equal "$status$output" 1
  equal "$stderr" "imagewright: cannot read '$PWD/test/file.txt': Permission denied"
  chmod 644 test/file.txt
  chmod 700 test/closed
  [ "$(id -u)" -eq 0 ] || chmod 000 test/closed
  run --separate-stderr as_nobody sh look
  equal "$status$output" 1
  equal "$stderr" "imagewright: cannot read '$PWD/test/closed': Permission denied"
  chmod 000 test/file.txt
  printf 'closed\nfile.txt\n' >test/.dockerignore
  run --separate-stderr as_nobody sh look
  equal "$status$stderr" 0
  lacks "$output" "closed" "file.txt"
}

@test "bad input: a directory that cannot be listed is an error, never an empty directory" {
  mkdir -p test/a/b/c
  touch test/a/b/c/file
  expect 0 context test/tmp good.yml
  local whole=$output limit
  for limit in {6..12}; do # files that may be open at a time: it fails somewhere else at each
    # shellcheck disable=SC2016
    run --separate-stderr sh -c 'ulimit -n "$0" && exec "$1" context test/tmp good.yml' "$limit" "$IMAGEWRIGHT"
    if [ "$status" -eq 0 ]; then
      equal "$output" "$whole"
    else
      equal "$output" ""
      [ -n "$stderr" ]
    fi
  done
  equal "$status" 0
}

@test "bad input: an ignore file or a Dockerfile that cannot be read is named" {
  echo "*.log" >test/.dockerignore
  cat >look <<'END'
"$READABLE" context test/tmp good.yml
END
  local file
  for file in .dockerignore Dockerfile; do
    chmod 000 "test/$file"
    run --separate-stderr as_nobody sh look
    equal "$status$output" 1
    equal "$stderr" "imagewright: cannot read '$PWD/test/$file': Permission denied"
    chmod 644 "test/$file"
  done
}

@test "bad input: a file name with control characters does no harm to the message" {
  mkfifo $'test/a\n\e[31mb'
  expect_refused 1 context test/tmp good.yml
  lacks "$stderr" $'\e'
  has "$stderr" "is a FIFO"
  expect 1 good.yml
  equal "${#stderr_lines[@]}" 1
  lacks "$stderr" $'\e'
}

@test "bad input: a directory that is missing, is a file, or a loop of links is named" {
  configuration good.yml test/tmp missing
  fails "the directory '$PWD/missing' does not exist"
  configuration good.yml test/tmp test/file.txt
  fails "'$PWD/test/file.txt' is not a directory"
  ln -s two one
  ln -s one two
  configuration good.yml test/tmp one/test
  fails "'$PWD/one/test'" "Too many levels of symbolic links"
}

@test "bad input: a loop of links in a context is but two links" {
  ln -s two test/one
  ln -s one test/two
  expect 0 context test/tmp good.yml
  has "$output" "one -> two" "two -> one"
}

@test "bad input: a lone '!' in an ignore file is named with file and line" {
  printf '*.log\n# comment\n!\n' >test/.dockerignore
  fails "$PWD/test/.dockerignore:3: " "'!'"
  rm test/.dockerignore
  printf ' ! \n' >test/Dockerfile.dockerignore
  fails "$PWD/test/Dockerfile.dockerignore:1: " "'!'"
}

@test "bad input: a line of more than 64 KiB in an ignore file is named with file and line" {
  { echo "*.log" && head -c 70000 /dev/zero | tr '\0' a; } >test/.dockerignore
  fails "$PWD/test/.dockerignore:2: " "64 KiB"
}

@test "bad input: a Dockerfile that is missing, a directory, a FIFO or a dangling link is named" {
  rm test/Dockerfile
  fails "no Dockerfile in '$PWD/test'"
  mkdir test/Dockerfile
  fails "'$PWD/test/Dockerfile'" "directory"
  rmdir test/Dockerfile
  mkfifo test/Dockerfile
  fails "'$PWD/test/Dockerfile'" "FIFO"
  ln -sf /dev/zero test/Dockerfile
  fails "'$PWD/test/Dockerfile'" "device"
  rm test/Dockerfile
  ln -s nowhere test/Dockerfile
  fails "Dockerfile" "'$PWD/test"
  echo '    dockerfile: docker/missing' >>good.yml
  fails "the Dockerfile '$PWD/test/docker/missing' does not exist"
}

@test "bad input: a source that is bad fails its image only, and the others go on" {
  directory_image pipes
  mkfifo pipes/pipe
  mkdir bare
  configuration good.yml test/missing missing test/pipes pipes test/bare bare test/tmp test
  expect 1 good.yml
  has "$output" "built test/tmp in "
  equal "${#lines[@]}" 1
  equal "${#stderr_lines[@]}" 3
  has "${stderr_lines[0]}" "failed test/missing: " "'$PWD/missing' does not exist"
  has "${stderr_lines[1]}" "failed test/pipes: " "'$PWD/pipes/pipe' is a FIFO"
  has "${stderr_lines[2]}" "failed test/bare: " "no Dockerfile in '$PWD/bare'"
  equal "$(row_names)" "test/tmp"
}

@test "bad input: a source that went bad loses nothing" {
  expect 0 good.yml
  local before
  before=$(sql "SELECT * FROM image_state; SELECT * FROM image_input")
  mkfifo test/pipe
  expect 1 good.yml
  mv test away
  expect 1 good.yml
  equal "$(sql "SELECT * FROM image_state; SELECT * FROM image_input")" "$before"
  mv away test
  rm test/pipe
  expect_nothing good.yml
}

# --- Engines

@test "bad input: without an engine a run is refused, and leaves no trace" {
  mkdir empty
  run --separate-stderr env PATH="$PWD/empty" "$IMAGEWRIGHT" good.yml
  equal "$status$output" 3
  equal "$stderr" "imagewright: no engine: neither docker nor buildah nor podman is on PATH"
  run --separate-stderr env PATH="$PWD/empty" "$IMAGEWRIGHT" status good.yml
  equal "$status$output" 3
  equal "${#stderr_lines[@]}" 1
  [ ! -e .builder.state.db ]
}

@test "bad input: an engine that is wished for and missing is named" {
  mkdir empty
  run --separate-stderr env PATH="$PWD/empty" "$IMAGEWRIGHT" good.yml --engine buildah
  equal "$status$output" 3
  has "$stderr" "imagewright: no engine: " "'buildah'"
}

@test "bad input: a docker daemon that does not answer is named by its address" {
  type docker || skip "no docker here"
  expect_refused 3 good.yml --engine docker
  has "$stderr" "no engine: " "/nonexistent/docker.sock"
}

@test "bad input: an engine that fails is told in one line, and nothing is lost" {
  expect 0 good.yml
  local before
  before=$(sql .dump)
  mkdir broken
  printf '#!/bin/sh\necho "Error: the store is on fire" >&2\necho "more" >&2\nexit 125\n' >broken/buildah
  chmod +x broken/buildah
  PATH=$PWD/broken:$PATH expect_refused 3 good.yml
  has "$stderr" "buildah" "the store is on fire"
  equal "$(sql .dump)" "$before"
}

# --- The state

# keeps FILE COMMAND...: the file is the same before and after.
keeps() {
  local before
  before=$(sha256sum "$1")
  "${@:2}"
  equal "$(sha256sum "$1")" "$before"
}

# Every command that uses the state refuses it in one line with these parts, and leaves it as it is.
state_is_refused() {
  local arguments
  for arguments in "good.yml" "good.yml -c" "good.yml -n" "status good.yml" "log test/tmp good.yml"; do
    # shellcheck disable=SC2086
    keeps .builder.state.db expect_refused 3 $arguments
    has "$stderr" "'$PWD/.builder.state.db'" "$@"
  done
}

@test "bad input: a state that is garbage is refused, and kept" {
  head -c 20480 /dev/zero | tr '\0' g >.builder.state.db
  state_is_refused "not a state file" "move it away"
  echo "state: yes" >.builder.state.db
  state_is_refused "move it away"
}

@test "bad input: a state that was cut short is refused, and kept" {
  expect 0 good.yml
  cp .builder.state.db whole
  local size
  for size in 30000 16384 5000 50; do
    head -c "$size" whole >.builder.state.db
    state_is_refused "move it away"
  done
}

@test "bad input: a state of no bytes is an empty one" {
  : >.builder.state.db
  expect 0 status good.yml
  has "$output" "never built"
}

@test "bad input: a database of another program is refused, and kept" {
  sqlite3 .builder.state.db "CREATE TABLE image_state (id INTEGER PRIMARY KEY, height REAL)"
  state_is_refused "another program"
}

@test "bad input: a state file that is a directory is refused" {
  mkdir .builder.state.db
  expect_refused 3 good.yml
  has "$stderr" "'$PWD/.builder.state.db'"
  expect_refused 3 status good.yml
  has "$stderr" "'$PWD/.builder.state.db'"
}

@test "bad input: a state directory that is a file is refused" {
  echo "precious" >there
  keeps there expect_refused 3 good.yml -s there
  has "$stderr" "$PWD/there"
}

@test "bad input: a state directory that cannot be written is refused before anything is built" {
  mkdir there
  [ "$(id -u)" -eq 0 ] || chmod 555 there
  # shellcheck disable=SC2016
  run --separate-stderr as_nobody sh -c '"$READABLE" good.yml -s there'
  equal "$status$output" 3
  equal "${#stderr_lines[@]}" 1
  has "$stderr" "imagewright: " "'$PWD/there'" "Permission denied"
}

@test "bad input: a state file that cannot be written is refused before anything is built" {
  expect 0 good.yml -s there
  chmod 777 there
  chmod 666 there/.builder.state.db.lock
  chmod 444 there/.builder.state.db
  echo changed >test/file.txt
  # shellcheck disable=SC2016
  run --separate-stderr as_nobody sh -c '"$READABLE" good.yml -s there'
  equal "$status$output" 3
  equal "${#stderr_lines[@]}" 1
  has "$stderr" "imagewright: " "'$PWD/there/.builder.state.db'" "cannot be written"
}

# on_small_disk SCRIPT: with a file system of 300 kB at `small`, which `fill` fills.
on_small_disk() {
  unshare -m true 2>/dev/null || skip "no mounts here"
  mkdir small
  {
    echo 'mount -t tmpfs -o size=300k none small || exit 98'
    echo 'fill() { dd if=/dev/zero of=small/fill bs=4k 2>/dev/null; [ -s small/fill ]; }'
    echo "$1"
  } >script
  run --separate-stderr unshare -m bash -e script "$IMAGEWRIGHT"
}

@test "bad input: a full disk for the state is told, and what was stored stays" {
  # shellcheck disable=SC2016
  on_small_disk '
    "$1" good.yml -s small
    sqlite3 small/.builder.state.db .dump >before
    fill || exit 97
    echo changed >test/file.txt
    "$1" good.yml -s small || status=$?
    echo "exit $status"
    rm small/fill
    sqlite3 small/.builder.state.db "SELECT * FROM image_state; SELECT * FROM image_input" >after
    sqlite3 :memory: ".read before" "SELECT * FROM image_state; SELECT * FROM image_input" | cmp - after
    "$1" good.yml -s small'
  equal "$status" 0
  has "${lines[0]}" "built test/tmp in "
  equal "${lines[1]}" "exit 3"
  has "${lines[2]}" "built test/tmp in " "(content: 1 changed: file.txt)"
  equal "${#stderr_lines[@]}" 1
  has "$stderr" "imagewright: " "$PWD/small"
  [[ "$stderr" == *"full"* || "$stderr" == *"No space left"* ]] || equal "$stderr" "the disk is full"
}

@test "bad input: a disk that fills up during a build is told, and what was stored stays" {
  # shellcheck disable=SC2016
  on_small_disk '
    "$1" good.yml -s small
    sqlite3 small/.builder.state.db "SELECT * FROM image_state; SELECT * FROM image_input" >before
    mkdir filling
    { declare -f fill && echo "case \" \$* \" in *\" test/tmp \"*) fill ;; esac"
      echo "exec $(type -P buildah) \"\$@\""; } | sed "1i #!/bin/bash" >filling/buildah
    chmod +x filling/buildah
    echo changed >test/file.txt
    PATH=$PWD/filling:$PATH "$1" good.yml -s small || status=$?
    echo "exit $status"
    [ -s small/fill ] || exit 96
    rm small/fill
    sqlite3 small/.builder.state.db "SELECT * FROM image_state; SELECT * FROM image_input" | cmp - before
    "$1" good.yml -s small'
  equal "$status" 0
  has "${lines[0]}" "built test/tmp in "
  equal "${lines[1]}" "exit 3"
  has "${lines[2]}" "built test/tmp in " "(content: 1 changed: file.txt)"
  equal "${#stderr_lines[@]}" 1
  has "$stderr" "imagewright: " "$PWD/small"
  [[ "$stderr" == *"full"* || "$stderr" == *"No space left"* ]] || equal "$stderr" "the disk is full"
}

@test "bad input: a full disk for a first state is told" {
  # shellcheck disable=SC2016
  on_small_disk '
    fill || exit 97
    exec "$1" good.yml -s small'
  equal "$status$output" 3
  equal "${#stderr_lines[@]}" 1
  has "$stderr" "imagewright: " "$PWD/small"
  [[ "$stderr" == *"full"* || "$stderr" == *"No space left"* ]] || equal "$stderr" "the disk is full"
}

@test "bad input: a full disk for the log is warned of, and the build goes on" {
  # shellcheck disable=SC2016
  on_small_disk '
    fill || exit 97
    XDG_STATE_HOME=$PWD/small "$1" good.yml'
  equal "$status" 0
  has "$output" "built test/tmp in "
  equal "${#stderr_lines[@]}" 1
  has "$stderr" "imagewright: warning: " "$PWD/small" "No space left on device"
}

@test "bad input: a full disk for the cache is told" {
  # shellcheck disable=SC2016
  on_small_disk '
    fill || exit 97
    XDG_CACHE_HOME=$PWD/small exec "$1" good.yml'
  equal "$status$output" 3
  equal "${#stderr_lines[@]}" 1
  has "$stderr" "imagewright: " "$PWD/small" "No space left on device"
}

@test "bad input: a full disk for the engine fails the image, and nothing is lost" {
  # shellcheck disable=SC2016
  on_small_disk '
    mount -o remount,size=6m small
    own=$PWD/small/store.conf
    printf "[storage]\ndriver = \"vfs\"\ngraphroot = \"%s\"\nrunroot = \"%s\"\n" "$PWD/small/graph" "$PWD/small/run" >"$own"
    export CONTAINERS_STORAGE_CONF=$own
    "$1" good.yml -s state
    dd if=/dev/urandom of=test/big bs=1M count=5 2>/dev/null
    "$1" good.yml -s state || status=$?
    echo "exit $status"
    sqlite3 state/.builder.state.db "SELECT count(*) FROM image_state"
    sqlite3 state/.builder.state.db "PRAGMA integrity_check"
    mount -o remount,size=64m small
    "$1" good.yml -s state
    umount -l small/graph/vfs 2>/dev/null || true'
  equal "$status" 0
  has "${lines[0]}" "built test/tmp in "
  equal "${lines[1]} ${lines[2]} ${lines[3]}" "exit 1 1 ok"
  has "${lines[4]}" "built test/tmp in "
  has "$stderr" "failed test/tmp: buildah build ended with status" "no space left on device"
}

@test "bad input: an output that nobody takes is an error" {
  [ -e /dev/full ] || skip "no /dev/full here"
  # shellcheck disable=SC2016
  run sh -c '"$1" config good.yml >/dev/full' sh "$IMAGEWRIGHT"
  equal "$status" 3
}

@test "bad input: a configuration in the image's place is told from a missing configuration" {
  run --separate-stderr iw context good.yml
  [ "$status" -eq 2 ]
  [[ "$stderr" == *"'good.yml' was taken for the image: the configuration comes behind it" ]]
}

@test "bad input: an ignore file that is a symlink to nowhere is an error, not an ignore file that is not there" {
  ln -s nowhere test/.dockerignore
  run --separate-stderr iw context test/tmp good.yml
  [ "$status" -eq 1 ]
  [[ "$stderr" == *".dockerignore"*"No such file"* ]]
}

@test "bad input: an odd pattern in the ignore file is warned of when it is built" {
  printf 'a|b*\n' >test/.dockerignore
  run --separate-stderr iw status good.yml
  [[ "$stderr" == *"warning: test/tmp: line 1: "* ]]
}
