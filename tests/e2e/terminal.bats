#!/usr/bin/env bats
# What a person sees: the live view on a real pseudo-terminal, and that nothing of it gets into a pipe. On Buildah.
#
# shellcheck disable=SC2030,SC2031,SC2034,SC2046,SC2154 # variables that common.bash and Bats set or use

load common

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  ENGINE=buildah
  project
  image=e2e/t$BATS_TEST_NUMBER
  export TERM=xterm-256color
  unset NO_COLOR
  holds=()
  escape=$'\e'
}

teardown() {
  for hold in "${holds[@]}" "${hold:-}"; do end_held; done
}

# A build that says LINE (a format of printf, for a JSON string), and stays until the test lets it go.
talking_image() {
  held_image test
  local line=${1//\\/\\\\}
  sed -i "3s|\"/busybox sleep .* true\"|\"/busybox printf '${line//\\/\\\\}\\\\\\\\n'; /busybox sleep $hold; ${2:-true}\"|" test/Dockerfile
  one_image test
}

# on_terminal COLUMNS ARGUMENTS...: the real binary on a pseudo-terminal; raw has what came. What is written to
# descriptor 9 is typed.
on_terminal() {
  local columns=$1
  shift
  rm -f raw
  [ -p keys ] || mkfifo keys
  python3 "$BATS_TEST_DIRNAME/pty_run.py" "$columns" 24 "$IMAGEWRIGHT" build "$@" <keys >raw 2>pty.err 3>&- &
  run_pid=$!
  exec 9>keys
}

# screen COLUMNS lines|frames [cut|reflow]
screen() { python3 "$BATS_TEST_DIRNAME/screen.py" "$1" 24 "${@:2}" <raw; }

# drew PATTERN: it came, in whatever colours.
drew() { sed "s/$escape\\[[0-9;]*m//g" raw | grep -qaE "$1"; }

# As a terminal that it becomes: resize ROWS COLUMNS. Then some frames have to come.
resize() {
  printf '\e[8;%s;%st' "$1" "$2" >&9
  until_true 5 grep -qaF "$escape[8;$1;$2t" raw
  local drawn
  drawn=$(updates)
  until_true 5 drew_more_than $((drawn + 3))
}

updates() { grep -aoF "$escape[?2026l" raw | wc -l; }
drew_more_than() { [ "$(updates)" -gt "$1" ]; }

# The whole story on a terminal of that many columns: sets frames and left.
watched() {
  talking_image "$(printf 'word%.0s ' {1..60})"
  on_terminal "$@"
  until_true 30 holds
  until_true 10 drew "$image [0-9]+ s word"
  let_go
  end_of_build
  [ "$status" -eq 0 ]
  frames=$(screen "$1" frames)
  left=$(screen "$1" lines)
}

widest() { cut -d' ' -f1 <<<"$frames" | sort -n | tail -n 1; }

# several NAME...: images that each say a long line of their own, and stay until let_all_go; one that is called `bad`
# fails then.
several() {
  local name
  for name in "$@"; do
    directory_image "$name"
    cp "$(type -P busybox)" "$name/busybox"
    holds+=("61.$RANDOM$RANDOM")
    printf 'FROM scratch\nCOPY busybox /\nRUN ["/busybox","sh","-c","/busybox echo %s; /busybox sleep %s; [ %s != bad ]"]\n' \
      "$(printf "I-am-$name-%.0s" {1..40})" "${holds[-1]}" "$name" >"$name/Dockerfile"
  done
  {
    echo "builder: {images: ["
    for name in "$@"; do echo "{name: $image-$name, from: $name},"; done
    echo "]}"
  } >imagewright.yml
}

held_pids() { pgrep -fx "/busybox sleep ($(IFS='|' && echo "${holds[*]}"))"; }
any_holds() { held_pids >/dev/null; }
none_holds() { ! any_holds; }

# Lets go of what is held, one after the other and each after it was shown, until the run has ended.
let_all_go() {
  local deadline=$((SECONDS + 60))
  until gone "$run_pid"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    if any_holds; then
      sleep 0.3
      kill "$(held_pids | head -n 1)" 2>/dev/null || true
    fi
    sleep 0.2
  done
  end_of_build
}

# What is left of a, b and bad, in whatever order they ended, and nothing else.
story_of_three() {
  left=$(screen "$1" lines "${2:-cut}")
  local line known=0
  while read -r line; do
    case $line in
      "built $image-a in "*" s (never built)") known=$((known + 1)) ;;
      "built $image-b in "*" s (never built)") known=$((known + 10)) ;;
      "failed $image-bad: buildah build ended with status "*) known=$((known + 100)) ;;
      "2 built, 1 failed in "*" s") known=$((known + 1000)) ;;
      "  | "* | "| "* | "the whole log: "* | "<cursor at 0>") ;;
      *) echo "what is this: $line" >&2 && return 1 ;;
    esac
  done <<<"$left"
  equal "$known" 1111 && equal "$(tail -n 1 <<<"$left")" "<cursor at 0>"
}

