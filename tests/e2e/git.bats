#!/usr/bin/env bats
# Images from git: over git://, http, ssh and a local path, on Buildah. What counts is what the build sees of its own
# subtree, not which commit it stands in.

load common
load git_servers

setup_file() { own_buildah; }
teardown_file() { end_buildah; }

setup() {
  project
  projects=$BATS_TEST_TMPDIR/projects
  repository project
}

teardown() { stop_git_servers "$BATS_TEST_TMPDIR/servers"; }

# A repository with a subdirectory `web` that is a context, and something beside it.
repository() {
  mkdir -p "$projects/$1/web"
  git -C "$projects/$1" init -q
  printf 'FROM scratch\nCOPY . /\n' >"$projects/$1/web/Dockerfile"
  printf 'notes\n' >"$projects/$1/web/.dockerignore"
  echo one >"$projects/$1/web/page"
  printf '#!/bin/sh\n' >"$projects/$1/web/tool"
  chmod 755 "$projects/$1/web/tool"
  ln -s page "$projects/$1/web/link"
  echo elsewhere >"$projects/$1/other"
  commit "$1" first
}

commit() {
  git -C "$projects/$1" add -A
  git -C "$projects/$1" commit -qm "$2"
}

config() {
  {
    printf 'builder:\n  engine: buildah\n  images:\n'
    cat
  } >imagewright.yml
}

# The whole story for one way to reach the repository; $1 is the `from`.
builds_once_and_again_when_its_subtree_changes() {
  config <<<"  - {name: git/web, from: $1}"
  run iw build
  [ "$status" -eq 0 ]
  [[ "$output" == "built git/web in "*"(never built)" ]]
  run iw build
  [ "$status" -eq 0 ]
  [ -z "$output" ]

  echo moved >"$projects/project/other"
  commit project "beside the subtree"
  run iw build
  [ "$status" -eq 0 ]
  [ -z "$output" ]

  echo two >"$projects/project/web/page"
  commit project "in the subtree"
  run iw status --exit-code
  [ "$status" -eq 1 ]
  [[ "$output" == "git/web  stale       content: 1 changed: page"* ]]
  run iw build
  [ "$status" -eq 0 ]
  [[ "$output" == "built git/web in "*"(content: 1 changed: page)" ]]
  unpack_buildah git/web "$BATS_TEST_TMPDIR/image"
  [ "$(cat "$BATS_TEST_TMPDIR/image/page")" = two ]
  [ "$(readlink "$BATS_TEST_TMPDIR/image/link")" = page ]
  [ "$(stat -c %a "$BATS_TEST_TMPDIR/image/tool")" = 755 ]
  [ "$(stat -c %a "$BATS_TEST_TMPDIR/image/page")" = 644 ]
}

@test "git: over git://, its own subtree decides" {
  start_git_daemon "$BATS_TEST_TMPDIR/servers" "$projects"
  builds_once_and_again_when_its_subtree_changes "'$git_daemon_url/project#main:web'"
}

@test "git: over http, its own subtree decides" {
  start_git_http "$BATS_TEST_TMPDIR/servers" "$projects"
  builds_once_and_again_when_its_subtree_changes "'$git_http_url/project/.git#:web'"
}

@test "git: over ssh, its own subtree decides" {
  start_git_ssh "$BATS_TEST_TMPDIR/servers"
  builds_once_and_again_when_its_subtree_changes "'$git_ssh_url$projects/project#main:web'"
}

@test "git: from a path on this machine, its own subtree decides" {
  builds_once_and_again_when_its_subtree_changes "{git: ../projects/project, branch: main, subdir: web}"
}

@test "git: a path on this machine is against the configuration, or in the original's form the working directory" {
  mkdir elsewhere
  config <<<"  - {name: git/web, from: {git: ../../projects/project, subdir: web}}"
  mv imagewright.yml elsewhere
  run iw context git/web elsewhere/imagewright.yml
  [ "$status" -eq 0 ]
  [[ "$output" == *page* ]]
  sed -i 's#../../projects#../projects#' elsewhere/imagewright.yml
  run iw elsewhere/imagewright.yml -n
  [ "$status" -eq 0 ]
  [[ "$output" == "would build git/web"* ]]
}

