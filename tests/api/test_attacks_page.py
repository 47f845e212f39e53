"""docs/design/attacks.md names the test that carries each attack out: each must exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "design" / "attacks.md"
NAMED = re.compile(r"`([\w/]+\.(?:py|cpp))::(\w+)`")
CARRIED_OUT, *NOT_STOPPED = re.split(r"^## What ", PAGE.read_text(encoding="utf-8"), flags=re.M)


def rows(text):
    """Rows of all tables, without their heads and the lines below those."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {i - 1 for i, line in enumerate(lines) if line.startswith("|---")}
    return [x for i, x in enumerate(lines) if i not in heads and i - 1 not in heads]


def tests_named(text):
    return NAMED.findall(text)


@pytest.mark.parametrize("row", rows(CARRIED_OUT))
def test_each_attack_names_what_carries_it_out(row):
    assert tests_named(row), f"no test is named in: {row}"


@pytest.mark.parametrize(("file", "name"), sorted(set(tests_named(PAGE.read_text("utf-8")))))
def test_each_named_test_exists(file, name):
    folder = ROOT if file.startswith("cpp/") else ROOT / "tests"
    source = (folder / file).read_text(encoding="utf-8")
    assert re.search(rf"^(def|void) {name}\(", source, flags=re.M), f"{file} has no {name}"


def test_what_is_not_stopped_is_said():
    assert [part.splitlines()[0] for part in NOT_STOPPED] == [
        "only differential privacy stops",
        "nobody stops",
    ]
    assert all(len(rows(part)) >= 3 for part in NOT_STOPPED)


def test_a_name_that_is_no_test_would_be_seen():
    [(file, name)] = tests_named("`protocol/test_hostile_server.py::test_that_is_not_there`")
    with pytest.raises(AssertionError, match="has no"):
        test_each_named_test_exists(file, name)
