#!/usr/bin/env bats
# Docker, the real program with a daemon of its own: BuildKit, and the classic builder where nothing better is there.
#
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

setup_file() {
  own_buildah
  [ -z "$(PATH=$PATH:/usr/sbin:/sbin type -P dockerd)" ] || start_dockerd
}

teardown_file() {
  stop_dockerd
  end_buildah
}

setup() {
  exercised docker dockerd
  ENGINE=docker
  setup_engine_test
}

teardown() { [ -z "${ENGINE:-}" ] || teardown_engine_test; }

@test "docker: an unchanged second run builds nothing" { unchanged_second_run_builds_nothing; }
@test "docker: the image holds exactly the directory" { image_holds_exactly_the_directory; }
@test "docker: arguments, target and labels reach the image" { arguments_target_and_labels_reach_the_image; }
@test "docker: nothing old comes from its memory" { nothing_old_comes_from_the_engines_memory; }
@test "docker: the image id in the state is the engine's" { image_id_in_the_state_is_the_engines; }
@test "docker: an image that is gone from the engine is built again" { image_gone_from_the_engine_is_built_again; }
@test "docker: new bytes under the same size, mode and mtime reach the image" { secret_edit_reaches_the_image; }
@test "docker: a Dockerfile edited that way counts" { secret_edit_of_the_dockerfile_reaches_the_image; }
@test "docker: two directories that look alike are kept apart" { directories_that_look_alike_are_kept_apart; }
@test "docker: a change and its undoing during a RUN step are noticed" { there_and_back_during_a_run_step; }
@test "docker: what it took meanwhile does not stay" { there_and_back_where_the_engine_took_the_other; }
@test "docker: Ctrl-C ends it and keeps what is finished" { interrupt_ends_the_engine INT 130; }
@test "docker: TERM does the same" { interrupt_ends_the_engine TERM 143; }
@test "docker: runs leave nothing in the caches" { runs_leave_nothing_in_the_caches; }
@test "docker: a build by hand before ours does no harm" { build_by_hand_before_ours; }
@test "docker: a changed extended attribute reaches the image" { changed_xattr_reaches_the_image; }
@test "docker: a RUN that mounts the context sees only what counts" { run_that_mounts_sees_only_what_counts; }

@test "docker: what no instruction reads does not count" { what_no_instruction_reads_does_not_count; }
@test "docker: the context command shows what counts" { the_context_command_shows_what_counts; }
@test "docker: narrow: false counts all of it" { narrow_false_counts_all_of_it; }
@test "docker: the whole context says why it counts" { the_whole_context_says_why_it_counts; }
@test "docker: what symlinks lead to counts" { what_symlinks_lead_to_counts; }
@test "docker: a base of the file brings its triggers" { a_base_of_the_file_brings_its_triggers; }
@test "docker: directories stand beside the context" { directories_stand_beside_the_context; }
@test "docker: images of directories go with the run" { images_of_directories_go_with_the_run; }
@test "docker: directories are for a frontend that is known" { directories_are_for_a_frontend_that_is_known; }
@test "docker: a stage that is not needed has its files" { a_stage_that_is_not_needed_has_its_files; }
@test "docker: a base that comes with the build is known after it" { a_base_that_comes_with_the_build_is_known_after_it; }
@test "docker: a failure is known as one again" { a_failure_is_known_as_one_again; }
@test "docker: narrowing misses no change" {
  docker_with_buildkit >/dev/null || skip "not exercised here: no docker CLI with BuildKit built in"
  local cases=6
  ! is_long || cases=300
  PATH=$(dirname "$(docker_with_buildkit)"):$PATH \
    python3 "$BATS_TEST_DIRNAME/../differential/reach.py" "$(realpath "$IMAGEWRIGHT")" "$cases" "$RANDOM"
}

