#!/usr/bin/env bats
# Library files of docker's official images: imported as configurations of ours, and built as they are.

load common
load git_servers

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  project
  projects=$BATS_TEST_TMPDIR/projects
  library=${IMAGEWRIGHT_CONFORMANCE:-$BATS_TEST_DIRNAME/../../../shared/conformance}/stackbrew
}

teardown() { stop_git_servers "$BATS_TEST_TMPDIR/servers"; }

# A repository with a Dockerfile in each directory; every image holds its directory's name.
repository() {
  local directory
  for directory in "$@"; do
    mkdir -p "$projects/r/$directory"
    printf 'FROM scratch\nCOPY here /\n' >"$projects/r/$directory/Dockerfile"
    echo "$directory" >"$projects/r/$directory/here"
  done
  git -C "$projects/r" init -q
  git -C "$projects/r" add -A
  git -C "$projects/r" commit -qm first
  commit=$(git -C "$projects/r" rev-parse HEAD)
}

# The library file `app`: its first paragraph, then standard input.
library_file() {
  {
    printf 'Maintainers: Somebody (@somebody)\nGitRepo: %s\nGitFetch: refs/heads/main\n' "$git_http_url/r/.git"
    printf 'GitCommit: %s\n\n' "$commit"
    cat
  } >app
}

held() {
  unpack_buildah "$1" "$BATS_TEST_TMPDIR/image"
  cat "$BATS_TEST_TMPDIR/image/here"
}

