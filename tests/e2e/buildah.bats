#!/usr/bin/env bats
# Buildah, the real program with a store of its own.

# shellcheck disable=SC2034,SC2154 # variables that common.bash and Bats set or use

load common
load base_tests
load engine_tests
load narrow_tests
load parent_tests
load prune_tests
load publish_tests
load registry_servers
load registry_state_tests

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  exercised buildah
  ENGINE=buildah
  setup_engine_test
}

teardown() {
  [ -n "${ENGINE:-}" ] || return 0
  teardown_engine_test
  # Of no build, whatever became of it.
  [ "$(buildah containers -q)" = "" ]
}

@test "buildah: an unchanged second run builds nothing" { unchanged_second_run_builds_nothing; }
@test "buildah: the image holds exactly the directory" { image_holds_exactly_the_directory; }
@test "buildah: arguments, target and labels reach the image" { arguments_target_and_labels_reach_the_image; }
@test "buildah: nothing old comes from its memory" { nothing_old_comes_from_the_engines_memory; }
@test "buildah: the image id in the state is the engine's" { image_id_in_the_state_is_the_engines; }
@test "buildah: an image that is gone from the engine is built again" { image_gone_from_the_engine_is_built_again; }
@test "buildah: new bytes under the same size, mode and mtime reach the image" { secret_edit_reaches_the_image; }
@test "buildah: a Dockerfile edited that way counts" { secret_edit_of_the_dockerfile_reaches_the_image; }
@test "buildah: two directories that look alike are kept apart" { directories_that_look_alike_are_kept_apart; }
@test "buildah: a change and its undoing during a RUN step are noticed" { there_and_back_during_a_run_step; }
@test "buildah: what it took meanwhile does not stay" { there_and_back_where_the_engine_took_the_other; }
@test "buildah: a file changed during the build is built next time" { change_during_the_build_is_built_next_time; }
@test "buildah: Ctrl-C ends it and keeps what is finished" { interrupt_ends_the_engine INT 130; }
@test "buildah: Ctrl-C again at once does not keep it from cleaning up" { interrupt_ends_the_engine INT 130 again; }
@test "buildah: TERM does the same" { interrupt_ends_the_engine TERM 143; }
@test "buildah: runs leave nothing in the caches" { runs_leave_nothing_in_the_caches; }
@test "buildah: a build by hand before ours does no harm" { build_by_hand_before_ours; }
@test "buildah: a changed extended attribute reaches the image" { changed_xattr_reaches_the_image; }
@test "buildah: a RUN that mounts the context sees only what counts" { run_that_mounts_sees_only_what_counts; }

@test "buildah: what no instruction reads does not count" { what_no_instruction_reads_does_not_count; }
@test "buildah: the context command shows what counts" { the_context_command_shows_what_counts; }
@test "buildah: narrow: false counts all of it" { narrow_false_counts_all_of_it; }
@test "buildah: the whole context says why it counts" { the_whole_context_says_why_it_counts; }
@test "buildah: what symlinks lead to counts" { what_symlinks_lead_to_counts; }
@test "buildah: directories stand beside the context" { directories_stand_beside_the_context; }
@test "buildah: a stage that is not needed has its files" { a_stage_that_is_not_needed_has_its_files; }
@test "buildah: a base that comes with the build is known after it" { a_base_that_comes_with_the_build_is_known_after_it; }
@test "buildah: a failure is known as one again" { a_failure_is_known_as_one_again; }

@test "buildah: a child comes after its parent and has what it has" { a_child_comes_after_its_parent_and_has_what_it_has; }
@test "buildah: files and mounts come from other images" { files_and_mounts_come_from_other_images; }
@test "buildah: a tag that moves in between changes nothing" { a_tag_that_moves_in_between_changes_nothing; }
@test "buildah: a parent rebuilt to the same id stops there" { a_parent_rebuilt_to_the_same_id_stops_there; }
@test "buildah: a failed parent skips its children and no others" { a_failed_parent_skips_its_children_and_no_others; }

@test "buildah: found by itself where a docker program has no daemon" {
  [ -n "$(type -P docker)" ]
  directory_image test
  one_image test
  run_build
  [ "$status" -eq 0 ]
  [ "$(engine_used)" = buildah ]
}

@test "docker asked for without a daemon: exit 3, and it says where none answers" {
  directory_image test
  one_image test
  run --separate-stderr iw build --engine docker
  [ "$status" -eq 3 ]
  [[ "$stderr" == *"the docker daemon does not answer at unix:///nonexistent/docker.sock"* ]]
  sed -i 's/^builder:/&\n  engine: docker/' imagewright.yml
  run --separate-stderr iw build
  [ "$status" -eq 3 ]
  [[ "$stderr" == *"the docker daemon does not answer"* ]]
  # --engine wins over the file.
  run_build --engine buildah
  [ "$status" -eq 0 ]
  [ "$(engine_used)" = buildah ]
}

@test "no engine on PATH: exit 3" {
  directory_image test
  one_image test
  mkdir empty
  run --separate-stderr env PATH="$PWD/empty" "$IMAGEWRIGHT" build
  [ "$status" -eq 3 ]
  [[ "$stderr" == *"neither docker nor buildah nor podman is on PATH"* ]]
}

@test "buildah: a failing build leaves no container" {
  held_image test
  printf 'FROM scratch\nCOPY busybox /\nRUN ["/busybox","false"]\n' >test/Dockerfile
  one_image test
  run_build
  [ "$status" -eq 1 ]
  [ "$(images_with failed)" = "$image" ]
  [ "$(buildah containers -q)" = "" ]
}

