"""How numbers and foreign names are shown."""

import pytest

from veil.report import text


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1 kB"),
        (1500, "1.5 kB"),
        (12_345_678, "12.3 MB"),
        (3.2e9, "3.2 GB"),
        (4.5e15, "4500 TB"),
    ],
)
def test_data_size_is_decimal(count, shown):
    assert text.data_size(count) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(2.0**-13, "2⁻¹³"), (1.0, "2⁰"), (1024.0, "2¹⁰"), (0.3, "0.3")]
)
def test_a_lattice_is_shown_as_a_power_of_two(value, shown):
    assert text.power_of_two(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (0.1, "0.10 s"),
        (0.0123, "0.012 s"),
        (9.94, "9.9 s"),
        (61, "61 s"),
        (600, "10 min"),
        (7200, "2 h"),
        (86_400, "24 h"),
    ],
)
def test_duration_is_short(seconds, shown):
    assert text.duration(seconds) == shown


def test_scores_have_three_decimals_and_missing_ones_a_dash():
    assert text.score(0.98765) == "0.988"
    assert text.score(None) == "–"
    assert text.estimate(0.9, None, None) == "0.900"
    assert text.estimate(0.9, 0.85, 0.95) == "0.900 (0.850–0.950)"
    assert text.interval(None, None) == ""


def test_control_characters_and_direction_overrides_are_replaced():
    assert text.clean("a\x00b\u202ec\nd") == "a\ufffdb\ufffdc\ufffdd"
    assert text.clean("Krankenhaus Köln, می‌خواهم") == "Krankenhaus Köln, می‌خواهم"


def test_names_are_shortened():
    assert text.label("x" * 1000) == "x" * 39 + "…"
    assert len(text.clean("x" * 10_000)) == 2000
