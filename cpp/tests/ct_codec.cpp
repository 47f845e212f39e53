// Are secret sharing, the codec and packing free of branches and addresses that depend on secrets?
// The kernels are called directly: whether a value was out of range is the caller's public result.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "ct_marks.hpp"

namespace {

using veil::KernelTable;
using veil::ct::mark_public;
using veil::ct::mark_secret;

void share_and_combine(const KernelTable& table) {
  constexpr std::size_t kThreshold = 3, kLanes = 9, kPoints = 7;
  std::vector<std::uint32_t> coefficients(kThreshold * kLanes, 12345);
  const std::vector<std::uint32_t> points{1, 2, 3, 4, 5, 6, 7};
  std::vector<std::uint32_t> shares(kPoints * kLanes), secrets(kLanes);
  mark_secret(coefficients);
  table.shamir_evaluate(coefficients.data(), kThreshold, kLanes, points.data(), kPoints,
                        shares.data());
  const std::vector<std::uint32_t> weights{3, 5, 7};
  table.shamir_combine(weights.data(), shares.data(), kThreshold, kLanes, kLanes, secrets.data());
  mark_public(secrets);
  std::printf("secret %u\n", secrets[0]);
}

void encode_and_pack(const KernelTable& table, const std::uint32_t* draws) {
  constexpr std::size_t kSize = 101;
  constexpr unsigned kBits = 22;
  std::vector<float> x(kSize, 0.25F);
  std::vector<std::uint32_t> words(kSize), back(kSize);
  std::vector<std::uint8_t> packed((kSize * kBits + 7) / 8);
  std::vector<std::uint64_t> flags(2);
  mark_secret(x);
  flags[0] = table.fixed_point_encode[0](x.data(), draws, kSize, 1024.0, 1.0, kBits, words.data());
  flags[1] = table.pack_bits_u32(words.data(), kSize, kBits, packed.data());
  table.unpack_bits_u32(packed.data(), packed.size(), kSize, kBits, back.data());
  mark_public(flags);
  mark_public(back);
  std::printf("encoded %u %d %d\n", back[kSize - 1], flags[0] != 0, flags[1] != 0);
}

}  // namespace

int main() {
  const KernelTable* table = veil::ct::forced_kernels();
  if (table == nullptr) return veil::ct::kSkipped;
  share_and_combine(*table);
  std::vector<std::uint32_t> draws(101, 77);
  mark_secret(draws);
  encode_and_pack(*table, draws.data());
  encode_and_pack(*table, nullptr);
  return 0;
}