# One line that stays, and one that counts, and the cursor at a new line's beginning.
only_the_end_is_left() {
  [[ "$left" =~ ^"built $image in "[0-9.]+" s (never built)"$'\n'"1 built in "[0-9.]+" s"$'\n'"<cursor at 0>"$ ]]
}

@test "terminal: the running image is shown with a spinner and its last output line, and gone in the end" {
  watched 200
  grep -qE "^[0-9]+ [⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] $image [0-9]+ s word word" <<<"$frames"
  grep -qE "^[0-9]+ [━─]+ 0/1 [0-9]+ s$" <<<"$frames"
  [ "$(grep -F "$image" <<<"$frames" | cut -d' ' -f2 | sort -u | wc -l)" -gt 1 ] # it turns
  [ "$(widest)" -le 200 ]
  [ "$(widest)" -gt 150 ] # and uses what room there is
  only_the_end_is_left
}

@test "terminal: in 40 columns no line is wider than that" {
  watched 40
  grep -qE "^[0-9]+ [⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] $image [0-9]+ s word" <<<"$frames"
  grep -qE "^[0-9]+ [━─]+ 0/1 [0-9]+ s$" <<<"$frames"
  [ "$(widest)" -le 40 ]
  [ "$(widest)" -gt 30 ]
  only_the_end_is_left
}

# In each frame one line that counts, the last one, and above it those that build.
frames_are_well_formed() {
  awk '
    $0 == "--" { if (last !~ /^[0-9]+ ((━|─)+ )?[0-9]+\/[0-9]+( |$)/) { print "in the end: " last; bad = 1 } last = ""; next }
    last != "" && last !~ /^[0-9]+ (⠋|⠙|⠹|⠸|⠼|⠴|⠦|⠧|⠇|⠏) .* [0-9]+ s( |$)/ { print "among the images: " last; bad = 1 }
    { last = $0 }
    END { exit bad }' <<<"$frames"
}

three_at() {
  several a b bad
  on_terminal "$@"
  let_all_go
  [ "$status" -eq 1 ]
  frames=$(screen "$1" frames)
  frames_are_well_formed
  [ "$(widest)" -lt "$1" ]
  grep -q "$image-a *[0-9]* s I-am-a" <<<"$frames"
  grep -q "$image-b *[0-9]* s I-am-b" <<<"$frames"
  grep -q "$image-bad *[0-9]* s I-am-bad" <<<"$frames"
  local finished
  for finished in 0 1 2; do grep -qE "[━─] $finished/3 " <<<"$frames"; done
  story_of_three "$1"
}

@test "terminal: several images, in 40 columns" { three_at 40; }

@test "terminal: several images, in 200 columns" {
  three_at 200
  grep -qaF "$escape[31mfailed $image-bad: " raw
  [ "$(widest)" -gt 190 ]
}

