"""`_core.pyi` says what the extension has (mypy's stubtest)."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy.stubtest")

REPOSITORY = Path(__file__).resolve().parents[2]


def test_core_stub_matches_the_extension():
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "veil._core"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
