"""The order of layers in the C++ half, read from `#include` lines; bindings hold no arithmetic."""

import re
from pathlib import Path

import pytest

CPP = Path(__file__).resolve().parents[2] / "cpp"
KERNELS = CPP / "src" / "kernels"

PLAIN_HEADERS = {"cstddef", "cstdint", "cstring"}
INTRINSICS = {"immintrin.h", "emmintrin.h", "arm_neon.h"}


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def ids(path: Path) -> str:
    return str(path.relative_to(CPP))


def code(path: Path) -> str:
    """The file without comments, strings and includes."""
    text = re.sub(r"^\s*#.*$", "", path.read_text(), flags=re.MULTILINE)
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r'"(\\.|[^"\\\n])*"', '""', text)


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*")), ids=ids)
def test_kernels_include_plain_headers_intrinsics_and_kernels(path):
    foreign = [
        name
        for name in includes(path)
        if name not in PLAIN_HEADERS | INTRINSICS and not name.startswith("kernels/")
    ]
    assert foreign == []


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.inc.hpp")), ids=ids)
def test_kernels_use_no_std_container_exception_or_allocation(path):
    banned = re.findall(
        r"\bstd::(?!size_t|u?int\d+_t|uintptr_t|mem)\w+|\bthrow\b|\bnew\b", code(path)
    )
    assert banned == []


CORE = sorted([*(CPP / "include" / "veil").glob("*.hpp"), *(CPP / "src").glob("*.[ch]pp")])


@pytest.mark.parametrize("path", CORE, ids=ids)
def test_core_knows_neither_python_nor_an_algorithm_of_one_instruction_set(path):
    foreign = [
        name
        for name in includes(path)
        if name.startswith(("pybind11", "Python.h", "numpy/"))
        or name in INTRINSICS
        or name.endswith(".inc.hpp")
    ]
    assert foreign == []


@pytest.mark.parametrize("path", sorted((CPP / "include" / "veil").glob("*.hpp")), ids=ids)
def test_public_headers_do_not_show_the_kernels(path):
    assert [name for name in includes(path) if name.startswith("kernels/")] == []


@pytest.mark.parametrize("path", sorted((CPP / "bindings").glob("bind_*.cpp")), ids=ids)
def test_bindings_hold_no_arithmetic(path):
    body = code(path)
    assert re.findall(r"[-+*/%&|^]=|<<=|>>=", body) == [], "compound arithmetic"
    assert re.findall(r"\bfor\s*\([^:)]*;", body) == [], "a counting loop"
    assert re.findall(r"\bwhile\b", body) == [], "a loop"
    assert not {"cmath", "immintrin.h", "bit", "numeric"} & set(includes(path))


@pytest.mark.parametrize("path", sorted((CPP / "bindings").glob("*.cpp")), ids=ids)
def test_only_arrays_hpp_knows_numpy(path):
    text = code(path)
    assert "pybind11/numpy.h" not in includes(path)
    assert "npy_api" not in text
