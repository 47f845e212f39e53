"""Streams of a run are functions of seed, purpose, round and site, and of nothing else."""

import itertools

import pytest

from veil.fl import Streams


def test_each_purpose_round_and_site_has_its_own_stream():
    streams = Streams(7)
    places = itertools.product(["train", "noise"], [1, 2], ["a", "b", ""])
    drawn = {streams.get(p, round=r, site=s).bytes(16) for p, r, s in places}
    assert len(drawn) == 12
    assert streams.get("train", round=1, site="a").bytes(16) in drawn
    assert Streams(8).get("train", round=1, site="a").bytes(16) not in drawn


def test_fields_do_not_run_into_each_other():
    streams = Streams(7)
    assert streams.get("train", site="a").bytes(8) != streams.get("traina", site="").bytes(8)


def test_a_seed_makes_seeded_generators_and_none_does_not():
    assert Streams(7).seeded
    assert Streams(7).get("noise").seeded
    fresh = Streams(None)
    assert not fresh.seeded
    assert not fresh.get("noise").seeded
    assert fresh.get("noise").bytes(16) != fresh.get("noise").bytes(16)


@pytest.mark.parametrize("seed", [-1, 1.0, True, 1 << 256, "7"])
def test_other_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        Streams(seed)
