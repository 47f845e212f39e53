"""Files are replaced all together, or not at all."""

import pathlib
import subprocess
import sys

import pytest

from veil.report.files import replace_all

OLD = {"a.json": b"old a", "b.html": b"old b", "c.png": b"old c"}
NEW = {"a.json": b"new a", "b.html": b"new b", "c.png": b"new c"}


def content(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def fail_at(monkeypatch, nth, error):
    """Make the nth rename raise."""
    real, calls = pathlib.Path.replace, []

    def replace(self, target):
        calls.append(target)
        if len(calls) == nth:
            raise error
        return real(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", replace)


def test_a_new_directory_receives_the_files(tmp_path):
    written = replace_all(tmp_path / "deep" / "out", NEW)
    assert [path.name for path in written] == list(NEW)
    assert content(tmp_path / "deep" / "out") == NEW


def test_existing_files_are_replaced_and_others_kept(tmp_path):
    replace_all(tmp_path, {**OLD, "other": b"kept"})
    replace_all(tmp_path, NEW)
    assert content(tmp_path) == {**NEW, "other": b"kept"}


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
def test_an_error_or_ctrl_c_at_any_rename_restores_the_old_set(tmp_path, monkeypatch, nth, error):
    replace_all(tmp_path, OLD)
    fail_at(monkeypatch, nth, error)
    with pytest.raises(type(error)):
        replace_all(tmp_path, NEW)
    assert content(tmp_path) == OLD


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_an_error_at_any_rename_leaves_an_empty_directory_empty(tmp_path, monkeypatch, nth):
    fail_at(monkeypatch, nth, OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        replace_all(tmp_path, NEW)
    assert content(tmp_path) == {}


def test_a_directory_in_the_place_of_a_file_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "c.png").mkdir()
    with pytest.raises(IsADirectoryError, match=r"c\.png"):
        replace_all(tmp_path, NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_kill_between_renames_leaves_whole_files_and_the_next_call_cleans_up(tmp_path, nth):
    replace_all(tmp_path, OLD)
    code = f"""
import os, pathlib
from veil.report.files import replace_all
real, calls = pathlib.Path.replace, []
def replace(self, target):
    calls.append(target)
    if len(calls) == {nth}:
        os._exit(9)
    return real(self, target)
pathlib.Path.replace = replace
replace_all({str(tmp_path)!r}, {NEW!r})
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 9
    left = content(tmp_path)
    for i, name in enumerate(NEW):
        assert left[name] == (NEW if i < nth - 1 else OLD)[name]
    replace_all(tmp_path, NEW)
    assert content(tmp_path) == NEW


def test_a_file_in_the_place_of_the_directory_is_an_os_error(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(FileExistsError):
        replace_all(tmp_path / "out", NEW)
    with pytest.raises(NotADirectoryError):
        replace_all(tmp_path / "out" / "deeper", NEW)
