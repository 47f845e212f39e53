// Is the table sampler free of branches that depend on the draw? The random words are marked
// undefined. Its table reads do use them as addresses, which table_reads.supp hides from memcheck;
// conditional jumps are still reported.
// Usage: ct_table [branch]; with the argument a deliberate leak must be reported.
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include "ct_marks.hpp"

int main(int argc, char** argv) {
  const veil::KernelTable* kernels = veil::ct::forced_kernels();
  if (kernels == nullptr) return veil::ct::kSkipped;
  constexpr std::size_t kBlocks = 33, kColumns = 64;
  std::vector<std::uint8_t> words(80 * kBlocks);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = static_cast<std::uint8_t>(i * 37);
  const std::vector<std::uint64_t> threshold(kColumns, 0x8000000000000000U);
  const std::vector<std::uint16_t> alias(kColumns + 3, 5);
  std::vector<std::int64_t> out(8 * kBlocks);
  veil::ct::mark_secret(words);
  std::vector<std::uint64_t> tied{kernels->table_add(words.data(), threshold.data(), alias.data(),
                                                     kColumns - 1, 3, out.data(), kBlocks)};
  if (argc > 1 && std::string_view(argv[1]) == "branch") {
    volatile int negative = 0;
    if (out[0] < 0) negative = negative + 1;
  }
  veil::ct::mark_public(out);
  veil::ct::mark_public(tied);
  std::printf("drawn %lld, tied %llu\n", static_cast<long long>(out[7]),
              static_cast<unsigned long long>(tied[0]));
  return 0;
}
