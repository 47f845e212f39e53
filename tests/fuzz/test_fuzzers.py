"""The Python fuzzers run for seconds here, for minutes in `make test-long`."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
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
