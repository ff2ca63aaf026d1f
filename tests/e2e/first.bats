#!/usr/bin/env bats
# The original's story: one file in its form, its options, its log, its state; where we depart from it; and the
# options and commands that have no counterpart there. On Buildah.
# shellcheck disable=SC2154 # what `run` sets

load common

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  project
  directory_image test
  configuration dingen.yml test/tmp test
}

# What the log says, without times: "INFO Working on test/tmp".
told() { sed -E 's/^.{23} __main__ +//' <<<"$stderr"; }

# in_order TEXT PART...: each part in a later line than the one before.
in_order() {
  local rest=$1 part
  shift
  for part in "$@"; do
    has "$rest" "$part" || return 1
    rest=${rest#*"$part"}
    [[ "$rest" == *$'\n'* ]] || rest+=$'\n'
    rest=${rest#*$'\n'}
  done
}

# As SQLAlchemy made it in 2014.
original_state() {
  sqlite3 .builder.state.db "
    CREATE TABLE image_state (
      id INTEGER NOT NULL,
      name VARCHAR,
      digest VARCHAR,
      image_id VARCHAR,
      PRIMARY KEY (id),
      UNIQUE (name)
    );
    INSERT INTO image_state VALUES (3, 'test/tmp', 'da39a3ee5e6b4b0d3255bfef95601890afd80709', '0123456789ab');
    INSERT INTO image_state VALUES (7, 'test/gone', '2fd4e1c67a2d28fced849ee1bb76e7391b93eb12', 'ba9876543210');"
}

# --- The log

@test "first: the first run builds, the second builds nothing and says so" {
  expect 0 dingen.yml -v
  has "$stderr" " __main__   INFO Working on test/tmp" " __main__   INFO Build? True"
  expect 0 dingen.yml -v
  has "$stderr" " __main__   INFO Working on test/tmp" " __main__   INFO Build? False"
  lacks "$stderr" "Build? True" "STEP"
}

@test "first: at -v every line has the original's form, and stdout stays empty" {
  local line form='^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3} __main__   INFO [^ ]'
  expect 0 dingen.yml -v
  [ "${#stderr_lines[@]}" -gt 5 ]
  for line in "${stderr_lines[@]}"; do
    [[ "$line" =~ $form ]] || equal "$line" "$form"
  done
  equal "$output" ""
}

@test "first: the log's levels are padded to six columns" {
  configuration dingen.yml test/missing missing
  expect 1 dingen.yml -vv
  has "$stderr" " __main__   INFO Working on test/missing" " __main__  ERROR Failed test/missing: "
  mkdir test/.git
  echo "ref: refs/heads/main" >test/.git/HEAD
  configuration dingen.yml test/tmp test
  expect 0 dingen.yml -vv
  has "$stderr" " __main__  DEBUG Digest" " __main__ WARNING test/tmp: '$PWD/test/.git'"
}

@test "first: the log's times are local times" {
  local before after
  before=$(TZ=Asia/Kolkata date '+%Y-%m-%d %H:%M:%S')
  TZ=Asia/Kolkata expect 0 dingen.yml -n -v
  after=$(TZ=Asia/Kolkata date '+%Y-%m-%d %H:%M:%S')
  [[ ! "${stderr_lines[0]:0:19}" < "$before" ]]
  [[ ! "${stderr_lines[0]:0:19}" > "$after" ]]
}

@test "first: at -v the steps are told in the original's order" {
  expect 0 dingen.yml -v
  in_order "$(told)" "INFO Tools checked" "INFO Loaded" "INFO State prepared" "INFO Working on test/tmp" \
    "INFO Reading test" "INFO Build? True" "INFO STEP 1/2: FROM scratch" "INFO STEP 2/2: COPY . /" \
    "INFO State updated"
}

@test "first: at -vv digests, definitions and ids are told, too" {
  printf '    args: {ONE: 1}\n' >>dingen.yml
  expect 0 dingen.yml -vv
  local digest id
  digest=$(sql "SELECT digest FROM image_state")
  id=$(sql "SELECT image_id FROM image_state")
  [[ "$digest" =~ ^[0-9a-f]{64}$ ]]
  [[ "$id" =~ ^sha256:[0-9a-f]{64}$ ]]
  in_order "$(told)" "DEBUG Definition is test/tmp from test, arg ONE=1" "DEBUG Digest $digest" "INFO Build? True" "DEBUG Image id $id"
  lacks "$(iw dingen.yml -v 2>&1)" "DEBUG"
}

@test "first: -v twice is -vv, and may stand before the file" {
  expect 0 -v dingen.yml -n -v
  has "$stderr" " __main__  DEBUG Digest"
}

@test "first: the engine's lines come while it works" {
  gate test/tmp
  mkfifo talk
  exec 6<>./talk
  in_background out talk dingen.yml -v
  local run=$!
  await 6 "Build? True"
  await 6 " __main__   INFO at the gate" # which is shut
  open_gate
  await 6 " __main__   INFO STEP 1/2: FROM scratch"
  wait "$run"
}

@test "first: at -v there is no live view, not even where one is wished for" {
  expect 0 dingen.yml -v --progress tty --color always
  has "$stderr" "STEP 1/2: FROM scratch"
  lacks "$stderr$output" $'\e' $'\r'
}

# --- FILE and build FILE

# story_in DIRECTORY ARGUMENTS...: the log of a first run in it, without what differs from run to run.
story_in() {
  mkdir "$1"
  directory_image "$1/test"
  echo "$1" >"$1/test/file.txt"
  configuration "$1/dingen.yml" test/tmp test
  (cd "$1" && iw "${@:2}" 2>&1) | sed -E "
    s/^[-0-9]+ [:,0-9]+ //
    s|/[^ ]*/$1/|HERE/|g
    s|(INFO Log in) .*|\1|
    s/[0-9.]+ m?s\b/TIME/
    s/[0-9a-f]{64}/ID/g"
}

@test "first: FILE and build FILE do the same where the file lies in the working directory" {
  local ours
  ours=$(story_in one dingen.yml -v)
  has "$ours" "Build? True" "STEP 1/2"
  equal "$(story_in two build dingen.yml -v)" "$ours"
  [ -e one/.builder.state.db ]
  [ -e two/.builder.state.db ]
}

@test "first: FILE elsewhere: paths and state are the working directory's" {
  mkdir -p elsewhere/test
  cp dingen.yml elsewhere
  expect 0 elsewhere/dingen.yml -vv
  has "$stderr" "Source is directory $PWD/test"
  [ -e .builder.state.db ]
  [ ! -e elsewhere/.builder.state.db ]
}

@test "first: build FILE elsewhere: paths and state are the file's" {
  mkdir elsewhere
  mv test dingen.yml elsewhere
  mkdir test
  expect 0 build elsewhere/dingen.yml -vv
  has "$stderr" "Source is directory $PWD/elsewhere/test"
  [ -e elsewhere/.builder.state.db ]
  [ ! -e .builder.state.db ]
}

@test "first: without a file, the commands take imagewright.yml" {
  mv dingen.yml imagewright.yml
  expect 0 build
  has "$output" "built test/tmp in "
  expect 0 status
  has "$output" "up-to-date"
}

# --- The original's options

@test "first: -s puts the state elsewhere, and makes the directory" {
  expect 0 dingen.yml -s deep/state
  equal "$(row_names deep/state/.builder.state.db)" "test/tmp"
  [ ! -e .builder.state.db ]
  expect_nothing dingen.yml --state-dir deep/state
}

@test "first: -s is the working directory's for build, too" {
  mkdir elsewhere
  mv test dingen.yml elsewhere
  expect 0 build elsewhere/dingen.yml -s here
  equal "$(row_names here/.builder.state.db)" "test/tmp"
  [ ! -e elsewhere/.builder.state.db ]
}

@test "first: -c forgets the state first, so everything is built" {
  expect 0 dingen.yml
  sql "INSERT INTO image_state (name, digest, image_id, config) VALUES ('test/other', 'x', 'y', '/another.yml')"
  expect 0 dingen.yml -c
  has "$output" "built test/tmp in " "(never built)"
  equal "$(row_names)" "test/tmp"
}

# --- The state

@test "first: the state has the original's table, with what was built" {
  expect 0 dingen.yml
  equal "$(sql "SELECT count(*), typeof(id), name, length(digest) FROM image_state")" "1|integer|test/tmp|64"
  equal "$(sql "SELECT image_id FROM image_state")" \
    "sha256:$(buildah inspect --type image --format '{{.FromImageID}}' localhost/test/tmp)"
  run sql "INSERT INTO image_state (name) VALUES ('test/tmp')"
  has "$output" "UNIQUE"
}

@test "first: the original can go on with our file, and we with its rows" {
  expect 0 dingen.yml
  sql "INSERT INTO image_state (name, digest, image_id) VALUES ('test/theirs', 'da39a3ee', '0123456789ab');
       UPDATE image_state SET digest = '2fd4e1c6', image_id = 'ba9876543210' WHERE name = 'test/tmp'"
  expect 0 dingen.yml
  has "$output" "built test/tmp in " "(state from the original)" "forgot test/theirs"
}

@test "first: a state of the original is upgraded in place: built once, with that reason, then quiet" {
  original_state
  expect 0 dingen.yml -v
  has "$stderr" "INFO Build? True" "INFO Because: state from the original"
  equal "$(sql "SELECT id, length(digest), length(image_id) FROM image_state WHERE name = 'test/tmp'")" "3|64|71"
  expect_nothing dingen.yml
}

@test "first: rows of the original that are not in the file are retired by the first full run" {
  original_state
  expect 0 dingen.yml
  has "$output" "forgot test/gone"
  equal "$(row_names)" "test/tmp"
}

@test "first: a row of the original stays as it is while its image fails" {
  original_state
  mv test away
  expect 1 dingen.yml
  equal "$(sql "SELECT id, name, digest, image_id FROM image_state")" \
    "3|test/tmp|da39a3ee5e6b4b0d3255bfef95601890afd80709|0123456789ab"
}

@test "first: a run narrowed by -i retires nothing" {
  original_state
  configuration dingen.yml test/tmp test test/other test
  expect 0 dingen.yml -i test/other
  lacks "$output" "forgot"
  equal "$(row_names)" "test/gone test/other test/tmp"
  configuration dingen.yml test/tmp test
  expect 0 dingen.yml -i test/tmp
  equal "$(row_names)" "test/gone test/other test/tmp"
}

@test "first: an image that left the file loses its row at the end of a full run, which says so" {
  configuration dingen.yml test/tmp test test/other test
  expect 0 dingen.yml
  equal "$(row_names)" "test/other test/tmp"
  configuration dingen.yml test/tmp test
  expect 0 dingen.yml -v
  has "$stderr" "INFO Cleaned up stale row test/other"
  equal "$(row_names)" "test/tmp"
}

@test "first: an image that left the file loses its row even if another one fails" {
  configuration dingen.yml test/tmp test test/other test
  expect 0 dingen.yml
  configuration dingen.yml test/tmp missing
  expect 1 dingen.yml
  equal "$(row_names)" "test/tmp"
}

@test "first: a state of a newer imagewright is refused, and the file stays as it is" {
  expect 0 dingen.yml
  sql "PRAGMA user_version = 99" >/dev/null
  local before arguments
  before=$(sha256sum .builder.state.db)
  for arguments in "dingen.yml" "dingen.yml -c" "dingen.yml -n" "status dingen.yml" "log test/tmp dingen.yml"; do
    # shellcheck disable=SC2086
    expect_refused 3 $arguments
    has "$stderr" "$PWD/.builder.state.db" "newer imagewright"
    equal "$(sha256sum .builder.state.db)" "$before"
  done
}

@test "first: two configurations that share a state directory leave each other's rows alone" {
  configuration another.yml test/other test
  expect 0 dingen.yml -s shared
  expect 0 another.yml -s shared
  lacks "$output" "forgot"
  equal "$(row_names shared/.builder.state.db)" "test/other test/tmp"
  expect_nothing dingen.yml -s shared
  expect_nothing another.yml -s shared
}

@test "first: a configuration is known by its own path, whatever way leads to it" {
  configuration dingen.yml test/tmp test test/other test
  expect 0 dingen.yml
  configuration dingen.yml test/tmp test
  ln -s dingen.yml link.yml
  expect 0 ../work/link.yml
  equal "$output" "forgot test/other (no longer in the configuration)"
}

@test "first: a configuration that builds a name takes its row over" {
  configuration one.yml test/tmp test test/moves test
  expect 0 one.yml
  directory_image other
  echo other >other/file.txt
  configuration two.yml test/moves other
  expect 0 two.yml
  has "$output" "built test/moves"
  configuration one.yml test/tmp test
  expect_nothing one.yml
  expect_nothing two.yml
}

@test "first: a name that moves to another configuration as it is, is not built again" {
  configuration one.yml test/tmp test test/moves test
  expect 0 one.yml
  has "$output" "built test/moves in "
  configuration two.yml test/moves test
  expect_nothing two.yml
  configuration one.yml test/tmp test
  expect_nothing one.yml
  expect_nothing two.yml
}

@test "first: an empty or broken configuration leaves the state untouched" {
  expect 0 dingen.yml
  local before text
  before=$(sql .dump)
  has "$before" "test/tmp"
  for text in '' '# nothing' 'builder:' $'builder:\n  images: []' $'builder:\n  images:' 'builder: {images: [' \
    $'builder:\n  image:\n  - {name: test/tmp, from: test}' $'builder:\n  images:\n  - name: test/tmp' 'other: thing' \
    $'\xff\xfe'; do
    printf '%s' "$text" >dingen.yml
    expect_refused 2 dingen.yml
    has "$stderr" "dingen.yml"
    expect_refused 2 dingen.yml -c
    equal "$(sql .dump)" "$before"
  done
}

# --- What a run says

@test "first: in a pipe a run says one line per image that is built, and nothing when all is up to date" {
  local form='^built test/(tmp|other) in [0-9.]+ m?s \(never built\)$'
  configuration dingen.yml test/tmp test test/other test
  expect 0 dingen.yml
  equal "${#lines[@]}" 2
  [[ "${lines[0]}" =~ $form && "${BASH_REMATCH[1]}" == tmp ]]
  [[ "${lines[1]}" =~ $form && "${BASH_REMATCH[1]}" == other ]]
  equal "$stderr" ""
  expect_nothing dingen.yml
}

@test "first: in a pipe a run says one line per image that fails by its source" {
  configuration dingen.yml test/missing missing test/tmp test
  expect 1 dingen.yml
  equal "$stderr" "failed test/missing: the directory '$PWD/missing' does not exist"
  [[ "$output" == "built test/tmp in "* ]]
}

@test "first: a build that fails shows the end of its log, and where all of it is" {
  printf 'FROM scratch\nCOPY nothing-here /\n' >test/Dockerfile
  expect 1 dingen.yml
  equal "$output" ""
  has "${stderr_lines[0]}" "failed test/tmp: buildah build ended with status "
  has "$stderr" "  | STEP 2/2: COPY nothing-here /"
  local last=${stderr_lines[${#stderr_lines[@]} - 1]}
  has "$(<"${last#  the whole log: }")" "STEP 1/2: FROM scratch"
}

@test "first: a failed build keeps the last success, and is tried again" {
  expect 0 dingen.yml
  local before
  before=$(sql "SELECT digest, image_id FROM image_state")
  printf 'FROM scratch\nCOPY nothing-here /\n' >test/Dockerfile
  expect 1 dingen.yml
  equal "$(sql "SELECT digest, image_id FROM image_state")" "$before"
  expect 1 dingen.yml
  has "$stderr" "failed test/tmp"
  printf 'FROM scratch\nCOPY . /\n' >test/Dockerfile
  expect_nothing dingen.yml
}

# --- The options of build

@test "first: -n shows what would be built, and builds and writes nothing" {
  configuration dingen.yml test/dry test
  expect 0 dingen.yml -n
  equal "$output" "would build test/dry (never built)"
  equal "$(ls -A)" $'dingen.yml\ntest'
  run buildah inspect --type image localhost/test/dry
  [ "$status" -ne 0 ]
}

@test "first: -n leaves a state as it is, also with -c" {
  expect 0 dingen.yml
  local before
  before=$(sql .dump)
  echo changed >test/file.txt
  expect 0 dingen.yml -n
  equal "$output" "would build test/tmp (content: 1 changed: file.txt)"
  expect 0 dingen.yml -n -c
  equal "$output" "would build test/tmp (never built)"
  equal "$(sql .dump)" "$before"
}

@test "first: --force builds what is up to date" {
  expect 0 dingen.yml
  expect 0 dingen.yml --force
  has "$output" "built test/tmp in " "(forced)"
  expect_nothing dingen.yml
}

@test "first: after a failure the others go on" {
  configuration dingen.yml test/missing missing test/tmp test
  expect 1 dingen.yml
  equal "$(row_names)" "test/tmp"
}

@test "first: with --fail-fast nothing more is started after a failure" {
  configuration dingen.yml test/missing missing test/tmp test
  expect 1 dingen.yml --fail-fast
  has "$stderr" "failed test/missing" "skipped test/tmp: test/missing failed"
  equal "$output" ""
  equal "$(row_names)" ""
}

@test "first: -q tells only what failed" {
  configuration dingen.yml test/missing missing test/tmp test
  expect 1 dingen.yml -q
  equal "$output" ""
  equal "$stderr" "failed test/missing: the directory '$PWD/missing' does not exist"
  equal "$(row_names)" "test/tmp"
}

@test "first: -i takes the images whose name matches, and may be given again" {
  configuration dingen.yml test/one test test/two test other/three:tag test
  expect 0 dingen.yml -n -i 'test/*'
  equal "$output" $'would build test/one (never built)\nwould build test/two (never built)'
  expect 0 dingen.yml -n -i 'other/three' --image 'test/tw?'
  equal "$output" $'would build test/two (never built)\nwould build other/three:tag (never built)'
}

@test "first: -i that matches no image is refused with a suggestion" {
  expect_refused 2 dingen.yml -i test/tpm
  has "$stderr" "'test/tpm'" "did you mean 'test/tmp'?"
  [ ! -e .builder.state.db ]
}

@test "first: -j takes how many builds run at once" {
  expect 0 dingen.yml -n -j 4
  equal "$output" "would build test/tmp (never built)"
  expect 2 dingen.yml -n -j 0
  has "$stderr" "--jobs"
  expect 2 dingen.yml -n -j many
  has "$stderr" "--jobs"
}

@test "first: a second run waits for the first, says for what, and builds nothing anew" {
  gate test/tmp
  mkfifo talk
  exec 6<>./talk
  in_background first /dev/null dingen.yml
  local first=$! second
  await_gate
  in_background second talk dingen.yml
  second=$!
  await 6 "waiting for another run (process $first) to finish with the state in $PWD"
  open_gate
  wait "$first"
  wait "$second"
  has "$(<first)" "built test/tmp"
  equal "$(<second)" ""
}

@test "first: with --no-wait a second run gives up" {
  gate test/tmp
  in_background first /dev/null dingen.yml
  local first=$!
  await_gate
  expect_refused 3 dingen.yml --no-wait
  has "$stderr" "another run" "$PWD"
  open_gate
  wait "$first"
  has "$(<first)" "built test/tmp"
}

@test "first: build --json tells one event a line" {
  configuration dingen.yml test/tmp test test/other test test/missing missing
  expect 0 dingen.yml -i test/tmp
  expect 1 build dingen.yml --json -j 1
  equal "$stderr" ""
  equal "$(jq -R 'fromjson | has("event")' <<<"$output" | sort -u)" true
  equal "$(jq -r 'select(.event != "step" and .event != "output") | [.event, .image, .result] | map(. // empty) |
    join(" ")' <<<"$output")" "run-started
image-started test/tmp
image-decided test/tmp
image-finished test/tmp up-to-date
image-started test/other
image-decided test/other
build-started test/other
image-finished test/other built
image-started test/missing
image-finished test/missing failed
run-finished"
  has "$(jq -r 'select(.event == "output" and .image == "test/other").line' <<<"$output")" "STEP 1/2: FROM scratch"
  equal "$(jq -c 'select(.event == "image-decided") | [.build, .reasons[].kind]' <<<"$output")" \
    $'[false]\n[true,"never-built"]'
  equal "$(jq -r 'select(.event == "image-finished" and .image == "test/other").image_id' <<<"$output")" \
    "$(sql "SELECT image_id FROM image_state WHERE name = 'test/other'")"
  has "$(jq -r 'select(.result == "failed").message' <<<"$output")" "missing' does not exist"
  equal "$(jq -c 'select(.event == "run-finished") | [.built, .up_to_date, .failed, .skipped, .interrupted]' \
    <<<"$output")" "[1,1,1,0,false]"
}

# --- status

@test "first: status tells the state of every image and why, and builds and writes nothing" {
  directory_image other
  configuration dingen.yml test/tmp test test/other other test/missing missing
  expect 0 dingen.yml -i test/tmp -i test/other
  echo changed >other/file.txt
  local before
  before=$(sql .dump)
  expect 1 status dingen.yml
  equal "${lines[0]}" "test/tmp      up-to-date"
  equal "${lines[1]}" "test/other    stale       content: 1 changed: file.txt"
  has "${lines[2]}" "test/missing  unknown " "$PWD/missing' does not exist"
  equal "$(sql .dump)" "$before"
}

@test "first: status --exit-code tells by its exit status whether anything is stale" {
  expect 0 status dingen.yml
  expect 1 status dingen.yml --exit-code
  expect 0 dingen.yml
  expect 0 status dingen.yml --exit-code
  echo changed >test/file.txt
  expect 1 status dingen.yml --exit-code
}

@test "first: status --json is one document with every image's name, state and reasons" {
  directory_image other
  directory_image broken
  printf 'FROM scratch\nCOPY nothing-here /\n' >broken/Dockerfile
  configuration dingen.yml test/tmp test test/other other test/broken broken test/missing missing
  expect 1 dingen.yml
  echo changed >other/file.txt
  expect 1 status dingen.yml --json
  equal "$(field "$output" '.[] | [.name, .state, .reasons[].text] | join(" ")')" "test/tmp up-to-date
test/other stale content: 1 changed: file.txt
test/broken failed never built
test/missing unknown"
  equal "$(field "$output" '.[1].reasons[0] | [.kind, .input] | join(" ")')" "input-changed context"
}

@test "first: status before the first run leaves no trace" {
  expect 0 status dingen.yml
  equal "$output" "test/tmp  stale       never built"
  equal "$(ls -A)" $'dingen.yml\ntest'
}

@test "first: status reads a state of the original, and leaves it as it is" {
  original_state
  local before
  before=$(sha256sum .builder.state.db)
  expect 0 status dingen.yml
  equal "$output" "test/tmp  stale       state from the original"
  equal "$(sha256sum .builder.state.db)" "$before"
  equal "$(ls -A)" $'.builder.state.db\ndingen.yml\ntest'
}

@test "first: status, context, config and log take no lock: they answer while a build runs" {
  gate test/tmp
  in_background first /dev/null dingen.yml
  local first=$!
  await_gate
  iw() { timeout 30 "$IMAGEWRIGHT" "$@"; }
  expect 0 status dingen.yml
  equal "$output" "test/tmp  stale       never built"
  expect 0 context test/tmp dingen.yml
  has "$output" "file.txt"
  expect 0 config dingen.yml
  has "$output" "test/tmp"
  expect_refused 1 log test/tmp dingen.yml
  kill -0 "$first"
  open_gate
  wait "$first"
  has "$(<first)" "built test/tmp"
}

@test "first: status, log, context and config work on a read-only state directory" {
  unshare -m true || skip "no mounts here"
  expect 0 dingen.yml -s there
  rm there/.builder.state.db.lock
  cat >look <<'END'
mount --bind there there && mount -o remount,ro,bind there || exit 98
if touch there/probe 2>/dev/null; then exit 99; fi
set -e
"$1" status dingen.yml -s there
"$1" log test/tmp dingen.yml -s there
"$1" config dingen.yml -s there
END
  run --separate-stderr unshare -m sh look "$IMAGEWRIGHT"
  equal "$status" 0
  equal "$stderr" ""
  equal "${lines[0]}" "test/tmp  up-to-date"
  equal "${lines[1]}" "STEP 1/2: FROM scratch"
  has "$output" "name: test/tmp"
  equal "$(ls -A there)" .builder.state.db
}

@test "first: a run on a read-only state directory is refused" {
  unshare -m true || skip "no mounts here"
  mkdir there
  # shellcheck disable=SC2016
  run --separate-stderr unshare -m sh -c \
    'mount --bind there there && mount -o remount,ro,bind there && exec "$0" dingen.yml -s there' "$IMAGEWRIGHT"
  equal "$status" 3
  equal "${#stderr_lines[@]}" 1
  has "$stderr" "imagewright: " "$PWD/there" "Read-only file system"
  equal "$output" ""
}

@test "first: another user may look: log, config and context" {
  expect 0 dingen.yml
  cat >look <<'END'
set -e
"$READABLE" log test/tmp dingen.yml
"$READABLE" config dingen.yml
"$READABLE" context test/tmp dingen.yml
END
  run --separate-stderr as_nobody sh look
  equal "$status$stderr" 0
  has "$output" "STEP 1/2: FROM scratch" "name: test/tmp" "file.txt"
}

# --- log, config

@test "first: log gives the last build's output" {
  expect 0 dingen.yml -v
  local engine
  engine=$(told | sed -nE 's/^INFO ((STEP|COMMIT).*)/\1/p')
  has "$engine" "STEP 1/2: FROM scratch"
  expect 0 log test/tmp dingen.yml
  equal "$(grep -E '^(STEP|COMMIT)' <<<"$output")" "$engine"
  equal "$stderr" ""
}

@test "first: log gives the output of a build that failed; as JSON with its result" {
  printf 'FROM scratch\nCOPY nothing-here /\n' >test/Dockerfile
  expect 1 dingen.yml
  expect 0 log test/tmp dingen.yml
  has "$output" "STEP 2/2: COPY nothing-here /"
  local text=$output
  expect 0 log test/tmp dingen.yml --json
  equal "$(field "$output" '[.name, .result, .engine, .reasons, .image_id] | map(tostring) | join(" ")')" \
    "test/tmp failed buildah never built null"
  equal "$(field "$output" .text)" "$text"
  [[ "$(field "$output" .started)" =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z$ ]]
  [ "$(field "$output" .exit_status)" -gt 0 ]
  [ -e "$(field "$output" .log)" ]
}

@test "first: log of an image that was never built says so" {
  expect_refused 1 log test/tmp dingen.yml
  has "$stderr" "test/tmp"
}

@test "first: log of an image that is not in the file is refused with a suggestion" {
  expect_refused 2 log test/tpm dingen.yml
  has "$stderr" "did you mean 'test/tmp'?"
}

@test "first: config shows what the file means, as YAML and as JSON" {
  cat >rich.yml <<'END'
x-common: &common {from: test, args: [B=2, A=1]}
anything: else
builder:
  engine: buildah
  images:
  - {<<: *common, name: test/one, labels: {key: value}}
  - {name: test/two, from: {git: 'https://user:secret@example.com/x', branch: main, subdir: d}}
END
  expect 0 config rich.yml
  lacks "$output" "secret" "anything"
  local text=$output
  expect 0 config rich.yml --json
  lacks "$output" "secret"
  equal "$(field "$output" '.builder.images[] | [.name, .from.dir, .from.ref, .from.subdir, .args.A, .labels.key] |
    map(. // "-") | join(" ")')" "test/one $PWD/test - - 1 value
test/two - refs/heads/main d - -"
  equal "$(field "$output" '[.builder.engine, .config, .state_directory] | join(" ")')" \
    "buildah $PWD/rich.yml $PWD"
  # The YAML means the same.
  local images
  images=$(field "$output" .builder.images)
  mkdir elsewhere
  printf '%s\n' "$text" >elsewhere/again.yml
  expect 0 config elsewhere/again.yml --json
  equal "$(field "$output" .builder.images)" "$images"
}

@test "first: an image is found by any spelling of its name" {
  local name
  for name in test/tmp test/tmp:latest docker.io/test/tmp 'test/*:latest'; do
    run --separate-stderr iw build dingen.yml -n -i "$name"
    [ "$status" -eq 0 ]
    [ "$output" = "would build test/tmp (never built)" ]
  done
  for name in test/tmp test/tmp:latest docker.io/test/tmp; do
    run --separate-stderr iw context "$name" dingen.yml
    [ "$status" -eq 0 ]
  done
}
