// Webhooks shaped as the services send them, with what `openssl dgst` says of them.
#pragma once

#include <string_view>

namespace imagewright {

inline constexpr std::string_view kSecret = "It's a Secret to Everybody";
inline constexpr std::string_view kSignedSecret =
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
inline constexpr std::string_view kBefore = "1f2e3d4c5b6a79880918273645546372819a0b0c";
inline constexpr std::string_view kAfter = "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f";

inline constexpr std::string_view kGitHubPush = R"json({
 "ref": "refs/heads/main",
 "before": "1f2e3d4c5b6a79880918273645546372819a0b0c",
 "after": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
 "repository": {
  "id": 186853002,
  "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=",
  "name": "app",
  "full_name": "example/app",
  "private": false,
  "owner": {"name": "example", "email": "example@users.noreply.github.com", "login": "example", "id": 21031067, "node_id": "MDQ6VXNlcjE=", "avatar_url": "https://avatars.githubusercontent.com/u/21031067?v=4", "url": "https://api.github.com/users/example", "html_url": "https://github.com/example", "type": "User", "site_admin": false},
  "html_url": "https://github.com/example/app",
  "description": null,
  "fork": false,
  "url": "https://github.com/example/app",
  "hooks_url": "https://api.github.com/repos/example/app/hooks",
  "created_at": 1557933565,
  "updated_at": "2024-05-15T15:20:41Z",
  "pushed_at": 1716000000,
  "git_url": "git://github.com/example/app.git",
  "ssh_url": "git@github.com:example/app.git",
  "clone_url": "https://github.com/example/app.git",
  "svn_url": "https://github.com/example/app",
  "homepage": null,
  "size": 0,
  "language": "C++",
  "default_branch": "main",
  "master_branch": "main"
 },
 "pusher": {"name": "someone", "email": "someone@example.com"},
 "sender": {"login": "someone", "id": 1001, "node_id": "MDQ6VXNlcjE=", "avatar_url": "https://avatars.githubusercontent.com/u/1001?v=4", "url": "https://api.github.com/users/someone", "html_url": "https://github.com/someone", "type": "User", "site_admin": false},
 "created": false,
 "deleted": false,
 "forced": false,
 "base_ref": null,
 "compare": "https://github.com/example/app/compare/1f2e3d4c5b6a...a3b1c5d7e9f1",
 "commits": [
  {
   "id": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
   "tree_id": "31b122c26a97cf9af023e9ddab94a82c6e77b0ea",
   "distinct": true,
   "message": "A change",
   "timestamp": "2024-05-18T04:40:00+02:00",
   "url": "https://github.com/example/app/commit/a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
   "author": {"name": "Some One", "email": "someone@example.com", "username": "someone"},
   "committer": {"name": "Some One", "email": "someone@example.com", "username": "someone"},
   "added": [],
   "removed": [],
   "modified": ["Dockerfile"]
  }
 ],
 "head_commit": {
  "id": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
  "tree_id": "31b122c26a97cf9af023e9ddab94a82c6e77b0ea",
  "distinct": true,
  "message": "A change",
  "timestamp": "2024-05-18T04:40:00+02:00",
  "url": "https://github.com/example/app/commit/a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
  "author": {"name": "Some One", "email": "someone@example.com", "username": "someone"},
  "committer": {"name": "Some One", "email": "someone@example.com", "username": "someone"},
  "added": [],
  "removed": [],
  "modified": ["Dockerfile"]
 }
})json";
inline constexpr std::string_view kGitHubPushHmac =
    "4149338e5cba88a48cc4df8f6a91bd78a91d190b2eefd08ea6f4b90a6ac888a5";

