"""The app of `veil flower new` with differential privacy, as its own README says."""

import csv
import importlib
import json
import logging
import re
import sys

import numpy as np
import pytest

flwr = pytest.importorskip("flwr.app")

from typer.testing import CliRunner

from veil.cli.app import app as veil_command
from veil.dp import Ledger
from veil.integrations.flower import SecureStrategy, deadline
from veil.random import SecureGenerator
from veil.secagg import Roster

from .memory import MemoryGrid, Node, arrays_of

SITES = ("s0", "s1", "s2", "s3")


def command(*arguments):
    done = CliRunner().invoke(veil_command, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(5)
    file, schema = tmp_path / "patients.csv", tmp_path / "schema.json"
    ages = rng.integers(20, 90, 160)
    # Two rows for each patient, both at one hospital.
    rows = [[a, f"s{i // 2 % 4}", i // 2, int(rng.random() < a / 100)] for i, a in enumerate(ages)]
    with open(file, "w", newline="") as out:
        csv.writer(out).writerows([["age", "clinic", "mrn", "outcome"], *rows])
    column = {
        "name": "age", "kind": "numeric", "low": 18.0, "high": 100.0, "impute": 60.0,
        "may_be_missing": False, "source": "the code book",
    }  # fmt: skip
    head = {"format": "veil-schema", "version": 1, "status": "public", "note": ""}
    schema.write_text(json.dumps({**head, "columns": [column]}))
    made = tmp_path / "app"
    command("flower", "new", made, "--data", file, "--target", "outcome", "--site", "clinic",
            "--patient", "mrn", "--schema", schema)  # fmt: skip
    return made, file


@pytest.fixture
def task(folder, monkeypatch):
    """The app's module, with the mechanism of the README."""
    made, _ = folder
    readme = (made / "README.md").read_text()
    block = re.search(r"^    PRIVACY = .*?^    ANSWER_AFTER = [\d.]+$", readme, re.M | re.S)[0]
    module = made / "veil_app" / "task.py"
    text = module.read_text()
    said = "PRIVACY = None\nANSWER_AFTER = None\n"
    assert said in text
    lines = "\n".join(line.removeprefix("    ") for line in block.splitlines())
    module.write_text(text.replace(said, f"from veil.fl import DistributedDP\n{lines}\n"))
    monkeypatch.syspath_prepend(str(made))
    logger = logging.getLogger("veil")  # the app's modules write to the terminal
    monkeypatch.setattr(logger, "handlers", list(logger.handlers))
    monkeypatch.setattr(logger, "level", logger.level)
    yield importlib.import_module("veil_app.task")
    for name in [n for n in sys.modules if n.split(".")[0] == "veil_app"]:
        del sys.modules[name]


def test_app_runs_with_the_mechanism_and_the_ledgers_of_its_readme(
    folder, task, tmp_path, monkeypatch
):
    from flwr.serverapp.strategy import FedAvg
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    made, file = folder
    options = ["--epsilon", 8, "--delta", 1e-4, "--unit", "patient", "--relation",
               "add-or-remove-one", "--mode", "planned"]  # fmt: skip
    for site in SITES:
        path = made / "local" / f"{site}.ledger"
        assert "head " in command("ledger", "new", path, *options, "--population", site)
        assert site in command("ledger", "show", path)
    command("ledger", "new", tmp_path / "server.ledger", *options)
    roster = Roster.read(made / "veil_app" / "roster.json")

    waited = []
    monkeypatch.setattr(deadline.time, "sleep", waited.append)
    app = importlib.import_module("veil_app.client_app").app
    assert importlib.import_module("veil_app.server_app").app
    nodes = []
    for i, site in enumerate(SITES):
        config = {"site": site, "identity": made / "local" / f"{site}.key", "data": file,
                  "roster": made / "veil_app" / "roster.json",
                  "ledger": made / "local" / f"{site}.ledger"}  # fmt: skip
        nodes.append(Node(1000 + i, app, {name: str(value) for name, value in config.items()}))
    strategy = SecureStrategy(
        FedAvg(min_train_nodes=3, min_available_nodes=3), codec=task.CODEC,
        dropout=task.SITES - task.MIN_SURVIVORS, corrupt=task.MAX_CORRUPT,
        min_survivors=task.MIN_SURVIVORS, weight_max=task.WEIGHT_MAX, roster=roster,
        metrics=task.METRICS, privacy=task.PRIVACY, task=task.TASK,
        ledger=Ledger.open(tmp_path / "server.ledger"),
    )  # fmt: skip
    grid = MemoryGrid(nodes)
    strategy.start(grid, arrays_of(task.TASK.init(SecureGenerator())), num_rounds=2, timeout=2)
    assert [r.survivors for r in strategy.history.rounds] == [SITES, SITES]
    for site in SITES:
        spent = Ledger.open(made / "local" / f"{site}.ledger").spent()
        assert spent.releases == 2
        assert spent.by_label[0][2] == task.PRIVACY.rounds
    # Each site's first invitation and its two rounds touched data.
    assert len([seconds for seconds in waited if 25 < seconds <= task.ANSWER_AFTER]) == 3 * 4
