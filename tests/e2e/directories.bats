#!/usr/bin/env bats
# Directories as sources: content decides. What builds an image again and what does not, what `context` shows, and
# that it is what the image gets. On Buildah.
# shellcheck disable=SC2030,SC2031,SC2154 # what `run` sets

load common

# A project that is built once; every test works on a copy of it, its state included.
setup_file() {
  own_buildah
  export XDG_CACHE_HOME=$BATS_FILE_TMPDIR/cache XDG_STATE_HOME=$BATS_FILE_TMPDIR/state
  mkdir -p "$BATS_FILE_TMPDIR/model"
  cd "$BATS_FILE_TMPDIR/model" || return 1
  directory_image app
  printf '*.log\n' >app/.dockerignore
  mkdir -p app/sub/below app/empty
  echo "one" >app/sub/below/one.txt
  echo "#!/bin/sh" >app/run.sh
  chmod 755 app/run.sh
  ln -s file.txt app/link
  echo "noise" >app/noise.log
  # For what moves without a change: these times are old.
  find app -exec touch -h -d '2014-03-21 22:02:01' {} +
  cat >app.yml <<'END'
builder:
  images:
  - name: test/app
    from: app
    args: {ONE: a, TWO: b}
    labels: {key: value}
END
  iw build app.yml -q
}

teardown_file() { end_buildah; }

setup() {
  project
  cp -a "$BATS_FILE_TMPDIR/model/." .
  name_again test/app
}

# All that the state holds but who owns the row: a project that was copied elsewhere has another configuration.
remembered() {
  sql "select name, digest, image_id, engine, format, verified from image_state; select * from image_input;
       select * from build"
}

# Nothing is stale; and a run has nothing to say, and leaves what is remembered as it is.
builds_nothing() {
  local before
  before=$(remembered)
  expect 0 status app.yml -i test/app
  equal "$output" "test/app  up-to-date"
  expect_nothing build app.yml -i test/app
  equal "$(remembered)" "$before"
}

# builds REASONS: the next run builds, for exactly these reasons, and the one after it nothing.
builds() {
  expect 0 build app.yml
  equal "$stderr" ""
  equal "$(sed -E 's/ in [0-9.]+ m?s / /' <<<"$output")" "built test/app ($1)"
  expect_nothing build app.yml
}

# would_build REASONS: what a run would say, without the run.
would_build() {
  expect 0 build app.yml -n
  equal "$stderr" ""
  equal "$output" "would build test/app ($1)"
}

# --- What builds nothing

@test "directories: a second run builds nothing" {
  builds_nothing
}

@test "directories: touching builds nothing" {
  find app -exec touch -h {} +
  builds_nothing
}

@test "directories: a copy with other times in another place, with its state, builds nothing" {
  mkdir elsewhere
  cp -r app elsewhere/app
  cp app.yml .builder.state.db elsewhere
  rm -r app .builder.state.db
  cd elsewhere
  builds_nothing
}

@test "directories: rewriting a file with the same bytes builds nothing" {
  rm app/file.txt
  echo "some text" >app/file.txt
  builds_nothing
}

@test "directories: an ignored file, changed, added or removed, builds nothing" {
  echo "more noise" >>app/noise.log
  chmod 600 app/noise.log
  builds_nothing
  echo "noise" >app/other.log
  rm app/noise.log
  builds_nothing
}

@test "directories: an owner builds nothing" {
  [ "$(id -u)" -eq 0 ] || skip "only root can give files away"
  chown -hR 1234:1234 app
  builds_nothing
}

@test "directories: a hard link is its content" {
  cp app/file.txt app/copy.txt
  builds "content: 1 added: copy.txt"
  ln -f app/file.txt app/copy.txt
  builds_nothing
}

@test "directories: the mode of the context's root builds nothing" {
  chmod 700 app
  builds_nothing
}

@test "directories: the order of args, and a map or a list of them, build nothing" {
  cat >app.yml <<'END'
builder:
  images:
  - labels: ["key=value"]
    args: [TWO=b, ONE=a]
    from: ./app
    name: test/app
END
  builds_nothing
}

@test "directories: a comment in the configuration and other images in it build nothing" {
  cat >>app.yml <<'END'
  # a comment
  - name: test/other
    from: app
END
  builds_nothing
}

# --- What builds

