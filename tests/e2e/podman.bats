#!/usr/bin/env bats
# Podman, the real program with a store of its own, where neither Docker nor Buildah is on PATH.
#
# It builds by Buildah's code, and registries are asked and told by ours: of the tests that it shares with Docker and
# Buildah, those that its own commands decide are in every run, the others in `scripts/test --long`.

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

setup_file() { [ -z "$(type -P podman)" ] || own_podman; }
teardown_file() { [ -z "$(type -P podman)" ] || end_podman; }

setup() {
  exercised podman
  ENGINE=podman
  setup_engine_test
}

teardown() {
  [ -n "${ENGINE:-}" ] || return 0
  teardown_engine_test
  # Of no build, whatever became of it.
  [ "$(podman ps --all --external --quiet)" = "" ]
}

@test "podman: an unchanged second run builds nothing" { unchanged_second_run_builds_nothing; }
@test "podman: the image holds exactly the directory" { image_holds_exactly_the_directory; }
@test "podman: arguments, target and labels reach the image" { arguments_target_and_labels_reach_the_image; }
@test "podman: nothing old comes from its memory" { nothing_old_comes_from_the_engines_memory; }
@test "podman: the image id in the state is the engine's" { image_id_in_the_state_is_the_engines; }
@test "podman: an image that is gone from the engine is built again" { image_gone_from_the_engine_is_built_again; }
@test "podman: new bytes under the same size, mode and mtime reach the image" { secret_edit_reaches_the_image; }
@test "podman: a Dockerfile edited that way counts" { secret_edit_of_the_dockerfile_reaches_the_image; }
@test "podman: two directories that look alike are kept apart" { directories_that_look_alike_are_kept_apart; }
@test "podman: a change and its undoing during a RUN step are noticed" { there_and_back_during_a_run_step; }
@test "podman: what it took meanwhile does not stay" { there_and_back_where_the_engine_took_the_other; }
@test "podman: a file changed during the build is built next time" { change_during_the_build_is_built_next_time; }
@test "podman: Ctrl-C ends it and keeps what is finished" { interrupt_ends_the_engine INT 130; }
@test "podman: TERM does the same" { long_only; interrupt_ends_the_engine TERM 143; }
@test "podman: runs leave nothing in the caches" { runs_leave_nothing_in_the_caches; }
@test "podman: a build by hand before ours does no harm" { build_by_hand_before_ours; }
@test "podman: a changed extended attribute reaches the image" { changed_xattr_reaches_the_image; }
@test "podman: a RUN that mounts the context sees only what counts" { run_that_mounts_sees_only_what_counts; }

@test "podman: what no instruction reads does not count" { what_no_instruction_reads_does_not_count; }
@test "podman: what symlinks lead to counts" { long_only; what_symlinks_lead_to_counts; }
@test "podman: directories stand beside the context" { long_only; directories_stand_beside_the_context; }
@test "podman: a stage that is not needed has its files" { long_only; a_stage_that_is_not_needed_has_its_files; }
@test "podman: a base that comes with the build is known after it" {
  long_only
  a_base_that_comes_with_the_build_is_known_after_it
}

@test "podman: a child comes after its parent and has what it has" { a_child_comes_after_its_parent_and_has_what_it_has; }
@test "podman: files and mounts come from other images" { long_only; files_and_mounts_come_from_other_images; }
@test "podman: a tag that moves in between changes nothing" { a_tag_that_moves_in_between_changes_nothing; }
@test "podman: a parent rebuilt to the same id stops there" { long_only; a_parent_rebuilt_to_the_same_id_stops_there; }
@test "podman: a failed parent skips its children and no others" {
  long_only
  a_failed_parent_skips_its_children_and_no_others
}

@test "podman: its own .containerignore does not win over the rules that count" {
  directory_image test
  echo no >test/left
  echo yes >test/kept
  printf 'kept\n' >test/.containerignore
  one_image test
  # Without a rule of ours, with one, and with one that Podman would read otherwise.
  run_build
  [ "$status" -eq 0 ]
  image_is_the_directory test
  echo left >test/.dockerignore
  run_build
  [ "$(content "$image" kept)" = yes ]
  run content "$image" left
  [ "$status" -ne 0 ]
  printf '*\n!kept\n' >test/.dockerignore
  run_build
  unpack "$image" got
  [ "$(ls -A got)" = kept ]
}

