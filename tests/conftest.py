"""What every test may use, and how skips are judged.

- `data_file("heart_disease/processed.va.data")` and `data_dir`: real data from `VEIL_DATA_DIR`, or
  `../shared/data` beside the repository; absent, the test is skipped with the file's public source.
- `tool("valgrind", "valgrind")`: the path of a program, or a skip that names its Debian package.
- Tests marked `long` run only when the `-m` expression says `long`.
- The run ends with a list of what was skipped and how to get it. Under `VEIL_TEST_STRICT=1` a skip
  for a missing tool, module or file is a failure; the named exceptions are `STRICT_EXCEPTIONS`.

Tests marked `kernel` are run again under every other instruction set: tests/api/test_every_isa.py.
"""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

import veil  # noqa: F401  the warnings filter of pyproject.toml names a class of it

# A shell's background job ignores the interrupt, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent

# Markers whose tests may be skipped even under VEIL_TEST_STRICT=1, with the reason.
STRICT_EXCEPTIONS = {"gpu": "needs a CUDA device"}

SOURCES = {
    "heart_disease": "UCI Machine Learning Repository, data set 45, Heart Disease",
    "diabetes130": "UCI Machine Learning Repository, data set 296, Diabetes 130-US hospitals",
    "adult": "the Adult extract that the ARX anonymisation tool distributes (UCI data set 2)",
    "pneumonia": "MedMNIST v2, PneumoniaMNIST (28 x 28)",
}


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; it may be absent or incomplete."""
    named = os.environ.get("VEIL_DATA_DIR")
    return Path(named) if named else REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data_file(data_dir):
    """A function from a path inside the data folder to the file, or a skip."""

    def find(name: str) -> Path:
        path = data_dir / name
        if not path.is_file():
            source = SOURCES[Path(name).parts[0]]
            pytest.skip(f"no data file {name}: set VEIL_DATA_DIR to a folder with it ({source})")
        return path

    return find


@pytest.fixture(scope="session")
def tool():
    """A function from a program and its Debian package to the program's path, or a skip."""

    def find(program: str, package: str) -> str:
        path = shutil.which(program)
        if path is None:
            pytest.skip(f"no program {program}: sudo apt install {package}")
        return path

    return find


def pytest_collection_modifyitems(config, items):
    if "long" in (config.option.markexpr or ""):
        return
    long_tests = [item for item in items if item.get_closest_marker("long")]
    if long_tests:
        config.hook.pytest_deselected(items=long_tests)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def refuse_skip(report, markers=()) -> None:
    """Turn a skip into a failure under VEIL_TEST_STRICT=1, unless it is a named exception."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    if os.environ.get("VEIL_TEST_STRICT") != "1" or STRICT_EXCEPTIONS.keys() & set(markers):
        return
    report.outcome = "failed"
    report.longrepr = f"VEIL_TEST_STRICT=1 allows no skip: {skip_reason(report)}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    refuse_skip(outcome.get_result(), {marker.name for marker in item.iter_markers()})


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    outcome = yield
    refuse_skip(outcome.get_result())


def skip_reason(report) -> str:
    """The words after "Skipped: "."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


# The extra that brings a module whose absence `pytest.importorskip` reports.
EXTRAS = {
    "torch": "torch",
    "flwr": "flower",
    "nvflare": "nvflare",
    "openfhe": "he",
    "opacus": "bench",
    "opendp": "bench",
    "polars": "test",
    "mypy": "dev",
    "numpydoc": "dev",
}


def how_to_get(reason: str) -> str:
    """Say how a clone gets a missing module, for pytest's wording and for Veil's."""
    for module, extra in EXTRAS.items():
        if f"could not import '{module}" in reason:
            return f"{module} is not installed: make test WITH={extra}"
    return re.sub(r"pip install 'veil\[(\w+)\]'", r"make test WITH=\1", reason)


def pytest_terminal_summary(terminalreporter):
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = how_to_get(skip_reason(report))
        reasons[reason] = reasons.get(reason, 0) + 1
    if not reasons:
        return
    terminalreporter.section("skipped, and how to get it")
    for reason, count in sorted(reasons.items()):
        terminalreporter.line(f"{count:4d}  {reason}")
