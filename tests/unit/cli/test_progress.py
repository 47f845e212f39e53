"""Progress: plain lines where there is no terminal."""

import pytest

from veil.cli import progress as module

Progress = pytest.importorskip("veil.study.progress").Progress


def moment(done, label, remaining):
    return Progress(done=done, total=4, label=label, elapsed=0.0, remaining=remaining)


def test_lines_say_how_much_is_done_and_left(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 11.0, 12.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with module.progress() as tell:
        tell(moment(0, "local, seed 1", None))
        tell(moment(1, "pooled\x1b, seed 1", 29.7))
        tell(moment(2, "too soon to be shown", 20.0))
        tell(moment(4, "done", 0.0))
    assert capsys.readouterr().err.splitlines() == [
        "0 of 4, local, seed 1",
        "1 of 4, about 30 s left, pooled\ufffd, seed 1",
        "4 of 4, done",
    ]


def test_a_terminal_gets_a_bar_with_the_time_left(capsys, monkeypatch):
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with module.progress() as tell:
        tell(moment(1, "[bold]no markup", 75.0))
    shown = capsys.readouterr().err
    assert "1/4" in shown
    assert "about 75 s left" in shown
    assert "[bold]no markup" in shown
