"""The three files of a report."""

import struct
import subprocess
import sys

import pytest

import veil
from veil.errors import DataError

for module in ("jinja2", "jsonschema", "matplotlib"):
    pytest.importorskip(module)


def test_report_results_and_picture_are_written(results, tmp_path):
    written = veil.report.write(results, tmp_path)
    assert sorted(p.name for p in written) == ["report.html", "results.json", "tradeoff.png"]
    assert veil.report.load(tmp_path / "results.json") == results


def test_picture_is_a_png_of_the_stated_size(results, tmp_path):
    veil.report.write(results, tmp_path)
    head = (tmp_path / "tradeoff.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:24]) == (1500, 660)


def test_redrawing_gives_the_same_page(results, tmp_path):
    veil.report.write(results, tmp_path / "a")
    veil.report.write(veil.report.load(tmp_path / "a" / "results.json"), tmp_path / "b")
    for name in ("report.html", "results.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_invalid_results_write_nothing(results, tmp_path):
    del results["privacy"]["delta"]
    with pytest.raises(DataError, match="privacy"):
        veil.report.write(results, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_library_is_named_with_its_extra(tmp_path):
    code = """
import sys, json
sys.modules["jinja2"] = None
from veil.report.page import page
try:
    page({})
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'veil[study]'" in done.stdout


def test_intervals_need_no_seeds_and_values_may_be_missing(make_study, resummarise, tmp_path):
    results = make_study(seeds=(0,))
    for run in results["runs"]:
        for site in run["sites"].values():
            site["auroc"] = None
    results["summary"] = resummarise(results)
    assert len(veil.report.write(results, tmp_path)) == 3
