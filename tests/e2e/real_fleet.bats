#!/usr/bin/env bats
# A fleet for real: images in a graph (10; with --long 30), from git sources that change meanwhile; two servers over one PostgreSQL, three
# workers, each in a network namespace of its own and with an engine store of its own, a registry. One worker is killed,
# one frozen, one cut off, and a server killed. What must hold in the end is in real_fleet.bash, which it runs in a
# network namespace of its own. On Buildah.

load common

setup() {
  ENGINE=buildah
  exercised docker-registry
  unshare --net true || skip "there are no network namespaces here"
  project
}

teardown() {
  # What killed workers had mounted.
  awk -v below="$BATS_TEST_TMPDIR/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
}

@test "real fleet: whoever is killed, frozen or cut off, every image ends at its newest source, built once" {
  unshare --net bash "$BATS_TEST_DIRNAME/real_fleet.bash" "$BATS_TEST_TMPDIR/fleet" 3>&-
}
