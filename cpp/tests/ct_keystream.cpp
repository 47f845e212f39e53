// Are keys and values free of branches and addresses? They are marked undefined, and valgrind's
// memcheck then reports every conditional jump and every address that depends on them.
// Usage: ct_keystream [branch | index]; with an argument a deliberate leak must be reported.
#include <array>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include "ct_marks.hpp"
#include "veil/keystream.hpp"
#include "veil/ring.hpp"
#include "veil/secret.hpp"

namespace {

using veil::Cipher;
using veil::ct::mark_public;
using veil::ct::mark_secret;

std::uint64_t total(const std::vector<std::uint8_t>& bytes) {
  std::uint64_t sum = 0;
  for (const std::uint8_t byte : bytes) sum += byte;
  return sum;
}

void read_keystream(Cipher cipher) {
  std::vector<std::uint8_t> key(32, 7), out(12'001);
  mark_secret(key);
  const veil::Keystream stream(cipher, key);
  stream.fill(5, out);
  mark_public(out);
  std::printf("keystream %llu\n", static_cast<unsigned long long>(total(out)));
}

template <class Word>
void mask_vector(Cipher cipher) {
  const std::vector<std::int8_t> signs{1, -1, 1};
  std::vector<std::uint8_t> keys(32 * signs.size(), 9);
  std::vector<Word> vector(3001, 1);
  mark_secret(keys);
  mark_secret(vector);
  veil::mask_add(cipher, std::span<const Word>(vector), keys, signs, 3, std::span(vector), 1);
  veil::ring_add(std::span<const Word>(vector), std::span<const Word>(vector), std::span(vector),
                 1);
  mark_public(vector);
  std::printf("masked %llu\n", static_cast<unsigned long long>(vector[3000]));
}

void compare_secrets() {
  std::vector<std::uint8_t> a(32, 1), b(32, 1);
  mark_secret(a);
  std::vector<std::uint8_t> equal{veil::equal_constant_time(a, b)};
  mark_public(equal);
  std::printf("equal %d\n", equal[0]);
}

// The controls: what the checker must report.
void leak_by_branch() {
  std::vector<std::uint8_t> key(32, 7);
  mark_secret(key);
  volatile int branch = 0;
  if (key[3] > 5) branch = branch + 1;
}

void leak_by_index() {
  static const std::array<std::uint8_t, 256> table{1, 2, 3};
  std::vector<std::uint8_t> key(32, 7);
  mark_secret(key);
  const volatile std::uint8_t looked_up = table[key[3]];
  (void)looked_up;
}

void check_everything() {
  for (const Cipher cipher : {Cipher::aes256_ctr, Cipher::chacha20}) {
    read_keystream(cipher);
    mask_vector<std::uint32_t>(cipher);
    mask_vector<std::uint64_t>(cipher);
  }
  compare_secrets();
}

}  // namespace

int main(int argc, char** argv) {
  if (veil::ct::forced_kernels() == nullptr) return veil::ct::kSkipped;
  const std::string_view leak = argc > 1 ? argv[1] : "";
  if (leak == "branch") leak_by_branch();
  if (leak == "index") leak_by_index();
  if (leak.empty()) check_everything();
  return 0;
}
