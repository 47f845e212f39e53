"""Alias tables: exact masses, the certificate, ties."""

from fractions import Fraction

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from veil import _core
from veil.noise import _masses
from veil.noise._table import (
    LIMIT,
    alias_columns,
    build,
    column_masses,
    distance,
    round_masses,
)
from veil.random import SecureGenerator

SEED = bytes(range(32))


@st.composite
def masses(draw):
    """Integers that sum to 2^128, often with zeros and giants among them."""
    part = st.one_of(st.just(0), st.integers(0, 9), st.integers(0, LIMIT - 1))
    parts = draw(st.lists(part, min_size=0, max_size=40))
    scaled = [p * (LIMIT - 1) // max(sum(parts), 1) for p in parts]
    at = draw(st.integers(0, len(scaled)))
    return [*scaled[:at], LIMIT - sum(scaled), *scaled[at:]]


@given(masses())
def test_a_table_yields_its_masses_exactly(given_masses):
    thresholds, aliases = alias_columns(given_masses)
    columns = len(aliases)
    assert columns & (columns - 1) == 0
    assert all(0 <= t < LIMIT for t in thresholds)
    padded = given_masses + [0] * (columns - len(given_masses))
    assert column_masses(thresholds, aliases) == [mass * columns for mass in padded]


def test_rounded_masses_sum_to_one():
    assert sum(round_masses(_masses.discrete_gaussian(Fraction(9)))) == LIMIT


def test_the_certificate_is_the_distance_of_the_finished_table():
    bounds = _masses.discrete_gaussian(Fraction(25))
    finished = column_masses(*alias_columns(round_masses(bounds)))
    honest = distance(finished, bounds)
    assert honest < Fraction(1, 1 << 100)
    moved = 1 << 60  # units of 2^-128 / columns
    finished[3] += moved
    finished[4] -= moved
    broken = distance(finished, bounds)
    exact = Fraction(moved, LIMIT * len(finished))
    assert abs(broken - exact) <= 2 * honest
    assert broken > Fraction(1, 1 << 80)


def test_a_table_is_built_once():
    parameter = Fraction(49)
    assert build(_masses.discrete_gaussian, parameter) is build(
        _masses.discrete_gaussian, parameter
    )


def test_a_native_table_must_be_consistent():
    def table(columns, alias):
        words = np.zeros(columns, np.uint64)
        return _core.AliasTable(words, words, np.array(alias, np.uint16))

    assert table(4, [0, 1, 2, 3]).columns == 4
    with pytest.raises(ValueError, match="power of two"):
        table(3, [0, 1, 2])
    with pytest.raises(ValueError, match="power of two"):
        table(4, [0, 1])
    with pytest.raises(ValueError, match="alias: expected columns"):
        table(2, [0, 2])
    with pytest.raises(ValueError, match="levels: expected 1 to 16"):
        _core.TableSampler([])
    with pytest.raises(ValueError, match="levels: expected 1 to 16"):
        _core.TableSampler([(table(2, [0, 1]), 41)])


def streams(seed, sizes):
    """The streams of a seeded generator's draws, by OpenSSL."""

    def keystream(key, n):
        return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(n))

    key, result = seed, []
    for size in sizes:
        block = keystream(key, 64)
        key = block[:32]
        result.append(keystream(block[32:], size))
    return result


def words_of_draw(words, i):
    """The 64 bits to compare and the 16 for column and sign of the i-th draw of a stream."""
    at = i // 8 * 80
    compared, chosen = at + 8 * (i % 8), at + 64 + 2 * (i % 8)
    return (
        int.from_bytes(words[compared : compared + 8], "little"),
        int.from_bytes(words[chosen : chosen + 2], "little"),
    )


def expected_draws(tables, n, near=None):
    """The sampler in plain Python; a table is 128-bit thresholds, aliases and a shift."""
    near = range(n) if near is None else near
    blocks = -(-n // 8)
    size = len(tables) * blocks
    words, ties = streams(SEED, [size * 80, size * 64])
    total = dict.fromkeys(near, 0)
    for level, (thresholds, aliases, shift) in enumerate(tables):
        for i in near:
            at = level * blocks * 8 + i
            r, w = words_of_draw(words, at)
            r = r << 64 | int.from_bytes(ties[8 * at : 8 * at + 8], "little")
            column = w & (len(aliases) - 1)
            magnitude = column if r < thresholds[column] else aliases[column]
            total[i] += (-magnitude if w >> 15 else magnitude) << shift
    return list(total.values())


def native(tables):
    return _core.TableSampler(
        [
            (
                _core.AliasTable(
                    np.array([t >> 64 for t in thresholds], np.uint64),
                    np.array([t & (2**64 - 1) for t in thresholds], np.uint64),
                    np.array(aliases, np.uint16),
                ),
                shift,
            )
            for thresholds, aliases, shift in tables
        ]
    )


def draw(tables, n, threads=1):
    out = np.empty(n, np.int64)
    native(tables).sample(SecureGenerator.from_seed(SEED), out, threads)
    return out.tolist()


@pytest.mark.kernel
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 1023, 1024, 1025, 2000])
def test_draws_are_those_of_the_definition(n):
    small = (*alias_columns(round_masses(_masses.discrete_gaussian(Fraction(4)))), 0)
    wide = (*alias_columns(round_masses(_masses.discrete_gaussian(Fraction(400)))), 3)
    assert draw([small, wide], n) == expected_draws([small, wide], n)


@pytest.mark.kernel
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("victim", [0, 5, 1023, 1024, 40_000])
def test_a_tie_is_settled_by_the_second_limb(level, victim):
    """Thresholds made to tie with the words that one draw will meet, below and above the rest."""
    n = 40_001
    blocks = -(-n // 8)
    words, ties = streams(SEED, [2 * blocks * 80, 2 * blocks * 64])
    r, w = words_of_draw(words, level * blocks * 8 + victim)
    column = w & 3
    at = (level * blocks * 8 + victim) * 8
    second = int.from_bytes(ties[at : at + 8], "little")
    outcomes = []
    for low in (second, second + 1):
        thresholds = [LIMIT >> 1] * 4
        thresholds[column] = r << 64 | low
        tables = [([LIMIT - 1] * 4, [0, 1, 2, 3], 0)] * 2
        tables[level] = (thresholds, [3, 2, 1, 0], 2 * level)
        outcomes.append(draw(tables, n))
        assert draw(tables, n, threads=2) == outcomes[-1]
        near = range(max(0, victim - 20), min(n, victim + 20))
        assert outcomes[-1][near.start : near.stop] == expected_draws(tables, n, near)
    differ = np.flatnonzero(np.array(outcomes[0]) != outcomes[1])
    assert differ.tolist() == [victim]