@test "git: a commit that changes only what the ignore file leaves out builds nothing" {
  config <<<"  - {name: git/web, from: {git: $projects/project, subdir: web}}"
  iw build
  echo more >"$projects/project/web/notes"
  commit project notes
  run iw build -v
  [ "$status" -eq 0 ]
  [[ "$output" == *"Build? False"* ]]
}

@test "git: branch, tag, annotated tag, commit and ref name what they say" {
  git -C "$projects/project" tag plain
  git -C "$projects/project" tag -a -m note annotated
  git -C "$projects/project" update-ref refs/changes/1 HEAD
  local first
  first=$(git -C "$projects/project" rev-parse HEAD)
  git -C "$projects/project" checkout -qb topic/x
  echo topic >"$projects/project/web/page"
  commit project topic
  git -C "$projects/project" checkout -q main
  echo later >"$projects/project/web/page"
  commit project later
  start_git_daemon "$BATS_TEST_TMPDIR/servers" "$projects"
  local url=$git_daemon_url/project
  config <<EOF
  - {name: git/default, from: {git: $url, subdir: web}}
  - {name: git/branch, from: {git: $url, branch: topic/x, subdir: web}}
  - {name: git/plain, from: {git: $url, tag: plain, subdir: web}}
  - {name: git/annotated, from: '$url#annotated:web'}
  - {name: git/commit, from: {git: $url, commit: $first, subdir: web}}
  - {name: git/ref, from: '$url#refs/changes/1:web'}
EOF
  local image expected
  for image in default=later branch=topic plain=one annotated=one commit=one ref=one; do
    expected=$(sha256sum <<<"${image#*=}" | cut -d' ' -f1)
    run --separate-stderr iw context "git/${image%=*}" --json
    [ "$status" -eq 0 ]
    [ "$(jq -r '.[] | select(.path == "page").digest' <<<"$output")" = "sha256:$expected" ]
  done
}

@test "git: images of one repository cost one question a run, and none where commits are named" {
  start_git_daemon "$BATS_TEST_TMPDIR/servers" "$projects"
  local url=$git_daemon_url/project commit
  commit=$(git -C "$projects/project" rev-parse HEAD)
  config <<EOF
  - {name: git/a, from: '$url#main:web'}
  - {name: git/b, from: '$url#:web'}
  - {name: git/c, from: {git: $url, commit: $commit, subdir: web}}
EOF
  # A git of our own on PATH that counts the questions.
  mkdir "$BATS_TEST_TMPDIR/bin"
  cat >"$BATS_TEST_TMPDIR/bin/git" <<EOF
#!/bin/sh
case " \$* " in *" ls-remote "*) echo asked >>"$BATS_TEST_TMPDIR/asked" ;; esac
exec $(command -v git) "\$@"
EOF
  chmod 755 "$BATS_TEST_TMPDIR/bin/git"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH run iw build -n
  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 3 ]
  [ "$(wc -l <"$BATS_TEST_TMPDIR/asked")" -eq 1 ]
}

@test "git: an unchanged run needs neither a checkout nor the mirror's files" {
  config <<<"  - {name: git/web, from: {git: $projects/project, subdir: web}}"
  iw build
  run ls -A "$XDG_CACHE_HOME/imagewright/checkouts"
  [ -z "$output" ]
  run iw build
  [ "$status" -eq 0 ]
  [ -z "$output" ]
}

@test "git: without its cache the next run builds nothing either" {
  config <<<"  - {name: git/web, from: {git: $projects/project, subdir: web}}"
  iw build
  rm -rf "$XDG_CACHE_HOME/imagewright/git" "$XDG_CACHE_HOME/imagewright/trees"
  run iw build -v
  [ "$status" -eq 0 ]
  [[ "$output" == *"Build? False"* ]]
}

@test "git: a missing ref, repository or subdirectory fails that image alone and names it" {
  directory_image fine
  config <<EOF
  - {name: git/ref, from: {git: $projects/project, branch: none}}
  - {name: git/repository, from: {git: $projects/none}}
  - {name: git/subdir, from: {git: $projects/project, subdir: none}}
  - {name: git/fine, from: fine}
EOF
  run iw build
  [ "$status" -eq 1 ]
  [[ "$output" == *"failed git/ref: "*none* ]]
  [[ "$output" == *"failed git/repository: "*none* ]]
  [[ "$output" == *"failed git/subdir: "*none* ]]
  [[ "$output" == *"built git/fine"* ]]
  run --separate-stderr iw status --json
  [ "$status" -eq 1 ]
  [ "$(jq -r '[.[].state] | join(" ")' <<<"$output")" = "unknown unknown unknown up-to-date" ]
}

