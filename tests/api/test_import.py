"""`import veil` is cheap and tells what runs."""

import os
import subprocess
import sys

import pytest

import veil


def test_import_loads_numpy_and_core_alone():
    code = (
        "import sys, veil; heavy = ('scipy', 'dp_accounting', 'torch', 'cryptography'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_core_info_names_a_supported_isa():
    info = veil.core_info()
    assert info["isa"] in info["supported_isas"]
    assert info["threads"] >= 1


@pytest.mark.kernel
def test_forced_isa_or_else_the_widest_is_in_use():
    info = veil.core_info()
    assert info["isa"] == os.environ.get("VEIL_FORCE_ISA", info["supported_isas"][-1])


def test_unknown_forced_isa_is_an_import_error():
    done = subprocess.run(
        [sys.executable, "-c", "import veil"],
        env={"VEIL_FORCE_ISA": "mmx", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "ImportError" in done.stderr
    assert "VEIL_FORCE_ISA=mmx" in done.stderr
    assert "baseline" in done.stderr


def test_negative_thread_cap_is_refused():
    with pytest.raises(ValueError, match="n: expected 0"):
        veil.set_num_threads(-1)


def test_thread_cap_applies_and_is_removed():
    before = veil.core_info()["threads"]
    veil.set_num_threads(1)
    assert veil.core_info()["threads"] == 1
    veil.set_num_threads(0)
    assert veil.core_info()["threads"] == before
