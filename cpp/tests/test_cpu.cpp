#include <doctest/doctest.h>

#include <string>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"

TEST_CASE("baseline is always supported and comes first") {
  const auto supported = veil::supported_kernels();
  REQUIRE_FALSE(supported.empty());
  CHECK(std::string(supported.front()->name) == "baseline");
}

TEST_CASE("an unknown instruction set is not found") {
  CHECK(veil::find_kernels("mmx") == nullptr);
}
