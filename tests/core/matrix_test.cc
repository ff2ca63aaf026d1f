#include "core/matrix.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

std::string text(const Matrix& matrix, std::size_t limit = 100) {
  const auto all = combinations(matrix, limit);
  if (!all) return "too many";
  std::string result;
  for (const Combination& combination : *all) {
    std::string one;
    for (const auto& [key, value] : combination) one += (one.empty() ? "" : ",") + key + value;
    result += (result.empty() ? "" : " ") + one;
  }
  return result;
}

TEST(Matrix, TheLastAxisMovesFastest) {
  EXPECT_EQ(text({{{"b", {"1", "2"}}, {"a", {"x", "y"}}}, {}, {}}), "ax,b1 ay,b1 ax,b2 ay,b2");
  EXPECT_EQ(text({{{"a", {"1"}}}, {}, {}}), "a1");
  EXPECT_EQ(text({}), "");
}

TEST(Matrix, ExcludeTakesWhatMatchesInAllItsKeys) {
  const Matrix matrix{{{"a", {"1", "2"}}, {"b", {"x", "y"}}}, {{{"a", "1"}, {"b", "y"}}}, {}};
  EXPECT_EQ(text(matrix), "a1,bx a2,bx a2,by");
  EXPECT_EQ(text({matrix.axes, {{{"a", "1"}}}, {}}), "a2,bx a2,by");
  EXPECT_EQ(text({matrix.axes, {{{"a", "3"}}}, {}}), text({matrix.axes, {}, {}}));
}

// The example of GitHub's documentation.
TEST(Matrix, IncludeAddsWhereItChangesNoAxis) {
  const Matrix matrix{{{"f", {"apple", "pear"}}, {"a", {"cat", "dog"}}},
                      {},
                      {{{"c", "green"}},
                       {{"c", "pink"}, {"a", "cat"}},
                       {{"f", "apple"}, {"s", "circle"}},
                       {{"f", "banana"}},
                       {{"f", "banana"}, {"a", "cat"}}}};
  EXPECT_EQ(text(matrix),
            "acat,cpink,fapple,scircle adog,cgreen,fapple,scircle acat,cpink,fpear "
            "adog,cgreen,fpear fbanana acat,fbanana");
}

TEST(Matrix, IncludeComesAfterExclude) {
  EXPECT_EQ(text({{{"a", {"1", "2"}}}, {{{"a", "1"}}}, {{{"a", "1"}, {"b", "x"}}}}), "a2 a1,bx");
  EXPECT_EQ(text({{}, {}, {{{"a", "1"}}, {{"a", "2"}}}}), "a1 a2");
}

TEST(Matrix, IsBounded) {
  std::vector<std::string> ten(10, "v");
  Matrix matrix;
  for (char key = 'a'; key <= 'z'; ++key) matrix.axes.emplace_back(std::string(1, key), ten);
  EXPECT_EQ(text(matrix), "too many");
  EXPECT_EQ(text({{{"a", ten}, {"b", ten}}, {}, {}}, 99), "too many");
  EXPECT_NE(text({{{"a", ten}, {"b", ten}}, {}, {}}, 100), "too many");
  EXPECT_EQ(text({{{"a", ten}}, {}, {{{"a", "w"}}}}, 10), "too many");
  Combination wide;
  for (int i = 0; i < 1000; ++i) wide["k" + std::to_string(i)] = "v";
  std::vector<std::string> many(5000, "v");
  EXPECT_EQ(text({{{"a", many}}, {}, {wide}}, 5000), "too many");
}

}  // namespace
}  // namespace imagewright