inline constexpr std::string_view kGitHubCreate = R"json({
 "ref": "v1.0",
 "ref_type": "tag",
 "master_branch": "main",
 "description": null,
 "pusher_type": "user",
 "repository": {
  "id": 186853002,
  "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=",
  "name": "app",
  "full_name": "example/app",
  "private": false,
  "owner": {"name": "example", "email": "example@users.noreply.github.com", "login": "example", "id": 21031067, "node_id": "MDQ6VXNlcjE=", "avatar_url": "https://avatars.githubusercontent.com/u/21031067?v=4", "url": "https://api.github.com/users/example", "html_url": "https://github.com/example", "type": "User", "site_admin": false},
  "html_url": "https://github.com/example/app",
  "description": null,
  "fork": false,
  "url": "https://api.github.com/repos/example/app",
  "hooks_url": "https://api.github.com/repos/example/app/hooks",
  "created_at": 1557933565,
  "updated_at": "2024-05-15T15:20:41Z",
  "pushed_at": 1716000000,
  "git_url": "git://github.com/example/app.git",
  "ssh_url": "git@github.com:example/app.git",
  "clone_url": "https://github.com/example/app.git",
  "svn_url": "https://github.com/example/app",
  "homepage": null,
  "size": 0,
  "language": "C++",
  "default_branch": "main",
  "master_branch": "main"
 },
 "sender": {"login": "someone", "id": 1001, "node_id": "MDQ6VXNlcjE=", "avatar_url": "https://avatars.githubusercontent.com/u/1001?v=4", "url": "https://api.github.com/users/someone", "html_url": "https://github.com/someone", "type": "User", "site_admin": false}
})json";
inline constexpr std::string_view kGitHubCreateHmac =
    "3cc42890ecef38a1cdd1a0e0008d2b8a209b21bd4e6772c837c93ce932ace388";

inline constexpr std::string_view kGitHubPing = R"json({
 "zen": "Design for failure.",
 "hook_id": 109948940,
 "hook": {
  "type": "Repository",
  "id": 109948940,
  "name": "web",
  "active": true,
  "events": ["push"],
  "config": {"content_type": "json", "url": "https://builds.example.com/hooks", "insecure_ssl": "0"},
  "updated_at": "2024-05-15T15:20:49Z",
  "created_at": "2024-05-15T15:20:49Z",
  "ping_url": "https://api.github.com/repos/example/app/hooks/109948940/pings",
  "last_response": {"code": null, "status": "unused", "message": null}
 },
 "repository": {
  "id": 186853002,
  "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=",
  "name": "app",
  "full_name": "example/app",
  "private": false,
  "owner": {"name": "example", "email": "example@users.noreply.github.com", "login": "example", "id": 21031067, "node_id": "MDQ6VXNlcjE=", "avatar_url": "https://avatars.githubusercontent.com/u/21031067?v=4", "url": "https://api.github.com/users/example", "html_url": "https://github.com/example", "type": "User", "site_admin": false},
  "html_url": "https://github.com/example/app",
  "description": null,
  "fork": false,
  "url": "https://api.github.com/repos/example/app",
  "hooks_url": "https://api.github.com/repos/example/app/hooks",
  "created_at": 1557933565,
  "updated_at": "2024-05-15T15:20:41Z",
  "pushed_at": 1716000000,
  "git_url": "git://github.com/example/app.git",
  "ssh_url": "git@github.com:example/app.git",
  "clone_url": "https://github.com/example/app.git",
  "svn_url": "https://github.com/example/app",
  "homepage": null,
  "size": 0,
  "language": "C++",
  "default_branch": "main",
  "master_branch": "main"
 },
 "sender": {"login": "someone", "id": 1001, "node_id": "MDQ6VXNlcjE=", "avatar_url": "https://avatars.githubusercontent.com/u/1001?v=4", "url": "https://api.github.com/users/someone", "html_url": "https://github.com/someone", "type": "User", "site_admin": false}
})json";
inline constexpr std::string_view kGitHubPingHmac =
    "20b2991b86ff10ac82ed1be30040a9fa9d276a0ce228e8e5c86ceea4c758c945";