@test "buildah: secrets reach the build and nothing else" { secrets_reach_the_build_and_nothing_else; }
@test "buildah: network and extra_hosts reach the build" { options_reach_the_build; }
@test "buildah: shm_size and ulimits reach the build" { limits_reach_the_build; }
@test "buildah: no_cache and pull" { steps_are_taken_anew_where_that_is_asked_for; }
@test "buildah: a Dockerfile stands in the configuration" { a_dockerfile_stands_in_the_configuration; }
@test "buildah: a privileged step may mount" { privileged_step_may_mount; }
@test "buildah: extra_hosts beside no network, of which nothing would come, are refused" {
  an_option_is_refused $'network: none\n    extra_hosts: [a=10.1.2.3]' extra_hosts \
    "without a network there is no /etc/hosts; 'network' is none"
}
@test "buildah: a cache of a type is refused" {
  an_option_is_refused 'cache_from: ["type=local,src=/cache"]' cache_from \
    'it takes the name of a repository, and no type=…'
}

@test "buildah: a base that moved is named and built on" { a_base_that_moved_is_named_and_built_on; }
@test "buildah: an index that grew a platform builds nothing" { an_index_that_grew_a_platform_builds_nothing; }
@test "buildah: a registry that is down builds nothing" { a_registry_that_is_down_builds_nothing; }
@test "buildah: the build gets the base that was looked at" { the_build_gets_the_base_that_was_looked_at; }
@test "buildah: copied and mounted images are bases too" { copied_and_mounted_images_are_bases_too; }
@test "buildah: the engine's own image is a base" { the_engines_own_image_is_a_base; }
@test "buildah: with track base local nothing is pulled" { with_track_base_local_nothing_is_pulled; }
@test "buildah: with track base off the name is all" { with_track_base_off_the_name_is_all; }
@test "buildah: a registry's base narrows the context" { a_registrys_base_narrows_the_context; }

@test "buildah: names are set and pushed" { names_are_set_and_pushed; }
@test "buildah: only a name changed" { only_a_name_changed; }
@test "buildah: a name that was moved away is set again" { a_name_that_was_moved_away_is_set_again; }
@test "buildah: a failed push is no failed build" { a_failed_push_is_no_failed_build; }
@test "buildah: together all or none" { together_all_or_none; }
@test "buildah: several platforms are an index" { several_platforms_are_an_index; }
@test "buildah: an index moves when all its images are there" { an_index_moves_when_all_its_images_are_there; }
@test "buildah: what the registry lost is pushed again" { what_the_registry_lost_is_pushed_again; }
@test "buildah: push says what is pushed" { push_says_what_is_pushed; }
@test "buildah: oci labels say where it is from" { oci_labels_say_where_it_is_from; }

@test "buildah: prune: superseded images go" { superseded_images_go; }
@test "buildah: prune: images of others and in use stay" { images_of_others_and_in_use_stay; }
@test "buildah: prune: what left the configuration goes" { what_left_the_configuration_goes; }

@test "buildah: state: a fresh machine builds nothing that the registry has" {
  a_fresh_machine_builds_nothing_that_the_registry_has
}
@test "buildah: state: a parent is pulled where its child is built" { a_parent_is_pulled_where_its_child_is_built; }
@test "buildah: state: a new name of what the registry has is set there" { a_new_name_of_what_the_registry_has_is_set_there; }
@test "buildah: state: a registry without an answer is no obstacle" { a_registry_without_an_answer_is_no_obstacle; }
@test "buildah: state: what is to be built anew is" { what_is_to_be_built_anew_is; }
@test "buildah: state: what changed during its build is found by nobody" { what_changed_during_its_build_is_found_by_nobody; }
@test "buildah: state: what is built on a base that nobody knows is not found by it" {
  what_is_built_on_a_base_that_nobody_knows_is_not_found_by_it
}

@test "buildah: BUILDAH_ISOLATION=chroot is known for what it is, and not taken for what is without it" {
  directory_image test
  cp /bin/busybox test/
  printf 'FROM scratch\nCOPY busybox /\nRUN ["/busybox", "true"]\n' >test/Dockerfile
  configuration imagewright.yml "$image" test
  export XDG_CACHE_HOME=$PWD/fresh
  BUILDAH_ISOLATION=chroot expect 0 build -q
  expect 0 build -q --force
  one_image test 'network: none'
  BUILDAH_ISOLATION=chroot expect 1 build
  has "$stderr" "cannot do 'network': with chroot isolation there is the host's alone"
  one_image test 'shm_size: 7m'
  BUILDAH_ISOLATION=chroot expect 1 build
  has "$stderr" "cannot do 'shm_size'"
}

@test "buildah: heredocs are refused by name where there are none" {
  directory_image test
  printf 'FROM scratch\nCOPY <<EOF /h.txt\nhi\nEOF\n' >test/Dockerfile
  configuration imagewright.yml "$image" test
  if buildah --version | grep -qE ' 1\.(2[0-9]|3[0-2])\.'; then
    expect 1 build
    has "$stderr" "cannot do heredocs (Dockerfile:2)"
  else
    expect 0 build
  fi
}

@test "buildah: an operating system alone is a platform, this machine's" {
  directory_image test
  one_image test 'platforms: [linux]'
  expect 0 build -q
  expect 0 status
  has "$output" "up-to-date"
}