@test "git: a server that is away fails the image and is believed to have changed nothing" {
  start_git_daemon "$BATS_TEST_TMPDIR/servers" "$projects"
  config <<<"  - {name: git/web, from: '$git_daemon_url/project#main:web'}"
  iw build
  stop_git_servers "$BATS_TEST_TMPDIR/servers"
  run iw build
  [ "$status" -eq 1 ]
  [[ "$output" == "failed git/web: "* ]]
  [ "$(sqlite3 .builder.state.db "select count(*) from image_state")" -eq 1 ]
}

@test "git: a subdirectory that is a symlink out of the tree is refused" {
  ln -s /etc "$projects/project/evil"
  commit project evil
  config <<<"  - {name: git/evil, from: {git: $projects/project, subdir: evil}}"
  run iw build
  [ "$status" -eq 1 ]
  [[ "$output" == *"failed git/evil: "*"symlink"* ]]
}

@test "git: a Dockerfile that is a symlink out of the tree is refused" {
  rm "$projects/project/web/Dockerfile"
  ln -s /etc/passwd "$projects/project/web/Dockerfile"
  commit project evil
  config <<<"  - {name: git/evil, from: {git: $projects/project, subdir: web}}"
  run iw build
  [ "$status" -eq 1 ]
  [[ "$output" == *"leads out of the repository's directory"* ]]
}

@test "git: an ignore file that is a symlink out of the tree is refused" {
  rm "$projects/project/web/.dockerignore"
  ln -s /etc/passwd "$projects/project/web/.dockerignore"
  commit project evil
  config <<<"  - {name: git/evil, from: {git: $projects/project, subdir: web}}"
  run iw build
  [ "$status" -eq 1 ]
  [[ "$output" == *"leads out of the repository's directory"* ]]
}

@test "git: what git could take for an option or a helper is refused before git is started" {
  local from
  for from in "'git://-oProxyCommand=x/y'" "{git: '--upload-pack=touch /tmp/x'}" "'git://host/x#--upload-pack=x'" \
    "{git: 'ext::sh -c x'}" "'git://host/x#main:../..'" "{git: ../projects/project, subdir: ../..}" \
    "{git: 'file:///x'}" "{git: https://host/x, branch: \"-x\"}"; do
    config <<<"  - {name: git/evil, from: $from}"
    PATH=/nonexistent run iw status
    echo "$from: $output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"imagewright.yml:4:"* ]]
  done
}

@test "git: a password in a URL is used, and is in no log, state, cache, JSON or message" {
  start_git_http "$BATS_TEST_TMPDIR/servers" "$projects" someone secretword
  config <<<"  - {name: git/web, from: '${git_http_url/\/\//\/\/someone:secretword@}/project/.git#main:web'}"
  run iw build -vv
  [ "$status" -eq 0 ]
  [[ "$output" != *secretword* ]]
  local command
  for command in "config --json" config "why git/web" "why git/web --json" "history --json" "log git/web" "log git/web --json" \
    "graph --json" "context git/web --json" "build --json -n --force" "prune --json"; do
    # shellcheck disable=SC2086 # several words
    run iw $command
    [[ "$output" != *secretword* ]]
  done
  run iw status --json
  [ "$(jq -r '.[0].state' <<<"$output")" = up-to-date ]
  [[ "$output" != *secretword* ]]
  run grep -rlI secretword "$XDG_CACHE_HOME" "$XDG_STATE_HOME" .builder.state.db
  [ -z "$output" ]
  run ! grep -q secretword .builder.state.db

  sed -i 's/secretword/wrongword/' imagewright.yml
  run iw build
  [ "$status" -eq 1 ]
  [[ "$output" != *wrongword* ]]
}

@test "git: the same tree at another commit, in another clone, builds nothing" {
  config <<<"  - {name: git/web, from: {git: $projects/project, subdir: web}}"
  iw build
  git clone -q "$projects/project" "$projects/clone"
  git -C "$projects/clone" commit -q --allow-empty -m empty
  sed -i 's#projects/project#projects/clone#' imagewright.yml
  run iw build -v
  [ "$status" -eq 0 ]
  [[ "$output" == *"Build? False"* ]]
}

