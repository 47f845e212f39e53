"""`veil account` and `veil ledger`: figures, sentences, exit codes."""

import re

import pytest
from typer.testing import CliRunner

from veil import dp
from veil.cli.account import sentence
from veil.cli.app import app

PLAN = ["--sampling-probability", 0.01, "--steps", 1000, "--delta", 1e-5]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def figure(text, name):
    return float(re.search(re.escape(name) + r"\s+([\d.e+-]+)", text)[1])


def test_account_prints_what_the_library_computes():
    result = run("account", "--noise-multiplier", 1.1, *PLAN)
    assert result.exit_code == 0, result.output
    event = dp.Event.gaussian(sigma=1.1, sensitivity=1.0, sampling_probability=0.01, count=1000)
    relation = "add-or-remove-one"
    expected = dp.compare_accountants(event, delta=1e-5, relation=relation)
    assert figure(result.stdout, "epsilon (PLD)") == pytest.approx(expected["pld"], rel=1e-4)
    assert figure(result.stdout, "epsilon (RDP)") == pytest.approx(expected["rdp"], rel=1e-4)
    mu = dp.gdp_mu(event, relation=relation)
    assert figure(result.stdout, "GDP mu") == pytest.approx(mu, rel=1e-4)
    profile = re.findall(r"^\s*([\d.e+-]+)\s+([\d.e+-]+)$", result.stdout, re.MULTILINE)
    assert len(profile) == 8
    assert any(float(delta) == pytest.approx(1e-5, rel=0.01) for _, delta in profile)
    assert "at most 82 %" in result.stdout


def test_account_calibrates():
    result = run("account", "--target-epsilon", 1, *PLAN)
    assert result.exit_code == 0, result.output
    z = figure(result.stdout, "noise multiplier")
    assert figure(result.stdout, "epsilon (PLD)") == pytest.approx(1.0, rel=1e-4)
    again = run("account", "--noise-multiplier", z, *PLAN)
    assert figure(again.stdout, "epsilon (PLD)") == pytest.approx(1.0, rel=1e-4)


def test_replacing_a_patient_moves_twice_the_clipping_norm():
    plan = ["--sampling-probability", 1, "--steps", 1, "--delta", 1e-5, "--noise-multiplier", 2]
    removed = run("account", *plan).stdout
    replaced = run("account", *plan, "--relation", "replace-one").stdout
    assert figure(removed, "epsilon (closed form)") == pytest.approx(1.99309, rel=1e-4)
    assert figure(replaced, "epsilon (closed form)") == pytest.approx(4.37718, rel=1e-4)


@pytest.mark.parametrize(
    ("epsilon", "delta", "percent"), [(0.0, 0.0, "50 %"), (1.0, 0.0, "73.1 %"), (30.0, 0.0, "over")]
)
def test_sentence_says_how_sure_anyone_can_be(epsilon, delta, percent):
    assert percent in sentence(epsilon, delta, 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--noise-multiplier", 0, *PLAN], "--noise-multiplier"),
        (["--noise-multiplier", 1, "--target-epsilon", 1, *PLAN], "--target-epsilon"),
        (PLAN, "--noise-multiplier"),
        (["--target-epsilon", -1, *PLAN], "--target-epsilon"),
        (["--noise-multiplier", 1, *PLAN, "--delta", 1], "--delta"),
        (["--noise-multiplier", 1, *PLAN, "--steps", 0], "--steps"),
        (["--noise-multiplier", 1, *PLAN, "--sampling-probability", 2], "--sampling-probability"),
        (["--noise-multiplier", 1, *PLAN, "--relation", "swap"], "relation"),
    ],
)
def test_account_refuses_with_one_line(arguments, named):
    result = run("account", *arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "study.ledger"
    book = dp.Ledger(
        epsilon=1.0,
        delta=1e-6,
        unit="patient",
        relation="zero-out",
        mode="adaptive",
        path=path,
    )
    book.charge(dp.Event.pure(epsilon=0.1), label="age\x1b[31m")
    book.charge(dp.Event.pure(epsilon=0.2), label="sex", count=2)
    return path


def test_show_prints_budget_spending_labels_and_head(file):
    before = file.read_bytes()
    result = run("ledger", "show", file)
    assert result.exit_code == 0, result.output
    for text in ("epsilon = 1 at delta = 1e-06", "patient", "zero-out", "sex", "if fixed"):
        assert text in result.stdout
    assert dp.Ledger.open(file).head in result.stdout
    assert "\x1b" not in result.stdout
    assert file.read_bytes() == before


def test_verify_finds_the_head_and_misses_a_lost_one(file):
    head = dp.Ledger.open(file).head
    assert "chain intact" in run("ledger", "verify", file).stdout
    assert "0 records since" in run("ledger", "verify", file, "--head", head).stdout
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    assert run("ledger", "verify", file).exit_code == 0
    lost = run("ledger", "verify", file, "--head", head)
    assert lost.exit_code == 2
    assert "cut back" in lost.stderr


@pytest.mark.parametrize("command", ["show", "verify"])
def test_an_edited_or_missing_ledger_is_refused(file, command):
    data = file.read_bytes()
    file.write_bytes(data.replace(b'"sex"', b'"six"'))
    edited = run("ledger", command, file)
    assert edited.exit_code == 2
    assert "hash chain" in edited.stderr
    assert run("ledger", command, file.with_name("none")).exit_code == 2


def test_a_torn_line_is_told_and_left(file):
    with open(file, "ab") as torn:
        torn.write(b'{"body"')
    before = file.read_bytes()
    assert "7 bytes" in run("ledger", "show", file).stdout
    assert "7 bytes" in run("ledger", "verify", file).stdout
    assert file.read_bytes() == before


NEW = ["--epsilon", 2, "--delta", 1e-5, "--unit", "patient", "--relation", "add-or-remove-one",
       "--mode", "planned"]  # fmt: skip


def test_new_makes_a_ledger_that_only_its_owner_reads(tmp_path):
    path = tmp_path / "site.ledger"
    made = run("ledger", "new", path, *NEW, "--population", "north\x1b[31m")
    assert made.exit_code == 0, made.output
    settings = dp.Ledger.open(path).settings
    assert (settings.epsilon, settings.delta, settings.unit) == (2.0, 1e-5, "patient")
    assert (settings.mode, settings.population) == ("planned", "north\x1b[31m")
    assert path.stat().st_mode & 0o777 == 0o600
    assert dp.Ledger.open(path).head in made.stdout
    shown = run("ledger", "show", path).stdout
    assert "population" in shown
    assert "\x1b" not in shown


def test_new_never_overwrites(file):
    before = file.read_bytes()
    again = run("ledger", "new", file, *NEW)
    assert again.exit_code == 2
    assert "never overwritten" in again.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (["--epsilon", 0], "epsilon"),
        (["--delta", 1], "delta"),
        (["--relation", "swap"], "relation"),
        (["--mode", "loose"], "mode"),
        (["--population", ""], "population"),
    ],
)
def test_new_refuses_with_one_line_and_makes_nothing(tmp_path, changes, named):
    result = run("ledger", "new", tmp_path / "l", *NEW, *changes)
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "l").exists()


@pytest.mark.parametrize("left_out", [0, 2, 4, 6, 8])
def test_new_has_no_default_that_affects_privacy(tmp_path, left_out):
    assert run("ledger", "new", tmp_path / "l", *NEW[:left_out], *NEW[left_out + 2 :]).exit_code
    assert not (tmp_path / "l").exists()
