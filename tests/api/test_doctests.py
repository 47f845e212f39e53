"""The examples in docstrings run, with `veil` and `np` predefined.

An example that needs an absent optional dependency is skipped with the extra that brings it.
"""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import veil


def modules() -> list[str]:
    found = [m.name for m in pkgutil.walk_packages(veil.__path__, "veil.")]
    return ["veil", *sorted(name for name in found if not name.endswith("__main__"))]


def examples(name: str) -> list[doctest.DocTest]:
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = finder.find(module, name, extraglobs={"veil": veil, "np": np})
    return [test for test in found if test.examples]


class Runner(doctest.DocTestRunner):
    """Skips the test when an example needs an extra that is not installed."""

    def report_unexpected_exception(self, out, test, example, exc_info):
        error = exc_info[1]
        if isinstance(error, ImportError) and "pip install 'veil[" in str(error):
            pytest.skip(f"doctest {test.name}: {error}")
        super().report_unexpected_exception(out, test, example, exc_info)


@pytest.mark.parametrize("name", modules())
def test_examples_of(name):
    for test in examples(name):
        written: list[str] = []
        runner = Runner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        runner.run(test, out=written.append)
        assert runner.summarize(verbose=False).failed == 0, "".join(written)


def test_a_wrong_example_fails():
    broken = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "broken", None, 0)
    runner = Runner()
    runner.run(broken, out=lambda text: None)
    assert runner.summarize(verbose=False).failed == 1


def test_an_example_without_its_extra_is_skipped():
    text = ">>> import veil._optional\n>>> veil._optional.require('no_such', 'torch')\n"
    example = doctest.DocTestParser().get_doctest(text, {}, "optional", None, 0)
    with pytest.raises(pytest.skip.Exception, match="veil\\[torch\\]"):
        Runner().run(example, out=lambda text: None)
