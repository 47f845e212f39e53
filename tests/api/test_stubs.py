"""`_core.pyi` says what the extension has (mypy's stubtest)."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy.stubtest")

REPOSITORY = Path(__file__).resolve().parents[2]

# Their metaclass is pybind11's own, which no module exports; their members are compared as all are.
CLASSES = [
    f"veil._core.{name}"
    for name in ("AliasTable", "SecureGenerator", "Stream", "SubnormalsAsZero", "TableSampler")
]


def test_core_stub_matches_the_extension(tmp_path):
    allowed = tmp_path / "metaclass_differs"
    allowed.write_text("\n".join(CLASSES))
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "veil._core", f"--allowlist={allowed}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
