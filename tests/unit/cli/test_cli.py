"""The command line: help that reads, exit codes, no traceback."""

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import veil
from veil.cli.app import app
from veil.cli.guard import guarded
from veil.errors import DataError

RUN = [sys.executable, "-c", "from veil.cli import main; main()"]


@pytest.fixture
def run(monkeypatch):
    """Run the command line in this process."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("VEIL_DATA_DIR", raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def refused(result):
    """One message on the error stream, exit code 2, no traceback."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    return result.stderr


@pytest.mark.parametrize("command", [[], ["study"], ["schema"], ["report"], ["info"]])
def test_every_command_has_help(run, command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_help_names_every_command(run):
    text = run("--help").stdout
    assert [name for name in ("study", "schema", "report", "info") if name not in text] == []
    assert "veil study --quick" in text


def test_study_help_groups_its_options_and_shows_their_defaults(run):
    text = run("study", "--help").stdout
    for group in ("Patients", "What is compared", "Privacy", "Running"):
        assert f" {group} " in text
    for default in ("breast-cancer", "1/(10 n)", "0.5 1 2 4 8", "fedavg"):
        assert default in text
    assert "veil study --data patients.csv" in text


def test_help_of_no_command_is_shown_unasked(run):
    assert "Usage" in run().output


def test_version_is_shown(run):
    assert run("--version").stdout == f"veil {veil.__version__}\n"


def test_info_tells_what_runs(run):
    text = run("info").stdout
    assert veil.core_info()["isa"] in text
    assert veil.__version__ in text


def test_help_loads_no_heavy_library():
    heavy = "('scipy', 'sklearn', 'pandas', 'torch', 'matplotlib', 'dp_accounting', 'jinja2')"
    code = f"""
import sys
sys.argv = ["veil", "study", "--help"]
from veil.cli import main
try:
    main()
except SystemExit as end:
    print(end.code, [m for m in {heavy} if m in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 []"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epsilon", "0"], "--epsilon: expected a finite number above 0, got 0.0"),
        (["--epsilon", "-1"], "--epsilon: expected"),
        (["--epsilon", "nan"], "--epsilon: expected"),
        (["--epsilon", "1", "--epsilon", "1"], "--epsilon: expected distinct"),
        (["--delta", "0"], "--delta: expected"),
        (["--delta", "1"], "--delta: expected"),
        (["--seeds", "4"], "--seeds: expected at least 5"),
        (["--seeds", "many"], "--seeds: expected a number such as 5"),
        (["--seeds", "1,1,2,3,4"], "--seeds: expected at least 5 distinct"),
        (["--strategy", "fedsgd"], "--strategy: expected one of"),
        (["--task", "forest"], "--task: expected one of"),
        (["--dataset", "iris"], "--dataset: expected one of"),
        (["--rounds", "0"], "--rounds: expected"),
        (["--min-site", "1"], "--min-site: expected"),
        (["--max-grad-norm", "0"], "--max-grad-norm: expected"),
        (["--sampling-probability", "0"], "--sampling-probability: expected 0 < q"),
        (["--threads", "0"], "--threads: expected at least 1"),
        (["--target", "died"], "--target: expected only together with data"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(run, tmp_path, arguments, said):
    message = refused(run("study", "--out", tmp_path / "out", *arguments))
    assert message.startswith("veil: ")
    assert said in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--bogus"], ["--rounds", "some"], ["study", "extra"]])
def test_a_wrong_usage_exits_with_2(run, arguments):
    assert run("study", *arguments).exit_code == 2


def test_a_damaged_results_file_is_refused_and_nothing_written(run, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"format": "veil-study", "version": 1}))
    out = tmp_path / "out"
    assert "results.json: not a version 1 study" in refused(run("report", path, "--out", out))
    assert not out.exists()


def test_a_missing_results_file_is_refused_by_name(run, tmp_path):
    message = refused(run("report", tmp_path / "none.json"))
    assert "none.json: No such file or directory; check the path" in message


def test_a_report_that_cannot_be_written_is_refused(run, tmp_path, results_file):
    (tmp_path / "file").write_text("in the way")
    message = refused(run("report", results_file, "--out", tmp_path / "file" / "deeper"))
    assert "Not a directory" in message


def test_a_report_is_redrawn_beside_its_results(run, results_file):
    result = run("report", results_file)
    assert result.exit_code == 0
    for name in ("report.html", "results.json", "tradeoff.png"):
        assert (results_file.parent / name).stat().st_size > 1000
        assert name in result.stdout


PATIENTS = "age,ward,died,hospital\n" + "".join(
    f"{30 + i},{'ab'[i % 2]},{i % 2},{'xy'[i // 40]}\n" for i in range(80)
)


@pytest.fixture
def patients(tmp_path):
    pytest.importorskip("pandas")
    path = tmp_path / "patients.csv"
    path.write_text(PATIENTS)
    return path


def test_a_schema_is_drafted_on_the_terminal(run, patients):
    result = run("schema", patients, "--target", "died", "--site", "hospital")
    assert result.exit_code == 0, result.output
    draft = json.loads(result.stdout)
    assert draft["status"] == "draft"
    assert [column["name"] for column in draft["columns"]] == ["age", "ward"]


def test_a_drafted_schema_is_written_but_never_over_an_edited_one(run, patients, tmp_path):
    out = tmp_path / "schema.json"
    columns = ("--target", "died", "--site", "hospital")
    assert run("schema", patients, *columns, "--out", out).exit_code == 0
    out.write_text("edited")
    assert "exists; move it away" in refused(run("schema", patients, *columns, "--out", out))
    assert out.read_text() == "edited"


def test_a_schema_of_a_missing_file_or_column_is_refused(run, patients):
    assert "nothing.csv" in refused(run("schema", "nothing.csv"))
    assert "'sex'" in refused(run("schema", patients, "--target", "sex"))


def command_that_raises(error):
    command = typer.Typer()

    @command.command()
    @guarded
    def act() -> None:
        raise error

    return lambda: CliRunner().invoke(command, [])


def test_ctrl_c_exits_with_130_and_says_how_to_go_on():
    result = command_that_raises(KeyboardInterrupt("use --resume"))()
    assert (result.exit_code, result.stderr) == (130, "veil: use --resume\n")


@pytest.mark.parametrize(
    "error",
    [
        DataError("no"),
        ValueError("no"),
        OSError("no"),
        ImportError("no; run: pip install 'veil[study]'"),
    ],
)
def test_typed_errors_exit_with_2(error):
    assert refused(command_that_raises(error)()).startswith("veil: no")


@pytest.mark.parametrize("error", [AssertionError("bug"), KeyError("bug"), ImportError("bug")])
def test_a_defect_keeps_its_traceback(error):
    assert command_that_raises(error)().exception is error


def test_a_message_cannot_steer_the_terminal():
    result = command_that_raises(DataError("site '\x1b[2J\x07'"))()
    assert result.stderr == "veil: site '[2J'\n"


def test_the_installed_command_prints_numbers_where_epsilon_cannot_be_printed():
    done = subprocess.run(
        [*RUN, "study", "--help"],
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Privacy" in done.stdout
