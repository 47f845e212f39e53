// One lazily started thread pool for the whole process, rebuilt after fork.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

#include "veil/float_mode.hpp"

namespace veil {

// The least of set_num_threads, VEIL_NUM_THREADS, OMP_NUM_THREADS, the affinity mask and the
// cgroup CPU quota; at least 1.
int default_threads();

// Caps default_threads() for this process; 0 removes the cap. Throws std::invalid_argument if n <
// 0.
void set_num_threads(int n);

// A borrowed callable: no allocation, valid for the duration of the call that takes it.
class ChunkFunction {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, ChunkFunction>)
  ChunkFunction(F&& function)  // NOLINT(google-explicit-constructor): call sites pass lambdas
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(function)))),
        call_([](void* object, std::size_t chunk) {
          (*static_cast<std::remove_reference_t<F>*>(object))(chunk);
        }) {}
  void operator()(std::size_t chunk) const { call_(object_, chunk); }

 private:
  void* object_;
  void (*call_)(void*, std::size_t);
};

// Calls function(i) once for each i in [0, chunks), on at most `threads` threads including the
// caller's. Which thread runs a chunk is not defined, so a chunk's result must not depend on it:
// callers fix the chunk boundaries from the problem alone. The first exception of a chunk is
// rethrown here after all started chunks have ended.
//
// Every thread runs its chunks in one FloatMode, so that neither the caller's mode nor the thread
// changes a bit. What promises something about sums of subnormals asks to keep them, and is then
// not constant time.
void parallel_for(std::size_t chunks, int threads, ChunkFunction function,
                  Subnormals subnormals = Subnormals::zero);

}  // namespace veil
