// Buffers for keys and seeds: wiped when they go, compared in constant time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace veil {

// Overwrites memory in a way that the optimiser keeps: the asm claims to read it afterwards.
inline void wipe(void* data, std::size_t bytes) noexcept {
  if (bytes == 0) return;
  std::memset(data, 0, bytes);
  __asm__ volatile("" : : "r"(data) : "memory");
}

// True if both hold the same bytes; time depends on the length alone.
inline bool equal_constant_time(std::span<const std::uint8_t> a,
                                std::span<const std::uint8_t> b) noexcept {
  if (a.size() != b.size()) return false;
  std::uint32_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= static_cast<std::uint32_t>(a[i] ^ b[i]);
  return difference == 0;
}

// A fixed-size heap array of trivially copyable T, wiped on destruction; it never grows, so no
// stale copy is left behind by a reallocation.
template <class T>
class SecretBuffer {
 public:
  explicit SecretBuffer(std::size_t size) : data_(size) {}
  SecretBuffer(SecretBuffer&& other) noexcept : data_(std::move(other.data_)) {}
  SecretBuffer(const SecretBuffer&) = delete;
  SecretBuffer& operator=(const SecretBuffer&) = delete;
  SecretBuffer& operator=(SecretBuffer&&) = delete;
  ~SecretBuffer() { wipe(data_.data(), data_.size() * sizeof(T)); }

  T* data() noexcept { return data_.data(); }
  const T* data() const noexcept { return data_.data(); }
  std::size_t size() const noexcept { return data_.size(); }
  std::span<T> span() noexcept { return data_; }
  std::span<const T> span() const noexcept { return data_; }

 private:
  std::vector<T> data_;
};

}  // namespace veil
