"""Ctrl-C and SIGKILL in a run: the checkpoint on disk is whole, and the run goes on from it."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from veil.fl import Checkpoint, LogisticRegression, Scaffold, Site, simulate

SCRIPT = """
import sys, pathlib
sys.path.insert(0, {here!r})
from test_interrupted_run import run
run(lambda state: state.save({path!r}))
"""


def run(on_round=None, resume=None, rounds=2000):
    rng = np.random.default_rng(0)
    sites = []
    for name in "abc":
        x = rng.normal(size=(40, 3))
        y = (x[:, 0] > 0).astype(int)
        sites.append(Site(id=name, x=x, y=y, x_test=x, y_test=y, patients=None))
    task = LogisticRegression(features=3, learning_rate=0.1, epochs=1, batch_size=8)
    return simulate(
        task,
        sites,
        Scaffold(),
        rounds=rounds,
        seed=1,
        on_round=on_round,
        resume=resume,
        evaluate_every=rounds,
    )


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL], ids=lambda s: s.name)
def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path, sent):
    path = tmp_path / "run.npz"
    here = __file__.rpartition("/")[0]
    code = SCRIPT.format(here=here, path=str(path))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0, errors
    state = Checkpoint.load(path)
    done = len(state.rounds)
    assert 1 <= done < 2000, "the run ended before it was stopped"
    resumed = run(resume=state, rounds=done + 3)
    whole = run(rounds=done + 3)
    for name, array in whole.params.items():
        assert resumed.params[name].tobytes() == array.tobytes()
    if sent is signal.SIGINT:
        assert "KeyboardInterrupt" in errors
        assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]
