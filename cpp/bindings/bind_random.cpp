#include <pybind11/pybind11.h>

#include <string>

#include "arrays.hpp"
#include "ciphers.hpp"
#include "veil/keystream.hpp"

namespace veil::bindings {
namespace {

class Stream {
 public:
  Stream(const py::handle& key, const py::handle& nonce, const py::handle& cipher)
      : keystream_(cipher_named(cipher), byte_view(key, "key").span(),
                   byte_view(nonce, "nonce").span()),
        position_(keystream_) {}

  void fill(std::span<std::uint8_t> out, int threads) {
    const py::gil_scoped_release released;
    keystream_.fill(position_.take(out.size()), out, threads);
  }

  void seek(std::uint64_t byte_offset) { position_.seek(byte_offset); }
  std::uint64_t tell() const { return position_.tell(); }
  std::uint64_t capacity() const { return keystream_.capacity(); }

 private:
  Keystream keystream_;
  KeystreamPosition position_;
};

py::bytes read_bytes(Stream& stream, std::size_t n, const py::object& threads) {
  auto out = py::reinterpret_steal<py::bytes>(
      PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(n)));
  if (!out) throw py::error_already_set();
  auto* data = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(out.ptr()));
  stream.fill({data, n}, resolve_threads(threads));
  return out;
}

template <class Word>
void read_words(Stream& stream, const py::handle& out, const py::object& threads) {
  const auto words = output<Word>(out, "out");
  stream.fill({reinterpret_cast<std::uint8_t*>(words.data()), words.size_bytes()},
              resolve_threads(threads));
}

}  // namespace

void bind_random(py::module_& module) {
  py::class_<Stream>(module, "Stream")
      .def(py::init<const py::handle&, const py::handle&, const py::handle&>(), py::arg("key"),
           py::arg("nonce"), py::arg("cipher"))
      .def("bytes", &read_bytes, py::arg("n"), py::arg("threads"))
      .def("uint32", &read_words<std::uint32_t>, py::arg("out"), py::arg("threads"))
      .def("uint64", &read_words<std::uint64_t>, py::arg("out"), py::arg("threads"))
      .def("seek", &Stream::seek, py::arg("byte_offset"))
      .def("tell", &Stream::tell)
      .def("capacity", &Stream::capacity);
}

}  // namespace veil::bindings
