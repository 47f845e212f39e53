"""Four hospitals on Flower, as real processes: faults, TLS, and a server that is killed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr.app")

from veil.fl import Checkpoint, FedAvg, LogisticRegression, simulate
from veil.study import Schema, load_hospital

sys.path.insert(0, str(Path(__file__).parent))
from flower_deployment import Deployment, free_ports, program

EXCHANGE = 90  # most seconds for one exchange, on a machine that does much else


@pytest.fixture
def app(veil_command, data_file, tmp_path):
    """What `veil flower new` writes for the four hospitals of UCI Heart Disease."""
    data = data_file("heart_disease/processed.cleveland.data").parent
    made = veil_command("flower", "new", tmp_path / "app", "--data-dir", data)
    assert made.returncode == 0, made.stderr
    return tmp_path / "app"


def rounds_of(file):
    return Checkpoint.load(file).rounds if file.exists() else ()


def simulated(data, app, rounds):
    """The same task, sites and rounds in `simulate`."""
    schema = Schema.read(app / "veil_app" / "schema.json")
    names = ("cleveland", "hungarian", "switzerland", "va")
    sites = [load_hospital(name, schema=schema, data=data) for name in names]
    task = LogisticRegression(
        features=sites[0].x.shape[1], learning_rate=0.1, epochs=5, batch_size=32
    )
    return task, sites, simulate(task, sites, FedAvg(), rounds=rounds, seed=1)


@pytest.mark.timeout(900)
def test_hospitals_train_on_through_garbage_a_straggler_a_killed_server_and_a_killed_site(
    app, data_file, tmp_path
):
    data = data_file("heart_disease/processed.cleveland.data").parent
    work = tmp_path / "work"
    work.mkdir()
    checkpoint = work / "run.npz"
    released, never = work / "released", work / "never"
    markers = {name: work / f"{name}.marker" for name in ("garbage", "late", "killed")}
    settings = {
        "num-server-rounds": 3,
        "checkpoint": checkpoint,
        "patience": 10.0,
        "exchange-timeout": float(EXCHANGE),
    }
    with Deployment(app, work, data) as flower:
        flower.break_sites(
            {
                "va": {"round": "1", "step": "mask", "kind": "garbage",
                       "marker": str(markers["garbage"])},
                "hungarian": {"round": "2", "step": "unmask", "kind": "late",
                              "marker": str(markers["late"]), "until": str(released)},
                "switzerland": {"round": "3", "step": "confirm", "kind": "late",
                                "marker": str(markers["killed"]), "until": str(never)},
            }
        )  # fmt: skip
        flower.start_superlink()
        for site in flower.sites:
            flower.register_and_start(site)
        flower.start_run("first", **settings)
        flower.wait("two rounds are done", lambda: len(rounds_of(checkpoint)) == 2, 8 * EXCHANGE)
        assert markers["garbage"].exists()
        assert markers["late"].exists()

        flower.kill("superlink")
        before = Checkpoint.load(checkpoint)
        flower.kill("first")
        released.touch()
        flower.start_superlink()
        flower.start_run("second", **settings)
        flower.wait("the last round confirms", markers["killed"].exists, 5 * EXCHANGE)
        flower.kill("switzerland")
        flower.finish("second", 3 * EXCHANGE)

        first, second = flower.log("first"), flower.log("second")
        assert "finished after 3 rounds" in second
        assert "going on after round 2 of the checkpoint" in second
        assert "va: refused: " in first
    after = Checkpoint.load(checkpoint)
    everyone = ("cleveland", "hungarian", "switzerland", "va")
    assert [r.survivors for r in after.rounds] == [
        everyone[:3],  # garbage of va is in no sum
        everyone,  # hungarian came late after its vector was in
        everyone,  # switzerland was killed after its vector was in
    ]
    assert after.rounds[:2] == before.rounds
    assert np.isfinite(after.vector).all()

    task, sites, alone = simulated(data, app, 3)
    found, expected = (
        np.nanmean([task.evaluate(model, site)["auroc"] for site in sites])
        for model in (after.params, alone.params)
    )
    assert found == pytest.approx(expected, abs=0.05)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_script_of_the_app_runs_it_as_it_is(app, data_file, tmp_path):
    data = data_file("heart_disease/processed.cleveland.data").parent
    environment = {
        **os.environ,
        "VEIL_LOCAL_PORT": str(free_ports(1)[0]),
        "VEIL_DATA_DIR": str(data.parent),
        "PATH": os.pathsep.join([str(Path(program("flwr")).parent), os.environ["PATH"]]),
    }
    done = subprocess.run(
        [app / "local.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "round 3: 4 sites" in done.stdout
    assert "finished after 3 rounds and 11 exchanges" in done.stdout
