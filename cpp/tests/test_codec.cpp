#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/fixed_point.hpp"
#include "veil/pack.hpp"

namespace {

const std::size_t kLengths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 124, 127, 1000};

std::uint64_t scalar_code(double x, std::uint32_t draw, bool stochastic, double inverse,
                          double clip, unsigned bits) {
  const double y = std::fmax(-clip, std::fmin(clip, x)) * inverse;
  double integer = std::nearbyint(y);
  if (stochastic) {
    const double floor = std::floor(y);
    integer = static_cast<double>(draw) < (y - floor) * 0x1p32 ? floor + 1 : floor;
  }
  const auto value = static_cast<std::int64_t>(integer);
  return static_cast<std::uint64_t>(value) & (~std::uint64_t{0} >> (64 - bits));
}

}  // namespace

TEST_CASE("every instruction set encodes as scalar arithmetic does") {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal(0.0, 1.0);
  for (const veil::KernelTable* table : veil::supported_kernels()) {
    for (const std::size_t size : kLengths) {
      std::vector<double> x(size);
      std::vector<std::uint32_t> draws(size);
      for (auto& value : x) value = random() % 4 == 0 ? std::round(normal(random)) : normal(random);
      for (auto& draw : draws) draw = static_cast<std::uint32_t>(random());
      for (const unsigned bits : {5U, 32U, 33U, 64U}) {
        for (const bool stochastic : {false, true}) {
          std::vector<std::uint64_t> out(size);
          const auto bad = table->fixed_point_encode[1](
              x.data(), stochastic ? draws.data() : nullptr, size, 8.0, 1.625, bits, out.data());
          REQUIRE(bad == 0);
          for (std::size_t i = 0; i < size; ++i) {
            std::uint64_t word = out[i];
            if (bits <= 32) {
              std::uint32_t narrow = 0;
              std::memcpy(&narrow, reinterpret_cast<const std::uint8_t*>(out.data()) + 4 * i, 4);
              word = narrow;
            }
            REQUIRE(word == scalar_code(x[i], draws[i], stochastic, 8.0, 1.625, bits));
          }
        }
      }
    }
  }
}

TEST_CASE("packing and unpacking are inverse at every width and edge length") {
  std::mt19937_64 random(5);
  for (const veil::KernelTable* table : veil::supported_kernels()) {
    for (unsigned bits = 1; bits <= 64; ++bits) {
      for (const std::size_t size : kLengths) {
        std::vector<std::uint64_t> values(size);
        for (auto& value : values) value = random() >> (64 - bits);
        std::vector<std::uint8_t> packed(veil::packed_bytes(size, bits));
        REQUIRE(table->pack_bits_u64(values.data(), size, bits, packed.data()) == 0);
        std::vector<std::uint64_t> back(size);
        table->unpack_bits_u64(packed.data(), packed.size(), size, bits, back.data());
        REQUIRE(back == values);
      }
    }
  }
}

TEST_CASE("packing refuses what does not fit") {
  const std::vector<std::uint32_t> values{3, 8};
  std::vector<std::uint8_t> out(1);
  CHECK_THROWS_AS(veil::pack_bits(values, 3, out), std::invalid_argument);
  CHECK_NOTHROW(veil::pack_bits(values, 4, out));
  CHECK(out[0] == 0x83);
  CHECK_THROWS_AS(veil::pack_bits(values, 5, out), std::invalid_argument);
}