@test "git: a commit beside the subtrees of a hundred images builds nothing and fetches next to nothing" {
  exercised lighttpd
  local number
  git init -q mono
  git -C mono config uploadpack.allowFilter true
  mkdir -p mono/other
  for number in {1..20}; do head -c 100000 /dev/urandom >"mono/other/$number"; done
  printf 'builder:\n  images:\n' >imagewright.yml
  start_git_http "$BATS_TEST_TMPDIR/servers" "$PWD"
  for number in {1..100}; do
    mkdir -p "mono/images/$number"
    printf 'FROM scratch\nCOPY x /\n' >"mono/images/$number/Dockerfile"
    echo "$number" >"mono/images/$number/x"
    printf '  - {name: e2e/mono%s, from: {git: "%s/mono/.git", subdir: images/%s}}\n' "$number" "$git_http_url" "$number" \
      >>imagewright.yml
  done
  git -C mono add . && git -C mono commit -qm first
  # (What an engine would make of them is no matter here.)
  iw status --json >before.json
  equal "$(jq -r '[.[].state] | unique | join(",")' before.json)" stale
  echo more >mono/other/more
  git -C mono add . && git -C mono commit -qm second
  iw status --json >after.json
  equal "$(jq -c '[.[] | [.name, .reasons]]' after.json)" "$(jq -c '[.[] | [.name, .reasons]]' before.json)"
  # One question (ours is the last of that name; the server writes its log when it likes to), and one fetch of the trees
  # above.
  local log=$BATS_TEST_TMPDIR/servers/access.log bytes requests
  stop_git_servers "$BATS_TEST_TMPDIR/servers"
  equal "$(grep -c imagewright "$log")" 2
  read -r requests bytes <<<"$(tac "$log" | awk '{ count++; sum += $10 } /imagewright/ { exit } END { print count, sum }')"
  echo "$bytes bytes in $requests requests" >&2
  [ "$bytes" -lt 20000 ]
  [ "$requests" -le 4 ]
}

@test "git: a mirror that was not used for long is pruned, and fetched again when it is wanted" {
  config <<<"  - {name: git/web, from: {git: '$projects/project', subdir: web}}"
  iw build
  local mirrors=$XDG_CACHE_HOME/imagewright/git
  count() { find "$mirrors" -name '*.git' | wc -l; }
  [ "$(count)" -ge 1 ]
  iw prune --yes
  [ "$(count)" -ge 1 ]
  find "$mirrors" -name '*.lock' -exec touch -d '40 days ago' {} +
  [[ "$(iw prune)" == *"was not used for 30 days"* ]]
  iw prune --yes
  equal "$(count)" 0
  run iw build # what is known of the tree needs no mirror
  equal "$status $output" "0 "
  echo two >"$projects/project/web/page"
  commit project "in the subtree"
  run iw build
  [ "$status" -eq 0 ]
  equal "$(count)" 1
}

@test "git: without a ref the branch is that of HEAD" {
  start_git_http "$BATS_TEST_TMPDIR/servers" "$projects"
  git -C "$projects/project" branch -m trunk
  local url
  for url in "$git_http_url/project/.git" "$projects/project"; do
    config <<<"  - {name: git/web, from: {git: '$url', subdir: web}, tags: [':{git.branch}']}"
    run iw build
    [ "$status" -eq 0 ]
    [[ "$output" == *"tagged git/web as git/web:trunk"* || "$output" == "" ]]
    buildah inspect --type image git/web:trunk >/dev/null
    buildah rmi git/web:trunk >/dev/null
    rm -f .builder.state.db*
  done
}