@test "terminal: nothing is left behind and nothing lost where it becomes narrower, wider, lower" {
  several a b bad
  on_terminal 200
  until_true 30 any_holds
  until_true 10 drew "s I-am-"
  resize 24 40
  resize 24 100
  kill "$(held_pids | head -n 1)"
  until_true 30 grep -qaE "(built|failed) $image" raw
  until_true 30 any_holds
  resize 24 60
  resize 5 40
  resize 3 200
  resize 24 200
  let_all_go
  [ "$status" -eq 1 ]
  # (Whatever a terminal cuts off of lasting lines is its own affair: then only what is left has to be ours.)
  story_of_three 200 reflow
  screen 200 lines cut >cut
  [ "$(grep -c '[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏━─]' cut)" -eq 0 ]
  [ "$(grep -cE '^(built|failed) ' cut)" -eq 3 ]
}

@test "terminal: nothing is drawn where nothing is built" {
  directory_image test
  one_image test
  on_terminal 80 -n
  end_of_build
  [ "$(grep -ca "$escape" raw)" -eq 0 ]
  has "$(screen 80 lines)" "would build $image (never built)"
  expect 0 build
  on_terminal 80
  end_of_build
  [ "$status" -eq 0 ]
  [ "$(grep -ca "$escape" raw)" -eq 0 ]
  has "$(screen 80 lines)" "1 up to date in "
}

@test "terminal: an error that ends the run leaves it as it was" {
  several a b
  on_terminal 80
  until_true 30 any_holds
  # The state is taken away from under it.
  sql "DROP TABLE build"
  let_go_of_all() { any_holds && kill $(held_pids); ! kill -0 "$run_pid" 2>/dev/null; }
  until_true 30 let_go_of_all
  end_of_build
  [ "$status" -eq 3 ]
  left=$(screen 80 lines)
  [ "$(grep -c '[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏━─]' <<<"$left")" -eq 0 ]
  has "$left" "imagewright: " "<cursor at 0>"
}

@test "terminal: characters of two columns and of many bytes leave no traces either" {
  talking_image "$(printf '世界%.0s' {1..30})ümlaut"
  on_terminal 40
  until_true 30 holds
  until_true 10 drew "$image [0-9]+ s 世界"
  let_go
  end_of_build
  [ "$status" -eq 0 ]
  left=$(screen 40 lines)
  only_the_end_is_left
}

@test "terminal: colours" {
  watched 80
  grep -q "$escape\[[0-9;]*m" raw
}