@test "docker: a child comes after its parent and has what it has" { a_child_comes_after_its_parent_and_has_what_it_has; }
@test "docker: files and mounts come from other images" { files_and_mounts_come_from_other_images; }
@test "docker: a tag that moves in between changes nothing" { a_tag_that_moves_in_between_changes_nothing; }
@test "docker: a parent rebuilt to the same id stops there" { a_parent_rebuilt_to_the_same_id_stops_there; }
@test "docker: a failed parent skips its children and no others" { a_failed_parent_skips_its_children_and_no_others; }

@test "docker: a file changed during the build is built next time" {
  # BuildKit takes the context before the first step: the image has what was fingerprinted, but nobody can tell.
  change_during_the_build_is_built_next_time
}

@test "docker: plain builds by hand ship old bytes, ours after them the new ones" {
  docker_with_buildkit >/dev/null || skip "not exercised here: no docker CLI with BuildKit built in"
  directory_image test
  touch -d '2021-02-03 04:05:06' test/file.txt
  build_by_hand "$image-plain" test
  edit_secretly test/file.txt "other txt"
  build_by_hand "$image-plain" test
  # The point: BuildKit remembers the directory by its name, and compares size, mode and mtime only.
  [ "$(content "$image-plain" file.txt)" = "some text" ]
  one_image test
  run_build
  [ "$status" -eq 0 ]
  [ "$(content "$image" file.txt)" = "other txt" ]
  # And what we handed over does not mend or spoil what is done by hand.
  edit_secretly test/file.txt "third txt"
  run_build
  [ "$(content "$image" file.txt)" = "third txt" ]
}

@test "docker: by hand, a directory of the same name gets the other's bytes; ours does not" {
  docker_with_buildkit >/dev/null || skip "not exercised here: no docker CLI with BuildKit built in"
  local one
  for one in first other; do
    directory_image "$one/alike"
    echo "from $one" >"$one/alike/file.txt"
    touch -d '2021-02-03 04:05:06' "$one/alike/file.txt" "$one/alike/Dockerfile" "$one/alike"
    (cd "$one/alike" && build_by_hand "$image-$one" .)
  done
  [ "$(content "$image-other" file.txt)" = "from first" ]
  one_image other/alike
  run_build
  [ "$(content "$image" file.txt)" = "from other" ]
}

@test "docker: found by itself where a daemon answers; the file and --engine choose otherwise" {
  directory_image test
  one_image test
  run_build
  [ "$(engine_used)" = docker ]
  sed -i 's/^builder:/&\n  engine: buildah/' imagewright.yml
  run_build
  [ "$status" -eq 0 ]
  [ "$(reasons)" = "image is gone from buildah" ]
  [ "$(engine_used)" = buildah ]
  run_build
  [ "$built" = "" ]
  run_build --engine docker
  [ "$status" -eq 0 ]
  [ "$(engine_used)" = docker ]
  sed -i 's/engine: buildah/engine: docker/' imagewright.yml
  run_build
  [ "$built" = "" ]
}

@test "docker: the context named by the docker CLI's configuration is asked, too" {
  directory_image test
  one_image test
  docker context create mine --docker "host=$DOCKER_HOST" >/dev/null
  unset DOCKER_HOST
  export DOCKER_CONTEXT=mine
  run_build
  [ "$status" -eq 0 ]
  [ "$(engine_used)" = docker ]
  docker image inspect "$image" >/dev/null
  run_build
  [ "$built" = "" ]
}

# A PATH on which docker cannot use BuildKit: a CLI from 23 on without buildx, or one that says it is.
classic_path() {
  mkdir classic
  local real
  if real=$(docker_without_buildkit); then
    ln -s "$real" classic/docker
  else
    real=$(type -P docker)
    cat >classic/docker <<END
#!/bin/bash
case \$1 in
  --version) echo "Docker version 28.0.0, build 0000000" ;;
  buildx) exit 1 ;;
  *) exec "$real" "\$@" ;;
esac
END
    chmod +x classic/docker
  fi
  classic=$PWD/classic
  iw() { PATH=$classic "$IMAGEWRIGHT" "$@"; }
}

