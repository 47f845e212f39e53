#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "veil/generator.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;
const Bytes kSeed(32, 7);

Bytes draw(veil::SecureGenerator& generator, std::size_t n) {
  Bytes out(n);
  generator.reserve(n).fill(0, out);
  return out;
}

}  // namespace

TEST_CASE("a slice gives the same bytes at any offset and in any order") {
  veil::SecureGenerator whole_generator(kSeed);
  veil::SecureGenerator parts_generator(kSeed);
  const Bytes whole = draw(whole_generator, 1000);
  const veil::StreamSlice slice = parts_generator.reserve(1000);
  CHECK(slice.size() == 1000);
  Bytes parts(1000);
  for (const std::size_t begin : {900U, 0U, 17U, 450U}) {
    const std::size_t end = begin == 0 ? 17 : begin == 17 ? 450 : begin == 450 ? 900 : 1000;
    slice.fill(begin, std::span(parts).subspan(begin, end - begin));
  }
  CHECK(parts == whole);
}

TEST_CASE("a slice outlives its generator, and the generator's next draw is another stream") {
  auto generator = std::make_unique<veil::SecureGenerator>(kSeed);
  const veil::StreamSlice first = generator->reserve(64);
  const veil::StreamSlice second = generator->reserve(64);
  generator.reset();
  Bytes a(64), b(64);
  first.fill(0, a);
  second.fill(0, b);
  CHECK(a != b);
}

TEST_CASE("reading past a slice's end is refused") {
  veil::SecureGenerator generator(kSeed);
  const veil::StreamSlice slice = generator.reserve(10);
  Bytes out(2);
  slice.fill(8, out);
  CHECK_THROWS_AS(slice.fill(9, out), std::out_of_range);
  CHECK_THROWS_AS(slice.fill(11, std::span<std::uint8_t>{}), std::out_of_range);
  CHECK_THROWS_AS(slice.fill(~std::uint64_t{0}, out), std::out_of_range);
}

TEST_CASE("a draw is limited to 2^36 bytes and a seed is 32 bytes") {
  veil::SecureGenerator generator(kSeed);
  CHECK(generator.reserve(veil::SecureGenerator::kMaxSliceBytes).size() == 1ULL << 36);
  CHECK_THROWS_AS(generator.reserve(veil::SecureGenerator::kMaxSliceBytes + 1), std::length_error);
  CHECK_THROWS_AS(veil::SecureGenerator(Bytes(31)), std::invalid_argument);
}

TEST_CASE("two generators from the operating system differ") {
  veil::SecureGenerator a;
  veil::SecureGenerator b;
  CHECK_FALSE(a.seeded());
  CHECK(draw(a, 32) != draw(b, 32));
}

TEST_CASE("a forked child draws another stream, and a seeded generator refuses there") {
  veil::SecureGenerator generator;
  veil::SecureGenerator seeded(kSeed);
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    Bytes answer = draw(generator, 32);
    bool refused = false;
    try {
      seeded.reserve(1);
    } catch (const std::runtime_error&) {
      refused = true;
    }
    answer.push_back(refused ? 1 : 0);
    _exit(write(ends[1], answer.data(), answer.size()) == 33 ? 0 : 1);
  }
  Bytes answer(33);
  REQUIRE(read(ends[0], answer.data(), answer.size()) == 33);
  REQUIRE(waitpid(child, nullptr, 0) == child);
  CHECK(answer.back() == 1);
  answer.pop_back();
  CHECK(answer != draw(generator, 32));
}
