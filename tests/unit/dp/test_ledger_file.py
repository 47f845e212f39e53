"""The durable ledger: torn writes, real kills, two processes, edits, other versions."""

import fcntl
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from veil import dp
from veil.dp import _journal
from veil.errors import BudgetExceeded, LedgerError

EVENT = dp.Event.gaussian(sigma=100.0, sensitivity=1.0)
SETTINGS = {
    "epsilon": 1.0,
    "delta": 1e-6,
    "unit": "patient",
    "relation": "add-or-remove-one",
    "mode": "adaptive",
}


def opened(path, **settings):
    return dp.Ledger(**{**SETTINGS, **settings}, path=path)


def labels(path):
    return [label for label, _, _ in dp.Ledger.open(path).spent().by_label]


@pytest.fixture
def three(tmp_path):
    """Make a file with an opening record and three charges."""
    path = tmp_path / "study.ledger"
    book = opened(path)
    for label in "abc":
        book.charge(EVENT, label=label)
    return path


def test_charges_survive_the_process(three):
    again = opened(three)
    assert labels(three) == ["a", "b", "c"]
    assert again.spent() == dp.Ledger.open(three).spent()
    assert again.spent().releases == 3


def test_reservations_survive_the_process(tmp_path):
    path = tmp_path / "l"
    book = opened(path)
    plan = book.reserve(EVENT.repeat(10), label="training")
    book.charge(EVENT, count=4, label="training")
    full = dp.Ledger.open(path).spent().epsilon
    assert full == book.spent().epsilon
    plan.give_back()
    assert dp.Ledger.open(path).spent() == book.spent()
    assert book.spent().epsilon < full


def test_truncation_at_every_byte_keeps_every_whole_charge(three, tmp_path):
    data = three.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    path = tmp_path / "cut"
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        whole = sum(1 for end in ends if end <= size)
        if whole == 0:
            with pytest.raises(LedgerError, match="truncated or not a ledger"):
                dp.Ledger.open(path)
            continue
        book = dp.Ledger.open(path)
        assert [row[0] for row in book.spent().by_label] == list("abc")[: whole - 1]
        book.charge(EVENT, label="next")
        assert labels(path) == [*"abc"[: whole - 1], "next"]
        assert dp.verify_ledger(path)["torn_bytes"] == 0