@test "podman: a failing build leaves no container and keeps the last success" {
  directory_image test
  one_image test
  run_build
  local before
  before=$(state "select * from image_state")
  cp "$(type -P busybox)" test/busybox
  printf 'FROM scratch\nCOPY busybox /\nRUN ["/busybox","sh","-c","exit 3"]\n' >test/Dockerfile
  run --separate-stderr iw build
  [ "$status" -eq 1 ]
  [[ "$stderr" == *"failed $image: podman build ended with status 3"* ]]
  [ "$(state "select * from image_state")" = "$before" ]
}

# other_programs NAME...: PATH begins with these programs, each made of the text behind its name.
other_programs() {
  mkdir -p programs
  while [ $# -gt 0 ]; do
    printf '#!/bin/bash\n%s\n' "$2" >"programs/$1"
    chmod +x "programs/$1"
    shift 2
  done
  PATH=$PWD/programs:$PATH
}

@test "podman: a docker command that is Podman is not taken for Docker" {
  directory_image test
  one_image test
  # As the package podman-docker has it.
  other_programs docker "echo 'Emulate Docker CLI using podman.' >&2
exec $(type -P podman) \"\$@\""
  run_build --engine docker
  [ "$status" -eq 0 ]
  [ "$(engine_used)" = podman ]
  run_build
  [ "$status" -eq 0 ]
  [ "$built" = "" ]
  # Also where it is the only one.
  rm .builder.state.db*
  ln -s "$(programs_without podman docker buildah)" others
  PATH=$PWD/programs:$PWD/others run_build
  [ "$status" -eq 0 ]
  [ "$(engine_used)" = podman ]
}

@test "podman: is asked once what it can do, and again when it is another program" {
  directory_image test
  one_image test
  other_programs podman "[ \"\$1\" != info ] || echo asked >>$PWD/asked
exec $(type -P podman) \"\$@\""
  run_build
  echo more >test/more
  run_build
  run_build
  [ "$(wc -l <asked)" -eq 1 ]
  echo '# upgraded' >>programs/podman
  run_build
  [ "$built" = "" ]
  [ "$(wc -l <asked)" -eq 2 ]
}

@test "podman: Buildah lists the images where both have one store, and does not where they have two" {
  PATH=$PATH_WITH_BUILDAH exercised buildah
  local podman buildah
  podman=$(type -P podman) buildah=$(PATH=$PATH_WITH_BUILDAH type -P buildah)
  directory_image test
  one_image test
  other_programs podman "[ \"\$1\" != images ] || exit 125
exec $podman \"\$@\"" buildah "exec $buildah \"\$@\""
  run_build --engine podman
  [ "$status" -eq 0 ]
  run_build --engine podman
  [ "$status" -eq 0 ]
  [ "$built" = "" ]
  other_programs podman "exec $podman \"\$@\"" buildah "[ \"\$1\" = info ] || exit 125
echo /elsewhere"
  run_build --engine podman
  [ "$status" -eq 0 ]
  [ "$built" = "" ]
}

@test "podman: chosen in the file, and gone to Buildah and back it is built anew only where an image is missing" {
  PATH=$PATH_WITH_BUILDAH exercised buildah
  directory_image test
  one_image test
  sed -i 's/^builder:/&\n  engine: podman/' imagewright.yml
  PATH=$PATH_WITH_BUILDAH run_build
  [ "$status" -eq 0 ]
  [ "$(engine_used)" = podman ]
  # One store: what Podman has built, Buildah has, too.
  PATH=$PATH_WITH_BUILDAH run_build --engine buildah
  [ "$status" -eq 0 ]
  [ "$built" = "" ]
}

@test "podman wished for where there is none: exit 3" {
  directory_image test
  one_image test
  mkdir empty
  run --separate-stderr env PATH="$PWD/empty" "$IMAGEWRIGHT" build --engine podman
  [ "$status" -eq 3 ]
  [[ "$stderr" == "imagewright: no engine: there is no program 'podman' on PATH" ]]
}

@test "podman: secrets reach the build and nothing else" { secrets_reach_the_build_and_nothing_else; }
@test "podman: network and extra_hosts reach the build" { options_reach_the_build; }
@test "podman: shm_size and ulimits reach the build" { long_only; limits_reach_the_build; }
@test "podman: no_cache and pull" { long_only; steps_are_taken_anew_where_that_is_asked_for; }
@test "podman: a Dockerfile stands in the configuration" { long_only; a_dockerfile_stands_in_the_configuration; }
@test "podman: a privileged step may mount" { privileged_step_may_mount; }
@test "podman: extra_hosts beside no network, of which nothing would come, are refused" {
  an_option_is_refused $'network: none\n    extra_hosts: [a=10.1.2.3]' extra_hosts \
    "without a network there is no /etc/hosts; 'network' is none"
}
@test "podman: a cache of a type is refused" {
  an_option_is_refused 'cache_from: ["type=local,src=/cache"]' cache_from \
    'it takes the name of a repository, and no type=…'
}

@test "podman: a base that moved is named and built on" { a_base_that_moved_is_named_and_built_on; }
@test "podman: an index that grew a platform builds nothing" {
  long_only
  an_index_that_grew_a_platform_builds_nothing
}
@test "podman: a registry that is down builds nothing" { long_only; a_registry_that_is_down_builds_nothing; }
@test "podman: the build gets the base that was looked at" { the_build_gets_the_base_that_was_looked_at; }
@test "podman: copied and mounted images are bases too" { long_only; copied_and_mounted_images_are_bases_too; }
@test "podman: the engine's own image is a base" { long_only; the_engines_own_image_is_a_base; }
@test "podman: with track base local nothing is pulled" { long_only; with_track_base_local_nothing_is_pulled; }
@test "podman: with track base off the name is all" { long_only; with_track_base_off_the_name_is_all; }
@test "podman: a registry's base narrows the context" { long_only; a_registrys_base_narrows_the_context; }

@test "podman: names are set and pushed" { names_are_set_and_pushed; }
@test "podman: only a name changed" { long_only; only_a_name_changed; }
@test "podman: a name that was moved away is set again" { a_name_that_was_moved_away_is_set_again; }
@test "podman: a failed push is no failed build" { long_only; a_failed_push_is_no_failed_build; }
@test "podman: together all or none" { long_only; together_all_or_none; }
@test "podman: several platforms are an index" { long_only; several_platforms_are_an_index; }
@test "podman: an index moves when all its images are there" {
  long_only
  an_index_moves_when_all_its_images_are_there
}
@test "podman: what the registry lost is pushed again" { long_only; what_the_registry_lost_is_pushed_again; }
@test "podman: push says what is pushed" { long_only; push_says_what_is_pushed; }
@test "podman: oci labels say where it is from" { long_only; oci_labels_say_where_it_is_from; }

@test "podman: prune: superseded images go" { superseded_images_go; }
@test "podman: prune: images of others and in use stay" { long_only; images_of_others_and_in_use_stay; }
@test "podman: prune: what left the configuration goes" { long_only; what_left_the_configuration_goes; }

@test "podman: state: a fresh machine builds nothing that the registry has" {
  a_fresh_machine_builds_nothing_that_the_registry_has
}
@test "podman: state: a parent is pulled where its child is built" { a_parent_is_pulled_where_its_child_is_built; }
@test "podman: state: a new name of what the registry has is set there" {
  long_only
  a_new_name_of_what_the_registry_has_is_set_there
}
@test "podman: state: a registry without an answer is no obstacle" {
  long_only
  a_registry_without_an_answer_is_no_obstacle
}
@test "podman: state: what is to be built anew is" { long_only; what_is_to_be_built_anew_is; }
@test "podman: state: what changed during its build is found by nobody" {
  long_only
  what_changed_during_its_build_is_found_by_nobody
}
@test "podman: state: what is built on a base that nobody knows is not found by it" {
  long_only
  what_is_built_on_a_base_that_nobody_knows_is_not_found_by_it
}
