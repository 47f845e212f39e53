"""Tests marked `kernel` hold on every instruction set that this machine has.

The running process covers one; each other set gets one pytest process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import veil

TESTS = Path(__file__).resolve().parent.parent
OTHERS = [isa for isa in veil.core_info()["supported_isas"] if isa != veil.core_info()["isa"]]

if OTHERS:  # a machine with one instruction set has nothing to run again

    @pytest.mark.timeout(1800)
    @pytest.mark.parametrize("isa", OTHERS)
    def test_kernel_tests_pass_on(isa):
        options = ["-m", "kernel", "-q", "--no-header", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, str(TESTS)],
            cwd=TESTS.parent,
            env={**os.environ, "VEIL_FORCE_ISA": isa},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
