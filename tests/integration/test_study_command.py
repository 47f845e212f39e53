"""``veil study`` end to end: a real study, every bad input, and being interrupted."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import veil
from veil.cli.app import app

for module in ("sklearn", "pandas", "jinja2", "jsonschema", "matplotlib"):
    pytest.importorskip(module)

FILES = ["report.html", "results.json", "tradeoff.png"]


def without_times(results):
    """Drop what may differ between two runs of the same study."""
    return {
        **{k: v for k, v in results.items() if k not in ("created", "runs")},
        "runs": [{k: v for k, v in run.items() if k != "seconds"} for run in results["runs"]],
    }


def test_quick_study_writes_a_valid_report(quick_study):
    done, out = quick_study
    assert done.returncode == 0, done.stderr
    results = veil.report.load(out / "results.json")
    assert results["dataset"]["n_patients"] == 569
    assert len(results["seeds"]) >= 5
    assert {m["kind"] for m in results["methods"]} == {"local", "pooled", "federated", "dp"}
    for name in FILES:
        assert (out / name).stat().st_size > 10_000
    assert (out / "report.html").stat().st_size <= 1 << 20


def test_quick_study_ends_with_the_table_the_answer_and_the_files(quick_study):
    done, out = quick_study
    results = veil.report.load(out / "results.json")
    for method in results["methods"]:
        assert method["label"] in done.stdout
    worst = {
        r["method"]: f"{r['mean']:.3f}"
        for r in results["summary"]
        if (r["metric"], r["scope"]) == ("auroc", "worst")
    }
    assert set(worst.values()) <= {w.strip("().") for w in done.stdout.split()}
    assert "Training together" in done.stdout
    for name in FILES:
        assert str(out / name) in done.stdout


def test_progress_goes_to_the_error_stream(quick_study):
    done, _ = quick_study
    assert done.stderr.splitlines()[-1].endswith("done")
    assert "Traceback" not in done.stderr


def test_the_report_says_what_epsilon_covers_and_what_not(quick_study):
    text = (quick_study[1] / "report.html").read_text(encoding="utf-8")
    for said in ("per released model and training patient", "test metrics", "hyperparameter"):
        assert said in text


def test_a_report_redrawn_from_its_results_is_the_same(quick_study, veil_command, tmp_path):
    _, out = quick_study
    done = veil_command("report", out / "results.json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").read_bytes() == (out / "report.html").read_bytes()


ROWS = [
    {"age": 40 + i % 37, "ward": "abc"[i % 3], "died": i % 2, "hospital": "xyz"[i // 40]}
    for i in range(120)
]


@pytest.fixture
def csv(tmp_path):
    """Write a CSV of 120 patients at 3 hospitals after a change to its rows."""

    def write(change=lambda row: row):
        rows = [change(dict(row)) for row in ROWS]
        lines = [",".join(rows[0]), *(",".join(str(v) for v in row.values()) for row in rows)]
        path = tmp_path / "patients.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def without(name):
    return lambda row: {k: v for k, v in row.items() if k != name}


def having(**values):
    return lambda row: {**row, **values}


def at_x(**values):
    return lambda row: {**row, **values} if row["hospital"] == "x" else row


COLUMNS = ("--target", "died", "--site", "hospital", "--no-private")
BAD_DATA = {
    "no target column": (without("died"), ["died"]),
    "no site column": (without("hospital"), ["hospital"]),
    "a site with one class": (at_x(died=1), ["x"]),
    "a site with too few patients": (
        lambda row: {**row, "hospital": "tiny" if row["age"] == 40 else row["hospital"]},
        ["tiny", "20"],
    ),
    "a constant column": (having(ward="a"), ["ward"]),
    "an all-missing column": (having(ward=""), ["ward"]),
    "a target with three classes": (lambda row: {**row, "died": row["age"] % 3}, ["died", "3"]),
    "one site only": (having(hospital="x"), ["2"]),
}


@pytest.fixture
def refused(tmp_path):
    """Run a study that must be refused: exit code 2, one message, nothing left behind."""

    def run(*arguments, out=tmp_path / "out"):
        arguments = [str(a) for a in ("study", "--out", out, *arguments)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        messages = [line for line in result.stderr.splitlines() if line.startswith("veil: ")]
        assert len(messages) == 1
        assert not (tmp_path / "out").exists() or os.listdir(tmp_path / "out") == []
        return messages[0]

    return run


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_refused(refused, csv, case):
    change, said = BAD_DATA[case]
    message = refused("--data", csv(change), *COLUMNS)
    assert [word for word in said if word not in message] == []


def test_good_data_without_a_schema_is_studied_without_privacy(csv, tmp_path):
    out = tmp_path / "out"
    arguments = ["study", "--data", csv(), *COLUMNS, "--out", out, "--rounds", "2"]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    methods = [m["id"] for m in veil.report.load(out / "results.json")["methods"]]
    assert methods == ["local", "pooled", "fedavg", "fedavg-secagg"]


def test_private_methods_on_own_data_ask_for_a_schema(refused, csv):
    message = refused("--data", csv(), *COLUMNS[:-1])
    assert "veil schema FILE.csv" in message


def test_a_drafted_schema_is_refused_until_it_is_edited(refused, csv, tmp_path):
    schema = tmp_path / "schema.json"
    drafted = ["schema", csv(), *COLUMNS[:-1], "--out", schema]
    assert CliRunner().invoke(app, [str(a) for a in drafted]).exit_code == 0
    assert "public knowledge" in refused("--data", csv(), *COLUMNS[:-1], "--schema", schema)


@pytest.mark.parametrize("delta", ["0.5", "0.01"])
def test_delta_of_one_over_n_or_more_is_refused(refused, delta):
    assert "--delta: expected" in refused("--delta", delta)


def test_a_missing_data_file_is_named_with_its_public_source(refused, tmp_path):
    message = refused("--dataset", "heart-disease", "--data-dir", tmp_path)
    assert "cleveland" in message
    assert "archive.ics.uci.edu/dataset/45" in message


def test_an_output_directory_that_cannot_be_written_is_refused(refused, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert str(tmp_path / "file") in refused(out=tmp_path / "file" / "deeper")


@pytest.fixture
def begun(tmp_path, request):
    """Start a study and wait until its first results are on disk."""
    out = tmp_path / "out"
    code = "from veil.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "study", *request.param, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while not (out / "checkpoint.json").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "no checkpoint"
        time.sleep(0.05)
    yield process, out
    process.kill()
    process.wait()


PRIVATE = ("--quick",)
QUICKER = ("--no-private", "--rounds", "60")  # without the seconds of accounting


@pytest.mark.parametrize("begun", [PRIVATE], indirect=True, ids=["private"])
def test_ctrl_c_leaves_whole_files_and_resume_gives_the_same_study(
    begun, veil_command, quick_study
):
    process, out = begun
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in told
    assert "Traceback" not in told
    assert os.listdir(out) == ["checkpoint.json"]
    json.loads((out / "checkpoint.json").read_text())
    done = veil_command("study", "--quick", "--out", out, "--resume")
    assert done.returncode == 0, done.stderr
    resumed, whole = (veil.report.load(d / "results.json") for d in (out, quick_study[1]))
    assert without_times(resumed) == without_times(whole)


@pytest.mark.parametrize("begun", [QUICKER], indirect=True, ids=["not private"])
def test_a_killed_study_resumes(begun, veil_command, tmp_path):
    process, out = begun
    process.kill()
    process.communicate(timeout=60)
    assert json.loads((out / "checkpoint.json").read_text())["runs"]
    assert veil_command("study", *QUICKER, "--out", out, "--resume").returncode == 0
    assert veil_command("study", *QUICKER, "--out", tmp_path / "whole").returncode == 0
    resumed, whole = (veil.report.load(d / "results.json") for d in (out, tmp_path / "whole"))
    assert without_times(resumed) == without_times(whole)


@pytest.mark.parametrize("begun", [QUICKER], indirect=True, ids=["not private"])
def test_resuming_with_other_options_is_refused(begun):
    process, out = begun
    process.kill()
    process.wait()
    arguments = ["study", "--no-private", "--rounds", "7", "--resume", "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "--resume: expected a checkpoint of the same options" in result.stderr
