#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <string>

#include "arrays.hpp"
#include "update.hpp"
#include "veil/accumulate.hpp"

namespace veil::bindings {
namespace {

LevelSums level_sums(const py::handle& high, const py::handle& low, const py::handle& levels) {
  const LevelSums sums{output<std::uint64_t>(high, "high"), output<std::uint64_t>(low, "low"),
                       output<std::uint8_t>(levels, "levels")};
  require_size("high", sums.levels.size() * kAccumulatorBlock, sums.high.size());
  require_size("low", sums.high.size(), sums.low.size());
  return sums;
}

struct Update {
  Update(const py::handle& object, const std::string& format_name)
      : format(float_format(format_name)),
        array(require_array(object, "update", dtype_of(format))) {}
  const void* data() const { return array.data(); }
  std::size_t size() const { return static_cast<std::size_t>(array.size()); }

  FloatFormat format;
  py::array array;
};

struct Target {
  Target(const py::handle& object, const std::string& format_name)
      : format(float_format(format_name)), array(require_array(object, "out", dtype_of(format))) {
    require_writable(array, "out");
    data = array.mutable_data();
  }
  std::size_t size() const { return static_cast<std::size_t>(array.size()); }

  FloatFormat format;
  py::array array;
  void* data;
};

void add_bounded(double bound, const py::object& update_object, const std::string& format,
                 double weight, std::uint64_t additions, const py::object& sums_object,
                 const py::object& threads) {
  const BoundedLattice lattice(bound);
  const Update update(update_object, format);
  const auto sums = output<double>(sums_object, "sums");
  require_size("sums", padded_length(update.size()), sums.size());
  const int thread_count = resolve_threads(threads);
  without_gil([&] {
    accumulate(lattice, update.format, update.data(), update.size(), weight, additions, sums,
               thread_count);
  });
}

void merge_bounded(double bound, const py::object& other_object, std::uint64_t additions,
                   const py::object& sums_object) {
  const BoundedLattice lattice(bound);
  const auto other = input<double>(other_object, "other");
  const auto sums = output<double>(sums_object, "sums");
  require_size("other", sums.size(), other.size());
  without_gil([&] { merge(lattice, other, additions, sums); });
}

void finish_bounded(double bound, const py::object& sums_object, double total,
                    const std::string& format, const py::object& out, const py::object& threads) {
  const BoundedLattice lattice(bound);
  const Target target(out, format);
  const auto sums = input<double>(sums_object, "sums");
  require_size("sums", padded_length(target.size()), sums.size());
  const int thread_count = resolve_threads(threads);
  without_gil(
      [&] { mean(lattice, sums, total, target.format, target.size(), target.data, thread_count); });
}

void add_levels(const py::object& update_object, const std::string& format, double weight,
                std::uint64_t additions, const py::object& high, const py::object& low,
                const py::object& levels, const py::object& threads) {
  const Update update(update_object, format);
  const LevelSums sums = level_sums(high, low, levels);
  require_size("high", padded_length(update.size()), sums.high.size());
  const int thread_count = resolve_threads(threads);
  without_gil([&] {
    accumulate(update.format, update.data(), update.size(), weight, additions, sums, thread_count);
  });
}

void merge_levels(const py::object& other_high, const py::object& other_low,
                  const py::object& other_levels, std::uint64_t additions, const py::object& high,
                  const py::object& low, const py::object& levels) {
  const LevelSums other = level_sums(other_high, other_low, other_levels);
  const LevelSums sums = level_sums(high, low, levels);
  require_size("other", sums.high.size(), other.high.size());
  without_gil([&] { merge(other, additions, sums); });
}

void finish_levels(const py::object& high, const py::object& low, const py::object& levels,
                   double total, const std::string& format, const py::object& out,
                   const py::object& threads) {
  const Target target(out, format);
  const LevelSums sums = level_sums(high, low, levels);
  require_size("high", padded_length(target.size()), sums.high.size());
  const int thread_count = resolve_threads(threads);
  without_gil([&] { mean(sums, total, target.format, target.size(), target.data, thread_count); });
}

}  // namespace

void bind_accumulate(py::module_& module) {
  module.attr("ACCUMULATOR_BLOCK") = kAccumulatorBlock;
  module.attr("ACCUMULATOR_LEAST_LEVEL") = LevelSums::kLeastLevel;
  module.attr("ACCUMULATOR_MAX_ADDITIONS") = LevelSums::kMaxAdditions;
  module.def("bounded_centre", [](double bound) { return BoundedLattice(bound).centre; });
  module.def("bounded_limit", [](double bound, std::uint64_t additions) {
    return BoundedLattice(bound).limit(additions);
  });
  module.def("accumulate_bounded", &add_bounded);
  module.def("merge_bounded", &merge_bounded);
  module.def("mean_bounded", &finish_bounded);
  module.def("accumulate_levels", &add_levels);
  module.def("merge_levels", &merge_levels);
  module.def("mean_levels", &finish_levels);
}

}  // namespace veil::bindings