@test "docker: without BuildKit the classic builder serves, with a warning, and the image is right" {
  classic_path
  directory_image test
  mkdir -p test/a/closed test/empty
  echo no >test/secret
  echo no >test/a/no.tmp
  echo yes >test/a/closed/file
  ln -s a/closed test/link
  printf 'secret\n**/*.tmp\nDockerfile*\n' >test/.dockerignore.wins
  chmod 0555 test/a/closed
  chmod 0600 test/a/closed/file
  # The rules that win stand beside the Dockerfile: what only .dockerignore leaves out counts.
  echo file.txt >test/.dockerignore
  mv test/.dockerignore.wins test/Dockerfile.dockerignore
  one_image test
  local both
  both=$(iw build 2>&1)
  [[ "$both" == *"warning: "*"cannot use BuildKit here"*"classic builder, which leaves .dockerignore out"* ]]
  [[ "$both" == *"built $image in "* ]]
  grep -q '^Step 1/' <(iw log "$image") # or it was not the classic one
  unpack "$image" got
  cp -a test expected
  rm expected/secret expected/a/no.tmp expected/Dockerfile* expected/.dockerignore
  diff <(listing expected) <(listing got)
  run_build
  [ "$built" = "" ]
  [ "$errors" = "" ]
  touch -d '2021-02-03 04:05:06' test/file.txt
  edit_secretly test/file.txt "other txt"
  run_build
  [ "$status" -eq 0 ]
  [ "$built" = "$image" ]
  [ "$(engine_id "$image")" = "$(state "select image_id from image_state")" ]
  [ "$(content "$image" file.txt)" = "other txt" ]
}

@test "docker: the classic builder has the files of a stage that is not needed" {
  classic_path
  a_stage_that_is_not_needed_has_its_files
}

