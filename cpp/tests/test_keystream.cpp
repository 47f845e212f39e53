// Keystreams: known answers on every instruction set, every set against baseline, limits.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/keystream.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;
using veil::Cipher;
using veil::Keystream;

constexpr Cipher kCiphers[] = {Cipher::aes256_ctr, Cipher::chacha20};

Bytes from_hex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(16 * digit(text[i]) + digit(text[i + 1])));
  }
  return bytes;
}

Bytes read(const Keystream& stream, std::uint64_t offset, std::size_t n, int threads = 1) {
  Bytes out(n);
  stream.fill(offset, out, threads);
  return out;
}

Bytes counting_key() {
  Bytes key(32);
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
  return key;
}

// A counter block with the given halves, big-endian.
Bytes counter_block(std::uint64_t high, std::uint64_t low) {
  Bytes block(16);
  for (std::size_t i = 0; i < 8; ++i) {
    block[7 - i] = static_cast<std::uint8_t>(high >> (8 * i));
    block[15 - i] = static_cast<std::uint8_t>(low >> (8 * i));
  }
  return block;
}

// Around a block, a register and a stride (up to 512 bytes) of every set and cipher.
std::vector<std::size_t> edge_lengths() {
  std::vector<std::size_t> lengths{0, 1};
  for (const std::size_t width : {16U, 32U, 64U, 128U, 256U, 512U, 31U * 256U, 1U << 14}) {
    for (const std::size_t d : {0U, 1U, 2U}) lengths.push_back(width + d - 1);
  }
  return lengths;
}

}  // namespace

