"""The examples run as they are."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_example(name, *args, **environment):
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *args],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_embedding_in_a_pytorch_loop():
    pytest.importorskip("torch", reason="torch: pip install 'veil[torch]'")
    done = run_example("embed_in_trainer.py")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.stdout)


def test_x_rays_of_four_sites(data_file):
    pytest.importorskip("torch", reason="torch: pip install 'veil[torch]'")
    folder = data_file("pneumonia/pneumoniamnist.npz").parent.parent
    few = ("--rounds", "1", "--private-rounds", "2")
    done = run_example("xray_cnn.py", *few, VEIL_DATA_DIR=str(folder))
    assert done.returncode == 0, done.stderr
    aurocs = re.findall(r"^site-\d +([01]\.\d{3}) +([01]\.\d{3})$", done.stdout, re.MULTILINE)
    assert len(aurocs) == 4
    assert all(float(fedavg) > 0.6 for fedavg, _ in aurocs)