@test "directories: one byte builds, though size and times are the same" {
  echo "some next" >app/file.txt
  touch -d '2014-03-21 22:02:01' app/file.txt
  equal "$(stat -c '%s %Y' app/file.txt)" "$(stat -c '%s %Y' "$BATS_FILE_TMPDIR/model/app/file.txt")"
  builds "content: 1 changed: file.txt"
}

@test "directories: one byte far below builds" {
  echo "two" >app/sub/below/one.txt
  builds "content: 1 changed: sub/below/one.txt"
}

@test "directories: a mode bit of a file builds" {
  chmod g+w app/file.txt
  builds "content: 1 changed: file.txt"
}

@test "directories: the set-user-id bit builds" {
  chmod u+s app/run.sh
  builds "content: 1 changed: run.sh"
}

@test "directories: a mode bit of a directory builds" {
  chmod o-rx app/sub
  builds "content: 1 changed: sub"
}

@test "directories: a link's target builds, though it leads to the same file" {
  ln -sfn ./file.txt app/link
  builds "content: 1 changed: link"
}

@test "directories: an added empty directory builds" {
  mkdir app/sub/new
  builds "content: 1 added: sub/new"
}

@test "directories: a removed empty directory builds" {
  rmdir app/empty
  builds "content: 1 removed: empty"
}

@test "directories: an added file builds, though it is empty" {
  : >app/sub/new
  builds "content: 1 added: sub/new"
}

@test "directories: a removed file builds" {
  rm app/sub/below/one.txt
  builds "content: 1 removed: sub/below/one.txt"
}

@test "directories: another name for a file builds" {
  mv app/run.sh app/sub/run.sh
  builds "content: 1 added, 1 removed: run.sh, sub/run.sh"
}

@test "directories: a file that becomes a link to the same bytes builds" {
  mv app/run.sh app/real.sh
  builds "content: 1 added, 1 removed: real.sh, run.sh"
  cp app/real.sh app/run.sh
  builds "content: 1 added: run.sh"
  ln -sf real.sh app/run.sh
  builds "content: 1 changed: run.sh"
}

@test "directories: a file that becomes an empty directory builds" {
  rm app/file.txt
  mkdir app/file.txt
  builds "content: 1 changed: file.txt"
}

@test "directories: an extended attribute builds" {
  setfattr -n user.note -v one app/file.txt 2>/dev/null || skip "no user attributes on this file system"
  builds "content: 1 changed: file.txt"
  setfattr -n user.note -v two app/file.txt
  builds "content: 1 changed: file.txt"
}

@test "directories: there and back builds nothing" {
  echo "other text" >app/file.txt
  chmod 777 app/sub
  expect 1 status app.yml --exit-code
  echo "some text" >app/file.txt
  chmod 755 app/sub
  builds_nothing
}

# Of a small directory that depends on nothing else, a sum over all of it is enough to know it again.
@test "directories: one without an ignore file is known again, and not once anything was touched" {
  rm app/.dockerignore app/noise.log
  builds "content: 1 removed: .dockerignore"
  builds_nothing
  find app -exec touch -h {} +
  builds_nothing
  sleep 0.1
  builds_nothing
  builds_nothing
  echo "some next" >app/file.txt
  builds "content: 1 changed: file.txt"
  builds_nothing
  printf 'sub\n' >app/Dockerfile.dockerignore
  builds "content: 1 added, 1 removed: Dockerfile.dockerignore, sub/below/one.txt"
  echo "two" >app/sub/below/one.txt
  builds_nothing
  rm app/Dockerfile.dockerignore
  builds "content: 1 added, 1 removed: Dockerfile.dockerignore, sub/below/one.txt"
  builds_nothing
  echo "LABEL more=1" >>app/Dockerfile
  builds "content: 1 changed: Dockerfile; dockerfile changed"
  builds_nothing
  sed -i 's/ONE: a/ONE: c/' app.yml
  builds "arg ONE changed"
  unpack_buildah localhost/test/app out
  equal "$(<out/file.txt)" "some next"
  mv app/Dockerfile app/elsewhere
  ln -s elsewhere app/Dockerfile
  builds "content: 1 changed, 1 added: Dockerfile, elsewhere"
  builds_nothing
  mkdir other
  mv app/elsewhere other
  ln -sfn ../other/elsewhere app/Dockerfile
  builds "content: 1 changed, 1 removed: Dockerfile, elsewhere"
  builds_nothing
  echo "LABEL even=more" >>other/elsewhere
  builds "dockerfile changed"
}