TEST_CASE("SP 800-38A F.5.5, CTR-AES256, on every instruction set") {
  const Bytes key = from_hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
  const Bytes nonce = from_hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
  const Bytes plain = from_hex(
      "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
      "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
  const Bytes cipher = from_hex(
      "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
      "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6");
  for (const veil::KernelTable* kernels : veil::supported_kernels()) {
    CAPTURE(kernels->name);
    Bytes got = read(Keystream(Cipher::aes256_ctr, key, nonce, *kernels), 0, plain.size());
    for (std::size_t i = 0; i < got.size(); ++i) got[i] ^= plain[i];
    CHECK(got == cipher);
  }
}

TEST_CASE("RFC 8439 2.3.2 and 2.4.2, ChaCha20, on every instruction set") {
  const Bytes block = from_hex(
      "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
      "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e");
  const std::string_view text =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  const Bytes cipher = from_hex(
      "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0bf91b65c5524733ab8f593dabcd62"
      "b3571639d624e65152ab8f530c359f0861d807ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91a"
      "b77937365af90bbf74a35be6b40b8eedf2785e42874d");
  for (const veil::KernelTable* kernels : veil::supported_kernels()) {
    CAPTURE(kernels->name);
    const Bytes first = from_hex("01000000000000090000004a00000000");
    CHECK(read(Keystream(Cipher::chacha20, counting_key(), first, *kernels), 0, 64) == block);
    const Bytes second = from_hex("01000000000000000000004a00000000");
    Bytes got = read(Keystream(Cipher::chacha20, counting_key(), second, *kernels), 0, text.size());
    for (std::size_t i = 0; i < got.size(); ++i) got[i] ^= static_cast<std::uint8_t>(text[i]);
    CHECK(got == cipher);
  }
}

TEST_CASE("every instruction set gives baseline's bits at every edge length") {
  for (const Cipher cipher : kCiphers) {
    const Keystream baseline(cipher, counting_key(), {}, veil::kernels::baseline);
    for (const veil::KernelTable* kernels : veil::supported_kernels()) {
      const Keystream stream(cipher, counting_key(), {}, *kernels);
      for (const std::size_t n : edge_lengths()) {
        for (const std::uint64_t offset : {0U, 1U, 15U, 16U, 63U, 64U, 1000U}) {
          CAPTURE(n);
          CAPTURE(offset);
          CHECK(read(stream, offset, n) == read(baseline, offset, n));
        }
      }
    }
  }
}

TEST_CASE("the AES counter carries through all 128 bits on every instruction set") {
  const std::uint64_t lows[] = {0xfffffffeU, 0xffffffe0U, ~std::uint64_t{0}, ~std::uint64_t{0} - 13,
                                ~std::uint64_t{0} - 40};
  for (const veil::KernelTable* kernels : veil::supported_kernels()) {
    for (const std::uint64_t low : lows) {
      const Keystream stream(Cipher::aes256_ctr, counting_key(), counter_block(5, low), *kernels);
      const Bytes whole = read(stream, 0, 16 * 80);
      for (std::uint64_t i = 0; i < 80; ++i) {
        const std::uint64_t sum = low + i;
        const Bytes block = counter_block(sum < low ? 6 : 5, sum);
        const Keystream single(Cipher::aes256_ctr, counting_key(), block, veil::kernels::baseline);
        const auto at = static_cast<std::ptrdiff_t>(16 * i);
        CHECK(read(single, 0, 16) == Bytes(whole.begin() + at, whole.begin() + at + 16));
      }
    }
  }
}

// Long runs keep what the lower counter bytes share: every byte must still change where it should.
TEST_CASE("long runs carry through the counter's bytes as short ones do") {
  constexpr std::size_t kBlocks = 1500;
  const std::uint64_t lows[] = {0,
                                3,
                                250,
                                (1U << 16) - 700,
                                1U << 24,
                                0xffffff00U,
                                (1ULL << 40) - 513,
                                (1ULL << 40) - 5,
                                (1ULL << 40) - 1500,
                                (1ULL << 48) - 1,
                                ~std::uint64_t{0} - 600};
  for (const std::uint64_t low : lows) {
    CAPTURE(low);
    const Keystream baseline(Cipher::aes256_ctr, counting_key(), counter_block(5, low),
                             veil::kernels::baseline);
    const Bytes want = read(baseline, 0, 16 * kBlocks);
    for (const veil::KernelTable* kernels : veil::supported_kernels()) {
      const Keystream stream(Cipher::aes256_ctr, counting_key(), counter_block(5, low), *kernels);
      CHECK(read(stream, 0, 16 * kBlocks) == want);
      CHECK(read(stream, 7, 16 * 600) == Bytes(want.begin() + 7, want.begin() + 7 + 16 * 600));
    }
  }
}

TEST_CASE("split reads and threads give the bits of one read") {
  for (const Cipher cipher : kCiphers) {
    const Keystream stream(cipher, counting_key());
    const Bytes whole = read(stream, 3, 600'001);
    CHECK(read(stream, 3, 600'001, 3) == whole);
    Bytes joined;
    for (const std::size_t n : {1U, 15U, 16U, 17U, 63U, 64U, 65U, 511U, 513U, 5000U}) {
      const Bytes piece = read(stream, 3 + joined.size(), n);
      joined.insert(joined.end(), piece.begin(), piece.end());
    }
    CHECK(std::equal(joined.begin(), joined.end(), whole.begin()));
  }
}

TEST_CASE("streams end before their counters wrap") {
  const Bytes key = counting_key();
  const Keystream aes(Cipher::aes256_ctr, key, counter_block(~std::uint64_t{0}, ~std::uint64_t{1}));
  CHECK(aes.capacity() == 32);
  CHECK(read(aes, 0, 32).size() == 32);
  CHECK_THROWS_AS(read(aes, 0, 33), std::overflow_error);
  CHECK_THROWS_AS(read(aes, 33, 0), std::overflow_error);
  CHECK(Keystream(Cipher::aes256_ctr, key).capacity() == std::uint64_t{1} << 52);
  const Keystream chacha(Cipher::chacha20, key, from_hex("feffffff"));
  CHECK(chacha.capacity() == 128);
  CHECK_THROWS_AS(read(chacha, 65, 64), std::overflow_error);
  CHECK_THROWS_AS(read(chacha, ~std::uint64_t{0}, 1), std::overflow_error);
}

TEST_CASE("a position hands out disjoint ranges and stays where it was when refused") {
  const Keystream stream(Cipher::chacha20, counting_key(), from_hex("ffffffff"));
  veil::KeystreamPosition position(stream);
  CHECK(position.take(60) == 0);
  CHECK_THROWS_AS(position.take(5), std::overflow_error);
  CHECK(position.take(4) == 60);
  CHECK_THROWS_AS(position.seek(65), std::overflow_error);
  position.seek(7);
  CHECK(position.tell() == 7);
}

TEST_CASE("wrong keys and nonces are refused") {
  const Bytes short_key(31), long_nonce(17);
  CHECK_THROWS_AS(Keystream(Cipher::aes256_ctr, short_key), std::invalid_argument);
  CHECK_THROWS_AS(Keystream(Cipher::aes256_ctr, counting_key(), long_nonce), std::invalid_argument);
}