colourless() {
  [ "$(grep -c "$escape\[[0-9;]*m" raw)" -eq 0 ]
  grep -q "$escape\[K" raw # but the live view
}

@test "terminal: no colours with NO_COLOR" {
  export NO_COLOR=1
  watched 80
  colourless
}

@test "terminal: no colours with --color never" {
  watched 80 --color never
  colourless
}

# no_escapes ARGUMENTS...: a build that works and one that fails and talks in colours, told without escape codes.
no_escapes() {
  directory_image good
  talking_image '\033[31mred\033[0m' 'exit 3'
  printf 'builder: {images: [{name: %s, from: test}, {name: %s-good, from: good}]}\n' "$image" "$image" >imagewright.yml
  on_terminal 80 "$@"
  until_true 30 holds
  let_go
  end_of_build
  [ "$status" -eq 1 ]
  [ "$(grep -c "$escape" raw)" -eq 0 ]
  grep -q "built $image-good in " raw
  grep -q "  | red" raw
}

@test "terminal: --progress plain gives no escape codes" { no_escapes --progress plain; }
@test "terminal: a dumb one gets no escape codes" { TERM=dumb no_escapes; }

@test "pipe: no escape codes at all" {
  local how
  for how in "" -v -vv "--color always"; do
    hold=
    talking_image '\033[31mred\033[0m' 'exit 3'
    # shellcheck disable=SC2086
    start_build $how
    until_true 30 holds
    let_go
    end_of_build
    [ "$status" -eq 1 ]
    grep -q "red" "$run_err"
    [ "$(cat "$run_out" "$run_err" | grep -c "$escape")" -eq 0 ]
  done
}

# Titles, cursor moves, clearing, a bell, backspaces, the eight-bit form of escape [, and bytes that are no UTF-8.
wild='A\033]0;title\007B\033[2J\033[HC\bD\302\233 31mE\377F\033cG\r'

# Nothing of it on the terminal but what the model of one knows and what can be read.
tamed() {
  [ "$(LC_ALL=C grep -cE $'\x07|\x08|\xff|\xc2\x9b|\x1b\\]|\x1b\\[2J|\x1bc' raw)" -eq 0 ]
  screen 100 lines >shown
  grep -q 'A.*B.*C.*D.*E.*F.*G' shown
}

@test "terminal: escape sequences in a build's output do not reach it" {
  talking_image "$wild" 'exit 3'
  on_terminal 100
  until_true 30 holds
  until_true 10 drew "$image [0-9]+ s AB.*C.*D.*E.*F.*G"
  let_go
  end_of_build
  [ "$status" -eq 1 ]
  tamed
  grep -q '^  | AB' shown
  # The log has it as it came.
  grep -qaF "$escape]0;title" "$(sed -n 's/^  the whole log: //p' shown)"
}

@test "terminal: neither do they with -v" {
  talking_image "$wild"
  on_terminal 100 -v
  until_true 30 holds
  let_go
  end_of_build
  [ "$status" -eq 0 ]
  tamed
}

@test "terminal: nor those in the names of files" {
  directory_image test
  mkfifo "test/A${escape}]0;title"$'\a'"B${escape}[2JC"
  one_image test
  on_terminal 100
  end_of_build
  [ "$status" -eq 1 ]
  screen 100 lines >shown
  grep -q "failed $image: .*AB.*C" shown
  run --separate-stderr iw build
  [[ "$stderr" != *"$escape"* ]]
}

@test "terminal: status does not show them either" {
  directory_image test
  mkfifo "test/A${escape}[2JC"
  one_image test
  run --separate-stderr iw status
  [ "$status" -eq 1 ]
  [[ "$output" == *"unknown"*A*C* ]]
  [[ "$output" != *"$escape"* ]]
}

@test "terminal: Ctrl-C ends it with 130 and a clean line" {
  talking_image "last words"
  on_terminal 80
  until_true 30 holds
  until_true 10 drew "$image [0-9]+ s last words"
  printf '\x03' >&9
  end_of_build 10
  [ "$status" -eq 130 ]
  holds_no_more
  [ "$(screen 80 lines | grep -c '[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]')" -eq 0 ]
  left=$(screen 80 lines)
  [[ "$left" =~ ^"imagewright: interrupted; finished builds are kept"$'\n'"1 skipped in "[0-9.]+" s"$'\n'"<cursor at 0>"$ ]]
}

interrupted_at() {
  several a b
  on_terminal "$1"
  until_true 30 any_holds
  until_true 10 drew "s I-am-"
  printf '\x03' >&9
  end_of_build 10
  [ "$status" -eq 130 ]
  until_true 5 none_holds
  left=$(screen "$1" lines)
  [[ "$left" =~ ^"imagewright: interrupted; finished builds are kept"$'\n'"2 skipped in "[0-9.]+" s"$'\n'"<cursor at 0>"$ ]]
}

@test "terminal: Ctrl-C in 40 columns" { interrupted_at 40; }
@test "terminal: Ctrl-C in 200 columns" { interrupted_at 200; }

@test "terminal: Ctrl-Z leaves a clean line and a cursor, and fg goes on" {
  several a
  mkfifo keys
  # (A shell without a line editor of its own.)
  PS1='$ ' ENV= python3 "$BATS_TEST_DIRNAME/pty_run.py" 80 24 dash -i <keys >raw 2>pty.err 3>&- &
  run_pid=$!
  exec 9>keys
  printf '%q build\n' "$IMAGEWRIGHT" >&9
  until_true 30 any_holds
  until_true 10 drew "s I-am-"
  printf '\x1a' >&9
  until_true 10 grep -qa Stopped raw
  screen 80 lines >stopped
  [ "$(grep -c '[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏━─]' stopped)" -eq 0 ]
  local drawn
  drawn=$(updates)
  printf 'fg\n' >&9
  until_true 10 drew_more_than $((drawn + 3))
  kill "$(held_pids)"
  until_true 20 grep -qa "1 built in" raw
  printf 'exit\n' >&9
  end_of_build
  screen 80 lines >left
  [ "$(grep -c '[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏━─]' left)" -eq 0 ]
  grep -q "^built $image-a in " left
}
