# Git's own http-backend behind lighttpd, on five hosts at the end of a long line (tests/bench/far.cc), for what measures git
# sources. To be sourced by root, with $work a directory of the caller's, in which `bin` holds what goes before PATH and `www`
# the repositories. What it starts ends with the shell, and $work then, too, if $remove is not empty.
#
#   start_line ROUND_TRIP_MS         makes the line; once more: with another round trip
#   start_lighttpd                   at its end: $hosts, five addresses, for http and https; $work/certificate
#   bytes                            that came over the line since this was asked last, with their headers
#   milliseconds COMMAND...          that it took
#   median                           of the numbers on standard input
#
# shellcheck shell=bash
# shellcheck disable=SC2154 # $work and $remove are the caller's
[ "$(id -u)" -eq 0 ] || { echo 'it takes root to make a line of its own' >&2; exit 3; }
# By its own path: the version managers' stand-ins take longer to start than what is measured.
python3=$(python3 -c 'import sys; print(sys.executable)')
export HOME=$work/home XDG_CACHE_HOME=$work/cache XDG_STATE_HOME=$work/state-home INSTANT_IDS=$work/ids
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=$work/home/.gitconfig
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY SSL_CERT_FILE GIT_SSL_CAINFO
mkdir -p "$HOME"
git config --global user.name bench
git config --global user.email bench@example.com

pids=() line="" namespace=imagewright-bench-$$ hosts=()
end() {
  kill "${pids[@]}" $line 2>/dev/null || true
  wait || true
  ip netns delete "$namespace" 2>/dev/null || true
  [ -z "$remove" ] || rm -rf "$remove"
}
trap end EXIT

title() { printf '\n== %s\n' "$1"; }
median() { sort -n | awk '{ v[NR] = $1 } END { m = int((NR + 1) / 2); print NR % 2 ? v[m] : (v[m] + v[m + 1]) / 2 }'; }

start_line() {
  local number _
  [ -e "$work/bin/far" ] || c++ -std=c++20 -O2 tests/bench/far.cc -o "$work/bin/far"
  if [ -n "$line" ]; then
    kill "$line"
    wait "$line" || true
  else
    ip netns add "$namespace"
    ip -n "$namespace" link set lo up
  fi
  "$work/bin/far" "$1" "$namespace" >"$work/line.log" 2>&1 </dev/null &
  line=$!
  for _ in $(seq 100); do ! grep -q ready "$work/line.log" || break; sleep 0.05; done
  # (What TCP learned of another line.)
  ip tcp_metrics flush
  ip -n "$namespace" tcp_metrics flush
  hosts=()
  ip link set far0 txqueuelen 10000 up
  ip address add 10.231.0.1/24 dev far0
  ip -n "$namespace" link set far1 txqueuelen 10000 up
  for number in 2 3 4 5 6; do
    ip -n "$namespace" address add "10.231.0.$number/24" dev far1
    hosts+=("10.231.0.$number")
  done
}

start_lighttpd() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench \
    -addext "subjectAltName = IP:${hosts[0]}, IP:${hosts[1]}, IP:${hosts[2]}, IP:${hosts[3]}, IP:${hosts[4]}" \
    -keyout "$work/key" -out "$work/certificate" 2>/dev/null
  cat "$work/key" "$work/certificate" >"$work/pem"
  cat >"$work/lighttpd.conf" <<CONF
server.modules = ("mod_alias", "mod_setenv", "mod_cgi", "mod_openssl")
server.document-root = "$work/www"
server.bind = "0.0.0.0"
server.port = 80
server.upload-dirs = ("$work")
server.max-keep-alive-requests = 10000
alias.url = ("/git" => "$(git --exec-path)/git-http-backend")
\$HTTP["url"] =~ "^/git" {
  cgi.assign = ("" => "")
  setenv.add-environment = ("GIT_PROJECT_ROOT" => "$work/www", "GIT_HTTP_EXPORT_ALL" => "1")
}
\$SERVER["socket"] == "0.0.0.0:443" { ssl.engine = "enable" ssl.pemfile = "$work/pem" }
CONF
  ip netns exec "$namespace" lighttpd -D -f "$work/lighttpd.conf" >"$work/lighttpd.log" 2>&1 </dev/null &
  pids+=($!)
  local _
  for _ in $(seq 100); do ! (exec 3<>"/dev/tcp/${hosts[0]}/80") 2>/dev/null || return 0; sleep 0.05; done
  cat "$work/lighttpd.log" >&2
  return 1
}

# Bytes that came since this was asked last.
bytes() {
  local before
  before=$(wc -l <"$work/line.log")
  kill -USR1 "$line"
  until [ "$(wc -l <"$work/line.log")" -gt "$before" ]; do sleep 0.01; done
  tail -n 1 "$work/line.log" | cut -d' ' -f2
}

milliseconds() { # COMMAND...
  local begun=${EPOCHREALTIME/./}
  "$@" >/dev/null
  echo $(((${EPOCHREALTIME/./} - begun) / 1000))
}