@test "directories: an image that is built holds the change" {
  echo "next text" >app/file.txt
  builds "content: 1 changed: file.txt"
  unpack_buildah localhost/test/app out
  equal "$(<out/file.txt)" "next text"
}

# --- The ignore file

@test "directories: a changed ignore file builds, as it is part of the context" {
  echo "# a comment" >>app/.dockerignore
  builds "content: 1 changed: .dockerignore"
}

@test "directories: an ignore file that leaves itself out builds only by what it changes" {
  printf '*.log\n.dockerignore\n' >app/.dockerignore
  builds "content: 1 removed: .dockerignore"
  printf '# the same\n**/.dockerignore\n/*.log/\n' >app/.dockerignore
  builds_nothing
  printf '.dockerignore\n' >app/.dockerignore
  builds "content: 1 added: noise.log"
}

@test "directories: the ignore file beside the Dockerfile wins, and is not merged with the context's" {
  printf 'sub\n' >app/Dockerfile.dockerignore
  builds "content: 2 added, 1 removed: Dockerfile.dockerignore, noise.log, sub/below/one.txt"
  echo "two" >app/sub/below/one.txt
  builds_nothing
  echo "more noise" >>app/noise.log
  builds "content: 1 changed: noise.log"
}

# --- The Dockerfile

@test "directories: a changed Dockerfile builds" {
  echo "LABEL more=1" >>app/Dockerfile
  builds "content: 1 changed: Dockerfile; dockerfile changed"
}

@test "directories: a changed Dockerfile that is ignored builds" {
  echo "Dockerfile" >>app/.dockerignore
  builds "content: 1 changed, 1 removed: .dockerignore, Dockerfile"
  echo "LABEL more=1" >>app/Dockerfile
  builds "dockerfile changed"
}

@test "directories: a Dockerfile outside of the context counts by its content" {
  mkdir docker
  mv app/Dockerfile docker/app.Dockerfile
  echo '    dockerfile: ../docker/app.Dockerfile' >>app.yml
  builds "content: 1 removed: Dockerfile"
  touch docker/app.Dockerfile
  echo "other" >docker/other
  builds_nothing
  echo "LABEL more=1" >>docker/app.Dockerfile
  builds "dockerfile changed"
}

@test "directories: the ignore file beside a Dockerfile outside of the context wins" {
  mkdir docker
  mv app/Dockerfile docker/app.Dockerfile
  echo "run.sh" >docker/app.Dockerfile.dockerignore
  echo '    dockerfile: ../docker/app.Dockerfile' >>app.yml
  builds "content: 1 added, 2 removed: Dockerfile, noise.log, run.sh"
  echo "echo" >>app/run.sh
  builds_nothing
  unpack_buildah localhost/test/app out
  [ ! -e out/run.sh ]
  [ -e out/noise.log ]
}

@test "directories: without a Dockerfile, dockerfile is taken" {
  mv app/Dockerfile app/dockerfile
  builds "content: 1 added, 1 removed: Dockerfile, dockerfile"
  echo "LABEL more=1" >>app/dockerfile
  builds "content: 1 changed: dockerfile; dockerfile changed"
}

@test "directories: Dockerfile comes before dockerfile" {
  echo "FROM scratch" >app/dockerfile
  builds "content: 1 added: dockerfile"
  unpack_buildah localhost/test/app out
  [ -e out/file.txt ]
}

# --- Arguments, target, labels

# edited SED: the configuration as it was built, but for this.
edited() { sed "$1" "$BATS_FILE_TMPDIR/model/app.yml" >app.yml; }

@test "directories: an arg that is added, changed or removed builds" {
  edited 's/TWO: b/TWO: b, THREE: c/'
  would_build "arg THREE added"
  edited 's/ONE: a, //'
  would_build "arg ONE removed"
  edited 's/TWO: b/TWO: x/'
  builds "arg TWO changed"
}

@test "directories: an arg without a value counts by the environment's" {
  edited 's/TWO: b/TWO:/'
  would_build "arg TWO removed"
  TWO=b builds_nothing
  export TWO=c
  builds "arg TWO changed"
}

@test "directories: a label that is added, changed or removed builds" {
  edited 's/key: value/key: value, other: x/'
  would_build "label other added"
  edited '/labels:/d'
  would_build "label key removed"
  edited 's/key: value/key: new/'
  builds "label key changed"
}

