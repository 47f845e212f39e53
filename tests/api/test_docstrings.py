"""What the package offers documents every parameter and result (numpydoc's own validator)."""

import importlib
import inspect
from collections.abc import Iterator

import pytest

import veil

validation = pytest.importorskip("numpydoc.validate")

REQUIRED = {"GL08", "PR01", "PR02", "RT01", "RT02"}
RECORD_METHODS = {"to_dict", "from_dict"}  # the same in every record


def offered() -> Iterator[str]:
    """Functions, classes and their methods that `veil.<subpackage>.__all__` names."""
    for subpackage in sorted({*veil._SUBMODULES, "integrations.flower"}):
        module = importlib.import_module(f"veil.{subpackage}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield f"veil.{subpackage}.{name}"
            # A protocol's members are for those who implement it; its class docstring tells.
            elif inspect.isclass(value) and not getattr(value, "_is_protocol", False):
                yield f"veil.{subpackage}.{name}"
                yield from methods(f"veil.{subpackage}.{name}", value)


def methods(path: str, owner: type) -> Iterator[str]:
    for name, member in vars(owner).items():
        if name.startswith("_") or name in RECORD_METHODS:
            continue
        if inspect.isfunction(member) or isinstance(member, classmethod | staticmethod):
            yield f"{path}.{name}"


@pytest.mark.parametrize("path", list(offered()))
def test_documents_parameters_and_results(path):
    errors = [e for e in validation.validate(path)["errors"] if e[0] in REQUIRED]
    assert errors == []