inline constexpr std::string_view kGiteaPush = R"json({
 "ref": "refs/heads/develop",
 "before": "1f2e3d4c5b6a79880918273645546372819a0b0c",
 "after": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
 "compare_url": "https://git.example.com/Team/App/compare/1f2e3d4c5b6a79880918273645546372819a0b0c...a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
 "commits": [
  {
   "id": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
   "message": "A change\n",
   "url": "https://git.example.com/Team/App/commit/a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
   "author": {"name": "Some One", "email": "someone@example.com", "username": "someone"},
   "committer": {"name": "Some One", "email": "someone@example.com", "username": "someone"},
   "verification": null,
   "timestamp": "2024-05-18T04:40:00+02:00",
   "added": [],
   "removed": [],
   "modified": ["Dockerfile"]
  }
 ],
 "total_commits": 1,
 "head_commit": {
  "id": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
  "message": "A change\n",
  "url": "https://git.example.com/Team/App/commit/a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
  "author": {"name": "Some One", "email": "someone@example.com", "username": "someone"},
  "committer": {"name": "Some One", "email": "someone@example.com", "username": "someone"},
  "verification": null,
  "timestamp": "2024-05-18T04:40:00+02:00",
  "added": [],
  "removed": [],
  "modified": ["Dockerfile"]
 },
 "repository": {
  "id": 140,
  "owner": {"id": 1, "login": "example", "full_name": "", "email": "example@noreply.localhost", "avatar_url": "https://git.example.com/avatars/1", "username": "example"},
  "name": "App",
  "full_name": "Team/App",
  "description": "",
  "empty": false,
  "private": true,
  "fork": false,
  "template": false,
  "parent": null,
  "mirror": false,
  "size": 64,
  "languages_url": "https://git.example.com/api/v1/repos/Team/App/languages",
  "html_url": "https://git.example.com/Team/App",
  "url": "https://git.example.com/api/v1/repos/Team/App",
  "link": "",
  "ssh_url": "ssh://git@git.example.com:2222/Team/App.git",
  "clone_url": "https://git.example.com/Team/App.git",
  "original_url": "",
  "website": "",
  "stars_count": 0,
  "default_branch": "develop",
  "archived": false,
  "permissions": {"admin": true, "push": true, "pull": true}
 },
 "pusher": {"id": 1, "login": "example", "full_name": "", "email": "example@noreply.localhost", "avatar_url": "https://git.example.com/avatars/1", "username": "example"},
 "sender": {"id": 1, "login": "example", "full_name": "", "email": "example@noreply.localhost", "avatar_url": "https://git.example.com/avatars/1", "username": "example"}
})json";
inline constexpr std::string_view kGiteaPushHmac =
    "8a12ac3e8804690e507e6af3ee2bb396f1729ac1fb222dd0129414587c75d962";

inline constexpr std::string_view kForgejoDelete = R"json({
 "ref": "feature",
 "ref_type": "branch",
 "pusher_type": "user",
 "repository": {
  "id": 140,
  "owner": {"id": 1, "login": "example", "full_name": "", "email": "example@noreply.localhost", "avatar_url": "https://git.example.com/avatars/1", "username": "example"},
  "name": "App",
  "full_name": "Team/App",
  "description": "",
  "empty": false,
  "private": true,
  "fork": false,
  "template": false,
  "parent": null,
  "mirror": false,
  "size": 64,
  "languages_url": "https://git.example.com/api/v1/repos/Team/App/languages",
  "html_url": "https://git.example.com/Team/App",
  "url": "https://git.example.com/api/v1/repos/Team/App",
  "link": "",
  "ssh_url": "ssh://git@git.example.com:2222/Team/App.git",
  "clone_url": "https://git.example.com/Team/App.git",
  "original_url": "",
  "website": "",
  "stars_count": 0,
  "default_branch": "develop",
  "archived": false,
  "permissions": {"admin": true, "push": true, "pull": true}
 },
 "sender": {"id": 1, "login": "example", "full_name": "", "email": "example@noreply.localhost", "avatar_url": "https://git.example.com/avatars/1", "username": "example"}
})json";
inline constexpr std::string_view kForgejoDeleteHmac =
    "aa28b2b82c2dfb3f22ba60800f34c8fd46dccb202a4ad3d24a66572414715ac4";

