"""Time left is judged by the steps that were timed."""

from veil.study import progress
from veil.study.progress import Clock


def test_time_left_sums_the_steps_to_come_by_kind(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    told = []
    clock = Clock(["fast", "slow", "fast", "slow"], told.append)
    for label, seconds in (("a", 1.0), ("b", 9.0), ("c", 3.0), ("d", 9.0)):
        clock.start(label)
        now[0] += seconds
        clock.stop()
    assert [(p.label, p.done, p.total) for p in told] == [
        ("a", 0, 4),
        ("b", 1, 4),
        ("c", 2, 4),
        ("d", 3, 4),
        ("done", 4, 4),
    ]
    assert told[0].remaining is None
    assert told[1].remaining == 3.0  # only "fast" is known
    assert told[2].remaining == 1.0 + 9.0
    assert told[3].remaining == 9.0
    assert told[4].remaining == 0.0
    assert told[4].elapsed == 22.0


def test_a_kind_that_is_unlike_the_others_foretells_only_itself(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    told = []
    clock = Clock(["slow", "slow", "run", "other"], told.append, unlike="slow")
    for seconds in (50.0, 40.0, 2.0, 4.0):
        clock.start("step")
        now[0] += seconds
        clock.stop()
    assert [p.remaining for p in told] == [None, None, None, 2.0, 0.0]


def test_skipped_steps_are_neither_counted_nor_timed():
    told = []
    clock = Clock(["a", "b", "c"], told.append)
    clock.skip()
    clock.skip()
    clock.start("c")
    clock.stop()
    assert [(p.done, p.total) for p in told] == [(0, 1), (1, 1)]


def test_resuming_a_finished_study_says_done():
    told = []
    clock = Clock(["a"], told.append)
    clock.skip()
    assert [(p.label, p.done, p.total, p.remaining) for p in told] == [("done", 0, 0, 0.0)]
