# What must hold on every engine: bodies of tests, to be wrapped by the file of each one. Wants ENGINE (docker,
# buildah or podman), with the engine of that name the one that imagewright finds by itself, and setup_engine_test in setup.
#
# shellcheck shell=bash
# shellcheck disable=SC2154 # status, built, events come from run_build

setup_engine_test() {
  project
  image=e2e/t$$-$BATS_TEST_NUMBER
}

teardown_engine_test() {
  end_held
  stop_registries
  no_leftovers
}

# A file's bytes replaced by as many others, its mtime and mode kept: nothing but its ctime tells.
edit_secretly() {
  local stamp
  stamp=$(stat -c %y "$1")
  [ "${#2}" -eq "$(($(stat -c %s "$1") - 1))" ]
  echo "$2" >"$1"
  touch -d "$stamp" "$1"
}

# PATH gets a program in place of the engine's: around each build of $image it runs what stands in ./before and
# ./after. That the engine builds while the context is another one is then no matter of luck.
meddling_engine() {
  local real
  real=$(type -P "$ENGINE")
  [ "$ENGINE" != docker ] || real=$(docker_with_buildkit) || real=$(type -P docker)
  mkdir -p meddling
  cat >"meddling/$ENGINE" <<END
#!/bin/bash
case " \$* " in
  *" -t $image "*) ;;
  *) exec "$real" "\$@" ;;
esac
. "$PWD/before"
"$real" "\$@"
status=\$?
. "$PWD/after"
exit \$status
END
  chmod +x "meddling/$ENGINE"
}

# The image of `COPY . /` is that directory, byte for byte, whatever the engine's RUN made beside it.
image_is_the_directory() {
  local directory
  directory=$(mktemp -d "$BATS_TEST_TMPDIR/XXXXXX")
  unpack "$image" "$directory"
  (cd "$directory" && rm -rf dev etc proc run sys)
  diff <(listing "$1") <(listing "$directory")
}

unchanged_second_run_builds_nothing() {
  directory_image test
  one_image test
  run_build
  [ "$status" -eq 0 ]
  [ "$built" = "$image" ]
  [ "$(reasons)" = "never built" ]
  run_build
  [ "$status" -eq 0 ]
  [ "$built" = "" ]
  [ "$(images_with up-to-date)" = "$image" ]
  # One byte, and it is built again: "nothing" above was an answer.
  echo "some texT" >test/file.txt
  run_build
  [ "$built" = "$image" ]
  [ "$(reasons)" = "content: 1 changed: file.txt" ]
}

image_holds_exactly_the_directory() {
  directory_image test
  mkdir -p "test/a/deep/er" test/empty "test/with blank" test/left
  head -c 300000 /dev/urandom >test/a/deep/er/binary
  printf '#!/bin/sh\n' >test/a/run.sh
  echo mute >"test/with blank/ümlaut"
  : >test/nothing
  ln -s ../file.txt test/a/link
  ln -s /nowhere test/a/dangling
  echo no >test/left/out
  echo no >test/a/no.tmp
  printf 'left\n**/*.tmp\n' >test/.dockerignore
  chmod 0755 test/a/run.sh
  chmod 0600 "test/with blank/ümlaut"
  chmod 0750 test/nothing
  [ "$ENGINE" != docker ] || chmod 4750 test/nothing # Buildah's code drops this bit
  chmod 0700 test/empty
  chmod 0775 test/a/deep
  one_image test
  run_build
  [ "$status" -eq 0 ]
  unpack "$image" got
  cp -a test expected
  rm -r expected/left expected/a/no.tmp
  diff <(listing expected) <(listing got)
}

