#!/usr/bin/env bats
# A context that changed: why an image is built, in a line and for programs; that what is known of a directory only
# saves time; and odd directories, to their ends. On Buildah, where an engine is needed at all.
# shellcheck disable=SC2016,SC2030,SC2031,SC2094,SC2154 # commands as text; what `run` sets

load common

# A project that is built once; every test works on a copy of it, its state and its caches included.
setup_file() {
  own_buildah
  export XDG_CACHE_HOME=$BATS_FILE_TMPDIR/cache XDG_STATE_HOME=$BATS_FILE_TMPDIR/state
  mkdir -p "$BATS_FILE_TMPDIR/model"
  cd "$BATS_FILE_TMPDIR/model" || return 1
  directory_image app
  mkdir -p app/src/deep
  echo "a" >app/src/a.cc
  echo "b" >app/src/b.cc
  echo "c" >app/src/deep/c.cc
  configuration app.yml test/content app
  iw build app.yml -q
}

teardown_file() { end_buildah; }

setup() {
  project
  # (The cache of a context goes by its path: here it begins with none, and the state's is found.)
  export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
  mkdir -p "$XDG_CACHE_HOME"
  cp -a "$BATS_FILE_TMPDIR/cache/imagewright" "$XDG_CACHE_HOME"
  cp -a "$BATS_FILE_TMPDIR/model/." .
  name_again test/content
}

teardown() {
  # Trees that are too deep for what comes after.
  [ ! -e deep ] || rm -rf deep
  umount "$(contexts)" 2>/dev/null || true
}

# Nothing may hang.
iw() { timeout 100 "$IMAGEWRIGHT" "$@"; }

# The caches of what is now, not what was kept of what was built.
forget_files() { rm -f "$(contexts)"/[0-9a-f][0-9a-f]*.dirs "$(contexts)"/known-*; }

contexts() { echo "$XDG_CACHE_HOME/imagewright/contexts"; }

# would_build REASONS: status and a run that builds nothing say so.
would_build() {
  expect 0 status app.yml
  equal "$output$stderr" "test/content  stale       $1"
  expect 0 build app.yml -n
  equal "$output$stderr" "would build test/content ($1)"
}

# changes FILTER: of the one reason of status --json.
changes() {
  expect 0 status app.yml --json
  jq -c ".[0].reasons[0].changes | $1" <<<"$output"
}

# up_to_date: nothing is to be built, and there is nothing to say.
up_to_date() {
  expect 0 status app.yml
  equal "$output$stderr" "test/content  up-to-date"
  expect_nothing build app.yml
}

# --- Why

@test "content: a line says how many files changed, came and went, and names the first" {
  echo "other" >app/src/a.cc
  echo "other" >app/src/deep/c.cc
  echo "new" >app/src/new.cc
  rm app/src/b.cc
  would_build "content: 2 changed, 1 added, 1 removed: src/a.cc, src/b.cc, src/deep/c.cc, …"
  expect 0 build app.yml
  equal "$stderr" ""
  has "$output" "built test/content" \
    "(content: 2 changed, 1 added, 1 removed: src/a.cc, src/b.cc, src/deep/c.cc, …)"
  up_to_date
}

@test "content: in JSON each file has its kind of change, for status and build alike" {
  echo "other" >app/src/a.cc
  chmod 600 app/src/b.cc
  rm app/src/deep/c.cc
  mkdir app/src/deep/empty
  ln -s a.cc app/link
  local wanted='{"changed":2,"added":2,"removed":1,"files":["added link","content src/a.cc","mode src/b.cc",'
  wanted+='"removed src/deep/c.cc","added src/deep/empty"]}'
  local shape='{changed, added, removed, files: [.files[] | .change + " " + .path]}'
  equal "$(changes "$shape")" "$wanted"
  expect 0 status app.yml --json
  equal "$(field "$output" '.[0].reasons[0] | .kind + " " + .input')" "input-changed context"
  run_build app.yml
  equal "$status$errors$built" "0test/content"
  local event
  for event in image-decided image-finished; do
    equal "$(jq -c "select(.event == \"$event\").reasons[0].changes | $shape" <<<"$events")" "$wanted"
  done
}

@test "content: other kinds of change are told as such" {
  ln -s a.cc app/link
  iw build app.yml -q
  ln -sfn b.cc app/link
  equal "$(changes '[.files[] | .change + " " + .path]')" '["target link"]'
  rm app/link
  mkdir app/link
  equal "$(changes '[.files[] | .change + " " + .path]')" '["type link"]'
  would_build "content: 1 changed: link"
}

@test "content: of very many changes all are counted, and the first thousand are named" {
  local i
  for i in {0001..1200}; do echo >"app/src/$i"; done
  would_build "content: 1200 added: src/0001, src/0002, src/0003, …"
  equal "$(changes '[.added, (.files | length), .files[0].path, .files[999].path]')" \
    '[1200,1000,"src/0001","src/1000"]'
}

