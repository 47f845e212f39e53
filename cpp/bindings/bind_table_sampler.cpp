#include <pybind11/stl.h>

#include <memory>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "veil/table_sampler.hpp"

namespace veil::bindings {
namespace {

template <class T>
void add_to_lattice(const TableSampler& sampler, SecureGenerator& generator, const py::handle& x,
                    const py::handle& out, double granularity, int threads) {
  const auto in = input<T>(x, "x");
  const auto result = output<T>(out, "out");
  require_size("out", in.size(), result.size());
  require_no_overlap(in, result, "x", "out", true);
  const py::gil_scoped_release release;
  sampler.add_to_lattice(generator, in, result, granularity, threads);
}

}  // namespace

void bind_table_sampler(py::module_& module) {
  py::class_<AliasTable, std::shared_ptr<AliasTable>>(module, "AliasTable")
      .def(py::init([](const py::handle& high, const py::handle& low, const py::handle& alias) {
             return std::make_shared<AliasTable>(input<std::uint64_t>(high, "high"),
                                                 input<std::uint64_t>(low, "low"),
                                                 input<std::uint16_t>(alias, "alias"));
           }),
           py::arg("high"), py::arg("low"), py::arg("alias"))
      .def_property_readonly("columns", &AliasTable::columns);

  using Levels = std::vector<std::pair<std::shared_ptr<AliasTable>, std::uint32_t>>;
  py::class_<TableSampler>(module, "TableSampler")
      .def(py::init([](const Levels& levels) {
             std::vector<TableSampler::Level> converted;
             for (const auto& [table, shift] : levels) converted.push_back({table, shift});
             return std::make_unique<TableSampler>(std::move(converted));
           }),
           py::arg("levels"))
      .def(
          "sample",
          [](const TableSampler& self, SecureGenerator& generator, const py::handle& out,
             const py::object& threads) {
            const auto values = output<std::int64_t>(out, "out");
            const int count = resolve_threads(threads);
            const py::gil_scoped_release release;
            self.sample(generator, values, count);
          },
          py::arg("generator"), py::arg("out"), py::arg("threads"))
      .def(
          "add_to_lattice",
          [](const TableSampler& self, SecureGenerator& generator, const py::handle& x,
             const py::handle& out, double granularity, const py::object& threads) {
            const bool narrow = py::isinstance<py::array_t<float>>(x);
            (narrow ? add_to_lattice<float> : add_to_lattice<double>)(self, generator, x, out,
                                                                      granularity,
                                                                      resolve_threads(threads));
          },
          py::arg("generator"), py::arg("x"), py::arg("out"), py::arg("granularity"),
          py::arg("threads"));
}

}  // namespace veil::bindings
