"""The fuzzers run for minutes in `make test-long`; the Python ones for seconds in every run.

Native ones run for seconds under ctest in `make native`, with sanitizers.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
FUZZERS = sorted(HERE.glob("fuzz_*.py"))


def run(fuzzer, seconds, folder):
    done = subprocess.run(
        [sys.executable, str(fuzzer), f"-max_total_time={seconds}", "-rss_limit_mb=4096"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "DONE" in done.stderr or "Done" in done.stderr


@pytest.mark.parametrize("fuzzer", FUZZERS, ids=lambda path: path.stem)
def test_for_seconds(fuzzer, tmp_path):
    pytest.importorskip("atheris", reason="no module atheris: pip install 'veil[test]'")
    run(fuzzer, 5, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fuzzer", FUZZERS, ids=lambda path: path.stem)
def test_for_minutes(fuzzer, tmp_path):
    pytest.importorskip("atheris", reason="no module atheris: pip install 'veil[test]'")
    run(fuzzer, 300, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_native_fuzzer_for_minutes(tool, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    for program, package in (("cmake", "cmake"), ("ninja", "ninja-build"), ("clang++", "clang")):
        tool(program, package)
    for command in (
        ["cmake", "--preset", "sanitize"],
        ["cmake", "--build", "build/sanitize", "--target", "fuzz_unpack"],
        ["build/sanitize/cpp/fuzz/fuzz_unpack", "-max_total_time=300", "-max_len=4096"],
    ):
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
