# What of a context a build can read, on every engine: bodies of tests, to be wrapped by the file of each one. Wants what
# engine_tests.bash wants.
#
# shellcheck shell=bash
# shellcheck disable=SC2154 # status, built, events come from run_build

# A directory with some files and a Dockerfile of these lines.
tree_with() {
  mkdir -p test/src test/docs
  echo main >test/src/main.c
  echo text >test/src/notes.txt
  echo docs >test/docs/index
  echo readme >test/README
  printf '%s\n' "$@" >test/Dockerfile
}

# Is the image up to date?
is_current() { [ "$(iw status --json --engine "$ENGINE" | jq -r '.[0].state')" = up-to-date ]; }

# Changes a file; the image must be as it was (nothing), or be built again (build).
touching() {
  local file=$1 expected=$2
  echo "changed $RANDOM$RANDOM" >"test/$file"
  if [ "$expected" = nothing ]; then
    is_current || { echo "$file counts" >&2; return 1; }
  else
    ! is_current || { echo "$file does not count" >&2; return 1; }
    run_build
    [ "$status" -eq 0 ] && [ "$built" = "$image" ] && is_current
  fi
}

context_files() { iw context "$image" --engine "$ENGINE" --json | jq -r '.[] | select(.type == "file").path' | paste -sd ' '; }

the_context_command_shows_what_counts() {
  tree_with 'FROM scratch' 'COPY src /src/'
  one_image test
  [ "$(context_files)" = "src/main.c src/notes.txt" ]
  run_build
  # Also where what counted at the last build is not what counts now.
  printf 'COPY README /\n' >>test/Dockerfile
  [ "$(context_files)" = "README src/main.c src/notes.txt" ]
  printf 'COPY . /\n' >>test/Dockerfile
  run iw context "$image" -v
  [[ "$output" == "imagewright: the whole context counts: line 4: 'copy' takes all of it"* ]]
  [[ "$output" == *docs/index* ]]
}

what_no_instruction_reads_does_not_count() {
  tree_with 'FROM scratch' 'COPY src/*.c /src/' 'COPY docs /docs/'
  one_image test
  run_build
  [ "$status" -eq 0 ]
  touching README nothing
  touching src/notes.txt nothing
  echo new >test/new
  is_current
  touching src/main.c build
  touching docs/index build
  touching docs/new build
  touching src/new.c build
  unpack "$image" got
  [ "$(find got -type f -printf '%P\n' | sort | paste -sd ' ')" = "docs/index docs/new src/main.c src/new.c" ]
  # The Dockerfile decides at each look.
  printf 'COPY README /\n' >>test/Dockerfile
  run_build
  [ "$built" = "$image" ]
  touching README build
}

narrow_false_counts_all_of_it() {
  tree_with 'FROM scratch' 'COPY src /src/'
  one_image test 'narrow: false'
  run_build
  touching README build
  one_image test
  run_build
  [ "$built" = "" ]
}

the_whole_context_says_why_it_counts() {
  tree_with 'FROM scratch' 'COPY src /src/' 'COPY . /all/'
  one_image test
  run iw build -v --engine "$ENGINE"
  [ "$status" -eq 0 ]
  [ "$(grep -c 'The whole context counts' <<<"$output")" -eq 1 ]
  [[ "$output" == *"The whole context counts: line 3: 'copy' takes all of it"* ]]
  touching README build
}

a_stage_that_is_not_needed_has_its_files() {
  # Buildah and the classic builder run it all the same, and are given a copy here.
  tree_with 'FROM scratch AS unneeded' 'COPY docs /docs/' 'FROM scratch' 'COPY src /src/'
  printf 'docs/*\n!docs/index\n' >test/.dockerignore
  one_image test
  run_build
  [ "$status" -eq 0 ]
  touching docs/index nothing
  touching README nothing
  touching src/main.c build
}

what_symlinks_lead_to_counts() {
  tree_with 'FROM scratch' 'COPY link /x/' 'COPY way/index /y/'
  ln -s /src/main.c test/link
  ln -s docs test/way
  one_image test
  run_build
  [ "$status" -eq 0 ]
  [ "$(content "$image" x/link) $(content "$image" y/index)" = "main docs" ]
  touching README nothing
  touching src/notes.txt nothing
  touching src/main.c build
  touching docs/index build
  ln -sfn src/notes.txt test/link
  ! is_current
  run_build
  touching src/notes.txt build
  touching src/main.c nothing
}

a_base_of_the_file_brings_its_triggers() {
  tree_with "FROM $image-base" 'COPY src /src/'
  mkdir base
  printf 'FROM scratch\nENV WHERE=docs\nONBUILD COPY $WHERE /docs/\n' >base/Dockerfile
  echo x >base/x
  [ "$ENGINE" = docker ] || skip "images of this engine's own format keep no ONBUILD"
  cat >imagewright.yml <<END
builder:
  images:
  - {name: $image, from: test}
  - {name: $image-base, from: base}
END
  run_build
  [ "$status" -eq 0 ]
  [ "$(content "$image" docs/index)" = docs ]
  touching README nothing
  touching docs/index build
  # Another trigger is another parent.
  printf 'FROM scratch\nONBUILD COPY README /docs/\n' >base/Dockerfile
  run_build
  [ "$built" = "$image-base $image" ]
  touching docs/index nothing
  touching README build
}