def start_writer(path, name, event):
    """Fork a process that charges until it is stopped; return its id and its reports."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, os.fdopen(reader)
    try:
        book = dp.Ledger.open(path)
        for i in range(10**6):
            os.write(writer, f"try {i}\n".encode())
            book.charge(event, label=f"{name}-{i}")
            os.write(writer, f"done {i}\n".encode())
    except BudgetExceeded:
        os.write(writer, b"refused 0\n")
    finally:
        os._exit(0)


def test_twenty_kills_lose_no_charge_and_count_none_twice(tmp_path):
    path = tmp_path / "killed"
    opened(path).spent()
    event = dp.Event.gaussian(sigma=1000.0, sensitivity=1.0)
    opened(path).remaining(event)  # the accountants are imported before the first fork
    counted = 0
    for kill in range(20):
        child, reports = start_writer(path, kill, event)
        for _ in range(2 + 3 * kill):
            assert reports.readline()
        time.sleep(0.0007 * (kill % 5))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        rest = [line for line in reports.read().split("\n") if line.startswith("try ")]
        reports.close()
        spent = dp.Ledger.open(path).spent()
        assert all(runs == 1 for _, _, runs in spent.by_label)
        new = [label for label, _, _ in spent.by_label if label.startswith(f"{kill}-")]
        # Every charge that returned is there, in order; at most the one in flight besides.
        assert new == [f"{kill}-{i}" for i in range(len(new))]
        if rest:
            last = int(rest[-1].split()[1])
            assert len(new) in (last, last + 1)
        counted += len(new)
        assert spent.releases == counted
    assert counted > 100
    dp.verify_ledger(path)


def test_two_processes_share_one_budget(tmp_path):
    path = tmp_path / "shared"
    event = dp.Event.gaussian(sigma=30.0, sensitivity=1.0)
    most = opened(path).remaining(event)
    writers = [start_writer(path, name, event) for name in "ab"]
    done = 0
    for child, reports in writers:
        lines = reports.read().split("\n")
        os.waitpid(child, 0)
        reports.close()
        assert "refused 0" in lines
        done += sum(line.startswith("done") for line in lines)
    assert done == most == dp.Ledger.open(path).spent().releases


def test_two_objects_see_each_other(tmp_path):
    first = opened(tmp_path / "l")
    second = opened(tmp_path / "l")
    first.charge(EVENT, label="a")
    assert second.spent().releases == 1
    second.charge(EVENT, label="b")
    assert first.spent() == second.spent()
    assert first.head == second.head


def test_forked_child_shares_the_budget(three):
    book = dp.Ledger.open(three)
    child = os.fork()
    if child == 0:
        try:
            book.charge(EVENT, label="child")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    book.charge(EVENT, label="parent")
    assert labels(three) == ["a", "b", "c", "child", "parent"]


def test_pickle_reopens_the_file(three):
    book = pickle.loads(pickle.dumps(dp.Ledger.open(three)))
    book.charge(EVENT, label="d")
    assert labels(three) == list("abcd")


# --- a file that cannot be trusted ----------------------------------------------------------------


def test_every_edited_byte_is_noticed(three):
    data = three.read_bytes()
    for position in range(0, len(data) - 1):
        edited = bytearray(data)
        edited[position] ^= 1
        three.write_bytes(edited)
        with pytest.raises(LedgerError):
            dp.verify_ledger(three)


def test_removed_and_swapped_lines_are_noticed(three):
    lines = three.read_bytes().splitlines(keepends=True)
    for order in ([0, 2, 3], [0, 2, 1, 3], [1, 2, 3], [0, 1, 1, 2, 3]):
        three.write_bytes(b"".join(lines[i] for i in order))
        with pytest.raises(LedgerError, match="hash chain"):
            dp.Ledger.open(three)


def test_cutting_back_to_a_whole_line_is_noticed_with_the_head_alone(three):
    head = dp.Ledger.open(three).head
    assert dp.verify_ledger(three, head=head)["since_head"] == 0
    lines = three.read_bytes().splitlines(keepends=True)
    three.write_bytes(b"".join(lines[:-1]))
    dp.verify_ledger(three)
    with pytest.raises(LedgerError, match="cut back"):
        dp.verify_ledger(three, head=head)


def test_an_older_head_is_found_in_a_grown_file(three):
    book = dp.Ledger.open(three)
    head = book.head
    book.charge(EVENT, count=2, label="d")
    assert dp.verify_ledger(three, head=head.upper())["since_head"] == 1


def test_file_cut_while_open_is_noticed(three):
    book = dp.Ledger.open(three)
    lines = three.read_bytes().splitlines(keepends=True)
    three.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(LedgerError, match="charges are missing"):
        book.charge(EVENT, label="d")
    assert three.read_bytes() == b"".join(lines[:-1])


def test_file_replaced_while_open_is_noticed(three, tmp_path):
    book = dp.Ledger.open(three)
    other = tmp_path / "other"
    opened(other)
    os.replace(other, three)
    with pytest.raises(LedgerError, match="replaced"):
        book.charge(EVENT, label="d")


def rewritten(path, change):
    """Change the first body and build a valid chain over it."""
    bodies = [json.loads(line)["body"] for line in path.read_bytes().splitlines()]
    change(bodies[0])
    head, out = _journal._NO_HASH, b""
    for body in bodies:
        line, head = _journal._line(body, head)
        out += line
    path.write_bytes(out)


def test_newer_format_is_refused_and_left_alone(three):
    rewritten(three, lambda body: body.update(format=2, shiny=True))
    before = three.read_bytes()
    with pytest.raises(LedgerError, match="install a newer Veil"):
        opened(three)
    assert three.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(type="import os"),
        lambda body: body.pop("epsilon"),
        lambda body: body.update(type="charge"),
    ],
)
def test_unknown_records_are_refused(three, change):
    rewritten(three, change)
    with pytest.raises(LedgerError, match="cannot be read"):
        opened(three)


def test_a_record_of_a_newer_veil_ends_a_ledger_that_is_open(three):
    """Refusing once would not do: what stands behind the record would never be counted."""
    book = opened(three)
    spent = book.spent().epsilon
    newer = _journal.Journal(three, 1.0)
    with newer.locked():
        newer.news()
        newer.append({"type": "of a newer Veil"})
        behind = dp.Charge("theirs", dp.Event.pure(epsilon=0.8 * (1.0 - spent)))
        newer.append({"type": "charge", "reservation": None, "charge": behind.to_dict()})
    before = three.read_bytes()
    for _ in range(3):
        with pytest.raises(LedgerError, match="unknown record type 'of a newer Veil'"):
            book.charge(EVENT, label="ours")
        with pytest.raises(LedgerError, match="unknown record type"):
            book.spent()
    assert three.read_bytes() == before


def test_event_that_names_a_module_is_refused(three):
    bodies = [json.loads(line)["body"] for line in three.read_bytes().splitlines()]
    bodies[1]["charge"]["event"]["kind"] = "os.system"
    head, out = _journal._NO_HASH, b""
    for body in bodies:
        line, head = _journal._line(body, head)
        out += line
    three.write_bytes(out)
    with pytest.raises(LedgerError, match="kind: expected one of"):
        opened(three)


def test_other_settings_are_refused(three):
    with pytest.raises(LedgerError, match="other settings"):
        opened(three, epsilon=2.0)
    assert labels(three) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "content", [b"", b"{}\n", b"\x00" * 100 + b"\n", b"[1]\n", b'{"body":1}\n']
)
def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "l"
    path.write_bytes(content)
    with pytest.raises(LedgerError):
        opened(path)
    assert path.read_bytes() == content


def test_missing_file_and_unwritable_directory_are_ledger_errors(tmp_path):
    with pytest.raises(LedgerError, match="cannot be opened"):
        dp.Ledger.open(tmp_path / "none")
    with pytest.raises(LedgerError, match="cannot be created"):
        opened(tmp_path / "none" / "l")


def test_locked_file_is_refused_after_the_timeout(three):
    book = dp.Ledger.open(three, lock_timeout=0.05)
    with open(three, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LedgerError, match="locked by another process"):
            book.charge(EVENT, label="d")
    assert labels(three) == ["a", "b", "c"]
    book.charge(EVENT, label="d")
    assert labels(three) == list("abcd")


FULL_DISK = """
import resource, signal, sys, os
from veil import dp
from veil.errors import LedgerError
book = dp.Ledger.open(sys.argv[1])
event = dp.Event.gaussian(sigma=100.0, sensitivity=1.0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = os.path.getsize(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, resource.RLIM_INFINITY))
try:
    book.charge(event, label="d")
except LedgerError as error:
    print(error)
print(os.path.getsize(sys.argv[1]) == size, book.spent().releases)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
book.charge(event, label="e")
"""


def test_full_disk_leaves_the_file_as_it_was(three):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(three)], capture_output=True, text=True, check=True
    )
    assert "nothing was charged" in done.stdout
    assert done.stdout.split("\n")[1] == "True 3"
    assert labels(three) == ["a", "b", "c", "e"]


def test_failed_sync_releases_nothing_and_stays_counted(three, monkeypatch):
    book = dp.Ledger.open(three)

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(_journal.os, "fsync", fail)
        with pytest.raises(LedgerError, match="stays counted"):
            book.charge(EVENT, label="d")
    assert labels(three) == list("abcd")
    assert book.spent().releases == 4


def test_budget_is_checked_before_anything_is_written(three):
    before = three.read_bytes()
    with pytest.raises(BudgetExceeded):
        dp.Ledger.open(three).charge(dp.Event.pure(epsilon=5.0), label="d")
    assert three.read_bytes() == before


def test_file_is_readable_by_its_owner_alone(three):
    assert three.stat().st_mode & 0o077 == 0
