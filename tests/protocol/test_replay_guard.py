"""Replay guards: what they remember, that it is bounded, and that what is forgotten is refused."""

import json
import stat
import threading
import time

import pytest

from veil.errors import PolicyRefused, StateReplayed
from veil.secagg import FileReplayGuard, MemoryReplayGuard
from veil.secagg import replay_record as record

MEMBERS = [bytes([i]) * 32 for i in range(8)]


@pytest.fixture(params=["memory", "file"])
def guard(request, tmp_path):
    """A function to the same guard, in a file as another process would open it."""
    memory = MemoryReplayGuard()
    if request.param == "memory":
        return lambda: memory
    return lambda: FileReplayGuard(tmp_path / "guard")


@pytest.fixture
def small(monkeypatch):
    """Guards that are full after a few."""
    for name, limit in (("_RUNS", 3), ("_SESSIONS", 3), ("_CONTEXTS", 2), ("_SETS", 2)):
        monkeypatch.setattr(record, name, limit)


def name(i):
    return b"session %d" % i


def test_a_round_of_a_run_is_used_once_and_rounds_rise(guard):
    guard().begin("run", 3, name(0))
    for number in (3, 2, 0):
        with pytest.raises(StateReplayed, match="run: expected a number above 3"):
            guard().begin("run", number, name(1))
    guard().begin("run", 4, name(1))
    guard().begin("another", 0, name(2))


def test_a_step_of_a_session_is_used_once_and_steps_rise(guard):
    guard().begin("run", 1, name(0))
    guard().advance(name(0), 1)
    guard().advance(name(0), 3)
    for step in (1, 2, 3):
        with pytest.raises(StateReplayed, match="expected a number above 3"):
            guard().advance(name(0), step)
    guard().advance(name(0), 4)


def test_a_session_that_did_not_begin_here_does_not_go_on(guard):
    assert not guard().knows(name(0))
    with pytest.raises(StateReplayed, match="began under this guard"):
        guard().advance(name(0), 1)
    guard().begin("run", 1, name(0))
    assert guard().knows(name(0))


def test_a_context_is_used_once(guard):
    for i in range(2):
        guard().begin("run", i, name(i))
    guard().advance(name(0), 2, context=b"model")
    with pytest.raises(StateReplayed, match="context: expected one that no session"):
        guard().advance(name(1), 2, context=b"model")
    guard().advance(name(1), 2, context=b"another model")


def test_a_set_is_the_same_or_far_from_each_that_was_signed(guard):
    for i in range(5):
        guard().begin("run", i, name(i))
    guard().advance(name(0), 3, members=MEMBERS[:6], apart=3)
    guard().advance(name(1), 3, members=MEMBERS[5::-1], apart=3)
    for near in (MEMBERS[:5], MEMBERS[:7], MEMBERS[:5] + MEMBERS[6:7]):
        with pytest.raises(PolicyRefused, match="min_set_difference"):
            guard().advance(name(2), 3, members=near, apart=3)
    guard().advance(name(2), 3, members=MEMBERS[:3], apart=3)
    with pytest.raises(PolicyRefused, match="differs by 2"):
        guard().advance(name(3), 3, members=[*MEMBERS[:2], MEMBERS[6]], apart=3)


def test_what_was_refused_is_not_used(guard):
    for i in range(2):
        guard().begin("run", i, name(i))
    guard().advance(name(0), 3, members=MEMBERS[:6], apart=3, context=b"one")
    with pytest.raises(PolicyRefused):
        guard().advance(name(1), 3, members=MEMBERS[:5], apart=3, context=b"other")
    guard().advance(name(1), 3, members=MEMBERS[:6], apart=3, context=b"other")


# --- bounded ------------------------------------------------------------------------------------


def test_a_guard_full_of_runs_refuses_new_ones_and_goes_on_with_the_known(guard, small):
    for i in range(3):
        guard().begin(f"run {i}", 1, name(i))
    with pytest.raises(PolicyRefused, match="must not forget any"):
        guard().begin("run 3", 1, name(3))
    with pytest.raises(StateReplayed):
        guard().begin("run 0", 1, name(3))
    guard().begin("run 0", 2, name(3))


def test_a_session_that_was_forgotten_does_not_go_on(guard, small):
    """A server that begins many sessions stops the first; it does not get a step of it twice."""
    for i in range(3):
        guard().begin("run", i, name(i))
    guard().advance(name(0), 1)
    guard().begin("run", 3, name(3))
    assert not guard().knows(name(0))
    for step in (1, 2):
        with pytest.raises(StateReplayed, match="among the last 3"):
            guard().advance(name(0), step)
    guard().advance(name(1), 1)


