// Cryptographic random streams: AES-256-CTR under a key that is erased and replaced at every draw.
// Key chain: Bernstein, "Fast-key-erasure random-number generators" (2017).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "veil/keystream.hpp"
#include "veil/secret.hpp"

namespace veil {

// One draw's own keystream: immutable, so any thread may fill any part of it in any order.
class StreamSlice {
 public:
  StreamSlice(std::shared_ptr<const Keystream> stream, std::uint64_t size)
      : stream_(std::move(stream)), size_(size) {}

  std::uint64_t size() const noexcept { return size_; }

  // Writes bytes [offset, offset + out.size()) of the slice. Throws std::out_of_range past its end.
  void fill(std::uint64_t offset, std::span<std::uint8_t> out) const;

 private:
  std::shared_ptr<const Keystream> stream_;
  std::uint64_t size_;
};

// Thread-safe and fork-safe. The i-th reserve() of a seeded generator always gives the same stream.
//
// Invariants: a key is used for one keystream of at most kMaxSliceBytes; key_ has never produced
// output that left this class; after reserve() nothing in the generator can recompute a stream that
// was handed out, so its memory reveals no past draw once the slice is gone.
class SecureGenerator {
 public:
  static constexpr std::size_t kSeedBytes = 32;
  // 2^32 AES blocks: CTR mode stays within 2^-65 of random (n^2 / 2^129, PRP/PRF switching).
  static constexpr std::uint64_t kMaxSliceBytes = std::uint64_t{1} << 36;

  // Key from the operating system (getrandom). Throws std::runtime_error if it gives none.
  SecureGenerator();
  // For tests and simulation. Throws std::invalid_argument unless the seed has kSeedBytes.
  explicit SecureGenerator(std::span<const std::uint8_t> seed);
  SecureGenerator(const SecureGenerator&) = delete;
  SecureGenerator& operator=(const SecureGenerator&) = delete;
  ~SecureGenerator() = default;

  bool seeded() const noexcept { return seeded_; }

  // The next stream, of `bytes` bytes. Throws std::length_error above kMaxSliceBytes. In a forked
  // child it takes a new key from the operating system first; a seeded generator throws
  // std::runtime_error there, since parent and child would draw the same stream.
  StreamSlice reserve(std::uint64_t bytes);

 private:
  void rekey_after_fork();

  SecretBuffer<std::uint8_t> key_;
  bool seeded_;
  std::uint64_t fork_count_;
  std::int64_t process_;
};

}  // namespace veil
