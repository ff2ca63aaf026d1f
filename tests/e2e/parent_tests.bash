# What must hold on every engine for images that stand on each other: bodies of tests, as in engine_tests.bash.
#
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # status, built, events come from run_build

# parent and child: $image-parent from parent/ (one file), $image from child/, whose Dockerfile is stdin with PARENT for
# the parent's name.
parent_and_child() {
  directory_image parent
  directory_image child
  sed "s|PARENT|$image-parent|g" >child/Dockerfile
  # The child stands first: the order is found, not read.
  configuration imagewright.yml "$image" child "$image-parent" parent
}

a_child_comes_after_its_parent_and_has_what_it_has() {
  parent_and_child <<'END'
FROM PARENT
COPY file.txt /child.txt
END
  echo from the parent >parent/file.txt
  run_build
  [ "$status" -eq 0 ]
  equal "$built" "$image-parent $image"
  equal "$(content "$image" file.txt)" "from the parent"
  equal "$(content "$image" child.txt)" "some text"
  run_build
  equal "$built" ""
  # One byte of the parent, and both are built, the child because of it.
  echo from the parenT >parent/file.txt
  run_build
  equal "$built" "$image-parent $image"
  equal "$(reasons)" "content: 1 changed: file.txt,parent $image-parent changed"
  equal "$(content "$image" file.txt)" "from the parenT"
}

files_and_mounts_come_from_other_images() {
  directory_image tools
  directory_image data
  echo a tool >tools/file.txt
  cp "$(type -P busybox)" data/busybox
  echo data >data/file.txt
  mkdir child
  cat >child/Dockerfile <<END
ARG DATA=nowhere
FROM \${DATA} AS first
RUN --mount=type=bind,from=$image-tools,source=/,target=/mnt/tools \\
  ["/busybox", "cp", "/mnt/tools/file.txt", "/mounted.txt"]
FROM scratch
COPY --from=first /mounted.txt /
COPY --from=$image-tools:latest \\
  # between
  /file.txt /copied.txt
END
  cat >imagewright.yml <<END
builder:
  images:
  - {name: $image, from: child, args: {DATA: $image-data}}
  - {name: $image-data, from: data}
  - {name: $image-tools, from: tools}
END
  run_build
  [ "$status" -eq 0 ]
  equal "$(content "$image" mounted.txt)" "a tool"
  equal "$(content "$image" copied.txt)" "a tool"
  # What is built says the names that people gave, in its log, too.
  lacks "$(iw log "$image")" imagewright.invalid
  echo a tooL >tools/file.txt
  run_build
  equal "$built" "$image-tools $image"
  equal "$(content "$image" mounted.txt)" "a tooL"
  equal "$(content "$image" copied.txt)" "a tooL"
}

# The parent's name means another image by the time that the child is built.
a_tag_that_moves_in_between_changes_nothing() {
  parent_and_child <<'END'
FROM PARENT
COPY --from=PARENT /file.txt /copied.txt
COPY file.txt /child.txt
END
  directory_image other
  echo the wrong one >other/file.txt
  build_by_hand "$image-other" other
  echo the right one >parent/file.txt
  meddling_engine
  case $ENGINE in
    docker) echo "docker tag $image-other $image-parent" >before ;;
    *) echo "$(type -P "$ENGINE") tag $image-other $image-parent" >before ;;
  esac
  : >after
  PATH=$PWD/meddling:$PATH run_build
  [ "$status" -eq 0 ]
  equal "$built" "$image-parent $image"
  equal "$(content "$image-parent" file.txt)" "the wrong one" # it did move
  equal "$(content "$image" file.txt)" "the right one"
  equal "$(content "$image" copied.txt)" "the right one"
  # And so for a parent that was found, not built.
  rm child/file.txt
  printf 'again\n' >child/file.txt
  PATH=$PWD/meddling:$PATH run_build
  [ "$status" -eq 0 ]
  equal "$built" "$image"
  equal "$(content "$image" file.txt)" "the right one"
}

a_parent_rebuilt_to_the_same_id_stops_there() {
  parent_and_child <<'END'
FROM PARENT
COPY file.txt /child.txt
END
  run_build
  [ "$status" -eq 0 ]
  local before
  before=$(engine_id "$image-parent")
  echo "# a remark" >>parent/Dockerfile
  printf 'Dockerfile\n' >parent/.dockerignore # so that the image stays what it is
  echo "*" >>parent/.dockerignore
  echo "!file.txt" >>parent/.dockerignore
  run_build
  [ "$status" -eq 0 ]
  # (Without the Dockerfile it is another image: once.)
  run_build --force -i "$image-parent"
  before=$(engine_id "$image-parent")
  run_build
  echo "# another remark" >>parent/Dockerfile
  run_build
  [ "$status" -eq 0 ]
  equal "$(engine_id "$image-parent")" "$before"
  equal "$built" "$image-parent"
  equal "$(images_with up-to-date)" "$image"
}

a_failed_parent_skips_its_children_and_no_others() {
  parent_and_child <<'END'
FROM PARENT
COPY file.txt /child.txt
END
  directory_image other
  directory_image grandchild
  sed -i "s|scratch|$image|" grandchild/Dockerfile
  configuration imagewright.yml "$image-grandchild" grandchild "$image" child "$image-parent" parent \
    "$image-other" other
  echo "COPY missing /" >>parent/Dockerfile
  run_build
  [ "$status" -eq 1 ]
  equal "$built" "$image-other"
  equal "$(images_with failed)" "$image-parent"
  equal "$(images_with skipped)" "$image-grandchild $image"
  equal "$(jq -r 'select(.result == "skipped").because' <<<"$events" | sort -u)" "$image-parent"
  expect 1 build
  has "$stderr" "skipped $image: $image-parent failed" "skipped $image-grandchild: $image-parent failed"
  # With the parent mended, all that depends on it comes after all.
  sed -i '/missing/d' parent/Dockerfile
  run_build
  [ "$status" -eq 0 ]
  equal "$built" "$image-parent $image $image-grandchild"
}