def test_a_guard_full_of_sets_refuses_another_and_takes_those_it_knows(guard, small):
    for i in range(3):
        guard().begin("run", i, name(i))
    guard().advance(name(0), 3, members=MEMBERS[:4], apart=2)
    guard().advance(name(1), 3, members=MEMBERS[4:], apart=2)
    with pytest.raises(PolicyRefused, match="room for a new set"):
        guard().advance(name(2), 3, members=MEMBERS[2:6], apart=2)
    guard().advance(name(2), 3, members=MEMBERS[:4], apart=2)


def test_the_file_does_not_grow_and_a_step_takes_no_longer(tmp_path):
    """The guard before this one had 17.6 MB after 200 000 entries, and took 0.57 s for a step."""
    file = tmp_path / "guard"
    full = record.Record(
        runs={f"{i:032x}": 10**6 for i in range(record._RUNS)},
        sessions={f"{i:032x}": 4 for i in range(record._SESSIONS)},
        contexts=[f"{i:032x}" for i in range(record._CONTEXTS)],
        members=[f"{i:032x}" for i in range(100)],
        sets=[(1 << 100) - 1 - (1 << (i % 100)) for i in range(record._SETS)],
    )
    full.runs[record._hash(b"run")] = full.runs.pop(f"{0:032x}")
    file.write_bytes(full.encode())
    before, guard = file.stat().st_size, FileReplayGuard(file)
    assert before < 2_000_000
    took = []
    for i in range(1, 40):
        begin = time.process_time()
        guard.begin("run", 10**6 + i, name(i))
        guard.advance(name(i), 2, context=name(i))
        took.append((time.process_time() - begin) / 2)
    assert file.stat().st_size <= before + 8
    assert sorted(took)[len(took) // 2] < 0.1


# --- in a file ----------------------------------------------------------------------------------


def test_threads_share_a_file_and_lose_no_step(tmp_path):
    guards = [FileReplayGuard(tmp_path / "guard") for _ in range(4)]

    def play(at):
        for i in range(10):
            guards[at].begin(f"run {at}", i, name(100 * at + i))

    threads = [threading.Thread(target=play, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(guards[0].knows(name(100 * at + i)) for at in range(4) for i in range(10))


def test_the_file_is_its_owner_s_alone_and_names_nobody(tmp_path):
    guard = FileReplayGuard(tmp_path / "guard")
    guard.begin("a run with a telling name", 1, b"leaf of the client")
    guard.advance(b"leaf of the client", 3, members=MEMBERS, apart=3, context=b"a model")
    content = (tmp_path / "guard").read_bytes()
    assert stat.S_IMODE((tmp_path / "guard").stat().st_mode) == 0o600
    assert not any(word in content for word in (b"telling", b"leaf", b"a model", MEMBERS[3]))


def damages(content):
    yield b""
    yield content[:-1]
    yield content + b" "
    yield content.replace(b'":7', b'":6')
    yield content.replace(b"replay-guard/2", b"replay-guard/3")
    yield b"[]"
    yield b'{"run x client 1": "7"}'
    yield b'{"run x client 1": true}'
    yield b"{" * 100_000
    yield b"\xff\xfe"


def test_a_damaged_file_is_refused(tmp_path):
    file = tmp_path / "guard"
    guard = FileReplayGuard(file)
    guard.begin("run", 7, name(0))
    good = file.read_bytes()
    for damaged in damages(good):
        assert damaged != good
        file.write_bytes(damaged)
        for call in (
            lambda: guard.begin("run", 8, name(1)),
            lambda: guard.advance(name(0), 1),
            lambda: guard.knows(name(0)),
        ):
            with pytest.raises(StateReplayed, match="damage"):
                call()
        assert file.read_bytes() == damaged
    file.write_bytes(good)
    guard.begin("run", 8, name(1))


def test_the_file_of_the_layout_before_is_read(tmp_path):
    """Its rounds stay used; its sessions, whose states are of that layout too, do not go on."""
    file = tmp_path / "guard"
    leaf = "ab" * 32
    file.write_text(json.dumps({"run r client 3": 5, f"session {leaf} client 3": 2}))
    guard = FileReplayGuard(file)
    with pytest.raises(StateReplayed, match="expected a number above 5"):
        guard.begin("run r client 3", 5, name(0))
    with pytest.raises(StateReplayed, match="began under this guard"):
        guard.advance(bytes.fromhex(leaf), 3)
    guard.begin("run r client 3", 6, name(0))
    assert not file.read_bytes().startswith(b"{")
    with pytest.raises(StateReplayed):
        guard.begin("run r client 3", 6, name(1))
