// One commit asked for without git, and what comes.
#include "core/fetch_pack.h"

#include <gtest/gtest.h>

#include <string>

#include "core/pkt_line.h"

namespace imagewright {
namespace {

const std::string kOne(40, 'a');
const std::string kTwo(40, 'b');

std::string data(char band, const std::string& bytes) {
  std::string line = packet(band + bytes);
  line.pop_back();  // the bytes alone
  line[3] = "0123456789abcdef"[(bytes.size() + 5) & 15];
  line[2] = "0123456789abcdef"[((bytes.size() + 5) >> 4) & 15];
  return line;
}

const std::string kAnswer = packet("shallow-info") + packet("shallow " + kOne) +
                            std::string(kDelimiterPacket) + packet("packfile") +
                            data(2, "Counting\n") + data(1, "PACK") +
                            data(1, std::string("\0\n", 2)) + std::string(kFlushPacket);

struct Read {
  std::string pack;
  bool is_complete = false;
  bool is_shallow = false;
};

Read read(const std::string& answer, std::size_t part) {
  Read read;
  FetchAnswer reader(kOne, [&](std::string_view bytes) {
    read.pack += bytes;
    return true;
  });
  for (std::size_t at = 0; at < answer.size(); at += part) {
    if (!reader.take(std::string_view(answer).substr(at, part))) break;
  }
  read.is_complete = reader.is_complete();
  read.is_shallow = reader.is_shallow();
  return read;
}

TEST(FetchPack, TheQuestionIsAsGitReadsIt) {
  EXPECT_EQ(fetch_question({kOne, {kTwo}, {kTwo}}),
            "0012command=fetch\n0016agent=imagewright\n0001"
            "000ethin-pack\n0010no-progress\n000eofs-delta\n000ddeepen 1\n"
            "0035shallow " +
                kTwo + "\n0032want " + kOne + "\n0032have " + kTwo + "\n0009done\n0000");
}

TEST(FetchPack, AnAnswerIsReadInWhateverPartsItComes) {
  for (const std::size_t part : {1UL, 3UL, 7UL, 50UL, kAnswer.size()}) {
    const Read read = imagewright::read(kAnswer, part);
    EXPECT_TRUE(read.is_complete) << part;
    EXPECT_EQ(read.pack, std::string("PACK\0\n", 6)) << part;
    EXPECT_TRUE(read.is_shallow) << part;
  }
}

TEST(FetchPack, OneThatIsCutIsNotComplete) {
  for (std::size_t size = 0; size < kAnswer.size(); ++size)
    EXPECT_FALSE(read(kAnswer.substr(0, size), 5).is_complete) << size;
}

TEST(FetchPack, WhatWasNotAskedForIsNoAnswer) {
  const std::string flush(kFlushPacket);
  for (const std::string& answer :
       {kAnswer + "0", kAnswer + flush, packet("ERR upload-pack: not our ref " + kOne),
        std::string("<html>no such page</html>"), std::string("0003"), std::string("ffffx"),
        packet("acknowledgments") + packet("NAK") + flush,
        packet("shallow-info") + packet("unshallow " + kOne) + std::string(kDelimiterPacket),
        packet("shallow-info") + packet("shallow " + kTwo) + kAnswer.substr(kAnswer.find("0001")),
        packet("shallow-info") + packet("shallow " + kOne) +
            kAnswer.substr(packet("shallow-info").size()),
        packet("packfile") + data(3, "out of memory") + flush, flush, std::string()}) {
    EXPECT_FALSE(read(answer, 4).is_complete) << answer;
  }
}

TEST(FetchPack, WhoWantsNoMoreGetsNoMore) {
  int parts = 0;
  FetchAnswer reader(kOne, [&](std::string_view) { return ++parts < 1; });
  EXPECT_FALSE(reader.take(kAnswer));
  EXPECT_FALSE(reader.take(kAnswer));
  EXPECT_EQ(parts, 1);
  EXPECT_FALSE(reader.is_complete());
}

}  // namespace
}  // namespace imagewright
