# Real git servers on free loopback ports, for tests: git daemon, git's own http-backend behind lighttpd, sshd.
# To be sourced. Each start function takes a directory (made if missing; absolute, without blanks) for its
# configuration, keys, log and pid file, and sets a variable to the URL's beginning:
#
#   start_git_daemon DIR PROJECTS                  git_daemon_url   git://127.0.0.1:PORT      + /NAME
#   start_git_http   DIR PROJECTS [USER PASSWORD]  git_http_url     http://127.0.0.1:PORT/git + /NAME
#   start_git_ssh    DIR                           git_ssh_url      ssh://USER@127.0.0.1:PORT + /ABSOLUTE/PATH
#                                                  and exports GIT_SSH_COMMAND
#   stop_git_servers DIR                           ends what was started in DIR; to be called from teardown
#
# PROJECTS is the directory that holds the repositories. A start function returns 1, and shows the server's log,
# if the server does not come up. One of a kind a directory: a second start replaces the first.

# shellcheck shell=bash
# shellcheck disable=SC2034 # the URLs are for whoever sources this
# shellcheck source=tests/e2e/ports.bash
. "$(dirname "${BASH_SOURCE[0]}")/ports.bash"

# The path of a server program, which need not be on an ordinary user's PATH.
_git_program() { PATH=$PATH:/usr/sbin:/sbin command -v "$1"; }

# _git_serve DIR NAME PORT COMMAND...: starts a server in the foreground of a background job and waits until it
# answers; 1 if it ended instead. Descriptor 3 is bats' own: whoever holds it open keeps bats waiting.
_git_serve() {
  local dir=$1 name=$2 port=$3 pid
  shift 3
  "$@" >>"$dir/$name.log" 2>&1 </dev/null 3>&- &
  pid=$!
  for _ in {1..200}; do
    kill -0 "$pid" 2>/dev/null || return 1
    if port_is_open "$port" && kill -0 "$pid" 2>/dev/null; then
      echo "$pid" >"$dir/$name.pid"
      return 0
    fi
    sleep 0.05
  done
  kill "$pid"
  return 1
}

# _git_stop PID_FILE: ends that server, if there is one, and waits until it is gone.
_git_stop() {
  local pid
  [[ -e $1 ]] || return 0
  pid=$(<"$1")
  rm -f "$1"
  kill "$pid" 2>/dev/null || return 0
  wait "$pid" 2>/dev/null || true # returns at once where it is no child of this shell
  for _ in {1..100}; do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.05
  done
}

# _git_start DIR NAME FUNCTION ARGUMENTS...: has FUNCTION, which is told the port, start the server; once more
# with another port if somebody else was faster. Leaves the port in $_git_port.
_git_start() {
  local dir=$1 name=$2 function=$3
  shift 3
  mkdir -p "$dir" || return 1
  _git_stop "$dir/$name.pid"
  : >"$dir/$name.log"
  for _ in 1 2 3 4 5; do
    _git_port=$(free_port) || return 1
    if "$function" "$dir" "$_git_port" "$@"; then return 0; fi
  done
  cat "$dir/$name.log" >&2
  return 1
}

_git_serve_daemon() {
  _git_serve "$1" git-daemon "$2" "$(git --exec-path)/git-daemon" --listen=127.0.0.1 --port="$2" --reuseaddr \
    --export-all --base-path="$3" "$3"
}

start_git_daemon() {
  local dir=$1 projects=$2
  _git_start "$dir" git-daemon _git_serve_daemon "$projects" || return 1
  git_daemon_url=git://127.0.0.1:$_git_port
}

_git_serve_http() {
  local dir=$1 port=$2 projects=$3 user=${4-} password=${5-}
  {
    cat <<CONF
server.modules = ("mod_alias", "mod_auth", "mod_authn_file", "mod_setenv", "mod_cgi", "mod_accesslog")
server.document-root = "$dir"
server.bind = "127.0.0.1"
server.port = $port
server.upload-dirs = ("$dir")
accesslog.filename = "$dir/access.log"
alias.url = ("/git" => "$(git --exec-path)/git-http-backend")
\$HTTP["url"] =~ "^/git" {
  cgi.assign = ("" => "")
  setenv.add-environment = ("GIT_PROJECT_ROOT" => "$projects", "GIT_HTTP_EXPORT_ALL" => "1")
}
CONF
    if [[ -n $user ]]; then
      (umask 077 && echo "$user:$password" >"$dir/passwords")
      cat <<CONF
auth.backend = "plain"
auth.backend.plain.userfile = "$dir/passwords"
auth.require = ("/git" => ("method" => "basic", "realm" => "git", "require" => "valid-user"))
CONF
    fi
  } >"$dir/lighttpd.conf"
  _git_serve "$dir" lighttpd "$port" "$(_git_program lighttpd)" -D -f "$dir/lighttpd.conf"
}

start_git_http() {
  local dir=$1
  _git_start "$dir" lighttpd _git_serve_http "${@:2}" || return 1
  git_http_url=http://127.0.0.1:$_git_port/git
}

_git_serve_ssh() {
  local dir=$1 port=$2
  cat >"$dir/sshd_config" <<CONF
ListenAddress 127.0.0.1:$port
HostKey $dir/host_key
AuthorizedKeysFile $dir/client_key.pub
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
AcceptEnv GIT_PROTOCOL
CONF
  echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$dir/host_key.pub")" >"$dir/known_hosts"
  _git_serve "$dir" sshd "$port" "$(_git_program sshd)" -D -e -f "$dir/sshd_config"
}

start_git_ssh() {
  local dir=$1 key
  mkdir -p "$dir" || return 1
  for key in host_key client_key; do
    [[ -e $dir/$key ]] || ssh-keygen -q -t ed25519 -N '' -f "$dir/$key" </dev/null || return 1
  done
  # As root, sshd wants its privilege separation directory.
  if [[ $EUID == 0 ]]; then [[ -d /run/sshd ]] || mkdir -m 755 /run/sshd || return 1; fi
  _git_start "$dir" sshd _git_serve_ssh || return 1
  git_ssh_url=ssh://$(id -un)@127.0.0.1:$_git_port
  export GIT_SSH_COMMAND="ssh -F /dev/null -i $dir/client_key -o IdentitiesOnly=yes \
-o UserKnownHostsFile=$dir/known_hosts -o StrictHostKeyChecking=yes"
}

stop_git_servers() {
  local pid_file
  for pid_file in "$1"/*.pid; do
    _git_stop "$pid_file"
  done
}