@test "directories: a target that is added, changed or removed builds" {
  printf 'FROM scratch AS one\nCOPY file.txt /\nFROM scratch AS two\nCOPY run.sh /\n' >app/Dockerfile
  echo '    target: one' >>app.yml
  builds "content: 1 changed: Dockerfile; dockerfile changed; target added"
  sed -i 's/target: one/target: two/' app.yml
  would_build "target changed"
  sed -i '/target:/d' app.yml
  would_build "target removed"
}

# --- from: .

@test "directories: 'from: .' with the state beside it stays quiet, and the image holds nothing of ours" {
  printf 'builder:\n  images:\n  - {name: test/dot, from: .}\n' >app/imagewright.yml
  cd app
  expect 0 build -s .
  has "$output" "built test/dot"
  equal "$stderr" "" # not even that something changed while it was built
  expect_nothing build
  expect_nothing build
  expect_nothing imagewright.yml
  unpack_buildah localhost/test/dot ../out
  equal "$(cd ../out && ls -A)" $'.dockerignore\nDockerfile\nempty\nfile.txt\nimagewright.yml\nlink\nrun.sh\nsub'
}

@test "directories: two images from '.' with the state beside them stay quiet" {
  printf 'builder:\n  images:\n  - {name: test/dot1, from: .}\n  - {name: test/dot2, from: ., args: {X: 1}}\n' >app/dots.yml
  cd app
  expect 0 dots.yml
  has "$output" "built test/dot1 in " "built test/dot2 in "
  equal "$stderr" ""
  expect_nothing dots.yml
}

# --- context

@test "directories: context --json has every entry's path, type, mode, size, digest and target, in bytewise order" {
  mkdir plain
  printf 'FROM scratch\nCOPY . /\n' >plain/Dockerfile
  mkdir -p plain/a/deep plain/B "plain/ä"
  printf 'x' >plain/a/deep/x
  : >plain/a-b
  chmod 4711 plain/a-b
  ln -s ../nowhere plain/a/link
  chmod 1777 plain/B
  configuration plain.yml test/plain plain
  expect 0 context test/plain plain.yml --json
  equal "$stderr" ""
  equal "$(field "$output" '.[] | [.path, .type, .mode, (.size | tostring), .digest // "-", .target // "-"] | join(" ")')" \
    "B dir 1777 0 - -
Dockerfile file 0644 22 sha256:$(sha256sum <plain/Dockerfile | cut -d' ' -f1) -
a dir 0755 0 - -
a-b file 4711 0 sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 -
a/deep dir 0755 0 - -
a/deep/x file 0644 1 sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 -
a/link symlink 0777 0 - ../nowhere
ä dir 0755 0 - -"
  equal "$(field "$output" '.[0] | keys | join(" ")')" "digest mode path size target type"
}

@test "directories: context shows devices" {
  mknod app/null c 1 3 2>/dev/null || skip "no devices can be made here"
  mknod app/disk b 7 0
  expect 0 context test/app app.yml --json
  equal "$(field "$output" '.[] | select(.type == "char" or .type == "block") | .path + " " + .type')" \
    $'disk block\nnull char'
}

@test "directories: a device counts by its number" {
  mknod app/device c 1 3 2>/dev/null || skip "no devices can be made here"
  local before
  expect 0 build app.yml -n -vv
  before=$(grep -o 'Input context [0-9a-f]*' <<<"$stderr")
  rm app/device
  mknod app/device c 1 5
  expect 0 build app.yml -n -vv
  has "$stderr" "Input context "
  lacks "$stderr" "$before"
}

@test "directories: context prints a line an entry, and needs neither an engine nor a state" {
  rm .builder.state.db
  expect 0 context test/app app.yml
  equal "${#lines[@]}" 9
  has "$output" " file.txt" "link -> file.txt" "sub/below/one.txt"
  lacks "$output" "noise.log"
  equal "$stderr" ""
  local before=$output
  run --separate-stderr env PATH="$BATS_TEST_TMPDIR" "$IMAGEWRIGHT" context test/app app.yml
  equal "$status$stderr" 0
  equal "$output" "$before"
  [ ! -e .builder.state.db ]
}

@test "directories: context takes a name with or without its tag" {
  sed -i 's|test/app|test/app:1.0|' app.yml
  expect 0 context test/app app.yml
  has "$output" "file.txt"
  local before=$output
  expect 0 context test/app:1.0 app.yml
  equal "$output" "$before"
}

