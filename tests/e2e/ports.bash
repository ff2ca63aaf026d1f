# Free ports on loopback, for servers of tests. To be loaded or sourced.
#
# shellcheck shell=bash

# Is somebody listening there?
port_is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
  local port
  for _ in {1..100}; do
    port=$((20000 + RANDOM % 12000)) # below the ports that connections are made from
    if ! port_is_open "$port"; then
      echo "$port"
      return
    fi
  done
  return 1
}
