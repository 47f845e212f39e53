#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "fingerprint.hpp"
#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/table_sampler.hpp"

namespace {

using veil::AliasTable;
using veil::TableSampler;

const std::vector<std::uint8_t> kSeed(32, 7);

std::shared_ptr<const AliasTable> random_table(std::size_t columns, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint64_t> high(columns), low(columns);
  std::vector<std::uint16_t> alias(columns);
  for (std::size_t i = 0; i < columns; ++i) {
    high[i] = random() % 8 == 0 ? random() % 2 - 1 : random();  // often 0 or 2^64 - 1
    low[i] = random();
    alias[i] = static_cast<std::uint16_t>(random() % columns);
  }
  return std::make_shared<const AliasTable>(high, low, alias);
}

std::vector<std::int64_t> draw(const TableSampler& sampler, std::size_t n, int threads,
                               const veil::KernelTable& kernels) {
  std::vector<std::int64_t> out(n);
  veil::SecureGenerator generator(kSeed);
  sampler.sample(generator, out, threads, kernels);
  return out;
}

}  // namespace

TEST_CASE("the kernel draws what its definition says, on every instruction set") {
  constexpr std::size_t kBlocks = 37;
  std::mt19937_64 random(5);
  for (const std::size_t columns : {1U, 2U, 64U, 4096U, 32768U}) {
    const auto table = random_table(columns, static_cast<unsigned>(columns));
    std::vector<std::uint8_t> words(80 * kBlocks);
    for (auto& byte : words) byte = static_cast<std::uint8_t>(random());
    std::vector<std::int64_t> want(8 * kBlocks, -3);
    for (std::size_t i = 0; i < want.size(); ++i) {
      std::uint64_t r = 0;
      std::uint16_t w = 0;
      std::memcpy(&r, words.data() + i / 8 * 80 + 8 * (i % 8), sizeof r);
      std::memcpy(&w, words.data() + i / 8 * 80 + 64 + 2 * (i % 8), sizeof w);
      const std::size_t column = w & (columns - 1);
      const std::int64_t magnitude =
          r < table->high()[column] ? static_cast<std::int64_t>(column) : table->alias()[column];
      want[i] += (w >> 15 != 0 ? -magnitude : magnitude) * 32;
    }
    for (const veil::KernelTable* kernels : veil::supported_kernels()) {
      std::vector<std::int64_t> got(8 * kBlocks, -3);
      const auto mask = static_cast<std::uint32_t>(columns - 1);
      const std::uint64_t tied = kernels->table_add(words.data(), table->high(), table->alias(),
                                                    mask, 5, got.data(), kBlocks);
      CHECK_MESSAGE(got == want, kernels->name << " columns = " << columns);
      CHECK(tied == 0);
    }
  }
}

TEST_CASE("the kernel reports a tie in any lane") {
  std::array<std::uint8_t, 160> words;
  words.fill(0x5a);
  for (std::size_t lane = 0; lane < 16; ++lane) {
    auto crafted = words;
    const std::uint64_t r = 0x123456789abcdef0U;
    std::memcpy(crafted.data() + lane / 8 * 80 + 8 * (lane % 8), &r, sizeof r);
    const std::array<std::uint64_t, 1> high{r}, low{0};
    const std::array<std::uint16_t, 1> alias{0};
    const AliasTable table(high, low, alias);
    for (const veil::KernelTable* kernels : veil::supported_kernels()) {
      std::array<std::int64_t, 16> out{};
      CHECK(kernels->table_add(crafted.data(), table.high(), table.alias(), 0, 0, out.data(), 2) !=
            0);
      CHECK(kernels->table_add(words.data(), table.high(), table.alias(), 0, 0, out.data(), 2) ==
            0);
    }
  }
}

TEST_CASE("samples are the same on every instruction set, thread count and length") {
  const TableSampler sampler({{random_table(256, 1), 0}, {random_table(4096, 2), 6}});
  const auto want = draw(sampler, 70000, 1, *veil::find_kernels("baseline"));
  for (const veil::KernelTable* kernels : veil::supported_kernels()) {
    for (const int threads : {1, 2, 3}) {
      CHECK_MESSAGE(draw(sampler, want.size(), threads, *kernels) == want, kernels->name);
    }
  }
  const TableSampler one({{random_table(256, 1), 0}});
  const auto whole = draw(one, 4096, 1, veil::active_kernels());
  for (const std::size_t n : {0U, 1U, 7U, 8U, 9U, 1023U, 1024U, 1025U}) {
    const auto part = draw(one, n, 1, veil::active_kernels());
    CHECK(std::equal(part.begin(), part.end(), whole.begin()));
  }
}

TEST_CASE("tables and levels that do not fit are refused") {
  const std::vector<std::uint64_t> three(3), four(4);
  const std::vector<std::uint16_t> alias{0, 1, 2, 4};
  CHECK_THROWS_AS(AliasTable(three, three, std::span(alias).first(3)), std::invalid_argument);
  CHECK_THROWS_AS(AliasTable(four, three, alias), std::invalid_argument);
  CHECK_THROWS_AS(AliasTable(four, four, alias), std::invalid_argument);
  CHECK_THROWS_AS(TableSampler({}), std::invalid_argument);
  CHECK_THROWS_AS(TableSampler({{nullptr, 0}}), std::invalid_argument);
  CHECK_THROWS_AS(TableSampler({{random_table(2, 1), 41}}), std::invalid_argument);
  const TableSampler::Level level{random_table(2, 1), 0};
  CHECK_THROWS_AS(TableSampler(std::vector<TableSampler::Level>(17, level)), std::invalid_argument);
}

TEST_CASE("table draws have their golden values on every machine") {
  std::vector<std::uint64_t> high(1024), low(1024);
  std::vector<std::uint16_t> alias(1024);
  for (std::size_t i = 0; i < high.size(); ++i) {
    high[i] = i * 0x9e3779b97f4a7c15U;
    low[i] = ~high[i];
    alias[i] = static_cast<std::uint16_t>(1023 - i);
  }
  const auto table = std::make_shared<const AliasTable>(high, low, alias);
  const TableSampler sampler({{table, 0}, {table, 7}});
  CHECK(fingerprint(draw(sampler, 20000, 1, veil::active_kernels())) == 0xc438978efc718c0bU);
}