@test "docker: the classic builder's failing and interrupted builds leave no container" {
  classic_path
  held_image slow
  printf 'FROM scratch\nCOPY busybox /\nRUN ["/busybox","false"]\n' >failing.Dockerfile
  cat >imagewright.yml <<END
builder:
  images:
  - {name: $image-failing, from: slow, dockerfile: ../failing.Dockerfile}
  - {name: $image, from: slow}
END
  PATH=$classic start_build --json -j 1
  until_true 30 holds
  kill -INT "$run_pid"
  end_of_build
  [ "$status" -eq 130 ]
  until_true 15 holds_no_more
  until_true 5 no_containers
  [ "$(state "select name, result from build order by id")" = "$image-failing|failed
$image|interrupted" ]
}
no_containers() { [ "$(docker ps -aq)" = "" ]; }

@test "docker: a failing build fails the image and keeps the last success" {
  directory_image test
  one_image test
  run_build
  local before
  before=$(state "select * from image_state")
  echo 'COPY missing /' >>test/Dockerfile
  run --separate-stderr iw build
  [ "$status" -eq 1 ]
  [[ "$stderr" == *"failed $image: docker build ended with status 1"* ]]
  [[ "$stderr" == *"  | "*missing*"the whole log: /"* ]]
  [ "$(state "select * from image_state")" = "$before" ]
}

@test "docker: secrets reach the build and nothing else" { secrets_reach_the_build_and_nothing_else; }
@test "docker: network and extra_hosts reach the build" { options_reach_the_build; }

@test "docker: no_cache and pull" { steps_are_taken_anew_where_that_is_asked_for; }
@test "docker: a Dockerfile stands in the configuration" { a_dockerfile_stands_in_the_configuration; }
@test "docker: shm_size, which BuildKit 20.10 takes no notice of, is refused" {
  an_option_is_refused 'shm_size: 32m' shm_size 'its builder takes no notice of it'
}
@test "docker: ulimits, which BuildKit 20.10 takes no notice of, are refused" {
  an_option_is_refused 'ulimits: {nofile: 100}' ulimits 'its builder takes no notice of it'
}
@test "docker: cache_to and privileged are refused" {
  an_option_is_refused 'cache_to: [type=inline]' cache_to 'it cannot write a cache elsewhere'
  an_option_is_refused 'privileged: true' privileged 'it gives no step more rights than others'
}

# Those names of an image that only we make.
own_tags() {
  docker image inspect --format '{{range .RepoTags}}{{println .}}{{end}}' "$1" | grep '^imagewright.invalid/' || true
}

@test "docker: the names by which a child was built on its parent go, also those of a run that was killed" {
  directory_image parent
  held_image child
  sed -i "1s|scratch|$image-parent|" child/Dockerfile
  configuration imagewright.yml "$image" child "$image-parent" parent
  start_build
  until_true 30 holds
  [ "$(own_tags "$image-parent" | wc -l)" -eq 1 ]
  let_go
  end_of_build 30
  [ "$status" -eq 0 ]
  equal "$(own_tags "$image-parent")" ""
  # Killed, it cannot take them away. (The step is another one, so that it is not found among the earlier ones.)
  echo "other text" >parent/file.txt
  start_build
  until_true 30 holds
  kill_held_run
  [ "$(own_tags "$image-parent" | wc -l)" -eq 1 ]
  make_old
  printf '%s\n' "COPY file.txt /again" >>child/Dockerfile
  hold=
  sed -i '/sleep/d' child/Dockerfile
  run_build
  [ "$status" -eq 0 ]
  equal "$(own_tags "$image-parent")" ""
  [ "$(engine_id "$image-parent")" = "$(state "select image_id from image_state where name = '$image-parent'")" ]
}

@test "docker: a base that moved is named and built on" { a_base_that_moved_is_named_and_built_on; }
@test "docker: an index that grew a platform builds nothing" { an_index_that_grew_a_platform_builds_nothing; }
@test "docker: a registry that is down builds nothing" { a_registry_that_is_down_builds_nothing; }
@test "docker: the build gets the base that was looked at" { the_build_gets_the_base_that_was_looked_at; }
@test "docker: copied and mounted images are bases too" { copied_and_mounted_images_are_bases_too; }
@test "docker: the engine's own image is a base" { the_engines_own_image_is_a_base; }
@test "docker: with track base local nothing is pulled" { with_track_base_local_nothing_is_pulled; }
@test "docker: with track base off the name is all" { with_track_base_off_the_name_is_all; }
@test "docker: a registry's base narrows the context" { a_registrys_base_narrows_the_context; }

@test "docker: names are set and pushed" { names_are_set_and_pushed; }
@test "docker: only a name changed" { only_a_name_changed; }
@test "docker: a name that was moved away is set again" { a_name_that_was_moved_away_is_set_again; }
@test "docker: a failed push is no failed build" { a_failed_push_is_no_failed_build; }
@test "docker: together all or none" { together_all_or_none; }
@test "docker: several platforms are an index" { several_platforms_are_an_index; }
@test "docker: an index moves when all its images are there" { an_index_moves_when_all_its_images_are_there; }
@test "docker: what the registry lost is pushed again" { what_the_registry_lost_is_pushed_again; }
@test "docker: push says what is pushed" { push_says_what_is_pushed; }
@test "docker: oci labels say where it is from" { oci_labels_say_where_it_is_from; }

@test "docker: prune: superseded images go" { superseded_images_go; }
@test "docker: prune: images of others and in use stay" { images_of_others_and_in_use_stay; }
@test "docker: prune: what left the configuration goes" { what_left_the_configuration_goes; }

@test "docker: state: a fresh machine builds nothing that the registry has" {
  a_fresh_machine_builds_nothing_that_the_registry_has
}
@test "docker: state: a parent is pulled where its child is built" { a_parent_is_pulled_where_its_child_is_built; }
@test "docker: state: a new name of what the registry has is set there" { a_new_name_of_what_the_registry_has_is_set_there; }
@test "docker: state: a registry without an answer is no obstacle" { a_registry_without_an_answer_is_no_obstacle; }
@test "docker: state: what is to be built anew is" { what_is_to_be_built_anew_is; }
@test "docker: state: what changed during its build is found by nobody" { what_changed_during_its_build_is_found_by_nobody; }
@test "docker: state: what is built on a base that nobody knows is not found by it" {
  what_is_built_on_a_base_that_nobody_knows_is_not_found_by_it
}