@test "content: a touch, a rewrite and a copy are no change" {
  find app -exec touch -h {} +
  up_to_date
  cp app/src/a.cc copy && rm app/src/a.cc && mv copy app/src/a.cc
  up_to_date
  cp -r app copy && rm -r app && mv copy app
  up_to_date
}

@test "content: there and back is no change" {
  echo "other" >app/src/a.cc
  would_build "content: 1 changed: src/a.cc"
  echo "a" >app/src/a.cc
  up_to_date
}

@test "content: names that are not UTF-8 or hold newlines stay in one line, and JSON stays JSON" {
  printf 'x' >$'app/src/n\newline'
  printf 'x' >$'app/src/\xff'
  expect 0 status app.yml
  equal "${#lines[@]}" 1
  has "$output" "content: 2 added: src/n?ewline"
  equal "$(changes '[.added, .files[0].path]')" '[2,"src/n\newline"]'
  expect 0 context test/content app.yml --json
  equal "$(field "$output" '[.. | .path? // empty | select(startswith("src/n"))] | length')" 1
  iw build app.yml -q
  up_to_date
  content=$BATS_TEST_TMPDIR/image
  ENGINE=buildah unpack test/content "$content"
  equal "$(listing "$content")" "$(listing app)"
}

# --- What is known only saves time

@test "content: a deleted cache changes no answer; only what changed is not told any more" {
  rm -r "$(contexts)"
  up_to_date
  rm -r "$(contexts)"
  echo "other" >app/src/a.cc
  expect 0 status app.yml
  equal "$output$stderr" "test/content  stale       context changed"
  equal "$(changes .)" null
  expect 0 build app.yml
  has "$output" "(context changed)"
  # From this build on it is known again.
  echo "more" >app/src/a.cc
  would_build "content: 1 changed: src/a.cc"
}

