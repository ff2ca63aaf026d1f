#!/usr/bin/env bats
# What a person sees: the live view on a real pseudo-terminal, and that nothing of it gets into a pipe. On Buildah.
#
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # variables that common.bash and Bats set or use

load common

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  ENGINE=buildah
  project
  image=e2e/t$BATS_TEST_NUMBER
  export TERM=xterm-256color
  unset NO_COLOR
  escape=$'\e'
}

teardown() { end_held; }

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
  [ -p keys ] || mkfifo keys
  python3 "$BATS_TEST_DIRNAME/pty_run.py" "$columns" 24 "$IMAGEWRIGHT" build "$@" <keys >raw 2>pty.err 3>&- &
  run_pid=$!
  exec 9>keys
}

screen() { python3 "$BATS_TEST_DIRNAME/screen.py" "$1" "$2" <raw; }

# The whole story on a terminal of that many columns: sets frames and left.
watched() {
  talking_image "$(printf 'word%.0s ' {1..60})"
  on_terminal "$@"
  until_true 30 holds
  until_true 10 grep -q "$image [0-9]* s word" raw
  let_go
  end_of_build
  [ "$status" -eq 0 ]
  frames=$(screen "$1" frames)
  left=$(screen "$1" lines)
}

widest() { cut -d' ' -f1 <<<"$frames" | sort -n | tail -n 1; }

# One line that stays, and one that counts, and the cursor at a new line's beginning.
only_the_end_is_left() {
  [[ "$left" =~ ^"built $image in "[0-9.]+" s (never built)"$'\n'"1 built in "[0-9.]+" s"$'\n'"<cursor at 0>"$ ]]
}

@test "terminal: the running image is shown with a spinner and its last output line, and gone in the end" {
  watched 200
  grep -qE "^[0-9]+ [⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] \[1/1\] $image [0-9]+ s word word" <<<"$frames"
  [ "$(cut -d' ' -f2 <<<"$frames" | sort -u | wc -l)" -gt 1 ] # it turns
  [ "$(widest)" -le 200 ]
  [ "$(widest)" -gt 150 ] # and uses what room there is
  only_the_end_is_left
}

@test "terminal: in 40 columns no line is wider than that" {
  watched 40
  grep -qE "^[0-9]+ [⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] \[1/1\] $image [0-9]+ s word" <<<"$frames"
  [ "$(widest)" -le 40 ]
  [ "$(widest)" -gt 30 ]
  only_the_end_is_left
}

@test "terminal: characters of two columns and of many bytes leave no traces either" {
  talking_image "$(printf '世界%.0s' {1..30})ümlaut"
  on_terminal 40
  until_true 30 holds
  until_true 10 grep -q "$image [0-9]* s 世界" raw
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
  until_true 10 grep -qaE "$image [0-9]+ s AB.*C.*D.*E.*F.*G" raw
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
  until_true 10 grep -q "$image [0-9]* s last words" raw
  printf '\x03' >&9
  end_of_build 10
  [ "$status" -eq 130 ]
  holds_no_more
  [ "$(screen 80 lines | grep -c '[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]')" -eq 0 ]
  left=$(screen 80 lines)
  [[ "$left" =~ ^"imagewright: interrupted; finished builds are kept"$'\n'"1 skipped in "[0-9.]+" s"$'\n'"<cursor at 0>"$ ]]
}
