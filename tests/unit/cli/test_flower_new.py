"""`veil identity` and `veil flower new`: keys, rosters, and an app that can be imported."""

import ast
import csv
import importlib
import json
import subprocess
import sys
import types

import numpy as np
import pytest
from typer.testing import CliRunner

from veil.cli.app import app
from veil.errors import PolicyRefused
from veil.secagg import Identity, Roster
from veil.study import Schema, load_hospital

if sys.version_info >= (3, 11):
    import tomllib


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


# --- identity -----------------------------------------------------------------------------------


def test_new_identity_is_readable_by_its_owner_alone_and_shown_without_its_secret(run, tmp_path):
    file = tmp_path / "north.key"
    made = run("identity", "new", file)
    assert made.exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("identity", "show", file).stdout == made.stdout
    name, _, key = made.stdout.splitlines()[0].partition("=")
    assert name == "north"
    assert len(key) == 44
    secret = Identity.load(file)
    assert secret.key.private_bytes_raw().hex() not in repr(secret)
    body = file.read_text().splitlines()[1]
    assert body not in made.stdout


def test_identity_is_never_overwritten(run, tmp_path):
    file = tmp_path / "north.key"
    run("identity", "new", file)
    before = file.read_bytes()
    again = run("identity", "new", file)
    assert again.exit_code == 2
    assert "never overwritten" in again.stderr
    assert file.read_bytes() == before
    with pytest.raises(FileExistsError):
        Identity.new(file)


def test_identity_that_others_can_read_is_refused(run, tmp_path):
    file = tmp_path / "north.key"
    run("identity", "new", file)
    file.chmod(0o644)
    shown = run("identity", "show", file)
    assert shown.exit_code == 2
    assert "chmod 600" in shown.stderr
    with pytest.raises(PolicyRefused):
        Identity.load(file)


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_identity_is_refused(run, tmp_path, content):
    file = tmp_path / "north.key"
    file.write_bytes(content)
    file.chmod(0o600)
    shown = run("identity", "show", file)
    assert shown.exit_code == 2
    assert "veil identity new" in shown.stderr


def test_roster_is_made_of_the_printed_lines_and_reads_back(run, tmp_path):
    lines = [run("identity", "new", tmp_path / f"{s}.key").stdout.split()[0] for s in ("b", "a")]
    made = run("identity", "roster", *lines, "--out", tmp_path / "roster.json")
    assert made.exit_code == 0
    roster = Roster.read(tmp_path / "roster.json")
    assert roster.names == ("a", "b")
    assert roster.id_of(Identity.load(tmp_path / "b.key").public) == 1
    assert f"roster {roster.fingerprint}" in made.stdout


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["a=AAAA"], "32 bytes"),
        (["a=!"], "base64"),
        (["nokey"], "32 bytes"),
        (["a={0}", "a={1}"], "named twice"),
        (["a={0}", "b={0}"], "have the same key"),
    ],
)
def test_roster_of_bad_lines_is_refused(run, tmp_path, lines, reason):
    keys = [run("identity", "new", tmp_path / f"k{i}").stdout.split()[0][3:] for i in range(2)]
    made = run("identity", "roster", *[x.format(*keys) for x in lines], "--out", tmp_path / "r")
    assert made.exit_code == 2
    assert reason in made.stderr
    assert not (tmp_path / "r").exists()


# --- flower new ---------------------------------------------------------------------------------


@pytest.fixture
def patients(tmp_path):
    """A CSV of four sites and its public schema."""
    rng = np.random.default_rng(5)
    file, rows = tmp_path / "patients.csv", []
    for i in range(160):
        age = int(rng.integers(20, 90))
        rows.append([age, "yx"[i % 2], f"s{i % 4}", i, int(rng.random() < age / 100)])
    with open(file, "w", newline="") as out:
        csv.writer(out).writerows([["age", "kind", "clinic", "mrn", "outcome"], *rows])
    schema = tmp_path / "schema.json"
    columns = [
        {"name": "age", "kind": "numeric", "low": 18.0, "high": 100.0, "impute": 60.0},
        {"name": "kind", "kind": "categorical", "categories": ["x", "y"], "impute": "x"},
    ]
    more = {"may_be_missing": False, "source": "the code book"}
    text = {"format": "veil-schema", "version": 1, "status": "public", "note": ""}
    schema.write_text(json.dumps({**text, "columns": [c | more for c in columns]}))
    return file, schema


@pytest.fixture
def made(run, tmp_path, patients):
    file, schema = patients
    folder = tmp_path / "Our Study"
    result = run("flower", "new", folder, "--data", file, "--target", "outcome", "--site", "clinic",
                 "--patient", "mrn", "--schema", schema)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder


