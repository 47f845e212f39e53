#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "veil/parallel.hpp"

TEST_CASE("every chunk runs exactly once on any number of threads") {
  for (const int threads : {1, 2, 3, 8}) {
    std::vector<std::atomic<int>> seen(1000);
    veil::parallel_for(seen.size(), threads, [&](std::size_t i) { seen[i].fetch_add(1); });
    for (const auto& count : seen) CHECK(count.load() == 1);
  }
}

TEST_CASE("a nested call does not deadlock") {
  std::atomic<int> total{0};
  veil::parallel_for(4, 4, [&](std::size_t) {
    veil::parallel_for(4, 4, [&](std::size_t) { total.fetch_add(1); });
  });
  CHECK(total.load() == 16);
}

TEST_CASE("the exception of a chunk reaches the caller, and the pool still works") {
  const auto failing = [](std::size_t i) {
    if (i == 3) throw std::runtime_error("chunk 3");
  };
  CHECK_THROWS_WITH_AS(veil::parallel_for(8, 2, failing), "chunk 3", std::runtime_error);
  std::atomic<int> total{0};
  veil::parallel_for(8, 2, [&](std::size_t) { total.fetch_add(1); });
  CHECK(total.load() == 8);
}
