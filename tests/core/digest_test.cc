#include "core/digest.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

// FIPS 180-4's own examples.
TEST(Digest, KnownVectors) {
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex(sha256(std::string(1000000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Digest, PiecesAreAsGoodAsTheWhole) {
  Sha256 hash;
  hash.update("a");
  hash.update("");
  hash.update("bc");
  EXPECT_EQ(hash.finish(), sha256("abc"));
}

TEST(Digest, FinishStartsAnew) {
  Sha256 hash;
  hash.update("something else");
  hash.finish();
  EXPECT_EQ(hash.finish(), sha256(""));
  hash.update("abc");
  EXPECT_EQ(hash.finish(), sha256("abc"));
}

TEST(Digest, BytesAreNotCharacters) {
  EXPECT_NE(sha256(std::string_view("\0", 1)), sha256(""));
  EXPECT_NE(sha256(std::string_view("a\0b", 3)), sha256("a"));
}

TEST(Digest, FieldsDoNotRunIntoOneAnother) {
  Sha256 one;
  one.update_field("ab");
  one.update_field("c");
  Sha256 other;
  other.update_field("a");
  other.update_field("bc");
  EXPECT_NE(one.finish(), other.finish());
}

// What is stored in state files depends on it.
TEST(Digest, NumbersAreEightBytesLittleEndian) {
  Sha256 hash;
  hash.update_number(0x0102030405060708U);
  EXPECT_EQ(hash.finish(), sha256("\x08\x07\x06\x05\x04\x03\x02\x01"));
  hash.update_field("ab");
  EXPECT_EQ(hash.finish(), sha256(std::string_view("\x02\0\0\0\0\0\0\0ab", 10)));
}

// RFC 4231, test cases 2 and 6.
TEST(Digest, HmacIsTheStandards) {
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(hmac_sha256(std::string(131, '\xaa'),
                            "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Digest, HexIsLowerCaseAndPadded) {
  Digest digest{};
  digest[0] = 0x0a;
  digest[31] = 0xff;
  EXPECT_EQ(hex(digest), "0a" + std::string(60, '0') + "ff");
}

}  // namespace
}  // namespace imagewright