# what_context_says, what_is_in DIRECTORY: "PATH TYPE MODE DIGEST-OR-TARGET", in bytewise order.
what_context_says() {
  field "$output" '.[] | [.path, .type, .mode, ((.digest // .target // "-") | ltrimstr("sha256:"))] | join(" ")'
}
what_is_in() {
  local path mode
  (cd "$1" && find . -mindepth 1 -printf '%P\n') | LC_ALL=C sort | while IFS= read -r path; do
    mode=$(printf '%04o' "0$(stat -c %a "$1/$path")")
    if [ -L "$1/$path" ]; then
      echo "$path symlink $mode $(readlink "$1/$path")"
    elif [ -d "$1/$path" ]; then
      echo "$path dir $mode -"
    else
      echo "$path file $mode $(sha256sum <"$1/$path" | cut -d' ' -f1)"
    fi
  done
}

# (Without set-user-id and set-group-id bits, which Buildah's COPY drops.)
@test "directories: an image made by 'COPY . /' holds exactly what context shows" {
  mkdir -p app/many/levels/of/directories "app/with blank" "app/ünï"
  chmod 1750 app/many
  printf '\0\1\2' >"app/with blank/bytes"
  chmod 0400 "app/with blank/bytes"
  ln -s /absolute/nowhere app/ünï/dangling
  expect 0 build app.yml
  expect 0 context test/app app.yml --json
  has "$(what_context_says)" "many dir 1750 -" "link symlink 0777 file.txt" "with blank/bytes file 0400 "
  unpack_buildah localhost/test/app out
  equal "$(what_is_in out)" "$(what_context_says)"
}

# Files for the ignore files below.
many_files() {
  mkdir -p app/logs/keep/deep app/logs/drop/deep app/docs/a app/vendor/x
  echo 1 >app/logs/keep/deep/a.log
  echo 2 >app/logs/keep/b.txt
  echo 3 >app/logs/drop/c.txt
  echo 4 >app/logs/drop/deep/d.txt
  echo 5 >app/docs/a/README.md
  echo 6 >app/docs/a/x.html
  echo 7 >app/docs/index.html
  echo 8 >app/vendor/x/y
  echo 9 >app/important.log
}

# context_is_image_with PATHS: what context shows has these, but for what every test has; and the image is the same.
context_is_image_with() {
  expect 0 build app.yml
  expect 0 context test/app app.yml --json
  equal "$(field "$output" '.[] | select(.path | test("^(Dockerfile|run.sh|file.txt|.dockerignore)$") | not).path')" "$1"
  unpack_buildah localhost/test/app out
  equal "$(what_is_in out)" "$(what_context_says)"
}

@test "directories: context and image are the same with an ignore file that brings files back by name" {
  many_files
  cat >app/.dockerignore <<'END'
# a comment
logs
!logs/keep
**/*.log
!/docs/../important.log

docs/**
 ! docs/a/README.md
vendor/*
sub/below/*.txt
/?ink/
END
  context_is_image_with "docs
docs/a
docs/a/README.md
empty
important.log
logs
logs/keep
logs/keep/b.txt
logs/keep/deep
sub
sub/below
vendor"
}

@test "directories: context and image are the same with an ignore file that brings files back by wildcard" {
  many_files
  printf '%s\n' '**' '!**/*.md' '!Dockerfile' '!run.sh' '!logs/*/*.txt' '!file.*' '!.docker*' >app/.dockerignore
  context_is_image_with "docs
docs/a
docs/a/README.md
logs
logs/drop
logs/drop/c.txt
logs/keep
logs/keep/b.txt"
}

@test "directories: a context that is the home directory, with our caches and logs in it, comes to rest" {
  mkdir -p home && cd home
  directory_image .
  printf 'builder:\n  images:\n  - {name: test/home, from: .}\n' >imagewright.yml
  export HOME=$PWD
  unset XDG_CACHE_HOME XDG_STATE_HOME
  iw build -q
  run iw build
  [ "$status" -eq 0 ]
  [ -z "$output" ]
  unpack_buildah test/home "$BATS_TEST_TMPDIR/image"
  [ ! -e "$BATS_TEST_TMPDIR/image/.cache/imagewright" ]
  [ ! -e "$BATS_TEST_TMPDIR/image/.local/state/imagewright/logs" ]
  [ -e "$BATS_TEST_TMPDIR/image/file.txt" ]
}