arguments_target_and_labels_reach_the_image() {
  directory_image test
  cat >test/Dockerfile <<'END'
FROM scratch AS first
ARG WORD=default
ARG OTHER=other
LABEL word=$WORD other=$OTHER
COPY file.txt /first
FROM scratch AS second
COPY file.txt /second
END
  one_image test "target: first" "args: {WORD: 'two words = one'}" "labels: {com.example/mine: \"it's\"}"
  run_build
  [ "$status" -eq 0 ]
  local labels
  labels=$(engine_labels "$image")
  [ "$(field "$labels" .word)" = "two words = one" ]
  [ "$(field "$labels" .other)" = other ]
  [ "$(field "$labels" '."com.example/mine"')" = "it's" ]
  unpack "$image" got
  [ "$(ls got)" = first ]
  # Each of them alone makes it stale, and the new value arrives.
  one_image test "target: first" "args: {WORD: new}" "labels: {com.example/mine: \"it's\"}"
  run_build
  [ "$(reasons)" = "arg WORD changed" ]
  [ "$(field "$(engine_labels "$image")" .word)" = new ]
  one_image test "target: first" "args: {WORD: new}"
  run_build
  [ "$(reasons)" = "label com.example/mine removed" ]
  [ "$(field "$(engine_labels "$image")" '."com.example/mine"')" = null ]
  one_image test "target: second" "args: {WORD: new}"
  run_build
  [ "$(reasons)" = "target changed" ]
  unpack "$image" later
  [ "$(ls later)" = second ]
  run_build
  [ "$built" = "" ]
}

# What an engine that remembers steps by their text alone gets wrong.
nothing_old_comes_from_the_engines_memory() {
  directory_image test
  cp "$(type -P busybox)" test/busybox
  mkdir test/mounted
  echo one >test/mounted/word
  cat >test/Dockerfile <<'END'
FROM scratch
ARG WORD=one
COPY busybox /
RUN --mount=type=bind,source=mounted,target=/from ["/busybox","cp","/from/word","/ran"]
LABEL word=$WORD
COPY file.txt /
END
  printf 'Dockerfile\n' >test/.dockerignore
  one_image test "labels: {mine: one}"
  run_build
  [ "$status" -eq 0 ]
  [ "$(field "$(engine_labels "$image")" '"\(.word) \(.mine)"')" = "one one" ]
  sed -i s/WORD=one/WORD=two/ test/Dockerfile
  run_build
  [ "$(reasons)" = "dockerfile changed" ]
  [ "$(field "$(engine_labels "$image")" '"\(.word) \(.mine)"')" = "two one" ]
  one_image test "args: {WORD: three}"
  run_build
  [ "$(field "$(engine_labels "$image")" '"\(.word) \(.mine)"')" = "three null" ]
  echo two >test/mounted/word
  run_build
  [ "$(reasons)" = "content: 1 changed: mounted/word" ]
  [ "$(content "$image" ran)" = two ]
}

image_id_in_the_state_is_the_engines() {
  directory_image test
  one_image test
  run_build
  [ "$status" -eq 0 ]
  local id
  id=$(engine_id "$image")
  [[ "$id" =~ ^sha256:[0-9a-f]{64}$ ]]
  [ "$(state "select image_id, engine, verified from image_state where name = '$image'")" = "$id|$ENGINE|1" ]
  [ "$(jq -r 'select(.event == "image-finished").image_id' <<<"$events")" = "$id" ]
  [ "$(state "select image_id from build where name = '$image'")" = "$id" ]
}

image_gone_from_the_engine_is_built_again() {
  directory_image test
  one_image test
  run_build
  remove_image "$image"
  run iw status
  [ "$status" -eq 0 ]
  [[ "$output" == *"stale"*"image is gone from $ENGINE"* ]]
  run_build
  [ "$status" -eq 0 ]
  [ "$built" = "$image" ]
  [ "$(reasons)" = "image is gone from $ENGINE" ]
  [ "$(content "$image" file.txt)" = "some text" ]
  run_build
  [ "$built" = "" ]
}

secret_edit_reaches_the_image() {
  directory_image test
  touch -d '2021-02-03 04:05:06' test/file.txt test/Dockerfile test
  one_image test
  run_build
  edit_secretly test/file.txt "other txt"
  run_build
  [ "$status" -eq 0 ]
  [ "$(reasons)" = "content: 1 changed: file.txt" ]
  [ "$(content "$image" file.txt)" = "other txt" ]
  image_is_the_directory test
  run_build
  [ "$built" = "" ]
}

