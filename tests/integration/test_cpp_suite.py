"""The C++ tests, the nm gate and the constant-time tests, as ctest runs them.

`make native` runs the other presets too: debug, sanitizers, aarch64.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = "build/release"


@pytest.fixture
def native_tools(tool, monkeypatch):
    """Cmake and ninja, the environment's own first; doctest comes from the system."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    tool("cmake", "cmake")
    tool("ninja", "ninja-build")
    if not Path("/usr/include/doctest/doctest.h").exists():
        pytest.skip("no header doctest/doctest.h: sudo apt install doctest-dev")


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-10_000:]}\n{done.stderr[-5_000:]}"
    return done.stdout


@pytest.mark.timeout(1200)
def test_native_tests_and_symbol_gate_pass(native_tools):
    run("cmake", "--preset", "release")
    run("cmake", "--build", BUILD)
    output = run("ctest", "--test-dir", BUILD, "--output-on-failure", "--no-tests=error")
    assert "nm_gate_veil_isa_baseline" in output
    assert "100% tests passed" in output
