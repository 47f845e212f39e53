"""The examples run as they are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_embedding_in_a_pytorch_loop():
    pytest.importorskip("torch", reason="torch: pip install 'veil[torch]'")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "embed_in_trainer.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.stdout)