# Whatever the engine remembers of a build by hand, also of one that it got wrong: ours after it is right.
build_by_hand_before_ours() {
  [ "$ENGINE" != docker ] || docker_with_buildkit >/dev/null || skip "not exercised here: no docker CLI with BuildKit built in"
  directory_image test
  touch -d '2021-02-03 04:05:06' test/file.txt test/Dockerfile test
  build_by_hand "$image-by-hand" test
  edit_secretly test/file.txt "other txt"
  build_by_hand "$image-by-hand" test
  one_image test
  run_build
  [ "$status" -eq 0 ]
  image_is_the_directory test
  edit_secretly test/file.txt "third txt"
  run_build
  [ "$built" = "$image" ]
  [ "$(content "$image" file.txt)" = "third txt" ]
  image_is_the_directory test
}

# The value of file.txt's extended attribute in the image. Docker 20.10 makes layers without any: nothing to compare.
mine_in_image() {
  local directory
  directory=$(mktemp -d "$BATS_TEST_TMPDIR/XXXXXX")
  unpack "$image" "$directory" && getfattr --absolute-names --only-values -n user.mine "$directory/file.txt"
}

changed_xattr_reaches_the_image() {
  directory_image test
  setfattr -n user.mine -v one test/file.txt || skip "not exercised here: a file system without extended attributes"
  touch -d '2021-02-03 04:05:06' test/file.txt test/Dockerfile test
  one_image test
  run_build
  [ "$status" -eq 0 ]
  [ "$ENGINE" = docker ] || [ "$(mine_in_image)" = one ]
  setfattr -n user.mine -v two test/file.txt
  run_build
  [ "$status" -eq 0 ]
  [ "$built" = "$image" ]
  [ "$(reasons)" = "content: 1 changed: file.txt" ]
  [ "$ENGINE" = docker ] || [ "$(mine_in_image)" = two ]
  image_is_the_directory test
  run_build
  [ "$built" = "" ]
}

# What is left out is left out also for a RUN that mounts.
run_that_mounts_sees_only_what_counts() {
  directory_image app
  cp "$(type -P busybox)" app/busybox
  echo one >app/secret
  printf 'secret\n' >app/.dockerignore
  cat >app/Dockerfile <<'END'
FROM scratch
COPY busybox /busybox
RUN --mount=type=bind,target=/src ["/busybox", "sh", "-c", "/busybox ls -A /src > /seen"]
END
  one_image app
  run_build
  [ "$status" -eq 0 ]
  local seen
  seen=$(content "$image" seen)
  [[ "$seen" == *Dockerfile* ]]
  [[ "$seen" != *secret* ]]
}

secret_edit_of_the_dockerfile_reaches_the_image() {
  directory_image test
  printf 'FROM scratch\nCOPY file.txt /one\n' >test/Dockerfile
  echo Dockerfile >test/.dockerignore # so that nothing else of the context tells
  touch -d '2021-02-03 04:05:06' test/Dockerfile
  one_image test
  run_build
  edit_secretly test/Dockerfile $'FROM scratch\nCOPY file.txt /two'
  run_build
  [ "$status" -eq 0 ]
  [ "$(reasons)" = "dockerfile changed" ]
  unpack "$image" got
  [ "$(ls got)" = "two" ]
}

directories_that_look_alike_are_kept_apart() {
  local one
  for one in first other; do
    directory_image "$one/app"
    echo "from $one" >"$one/app/file.txt"
    touch -d '2021-02-03 04:05:06' "$one/app/file.txt" "$one/app/Dockerfile" "$one/app"
  done
  cat >imagewright.yml <<END
builder:
  images:
  - {name: $image-first, from: first/app}
  - {name: $image-other, from: other/app}
END
  run_build
  [ "$status" -eq 0 ]
  [ "$(content "$image-first" file.txt)" = "from first" ]
  [ "$(content "$image-other" file.txt)" = "from other" ]
}