@test "content: a damaged cache changes no answer" {
  iw status app.yml
  local file
  for file in "$(contexts)"/*; do
    case $((RANDOM % 3)) in
      0) truncate -s $(($(stat -c %s "$file") / 2)) "$file" ;;
      1) head -c "$(stat -c %s "$file")" /dev/urandom >"$file" ;;
      2) : >"$file" ;;
    esac
  done
  up_to_date
  echo "other" >app/src/a.cc
  expect 0 status app.yml
  has "$output" "stale"
}

@test "content: a cache that cannot be written changes no answer" {
  rm -r "$(contexts)"
  echo "in the way" >"$(contexts)"
  up_to_date
  echo "other" >app/src/a.cc
  expect 0 status app.yml
  equal "$output$stderr" "test/content  stale       context changed"
  expect 0 build app.yml
  has "$output" "built test/content"
  up_to_date
}

@test "content: a cache on a full disk changes no answer" {
  [ "$(id -u)" -eq 0 ] || skip "only root can mount a small disk"
  rm -r "$(contexts)"
  mkdir "$(contexts)"
  mount -t tmpfs -o size=64k tmpfs "$(contexts)" || skip "nothing can be mounted here"
  head -c 60k /dev/zero >"$(contexts)/filler"
  local i
  for i in {1..300}; do echo "$i" >"app/src/$i"; done
  expect 0 build app.yml
  has "$output" "built test/content"
  up_to_date
  echo "other" >app/src/a.cc
  expect 0 status app.yml
  has "$output" "stale"
}

@test "content: killed at any moment, a run leaves a cache that gives the right answer" {
  local i moment
  for i in {1..400}; do echo "$i" >"app/src/$i"; done
  iw build app.yml -q
  for i in {1..10}; do
    forget_files
    echo "other $i" >app/src/1
    moment=0.0$((RANDOM % 3))$((RANDOM % 10))
    timeout -s KILL "$moment" "$IMAGEWRIGHT" status app.yml >/dev/null 2>&1 || true
    expect 0 status app.yml
    equal "$output" "test/content  stale       content: 1 changed: src/1"
  done
  echo 1 >app/src/1
  up_to_date
}

@test "content: runs at once give the same answer" {
  local i pids=()
  echo "other" >app/src/a.cc
  forget_files
  for i in {1..6}; do
    iw status app.yml >"out.$i" 2>&1 3>&- &
    pids+=($!)
  done
  wait "${pids[@]}"
  for i in {1..6}; do
    equal "$(<"out.$i")" "test/content  stale       content: 1 changed: src/a.cc"
  done
}

@test "content: what was kept of a context goes when no image was built from it any more" {
  local i before
  before=$(find "$(contexts)" -name 'built-*' | wc -l)
  for i in {1..5}; do
    echo "$i" >app/src/a.cc
    iw build app.yml -q
  done
  [ "$(find "$(contexts)" -name 'built-*' | wc -l)" -le $((before + 2)) ]
}

# --- Odd directories

@test "content: a path over 4,096 bytes is read, and changes far below are told" {
  local part
  part=$(printf 'x%.0s' {1..200})
  # Made step by step: no single path could name it.
  make_deep app "$part" 25
  iw context test/content app.yml | tail -n 1 | grep -q "$part/bottom$"
  expect 0 status app.yml
  has "$output" "1 added: $part/$part"
  change_bottom app "$part" 25
  expect 0 status app.yml
  has "$output" "1 added: $part/$part"
}

# make_deep DIR NAME DEPTH: directories of one name, one in another, with a file at the bottom.
make_deep() {
  perl -e 'my ($dir, $name, $depth) = @ARGV; chdir $dir or die;
    for (1 .. $depth) { mkdir $name or die; chdir $name or die; }
    open my $file, ">", "bottom" or die; print $file "text"' "$@"
}
change_bottom() {
  perl -e 'my ($dir, $name, $depth) = @ARGV; chdir $dir or die;
    for (1 .. $depth) { chdir $name or die; }
    open my $file, ">", "bottom" or die; print $file "other"' "$@"
}

@test "content: a directory that is 2,000 deep is read, and a change at its bottom is seen" {
  mkdir deep
  make_deep deep d 2000
  configuration deep.yml test/deep deep
  cp app/Dockerfile deep
  expect 0 context test/deep deep.yml --json
  local before
  before=$(sha256sum <<<"$output")
  expect 0 context test/deep deep.yml --json
  equal "$(sha256sum <<<"$output")" "$before"
  change_bottom deep d 2000
  expect 0 context test/deep deep.yml --json
  [ "$(sha256sum <<<"$output")" != "$before" ]
  echo 'd/d' >deep/.dockerignore
  expect 0 context test/deep deep.yml
  lacks "$output" "bottom"
}

# swapping WHAT...: runs a command over and over while the context is read, and says what came of it: answers that
# have to be whole, or one line that names the context.
reads_while() {
  local work=$1 i seen=0
  (while :; do eval "$work"; done) >/dev/null 2>&1 3>&- &
  local worker=$!
  for i in {1..20}; do
    run --separate-stderr iw context test/content app.yml
    if [ "$status" -ne 0 ]; then
      equal "$status" 1 || break
      [ "${#stderr_lines[@]}" -eq 1 ] || break
      has "$stderr" "imagewright: " "$PWD/app" || break
    else
      lacks "$output" "secret" || break
      has "$output" "src/a.cc" || break
    fi
    seen=$((seen + 1))
  done
  kill "$worker"
  wait "$worker" 2>/dev/null || true
  equal "$seen" 20
}

@test "content: a directory that vanishes while it is read is there or not, and nothing else is missed" {
  local i
  for i in {1..50}; do mkdir -p "spare/$i" && touch "spare/$i/file"; done
  reads_while 'cp -r spare app/gone; rm -rf app/gone'
}

@test "content: a directory that is swapped for a symlink while it is read leads nowhere" {
  mkdir -p outside app/swap
  touch outside/secret app/swap/file
  # (Each of the two is in place for a while; for a moment there is neither.)
  reads_while 'mv app/swap kept; ln -s "$PWD/outside" app/swap; rm app/swap; mv kept app/swap'
}

@test "content: a file that becomes a FIFO while it is read does not hang a run" {
  reads_while 'rm -f app/odd; mkfifo app/odd; rm -f app/odd; echo text >app/odd'
  rm -f app/odd
}

@test "content: links that lead out, into loops or nowhere are links" {
  ln -s /etc/passwd app/absolute
  ln -s ../../../../../../etc app/out
  ln -s . app/self
  ln -s nowhere app/nowhere
  expect 0 context test/content app.yml
  has "$output" "absolute -> /etc/passwd" "out -> ../../../../../../etc" "self -> ." "nowhere -> nowhere"
  lacks "$output" "passwd/" "out/" "self/"
  equal "$(changes '[.files[].path]')" '["absolute","nowhere","out","self"]'
}

@test "a state below the context: making the files beside it is no change of the context, whenever that is" {
  mkdir -p app/ops
  cat >app/ops/two.yml <<'END'
builder:
  images:
  - {name: test/content, from: ..}
  - {name: test/content2, from: ../src, dockerfile_inline: "FROM scratch\nCOPY . /\n"}
END
  expect 0 build app/ops/two.yml -q
  expect 0 status app/ops/two.yml
  equal "$output" "test/content   up-to-date
test/content2  up-to-date"
  # The state's files come when the first of the two is built, which is then looked at already (and not again, as it
  # would be if something had been written just now).
  echo again >app/src/a.cc
  sleep 0.3
  expect 0 build app/ops/two.yml -q
  lacks "$output$stderr" "changed while"
  expect 0 status app/ops/two.yml
  equal "$output" "test/content   up-to-date
test/content2  up-to-date"
}
