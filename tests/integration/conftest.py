"""One real study, run once through the command line, for every test that looks at its files."""

import os
import subprocess
import sys

import pytest

VEIL = (sys.executable, "-c", "from veil.cli import main; main()")


@pytest.fixture(scope="session")
def veil_command():
    """Run the command line in a process of its own."""

    def run(*arguments, **more):
        return subprocess.run(
            [*VEIL, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "160", **more},
        )

    return run


@pytest.fixture(scope="session")
def quick_study(veil_command, tmp_path_factory):
    """Return the finished process and the directory of ``veil study --quick``."""
    for module in ("sklearn", "jinja2", "jsonschema", "matplotlib"):
        pytest.importorskip(module)
    out = tmp_path_factory.mktemp("study") / "out"
    return veil_command("study", "--quick", "--out", out), out