# Expects that the run before was recorded as unverified: it builds again, and the one after that does not.
settles_with() {
  [ "$(state "select verified from image_state where name = '$image'")" = 0 ]
  run_build
  [ "$status" -eq 0 ]
  [ "$built" = "$image" ]
  [[ "$(reasons)" == *"its context changed while it was built"* ]]
  [ "$(state "select verified from image_state where name = '$image'")" = 1 ]
  [ "$(content "$image" file.txt)" = "$1" ]
  image_is_the_directory test
  run_build
  [ "$built" = "" ]
}

there_and_back_during_a_run_step() {
  held_image test
  one_image test
  start_build --json
  until_true 30 holds
  cp -a test/file.txt saved
  edit_secretly test/file.txt "else text"
  cp -a saved test/file.txt
  let_go
  end_of_build
  [ "$status" -eq 0 ]
  [[ "$(jq -r 'select(.event == "warning").text' "$run_out")" == "$image: its context changed while it was built"* ]]
  settles_with "some text"
}

there_and_back_where_the_engine_took_the_other() {
  directory_image test
  touch -d '2021-02-03 04:05:06' test/file.txt
  one_image test
  meddling_engine
  cp -a test/file.txt saved
  declare -f edit_secretly >before
  echo "edit_secretly '$PWD/test/file.txt' 'else text'" >>before
  echo "cp -a '$PWD/saved' '$PWD/test/file.txt'" >after
  PATH=$PWD/meddling:$PATH run_build
  [ "$status" -eq 0 ]
  [ "$built" = "$image" ]
  # The engine was deceived, or this test shows nothing. (It may remember these bytes under this size and mtime.)
  [ "$(content "$image" file.txt)" = "else text" ]
  [ "$(<test/file.txt)" = "some text" ]
  settles_with "some text"
}

# The engine has nothing stale where a file changes under our hands, and the result is not trusted.
change_during_the_build_is_built_next_time() {
  held_image test
  one_image test
  start_build --json
  until_true 30 holds
  edit_secretly test/file.txt "else text"
  let_go
  end_of_build
  [ "$status" -eq 0 ]
  settles_with "else text"
}

# engine_used: which one built $image, by the state.
engine_used() { state "select engine from image_state where name = '$image'"; }

