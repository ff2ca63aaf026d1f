#!/usr/bin/env bats
# `imagewright watch`: what changes is built by itself, once, and nothing else. On Buildah.
#
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # variables that common.bash and Bats set or use

load common

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  ENGINE=buildah
  project
}

teardown() { end_held; }

# In the background, with the first run done.
start_watch() {
  run_out=$BATS_TEST_TMPDIR/run.out run_err=$BATS_TEST_TMPDIR/run.err
  "$IMAGEWRIGHT" watch --json "$@" >"$run_out" 2>"$run_err" 3>&- &
  run_pid=$!
  until_true 30 runs 1
}

# So many runs are shown.
runs() { [ "$(events run-finished | wc -l)" -ge "$1" ]; }
events() { jq -c "select(.event == \"$1\")" "$run_out" 2>/dev/null || true; }
# "NAME RESULT" of what ended otherwise than up to date, in order.
ended() { events image-finished | jq -r 'select(.result != "up-to-date") | .image + " " + .result' | paste -sd,; }
has_ended() { [ "$(ended)" = "$1" ]; }

end_watch() {
  kill -INT "$run_pid"
  end_of_build
  equal "$status" 130
}

# Nothing more happens.
stays() {
  sleep 0.7
  equal "$(ended)" "$1"
}

@test "watch: a change is built by itself, once" {
  directory_image a
  directory_image b
  configuration imagewright.yml e2e/a a e2e/b b
  start_watch -j 1
  # Nothing changes: nothing is shown. (The state that it writes is beside the configuration.)
  stays "e2e/a built,e2e/b built"
  equal "$(events run-finished | wc -l)" 1
  echo two >a/file.txt
  until_true 20 has_ended "e2e/a built,e2e/b built,e2e/a built"
  equal "$(content e2e/a file.txt)" two
  # A new directory, and what is made in it later.
  mkdir -p b/new/deep
  until_true 20 has_ended "e2e/a built,e2e/b built,e2e/a built,e2e/b built"
  stays "e2e/a built,e2e/b built,e2e/a built,e2e/b built"
  echo x >b/new/deep/file
  until_true 20 has_ended "e2e/a built,e2e/b built,e2e/a built,e2e/b built,e2e/b built"
  # The command line works meanwhile, and what it built is not built again.
  echo three >a/file.txt
  until_true 20 has_ended "e2e/a built,e2e/b built,e2e/a built,e2e/b built,e2e/b built,e2e/a built"
  equal "$(iw status --json | jq -r '[.[].state] | unique | join(" ")')" up-to-date
  end_watch
  equal "$(cat "$run_err")" ""
}

@test "watch: what is ignored or ours wakes nobody" {
  image=e2e/test
  directory_image test
  printf 'left\n!left/kept\n*.log\n' >test/.dockerignore
  mkdir test/left
  echo x >test/left/kept
  one_image test
  start_watch
  echo y >test/a.log
  echo y >test/left/other
  stays "$image built"
  equal "$(events run-finished | wc -l)" 1
  echo z >test/left/kept
  until_true 20 has_ended "$image built,$image built"
  # The rules themselves count.
  echo 'a.log' >test/.dockerignore
  until_true 20 has_ended "$image built,$image built,$image built"
  end_watch
}

@test "watch: the rules of a lower-case dockerfile were not those that were watched by" {
  image=e2e/test
  directory_image test
  mv test/Dockerfile test/dockerfile
  echo '*.txt' >test/.dockerignore
  echo '*.log' >test/dockerfile.dockerignore
  one_image test
  start_watch
  echo two >test/file.txt
  until_true 20 has_ended "$image built,$image built"
  end_watch
}

@test "watch: what failed is built again when it has changed" {
  directory_image bad
  directory_image good
  echo 'COPY nothing /' >>bad/Dockerfile
  configuration imagewright.yml e2e/bad bad e2e/good good
  start_watch -j 1
  equal "$(ended)" "e2e/bad failed,e2e/good built"
  echo two >good/file.txt
  until_true 20 runs 2
  stays "e2e/bad failed,e2e/good built,e2e/bad failed,e2e/good built"
  # (It is told that it still fails, but nothing was built.)
  equal "$(events build-started | jq -r .image | paste -sd,)" "e2e/bad,e2e/good,e2e/good"
  sed -i '$d' bad/Dockerfile
  until_true 20 has_ended "e2e/bad failed,e2e/good built,e2e/bad failed,e2e/good built,e2e/bad built"
  end_watch
}

@test "watch: the configuration is read again, and kept while it is broken" {
  directory_image a
  directory_image b
  configuration imagewright.yml e2e/a a
  start_watch
  equal "$(ended)" "e2e/a built"
  echo 'builder: {images: [' >imagewright.yml
  until_true 20 grep -q "what was read before is kept" "$run_out"
  echo two >a/file.txt
  until_true 20 has_ended "e2e/a built,e2e/a built"
  configuration imagewright.yml e2e/a a e2e/b b
  until_true 20 has_ended "e2e/a built,e2e/a built,e2e/b built"
  # A directory that is not there yet.
  configuration imagewright.yml e2e/a a e2e/b b e2e/c later
  until_true 20 has_ended "e2e/a built,e2e/a built,e2e/b built,e2e/c failed"
  directory_image tmp
  mv tmp later
  until_true 20 has_ended "e2e/a built,e2e/a built,e2e/b built,e2e/c failed,e2e/c built"
  end_watch
}

@test "watch: what is wrong at the beginning ends it" {
  expect 2 watch missing.yml
  directory_image a
  configuration imagewright.yml e2e/a a
  expect 2 watch -i nothing
  expect 2 watch --interval soon
}

@test "watch: a commit in a repository of this machine is noticed, one elsewhere after the interval" {
  directory_image repo
  git init -q repo
  git -C repo config user.email a@example.com
  git -C repo config user.name A
  git -C repo add -A
  git -C repo commit -qm one
  printf 'builder:\n  images:\n  - {name: e2e/local, from: {git: ./repo, branch: %s}}\n' \
    "$(git -C repo branch --show-current)" >imagewright.yml
  start_watch
  equal "$(ended)" "e2e/local built"
  echo two >repo/file.txt
  stays "e2e/local built"
  git -C repo commit -qam two
  until_true 20 has_ended "e2e/local built,e2e/local built"
  end_watch
}