def test_app_is_complete_and_no_placeholder_is_left(made):
    files = {str(f.relative_to(made)) for f in made.rglob("*") if f.is_file()}
    assert files == {
        "README.md",
        "local.sh",
        "local/.gitignore",
        *(f"local/s{i}.key" for i in range(4)),
        "pyproject.toml",
        *(f"veil_app/{n}.py" for n in ("__init__", "client_app", "server_app", "task")),
        "veil_app/roster.json",
        "veil_app/schema.json",
    }
    for name in files:
        text = (made / name).read_text()
        assert "@@" not in text, name
        if name.endswith(".py"):
            ast.parse(text)
            assert max(map(len, text.splitlines())) <= 100
    assert subprocess.run(["bash", "-n", made / "local.sh"], check=False).returncode == 0
    assert (made / "local.sh").stat().st_mode & 0o100


def test_no_patient_is_written_into_the_app(made, patients):
    with open(patients[0]) as file:
        cells = {row["mrn"] + "," + row["outcome"] for row in csv.DictReader(file)}
    text = "".join(f.read_text() for f in made.rglob("*") if f.is_file())
    assert not [c for c in cells if c in text]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Flower needs Python 3.11: tomllib")
def test_pyproject_names_components_that_exist(made):
    settings = tomllib.loads((made / "pyproject.toml").read_text())
    assert settings["project"]["name"] == "our-study"
    for component in settings["tool"]["flwr"]["app"]["components"].values():
        module, _, name = component.partition(":")
        text = (made / f"{module.replace('.', '/')}.py").read_text()
        assert f"{name} = " in text


def test_app_s_task_loads_each_site_and_is_that_of_simulate(made, patients, monkeypatch):
    from veil.fl import FedAvg, simulate

    monkeypatch.syspath_prepend(str(made))
    task = importlib.import_module("veil_app.task")
    try:
        contexts = [
            types.SimpleNamespace(node_config={"site": f"s{i}", "data": str(patients[0])})
            for i in range(4)
        ]
        sites = [task.load_site(context) for context in contexts]
        assert [s.id for s in sites] == ["s0", "s1", "s2", "s3"]
        run = simulate(task.TASK, sites, FedAvg(), rounds=1, seed=1)
        assert run.layout.size == 1 + sites[0].x.shape[1]
        assert task.MIN_SURVIVORS >= task.MAX_CORRUPT + 2
        assert run.layout.size + len(task.METRICS) == task.LENGTH
    finally:
        for name in [n for n in sys.modules if n.split(".")[0] == "veil_app"]:
            del sys.modules[name]


def test_hospital_s_own_rows_are_all_that_its_site_holds(patients):
    file, schema = patients
    columns = {"target": "outcome", "site": "clinic", "patient": "mrn"}
    site = load_hospital("s2", schema=Schema.read(schema), data=file, **columns)
    assert site.n_train + site.n_test == 40
    assert len(np.unique(site.patients)) == site.n_train
    with pytest.raises(ValueError, match="expected rows of 's9'"):
        load_hospital("s9", schema=Schema.read(schema), data=file, **columns)


@pytest.mark.parametrize(
    ("drop", "reason"),
    [("--schema", "needs --target, --site and --schema"), ("--site", "needs --target")],
)
def test_csv_without_what_it_needs_is_refused(run, tmp_path, patients, drop, reason):
    file, schema = patients
    given = {"--data": file, "--target": "outcome", "--site": "clinic", "--schema": schema}
    arguments = [x for k, v in given.items() if k != drop for x in (k, v)]
    result = run("flower", "new", tmp_path / "app", *arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert not (tmp_path / "app").exists()


def test_draft_schema_and_an_existing_folder_are_refused(run, tmp_path, patients):
    file, schema = patients
    given = ["--data", file, "--target", "outcome", "--site", "clinic", "--schema", schema]
    (tmp_path / "there").mkdir()
    assert "exists" in run("flower", "new", tmp_path / "there", *given).stderr
    schema.write_text(schema.read_text().replace('"public"', '"draft"'))
    result = run("flower", "new", tmp_path / "app", *given)
    assert result.exit_code == 2
    assert "status" in result.stderr
    assert not (tmp_path / "app").exists()


def test_thresholds_allow_what_the_protocol_allows():
    from veil.cli.flower import _thresholds
    from veil.fixed_point import FixedPoint
    from veil.secagg import Config

    codec = FixedPoint(clip=1.0, bits=20, max_summands=128, rounding="nearest")
    for n in range(3, 40):
        dropout, corrupt = _thresholds(n)
        Config.for_cohort(
            n,
            dropout=dropout,
            corrupt=corrupt,
            adversary="malicious",
            min_survivors=n - dropout,
            codec=codec,
            length=1,
        )
    with pytest.raises(ValueError, match="at least 3"):
        _thresholds(2)
