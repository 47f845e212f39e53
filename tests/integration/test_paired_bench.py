"""`bench/paired.py` runs: a checkout against itself, once, on small sizes."""

import subprocess
import sys
from pathlib import Path

import pytest

import veil

REPOSITORY = Path(__file__).resolve().parents[2]
PAIRED = REPOSITORY / "bench" / "paired.py"

pytestmark = pytest.mark.skipif(
    REPOSITORY not in Path(veil.__file__).resolve().parents,
    reason="the installed veil is not this checkout's: pip install --editable .",
)


def paired(base, new, *options):
    return subprocess.run(
        [sys.executable, str(PAIRED), str(base), str(new), "--quick", *options],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a_checkout_gives_its_own_results_on_every_work_item():
    done = paired(REPOSITORY, REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = done.stdout.splitlines()[2:]
    assert len(rows) >= 7
    assert all("the same" in row or "skipped" in row for row in rows)


def test_a_folder_without_veil_is_no_checkout(tmp_path):
    done = paired(tmp_path, REPOSITORY, "--only", "dp.mean")
    assert done.returncode != 0
    assert "veil: expected the package of" in done.stderr
