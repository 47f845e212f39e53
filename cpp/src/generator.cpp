#include "veil/generator.hpp"

#include <pthread.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <stdexcept>
#include <string>

namespace veil {
namespace {

// One lock for all generators, so that fork() can hold it: a child never inherits a generator
// half-way through a change of key, nor a lock that no thread of its own would release.
std::mutex& chain_lock() {
  static std::mutex lock;
  return lock;
}

std::uint64_t forks = 0;  // guarded by chain_lock; counts the forks between this process and init

void register_fork_handlers() {
  static const int registered =
      pthread_atfork([] { chain_lock().lock(); }, [] { chain_lock().unlock(); },
                     [] {
                       ++forks;
                       chain_lock().unlock();
                     });
  if (registered != 0) throw std::runtime_error("SecureGenerator: pthread_atfork failed");
}

void fill_from_os(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      throw std::runtime_error("SecureGenerator: getrandom failed with errno " +
                               std::to_string(errno));
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace

void StreamSlice::fill(std::uint64_t offset, std::span<std::uint8_t> out) const {
  if (offset > size_ || out.size() > size_ - offset) {
    throw std::out_of_range("StreamSlice: bytes past the end of the reserved stream");
  }
  stream_->fill(offset, out);
}

SecureGenerator::SecureGenerator() : key_(kSeedBytes), seeded_(false), process_(getpid()) {
  register_fork_handlers();
  fill_from_os(key_.span());
  const std::lock_guard lock(chain_lock());
  fork_count_ = forks;
}

SecureGenerator::SecureGenerator(std::span<const std::uint8_t> seed)
    : key_(kSeedBytes), seeded_(true), process_(getpid()) {
  if (seed.size() != kSeedBytes) {
    throw std::invalid_argument("seed: expected 32 bytes, got " + std::to_string(seed.size()));
  }
  register_fork_handlers();
  std::copy(seed.begin(), seed.end(), key_.data());
  const std::lock_guard lock(chain_lock());
  fork_count_ = forks;
}

// The count misses a raw clone(2), the process id misses a recycled id: a child passes neither.
void SecureGenerator::rekey_after_fork() {
  const std::int64_t process = getpid();
  if (fork_count_ == forks && process_ == process) return;
  if (seeded_) {
    throw std::runtime_error(
        "a seeded SecureGenerator was carried into a forked process, where it would repeat its "
        "parent's stream; make one with from_seed and a seed of its own in each process");
  }
  fill_from_os(key_.span());
  fork_count_ = forks;
  process_ = process;
}

StreamSlice SecureGenerator::reserve(std::uint64_t bytes) {
  if (bytes > kMaxSliceBytes) {
    throw std::length_error("SecureGenerator: expected a draw of at most 2^36 random bytes, got " +
                            std::to_string(bytes) + "; draw in parts");
  }
  SecretBuffer<std::uint8_t> next(2 * kSeedBytes);
  {
    const std::lock_guard lock(chain_lock());
    rekey_after_fork();
    Keystream(Cipher::aes256_ctr, key_.span()).fill(0, next.span());
    std::copy_n(next.data(), kSeedBytes, key_.data());
  }
  const auto slice_key = next.span().subspan(kSeedBytes);
  return {std::make_shared<const Keystream>(Cipher::aes256_ctr, slice_key), bytes};
}

}  // namespace veil
