"""The suite's own rules: strict skips, the list of what was skipped, long tests."""

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).resolve().parent.parent / "conftest.py"

SUITE = """
import pytest

def test_needs_a_file(data_file):
    data_file("adult/adult.csv")

def test_needs_a_tool(tool):
    tool("no-such-program", "some-package")

@pytest.mark.gpu
def test_needs_a_gpu():
    pytest.skip("no CUDA device")

@pytest.mark.long
def test_takes_minutes():
    pass

def test_fast():
    pass
"""

INI = "[pytest]\nmarkers =\n  gpu: g\n  long: l\n"


def run(folder: Path, *options: str, strict: bool = False) -> tuple[int, str]:
    (folder / "pytest.ini").write_text(INI)
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_sample.py").write_text(SUITE)
    env = {**os.environ, "VEIL_DATA_DIR": str(folder), "VEIL_TEST_STRICT": "01"[strict]}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_skips_are_listed_with_how_to_get_what_is_missing(tmp_path):
    code, output = run(tmp_path)
    assert code == 0
    assert "1 passed, 3 skipped, 1 deselected" in output
    assert "no data file adult/adult.csv: set VEIL_DATA_DIR" in output
    assert "ARX anonymisation tool" in output
    assert "no program no-such-program: sudo apt install some-package" in output


def test_strict_mode_fails_every_skip_but_the_named_exception(tmp_path):
    code, output = run(tmp_path, strict=True)
    assert code == 1
    assert "2 failed, 1 passed, 1 skipped" in output
    assert "VEIL_TEST_STRICT=1 allows no skip: no data file adult/adult.csv" in output


def test_strict_mode_fails_a_module_that_skips_itself(tmp_path):
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('no_such')\n")
    code, output = run(tmp_path, strict=True)
    assert code != 0
    assert "VEIL_TEST_STRICT=1 allows no skip: could not import 'no_such'" in output


def test_long_tests_run_when_asked_for(tmp_path):
    code, output = run(tmp_path, "-m", "long")
    assert code == 0
    assert "1 passed, 4 deselected" in output
