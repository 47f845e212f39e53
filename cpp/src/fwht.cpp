#include "veil/fwht.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/parallel.hpp"

namespace veil {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 15;  // L1
constexpr std::size_t kMostRows = 256;
constexpr std::size_t kColumns = 256;  // of one piece of work: whole tiles of the kernel

template <class T, class Block, class Columns>
void transform(std::span<T> x, int threads, Block block, Columns columns) {
  const std::size_t n = x.size();
  if (!std::has_single_bit(n)) {
    throw std::invalid_argument("x: expected a power of two of values, got " + std::to_string(n) +
                                "; pad it with zeros");
  }
  std::size_t done = std::min(n, kBlockBytes / sizeof(T));
  // Sums of subnormals are exact, at the speed of others: nothing is gained by losing them.
  parallel_for(
      n / done, threads, [&](std::size_t at) { block(x.data() + at * done, done); },
      Subnormals::kept);
  while (done < n) {
    // The rows of one group are `done` apart; each group is transformed between its rows.
    const std::size_t rows = std::min(n / done, kMostRows);
    const std::size_t pieces = done / kColumns;
    parallel_for(
        n / (rows * done) * pieces, threads,
        [&](std::size_t at) {
          T* group = x.data() + at / pieces * rows * done;
          columns(group + at % pieces * kColumns, rows, done, kColumns);
        },
        Subnormals::kept);
    done *= rows;
  }
}

}  // namespace

void fwht(std::span<float> x, int threads) {
  const KernelTable& table = active_kernels();
  transform(x, threads, table.fwht_block_f32, table.fwht_columns_f32);
}

void fwht(std::span<double> x, int threads) {
  const KernelTable& table = active_kernels();
  transform(x, threads, table.fwht_block_f64, table.fwht_columns_f64);
}

}  // namespace veil
