#!/usr/bin/env bats
# Ignore files, compared with those who decide what they mean (tests/differential). Each run has other random cases; it
# prints its seed, and IMAGEWRIGHT_SEED repeats it. The ones that were ever answered otherwise are kept in
# tests/core/ignore_test.cc.
#
# shellcheck disable=SC2154 # variables that Bats sets

load common

setup_file() {
  start_dockerd
  # Debian's Go packages, and nothing from the network.
  GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS='' GOCACHE=$BATS_FILE_TMPDIR/go-cache \
    go build -o "$BATS_FILE_TMPDIR/differential" "$BATS_TEST_DIRNAME"/../differential/*.go
}

teardown_file() { stop_dockerd; }

setup() { project; }

# compare CASES ARGUMENTS...: with ten times the cases where there is time for them. What it counts is shown.
compare() {
  local cases=$1
  shift
  set -o pipefail
  ! is_long || cases=$((cases * 10))
  IMAGEWRIGHT_CASES=${IMAGEWRIGHT_CASES:-$cases} "$BATS_FILE_TMPDIR/differential" "$@" | sed 's/^/# /' >&3
}

@test "ignore: random patterns match the paths that moby's matcher says" {
  compare 100000 matcher "$(dirname "$IMAGEWRIGHT")/ignore_answers"
}

# With the ignore file in the context, beside the Dockerfile, and beside one outside of the context; and `dockerfile`.
@test "ignore: random directories hold what BuildKit copies" {
  local docker
  docker=$(docker_with_buildkit) || skip "no docker CLI with BuildKit built in"
  mkdir cases
  compare 300 contexts "$IMAGEWRIGHT" "$docker" cases
}
