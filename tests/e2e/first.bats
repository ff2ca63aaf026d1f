#!/usr/bin/env bats
# The original's story: one file in its form, its options, its log, its state, on Buildah.

load common

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  project
  directory_image test
  cat >dingen.yml <<'EOF'
builder:
  images:
  - name: test/tmp
    from: test
EOF
}

@test "first: the first run builds, the second builds nothing and says so" {
  run --separate-stderr iw dingen.yml -v
  [ "$status" -eq 0 ]
  [[ "$stderr" == *" __main__   INFO Working on test/tmp"* ]]
  [[ "$stderr" == *" __main__   INFO Build? True"* ]]
  run --separate-stderr iw dingen.yml -v
  [ "$status" -eq 0 ]
  [[ "$stderr" == *" __main__   INFO Build? False"* ]]
  [[ "$stderr" != *"Build? True"* ]]
}