@test "git: submodules are part of an image where it asks for them, and not believed otherwise" {
  mkdir -p "$projects/lib"
  git -C "$projects/lib" init -q
  echo one >"$projects/lib/part"
  commit lib first
  # Below the context, and at a URL that is relative to the repository's.
  local id
  submodule() {
    id=$(git -C "$projects/lib" rev-parse HEAD)
    printf '[submodule "lib"]\n\tpath = web/lib\n\turl = %s\n' "$1" >"$projects/project/.gitmodules"
    git -C "$projects/project" add .gitmodules
    git -C "$projects/project" update-index --add --cacheinfo "160000,$id,web/lib"
    git -C "$projects/project" commit -qm submodule
  }
  submodule ../../lib/.git
  start_git_http "$BATS_TEST_TMPDIR/servers" "$projects"
  config <<<"  - {name: git/web, from: '$git_http_url/project/.git#:web', submodules: true}
  - {name: git/bare, from: '$git_http_url/project/.git#:web'}"
  iw build
  unpack_buildah git/web "$BATS_TEST_TMPDIR/web"
  equal "$(cat "$BATS_TEST_TMPDIR/web/lib/part")" one
  unpack_buildah git/bare "$BATS_TEST_TMPDIR/bare"
  [ ! -e "$BATS_TEST_TMPDIR/bare/lib/part" ]
  run iw build
  equal "$status $output" "0 "

  # A commit of the submodule alone changes nothing; that it is the one to use does, for who asks for it.
  echo two >"$projects/lib/part"
  commit lib second
  run iw build
  equal "$status $output" "0 "
  submodule ../../lib/.git
  run iw build
  [ "$status" -eq 0 ]
  equal "$(sed 's/ in [0-9.]* s//' <<<"$output")" "built git/web (content: 1 changed: lib/part)"

  echo more >"$projects/project/web/page"
  git -C "$projects/project" add web/page
  submodule "file://$projects/lib"
  run iw build
  [ "$status" -eq 1 ]
  [[ "$output" == *"failed git/web: "*"'web/lib': a submodule: its URL has the scheme 'file', which is not available"* ]]
}

@test "git: large files are part of an image where it asks for them, and come without the repository's password" {
  (
    cd "$projects/project"
    git lfs install --local >/dev/null
    echo '*.big filter=lfs diff=lfs merge=lfs -text' >.gitattributes
    head -c 300000 /dev/zero | tr '\0' x >web/data.big
  )
  local port server
  port=$(free_port)
  printf '[lfs]\n\turl = http://127.0.0.1:%s/store\n' "$port" >"$projects/project/.lfsconfig"
  commit project large
  python3 "$BATS_TEST_DIRNAME/lfs_server.py" "$port" "$projects/project/.git/lfs/objects" "$BATS_TEST_TMPDIR/lfs.log" 3>&- &
  server=$!
  until_true 20 port_is_open "$port"
  start_git_http "$BATS_TEST_TMPDIR/servers" "$projects" me secret
  local with_login=${git_http_url/:\/\//://me:secret@}
  config <<<"  - {name: git/web, from: '$with_login/project/.git#:web', lfs: true}
  - {name: git/bare, from: '$with_login/project/.git#:web'}"
  run iw build
  kill "$server"
  equal "$status" 0
  unpack_buildah git/web "$BATS_TEST_TMPDIR/web"
  cmp "$BATS_TEST_TMPDIR/web/data.big" "$projects/project/web/data.big"
  unpack_buildah git/bare "$BATS_TEST_TMPDIR/bare"
  [[ "$(cat "$BATS_TEST_TMPDIR/bare/data.big")" == "version https://git-lfs.github.com/spec/v1"* ]]
  # Its server is another one than the repository's.
  equal "$(awk '{ print $1, $3 }' "$BATS_TEST_TMPDIR/lfs.log" | sort -u | paste -sd,)" "GET -,POST -"
  run grep -rl secret "$XDG_CACHE_HOME"
  [ -z "$output" ]
  run iw build
  equal "$status $output" "0 "
}

@test "git: what says of submodules and large files above a subdirectory counted only in an empty cache" {
  local id page=$projects/project/web/page.big
  git -C "$projects/project" config filter.lfs.required false
  printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 6\n' "$(printf 'large\n' | sha256sum | cut -d' ' -f1)" >"$page"
  commit project pointer
  id=$(printf 'large\n' | sha256sum | cut -d' ' -f1)
  mkdir -p "$projects/project/.git/lfs/objects/${id:0:2}/${id:2:2}"
  printf 'large\n' >"$projects/project/.git/lfs/objects/${id:0:2}/${id:2:2}/$id"
  config <<<"  - {name: git/web, from: {git: $projects/project, subdir: web}, lfs: true}"
  iw build
  echo '*.big filter=lfs' >"$projects/project/.gitattributes"
  git -C "$projects/project" add .gitattributes
  git -C "$projects/project" commit -qm attributes
  run iw build
  [ "$status" -eq 0 ]
  equal "$(sed 's/ in [0-9.]* s//' <<<"$output")" "built git/web (content: 1 changed: page.big)"
  unpack_buildah git/web "$BATS_TEST_TMPDIR/image"
  equal "$(cat "$BATS_TEST_TMPDIR/image/page.big")" large
}
