# Git's own http-backend behind lighttpd and behind hosts that are late, for what measures git sources. To be sourced, with
# $work a directory of the caller's, in which `bin` holds what goes before PATH and `www` the repositories. What it starts
# ends with the shell, and $work then, too, if $remove is not empty.
#
#   start_lighttpd                   $plain and $secure: its ports for http and https; $work/certificate
#   start_proxy TARGET ROUND_TRIP    $hosts: five ports that lead to TARGET, each answer ROUND_TRIP ms late
#   end_proxy
#   bytes                            that came over the proxy since this was asked last
#   milliseconds COMMAND...          that it took
#   median                           of the numbers on standard input
#
# shellcheck shell=bash
# shellcheck disable=SC2154 # $work and $remove are the caller's
# By its own path: the version managers' stand-ins take longer to start than what is measured.
python3=$(python3 -c 'import sys; print(sys.executable)')
# shellcheck source=tests/e2e/ports.bash
. tests/e2e/ports.bash
export HOME=$work/home XDG_CACHE_HOME=$work/cache XDG_STATE_HOME=$work/state-home INSTANT_IDS=$work/ids
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=$work/home/.gitconfig
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY SSL_CERT_FILE GIT_SSL_CAINFO
mkdir -p "$HOME"
git config --global user.name bench
git config --global user.email bench@example.com

pids=() hosts=()
end() {
  kill "${pids[@]}" 2>/dev/null || true
  wait || true
  [ -z "$remove" ] || rm -rf "$remove"
}
trap end EXIT

title() { printf '\n== %s\n' "$1"; }
median() { sort -n | awk '{ v[NR] = $1 } END { m = int((NR + 1) / 2); print NR % 2 ? v[m] : (v[m] + v[m + 1]) / 2 }'; }

start_lighttpd() { # plain and TLS: $plain, $secure
  plain=$(free_port) secure=$(free_port)
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
    -addext "subjectAltName = IP:127.0.0.1" -keyout "$work/key" -out "$work/certificate" 2>/dev/null
  cat "$work/key" "$work/certificate" >"$work/pem"
  cat >"$work/lighttpd.conf" <<CONF
server.modules = ("mod_alias", "mod_setenv", "mod_cgi", "mod_openssl")
server.document-root = "$work/www"
server.bind = "127.0.0.1"
server.port = $plain
server.upload-dirs = ("$work")
server.max-keep-alive-requests = 10000
alias.url = ("/git" => "$(git --exec-path)/git-http-backend")
\$HTTP["url"] =~ "^/git" {
  cgi.assign = ("" => "")
  setenv.add-environment = ("GIT_PROJECT_ROOT" => "$work/www", "GIT_HTTP_EXPORT_ALL" => "1")
}
\$SERVER["socket"] == "127.0.0.1:$secure" { ssl.engine = "enable" ssl.pemfile = "$work/pem" }
CONF
  lighttpd -D -f "$work/lighttpd.conf" >"$work/lighttpd.log" 2>&1 </dev/null &
  pids+=($!)
}

start_proxy() { # TARGET ROUND_TRIP: five hosts, $hosts, the same as before if there were some; $proxy
  local _
  [ "${#hosts[@]}" -gt 0 ] || for _ in 1 2 3 4 5; do hosts+=("$(free_port)"); done
  : >"$work/proxy.log"
  "$python3" tests/bench/delay.py "$2" "127.0.0.1:$1" "${hosts[@]}" >"$work/proxy.log" 2>&1 </dev/null &
  proxy=$!
  pids+=("$proxy")
  for _ in $(seq 100); do ! grep -q ready "$work/proxy.log" || return 0; sleep 0.05; done
  cat "$work/proxy.log" "$work/lighttpd.log" >&2
  return 1
}

end_proxy() {
  kill "$proxy"
  wait "$proxy" || true
}

# Bytes that came since this was asked last.
bytes() {
  local before
  before=$(wc -l <"$work/proxy.log")
  kill -USR1 "$proxy"
  until [ "$(wc -l <"$work/proxy.log")" -gt "$before" ]; do sleep 0.01; done
  tail -n 1 "$work/proxy.log" | cut -d' ' -f2
}

milliseconds() { # COMMAND...
  local begun=${EPOCHREALTIME/./}
  "$@" >/dev/null
  echo $(((${EPOCHREALTIME/./} - begun) / 1000))
}
