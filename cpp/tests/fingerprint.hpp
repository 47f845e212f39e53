// A fingerprint of bytes, to hold outputs fixed across machines: FNV-1a of 64 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

template <class T>
std::uint64_t fingerprint(const std::vector<T>& values) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(values.data());
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (std::size_t i = 0; i < values.size() * sizeof(T); ++i) {
    hash = (hash ^ bytes[i]) * 0x100000001b3U;
  }
  return hash;
}
