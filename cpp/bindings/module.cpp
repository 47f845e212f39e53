#include <pybind11/pybind11.h>

namespace veil::bindings {
void bind_accumulate(pybind11::module_& module);
void bind_cells(pybind11::module_& module);
void bind_codec(pybind11::module_& module);
void bind_core(pybind11::module_& module);
void bind_fwht(pybind11::module_& module);
void bind_generator(pybind11::module_& module);
void bind_masked(pybind11::module_& module);
void bind_random(pybind11::module_& module);
void bind_reduce(pybind11::module_& module);
void bind_ring(pybind11::module_& module);
void bind_shamir(pybind11::module_& module);
void bind_table_sampler(pybind11::module_& module);
}  // namespace veil::bindings

PYBIND11_MODULE(_core, module) {
  module.doc() = "Native core of Veil: checked views in, one core call, no arithmetic here.";
  veil::bindings::bind_accumulate(module);
  veil::bindings::bind_cells(module);
  veil::bindings::bind_codec(module);
  veil::bindings::bind_core(module);
  veil::bindings::bind_fwht(module);
  veil::bindings::bind_generator(module);
  veil::bindings::bind_masked(module);
  veil::bindings::bind_random(module);
  veil::bindings::bind_reduce(module);
  veil::bindings::bind_ring(module);
  veil::bindings::bind_shamir(module);
  veil::bindings::bind_table_sampler(module);
}