inline constexpr std::string_view kGitLabPush = R"json({
 "object_kind": "push",
 "event_name": "push",
 "before": "1f2e3d4c5b6a79880918273645546372819a0b0c",
 "after": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
 "ref": "refs/heads/main",
 "ref_protected": true,
 "checkout_sha": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
 "message": null,
 "user_id": 4,
 "user_name": "Some One",
 "user_username": "someone",
 "user_email": "someone@example.com",
 "user_avatar": "https://gitlab.example.com/avatar.png",
 "project_id": 15,
 "project": {
  "id": 15,
  "name": "App",
  "description": "",
  "web_url": "https://gitlab.example.com/group/sub/app",
  "avatar_url": null,
  "git_ssh_url": "git@gitlab.example.com:group/sub/app.git",
  "git_http_url": "https://gitlab.example.com/group/sub/app.git",
  "namespace": "Sub",
  "visibility_level": 0,
  "path_with_namespace": "group/sub/app",
  "default_branch": "main",
  "ci_config_path": "",
  "homepage": "https://gitlab.example.com/group/sub/app",
  "url": "git@gitlab.example.com:group/sub/app.git",
  "ssh_url": "git@gitlab.example.com:group/sub/app.git",
  "http_url": "https://gitlab.example.com/group/sub/app.git"
 },
 "commits": [
  {
   "id": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
   "message": "A change\n",
   "title": "A change",
   "timestamp": "2024-05-18T04:40:00+02:00",
   "url": "https://gitlab.example.com/group/sub/app/-/commit/a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
   "author": {"name": "Some One", "email": "someone@example.com"},
   "added": [],
   "modified": ["Dockerfile"],
   "removed": []
  }
 ],
 "total_commits_count": 1,
 "push_options": {},
 "repository": {"name": "App", "url": "git@gitlab.example.com:group/sub/app.git", "description": "", "homepage": "https://gitlab.example.com/group/sub/app", "git_http_url": "https://gitlab.example.com/group/sub/app.git", "git_ssh_url": "git@gitlab.example.com:group/sub/app.git", "visibility_level": 0}
})json";
/// With the id "msg-1", at 1716000000, by kSignedSecret.
inline constexpr std::string_view kGitLabPushSignature =
    "v1,CLycfvvyQm+kzuageNnh7npr0F/XAxRzE85P9hbPL20=";

inline constexpr std::string_view kGitLabTag = R"json({
 "object_kind": "tag_push",
 "event_name": "tag_push",
 "before": "0000000000000000000000000000000000000000",
 "after": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
 "ref": "refs/tags/v1.0",
 "ref_protected": true,
 "checkout_sha": "a3b1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f",
 "message": null,
 "user_id": 4,
 "user_name": "Some One",
 "user_username": "someone",
 "user_email": "someone@example.com",
 "user_avatar": "https://gitlab.example.com/avatar.png",
 "project_id": 15,
 "project": {
  "id": 15,
  "name": "App",
  "description": "",
  "web_url": "https://gitlab.example.com/group/sub/app",
  "avatar_url": null,
  "git_ssh_url": "git@gitlab.example.com:group/sub/app.git",
  "git_http_url": "https://gitlab.example.com/group/sub/app.git",
  "namespace": "Sub",
  "visibility_level": 0,
  "path_with_namespace": "group/sub/app",
  "default_branch": "main",
  "ci_config_path": "",
  "homepage": "https://gitlab.example.com/group/sub/app",
  "url": "git@gitlab.example.com:group/sub/app.git",
  "ssh_url": "git@gitlab.example.com:group/sub/app.git",
  "http_url": "https://gitlab.example.com/group/sub/app.git"
 },
 "commits": [],
 "total_commits_count": 0,
 "push_options": {},
 "repository": {"name": "App", "url": "git@gitlab.example.com:group/sub/app.git", "description": "", "homepage": "https://gitlab.example.com/group/sub/app", "git_http_url": "https://gitlab.example.com/group/sub/app.git", "git_ssh_url": "git@gitlab.example.com:group/sub/app.git", "visibility_level": 0}
})json";
/// With the id "msg-1", at 1716000000, by kSignedSecret.
inline constexpr std::string_view kGitLabTagSignature =
    "v1,+ILBkXrdzMIy3tBT3lQGdlNc7km7Pvr48aWv45t7XMg=";

}  // namespace imagewright