# interrupt_ends_the_engine SIGNAL STATUS [again: and comes twice]
interrupt_ends_the_engine() {
  local signal=$1 code=$2
  directory_image quick
  held_image slow
  cat >imagewright.yml <<END
builder:
  images:
  - {name: $image-quick, from: quick}
  - {name: $image-slow, from: slow}
  - {name: $image-later, from: quick}
END
  start_build --json -j 1
  until_true 30 holds
  kill "-$signal" "$run_pid"
  if [ "${3:-}" = again ]; then
    sleep 0.05
    kill "-$signal" "$run_pid" || true
  fi
  end_of_build
  [ "$status" -eq "$code" ]
  # The engine's program ended before us; what a daemon did for it ends at once, too.
  run pgrep -f -- "-t $image-slow"
  [ "$status" -eq 1 ]
  until_true 5 holds_no_more
  [ "$(state "select name from image_state")" = "$image-quick" ]
  [ "$(state "select image_id from image_state")" = "$(engine_id "$image-quick")" ]
  [ "$(state "select name, result from build order by id")" = "$image-quick|success
$image-slow|interrupted" ]
  [ "$(jq 'select(.event == "run-finished").interrupted' "$run_out")" = true ]
  events=$(<"$run_out")
  [ "$(images_with skipped)" = "$image-slow $image-later" ]
  no_leftovers
  # What was interrupted is no failure, and the next run does it.
  [ "$(iw status --json | jq -r '.[].state' | paste -sd' ')" = "up-to-date stale stale" ]
  cp quick/Dockerfile slow/Dockerfile
  run_build -j 1
  [ "$status" -eq 0 ]
  [ "$built" = "$image-slow $image-later" ]
}

runs_leave_nothing_in_the_caches() {
  directory_image good
  directory_image bad
  echo 'COPY missing /' >>bad/Dockerfile
  directory_image repository
  git -C repository init -q
  git -C repository add .
  git -C repository commit -qm first
  cat >imagewright.yml <<END
builder:
  images:
  - {name: $image-good, from: good}
  - {name: $image-bad, from: bad}
  - {name: $image-git, from: {git: repository}}
END
  run_build
  [ "$status" -eq 1 ]
  [ "$built" = "$image-good $image-git" ]
  [ -d "$XDG_CACHE_HOME/imagewright/staging" ]
  # (A small checkout is in memory, which other tests use, too.)
  [ -d "$XDG_CACHE_HOME/imagewright/checkouts" ] || [ -d "/dev/shm/imagewright-$(id -u)" ]
  no_leftovers
}

# --- What is passed on to the engine

# A directory whose build runs COMMANDS in a shell, with further options of RUN; what they write to /out is in the image.
running_image() {
  directory_image "$1"
  cp "$(type -P busybox)" "$1/busybox"
  printf 'FROM scratch\nCOPY busybox /bin/\nRUN %s ["/bin/busybox","sh","-c",%s]\n' "${3:-}" \
    "$(jq -n --arg commands "/bin/busybox mkdir -p /out; $2" '$commands')" >"$1/Dockerfile"
}

# What the image holds in /out/NAME.
out() { content "$image" "out/$1"; }

secrets_reach_the_build_and_nothing_else() {
  # (Other tests go on at the same time, and what they look for is in the list of processes, too.)
  local first=hush-first-$RANDOM$RANDOM second=hush-second-$RANDOM$RANDOM changed=hush-third-$RANDOM$RANDOM
  local more=hush-more-$RANDOM$RANDOM
  running_image test \
    "cd /run/secrets; /bin/busybox cat one two; /bin/busybox sha256sum <one >/out/one; /bin/busybox sleep 2" \
    "--mount=type=secret,id=one --mount=type=secret,id=two"
  mkdir secrets
  printf '%s\n%s\n' "$first" "$more" >"secrets/a,b c"
  one_image test 'secrets:' '- {id: one, file: "secrets/a,b c"}' '- {id: two, environment: SECOND_SECRET}'
  export SECOND_SECRET=$second
  start_build --progress plain
  while ! gone "$run_pid"; do
    ps -ww -eo args >>"$BATS_TEST_TMPDIR/processes"
    sleep 0.1
  done
  end_of_build
  [ "$status" -eq 0 ]
  grep -q -- "--secret id=two" "$BATS_TEST_TMPDIR/processes" # they were seen at all
  local content
  for content in "$first" "$second" "$more"; do
    run ! grep -- "$content" "$BATS_TEST_TMPDIR/processes" "$run_out" "$run_err"
    run ! grep -rF -- "$content" .builder.state.db* "$XDG_STATE_HOME" "$XDG_CACHE_HOME"
  done
  iw log "$image" | grep -F -- '***'
  run ! grep -F -- "$(sha256sum <"secrets/a,b c" | cut -d' ' -f1)" <(state 'select digest from image_input')
  [ "$(stat -c %a "$XDG_CACHE_HOME/imagewright/secret-key")" = 600 ]
  [ "$(out one)" = "$(sha256sum <"secrets/a,b c")" ]
  run_build
  [ "$built" = "" ]

  echo "$changed" >"secrets/a,b c"
  run_build
  [ "$status" -eq 0 ]
  [ "$(reasons)" = "secret one changed" ]
  [ "$(out one)" = "$(sha256sum <"secrets/a,b c")" ]
  SECOND_SECRET=other run_build
  [ "$(reasons)" = "secret two changed" ]

  unset SECOND_SECRET
  run_build
  [ "$status" -eq 1 ]
  [[ "$events" == *"the secret 'two' is to be in the variable 'SECOND_SECRET', which is not set"* ]]
}

options_reach_the_build() {
  running_image test \
    "/bin/busybox cat /proc/net/dev >/out/net; /bin/busybox cat /etc/hosts >/out/hosts || true"
  one_image test 'network: none'
  run_build
  [ "$status" -eq 0 ]
  [ "$(out net | grep -c :)" -eq 1 ] # the loopback device alone
  one_image test 'extra_hosts: {one.example: 10.1.2.3, six.example: "::6"}'
  run_build
  [ "$(reasons)" = "option extra_hosts added,option network removed" ]
  out hosts | grep -E '^10\.1\.2\.3[[:space:]]+one\.example'
  out hosts | grep -E '^::6[[:space:]]+six\.example'
  run_build
  [ "$built" = "" ]
  one_image test 'network: host' 'extra_hosts: ["one.example=10.1.2.4"]'
  run_build
  [ "$status" -eq 0 ]
  [ "$(reasons)" = "option extra_hosts changed,option network added" ]
  [ "$(out net | grep -c :)" -gt 1 ]
  out hosts | grep -E '^10\.1\.2\.4[[:space:]]+one\.example'
  # What is done unasked is no change.
  one_image test 'network: default'
  run_build
  one_image test
  run_build
  [ "$built" = "" ]
}

limits_reach_the_build() {
  running_image test "ulimit -n >/out/files; /bin/busybox df -k /dev/shm | /bin/busybox tail -n 1 >/out/shm"
  one_image test 'shm_size: 32m' 'ulimits: {nofile: {soft: 123, hard: 456}}'
  run_build
  [ "$status" -eq 0 ]
  [ "$(out files)" = 123 ]
  [[ "$(out shm)" =~ [[:space:]]32768[[:space:]] ]]
}

steps_are_taken_anew_where_that_is_asked_for() {
  running_image test '/bin/busybox cat /proc/sys/kernel/random/uuid >/out/uuid'
  one_image test
  run_build
  local before
  before=$(out uuid)
  one_image test 'no_cache: true' 'pull: true'
  run_build
  [ "$built" = "" ] # neither is an input
  run_build --force
  [ "$status" -eq 0 ]
  [ "$(out uuid)" != "$before" ]
}

# $1 to $3: a line of an image that the engine cannot honour, its key and what is said; the next image is built.
an_option_is_refused() {
  directory_image test
  one_image test "$1"
  printf '  - {name: %s-other, from: test}\n' "$image" >>imagewright.yml
  run_build
  [ "$status" -eq 1 ]
  [ "$(images_with failed)" = "$image" ]
  [[ "$(images_with built)$(images_with up-to-date)" == "$image-other" ]]
  [[ "$(jq -r 'select(.event == "image-finished" and .result == "failed").message' <<<"$events")" == \
    "$ENGINE "*" cannot do '$2': $3" ]]
}

a_dockerfile_stands_in_the_configuration() {
  directory_image test
  echo 'not a Dockerfile' >test/Dockerfile
  echo 'left.txt' >test/.dockerignore
  echo left >test/left.txt
  one_image test 'dockerfile_inline: |' '  FROM scratch' '  COPY file.txt /out/'
  run_build
  [ "$status" -eq 0 ]
  [ "$(out file.txt)" = "some text" ]
  run_build
  [ "$built" = "" ]
  one_image test 'dockerfile_inline: |' '  FROM scratch' '  COPY file.txt /out/copy'
  run_build
  [ "$(reasons)" = "dockerfile changed" ]
  [ "$(out copy)" = "some text" ]
  one_image test 'dockerfile_inline: "FROM scratch\nCOPY left.txt /"'
  run_build
  [ "$status" -eq 1 ]
}

privileged_step_may_mount() {
  running_image test '/bin/busybox mount -t tmpfs none /mnt && echo mounted >/out/mounted'
  sed -i 's,/out;,/out /mnt;,' test/Dockerfile
  one_image test
  run_build
  [ "$status" -eq 1 ]
  one_image test 'privileged: true'
  run_build
  [ "$status" -eq 0 ]
  [ "$(out mounted)" = mounted ]
}