# Nothing asks its registry beforehand.
a_base_that_comes_with_the_build_is_known_after_it() {
  exercised docker-registry python3
  start_plain_registry
  push_base "$registry/base:1" base --oci >/dev/null
  tree_with "FROM $registry/base:1" 'COPY src /src/'
  one_image test 'track_base: off'
  run iw build -v --engine "$ENGINE"
  [ "$status" -eq 0 ]
  [[ "$output" == *"The whole context counts: what '$registry/base:1' does to builds (its ONBUILD) is not known here"* ]]
  is_current
  if [ "$ENGINE" = docker ]; then
    touching README build # BuildKit keeps it to itself
    docker pull -q "$registry/base:1"
    is_current
    touching README build
  fi
  touching README nothing
  touching src/main.c build
  touching README nothing
}

a_failure_is_known_as_one_again() {
  tree_with 'FROM scratch' 'COPY src /src/' 'COPY not-there /'
  one_image test
  run_build
  [ "$status" -eq 1 ]
  [ "$(iw status --json --engine "$ENGINE" | jq -r '.[0].state')" = failed ]
  echo changed >test/README
  [ "$(iw status --json --engine "$ENGINE" | jq -r '.[0].state')" = failed ]
}

directories_stand_beside_the_context() {
  running_image test '/bin/busybox cat /lib/a >/out/mounted' '--mount=type=bind,from=lib,target=/lib'
  printf 'COPY --from=lib / /copied/\n' >>test/Dockerfile
  mkdir -p lib/deep
  echo one >lib/a
  ln -s a lib/link
  echo no >lib/deep/left.tmp
  echo '**/*.tmp' >lib/.dockerignore
  chmod 0750 lib/a
  chown 1234:4321 lib/a
  one_image test 'additional_contexts: {lib: lib}'
  run_build
  [ "$status" -eq 0 ]
  unpack "$image" got
  [ "$(cat got/out/mounted) $(cat got/copied/a)" = "one one" ]
  [ "$(stat -c '%a %u %g' got/copied/a)" = "750 0 0" ]
  [ "$(readlink got/copied/link)" = a ]
  [ -d got/copied/deep ] && [ ! -e got/copied/deep/left.tmp ]
  is_current
  echo other >lib/deep/left.tmp
  is_current
  edit_secretly lib/a two
  run_build
  [ "$built" = "$image" ]
  [ "$(reasons)" = "context lib changed" ]
  [ "$(out mounted) $(content "$image" copied/a)" = "two two" ]
  is_current
  # Two images from the same files, one with another directory: apart.
  mkdir other
  echo three >other/a
  one_image test 'additional_contexts: {lib: other}'
  run_build
  [ "$built" = "$image" ]
  [ "$(out mounted)" = three ]
  rm -r other
  run_build
  [ "$status" -eq 1 ]
  [[ "$(iw status --json | jq -r '.[0].message')" == *"other' does not exist"* ]]
}

made_images() { docker images -q --no-trunc --filter reference='imagewright.invalid/*/*'; }

images_of_directories_go_with_the_run() {
  mkdir lib
  echo one >lib/x
  held_image test
  echo 'COPY --from=lib x /y' >>test/Dockerfile
  one_image test 'additional_contexts: {lib: lib}' 'pull: true'
  start_build
  until_true 30 holds
  local made
  made=$(made_images)
  [ "$(wc -l <<<"$made")" = 1 ] && [ -n "$made" ]
  # Another run, which makes some of its own, leaves it alone.
  mkdir -p elsewhere/other elsewhere/lib
  echo other >elsewhere/lib/x
  printf 'FROM scratch\nCOPY --from=lib x /y\n' >elsewhere/other/Dockerfile
  printf 'builder:\n  images:\n  - {name: %s-other, from: other, additional_contexts: {lib: lib}}\n' "$image" >elsewhere/imagewright.yml
  iw build elsewhere/imagewright.yml
  equal "$(made_images)" "$made"
  let_go
  end_of_build 30
  [ "$status" -eq 0 ]
  [ "$(content "$image" y)" = one ]
  [ "$(made_images)" = "" ]
  run docker image inspect "$made"
  [ "$status" -ne 0 ]
  # Killed, it cannot take it away; the next one does.
  echo two >lib/x
  sed -i "s/.. true/|| echo ended/" test/Dockerfile # (else the step is found among the earlier ones)
  start_build
  until_true 30 holds
  kill_held_run
  made=$(made_images)
  [ -n "$made" ]
  make_old
  hold=
  sed -i '/sleep/d' test/Dockerfile
  run_build
  [ "$status" -eq 0 ]
  [ "$(content "$image" y)" = two ]
  [ "$(made_images)" = "" ]
}

directories_are_for_a_frontend_that_is_known() {
  mkdir lib
  directory_image test
  printf 'FROM scratch\nCOPY x /\n' >Dockerfile
  echo x >x
  docker build -q -t test/frontend:1 . >/dev/null
  printf '# syntax=test/frontend:1\nFROM scratch\nCOPY --from=lib x /y\n' >test/Dockerfile
  one_image test 'additional_contexts: {lib: lib}'
  run_build
  [ "$status" -eq 1 ]
  [[ "$(jq -r 'select(.event == "image-finished").message' <<<"$events")" == \
    "docker cannot do 'additional_contexts': of directories, with a Dockerfile for another frontend"* ]]
}