@test "stackbrew: every entry of real library files is what another reader finds in them, for each platform" {
  [ -d "$library" ] || skip "no conformance data at $library"
  local file platform compared=0
  local given=(windowsservercore-ltsc2022 windowsservercore-ltsc2025)
  for file in "$library"/*; do
    iw import -q "$file" >imported.yml
    while read -r platform; do
      # Of windows there are two of some tags, each for one constraint.
      local constraints=()
      [[ $platform != windows* ]] || constraints=("${given[0]}")
      python3 "$BATS_TEST_DIRNAME/stackbrew_oracle.py" "$file" "$platform" "${constraints[@]}" >expected
      iw config --json --platform "$platform" ${constraints:+--constraint "${constraints[0]}"} imported.yml |
        python3 "$BATS_TEST_DIRNAME/stackbrew_oracle.py" --reduce >imported
      diff -u expected imported
      iw config --json --platform "$platform" ${constraints:+--constraint "${constraints[0]}"} "$file" |
        python3 "$BATS_TEST_DIRNAME/stackbrew_oracle.py" --reduce >direct
      diff -u expected direct
      compared=$((compared + 1))
    done < <(python3 "$BATS_TEST_DIRNAME/stackbrew_oracle.py" "$file" 2>/dev/null)
  done
  [ "$compared" -ge 60 ]
}

@test "stackbrew: a library file is built as it is, its names set, and then up to date" {
  repository 2 1 tools
  start_git_http "$BATS_TEST_TMPDIR/servers" "$projects"
  library_file <<'END'
# the newest
Tags: 2.1, 2, latest
Directory: 2

Tags: 1.9, 1
SharedTags: old
Directory: 1

Tags: 2.1-tools
Directory: 2
File: ../tools/Dockerfile
Architectures: s390x
END
  run iw build --engine buildah app
  [ "$status" -eq 0 ]
  [[ "$output" == *"built app:2.1 in "* ]]
  [[ "$output" == *"built app:1.9 in "* ]]
  [ "$(grep -c ^built <<<"$output")" -eq 2 ]
  [ "$(held app:latest)" = 2 ]
  [ "$(held app:old)" = 1 ]
  run iw build --engine buildah app
  [ "$status" -eq 0 ]
  [ -z "$output" ]
  run iw build -v --engine buildah app
  [[ "$output" == *"Left out app:2.1-tools: it is for linux/s390x, not for "* ]]
  # And what `import` makes of it is the same to the state.
  iw import app >imagewright.yml
  run iw build --engine buildah
  [ "$status" -eq 0 ]
  [ -z "$output" ]
}

@test "stackbrew: an image that stands on another one of its file comes after it" {
  repository base
  mkdir "$projects/r/child"
  printf 'FROM app:base\nCOPY own /\n' >"$projects/r/child/Dockerfile"
  echo own >"$projects/r/child/own"
  git -C "$projects/r" add -A
  git -C "$projects/r" commit -qm child
  commit=$(git -C "$projects/r" rev-parse HEAD)
  start_git_http "$BATS_TEST_TMPDIR/servers" "$projects"
  library_file <<'END'
Tags: child
Directory: child

Tags: 1-base
SharedTags: base
Directory: base
END
  iw build --engine buildah app
  [ "$(held app:child)" = base ]
  run iw graph --engine buildah app
  [[ "$output" == *"app:child"*"app:1-base"* ]]
}

@test "stackbrew: what an architecture has for itself is built for its platform" {
  repository x86_64 aarch64
  start_git_http "$BATS_TEST_TMPDIR/servers" "$projects"
  library_file <<'END'
Tags: 43, latest
Architectures: amd64, arm64v8, s390x
amd64-Directory: x86_64/
arm64v8-Directory: aarch64/
s390x-Directory: none
END
  iw build --engine buildah --platform linux/arm64 app
  [ "$(held app:43)" = aarch64 ]
  [ "$(buildah inspect --type image --format '{{.OCIv1.Architecture}}' app:43)" = arm64 ]
  iw build --engine buildah --platform linux/amd64 app
  [ "$(held app:latest)" = x86_64 ]
  # What a platform leaves out is not forgotten, and cannot be pruned.
  run iw status --engine buildah --platform linux/riscv64 app
  [ "$status" -eq 2 ]
  [[ "$output" == "imagewright: app: no image is left to build: of 'app:43', it is for linux/amd64, not for linux/riscv64; and so on" ]]
}

@test "stackbrew: what is left out here stays in the state" {
  repository a b
  start_git_http "$BATS_TEST_TMPDIR/servers" "$projects"
  library_file <<'END'
Tags: a
Directory: a

Tags: b
Directory: b
Constraints: fast
END
  iw build --engine buildah --constraint fast app
  [ "$(row_names)" = "app:a app:b" ]
  run iw build --engine buildah app
  [ "$status" -eq 0 ]
  [ -z "$output" ]
  [ "$(row_names)" = "app:a app:b" ]
  run iw prune --engine buildah --grace 0s --keep 0 app
  [ "$status" -eq 0 ]
  [[ "$output" != *app:b* ]]
  run iw log app:b app
  [ "$status" -eq 2 ]
  [[ "$output" == *"the image 'app:b' is left out here: its constraint 'fast' does not hold" ]]
}

@test "stackbrew: import tells what it cannot say, and takes a name for the images" {
  printf '%s\n' 'Maintainers: A (@a)' 'GitRepo: https://host/r.git' \
    'GitCommit: 0123456789012345678901234567890123456789' '' 'Tags: 1' 'Builder: classic' >"Some File"
  run iw import "Some File"
  [ "$status" -eq 2 ]
  [[ "$output" == *"'Some File' can be no image's name without a tag; name one with "*"--name NAME"* ]]
  run --separate-stderr iw import "Some File" --name registry.example.com/team/app
  [ "$status" -eq 0 ]
  [ "$stderr" = "imagewright: warning: Some File: line 5: 'Builder: classic' of '1' cannot be said: the engine decides what it builds with" ]
  [[ "$output" == *"- name: registry.example.com/team/app:1"* ]]
  run --separate-stderr iw import --name app - <"Some File"
  [[ "$output" == *"- name: app:1"* ]]
  run iw import -
  [ "$status" -eq 2 ]
  [[ "$output" == *"give it --name"* ]]
}

@test "stackbrew: mistakes in a library file, and files that are none" {
  printf '%s\n' 'Maintainers: A (@a)' '' 'Tags: 1' 'GitRepo: https://host/r.git' 'GitCommit: main' >app
  run iw build app
  [ "$status" -eq 2 ]
  [ "$output" = "imagewright: app:3: 'GitCommit' of '1' must be a commit's id, and not 'main'" ]
  printf 'Maintainers: A (@a)\n' >app
  run iw build app
  [ "$status" -eq 2 ]
  [ "$output" = "imagewright: app: the file has no entry to build" ]
  run --separate-stderr iw import app
  [ "$status" -eq 0 ]
  [[ "$output" == *"images: []" ]]
  printf 'services:\n  web: {build: .}\n' >compose.yml
  run iw import compose.yml
  [ "$status" -eq 2 ]
  [[ "$output" == *"'compose.yml' is no stackbrew library file, and no other is imported by this version"* ]]
  run iw import none
  [ "$status" -eq 2 ]
  [[ "$output" == "imagewright: cannot read "*"'none'"* ]]
}
