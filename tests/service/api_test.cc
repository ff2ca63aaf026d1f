// The API's routes against docs/openapi.json. What they answer is tested on the real server
// (tests/e2e/serve.bats).
#include "service/api.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "service/pages.h"

namespace imagewright {
namespace {

std::set<std::string> documented_routes() {
  std::ifstream file(IMAGEWRIGHT_DOCS "/openapi.json");
  const nlohmann::json document = nlohmann::json::parse(file);
  std::set<std::string> routes;
  for (const auto& [path, methods] : document.at("paths").items()) {
    for (const auto& [method, operation] : methods.items()) {
      std::string upper = method;
      for (char& letter : upper) letter = static_cast<char>(std::toupper(letter));
      routes.insert(upper + " " + path + " " + operation.at("x-role").get<std::string>());
    }
  }
  return routes;
}

TEST(Api, EveryRouteIsInTheOpenApiFileWithItsRoleAndNoOther) {
  const std::vector<std::string> routes = Api::routes();
  EXPECT_EQ(std::set<std::string>(routes.begin(), routes.end()), documented_routes());
}

TEST(Api, TokensAreLongAndNeverTheSame) {
  const std::string token = new_token();
  EXPECT_EQ(token.size(), 4 + 64);
  EXPECT_NE(token, new_token());
  EXPECT_EQ(digest_of_token("a"), digest_of_token("a"));
  EXPECT_EQ(digest_of_token(token).find(token), std::string::npos);
}

TEST(Api, RolesAreReadAsTheyAreWritten) {
  for (const Role role : {Role::Read, Role::Build, Role::Admin, Role::Worker})
    EXPECT_EQ(parse_role(word(role)), role);
  EXPECT_EQ(parse_role("none"), std::nullopt);
  EXPECT_EQ(parse_role("Admin"), std::nullopt);
}

TEST(Pages, WhateverComesFromElsewhereIsText) {
  EXPECT_EQ(html_text("<script>alert('1')</script> & \"x\""),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;");
  Job job;
  job.id = 7;
  job.image = "<img src=x>";
  job.message = "<b>";
  job.reasons = "\"><script>";
  job.state = JobState::Failed;
  const std::string page = job_page_html(
      job, "<script>x</script>\n\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\\n", 0);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("<img"), std::string::npos);
  EXPECT_EQ(page.find('\x1b'), std::string::npos);
  EXPECT_EQ(page.find("javascript:"), std::string::npos);
  EXPECT_NE(page.find("&lt;script&gt;x&lt;/script&gt;"), std::string::npos);
}

}  // namespace
}  // namespace imagewright
