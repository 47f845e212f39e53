"""The numbers that follow from who takes part, and the set-ups that have none."""

import math

import pytest

from veil import FixedPoint
from veil.errors import TooFewSurvivors
from veil.secagg import Config

CURIOUS, MALICIOUS = "honest-but-curious", "malicious"


def configure(n, *, dropout=0, corrupt=0, adversary=CURIOUS, min_survivors=None, summands=None,
              **options):  # fmt: skip
    codec = FixedPoint(clip=1.0, bits=8, max_summands=summands or n, rounding="nearest")
    return Config.for_cohort(
        n, dropout=dropout, corrupt=corrupt, adversary=adversary, min_survivors=min_survivors,
        codec=codec, length=4, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("n", "corrupt", "dropout", "t"),
    [(5, 1, 1, 3), (10, 1, 1, 6), (10, 7, 1, 8), (10, 0, 6, 4), (3, 0, 1, 2), (10, 1, 8, 2)],
)
def test_a_full_graph_of_the_curious(n, corrupt, dropout, t):
    """min(max(c, n/2) + 1, n - dropouts), and never below max(c, 1) + 1."""
    config = configure(n, corrupt=corrupt, dropout=dropout, min_survivors=corrupt + 2)
    thresholds = config.thresholds(n)
    assert (thresholds.k, thresholds.t) == (n - 1, t)


@pytest.mark.parametrize(("n", "corrupt", "t"), [(5, 1, 4), (10, 1, 6), (10, 4, 8), (11, 4, 8)])
def test_a_full_graph_under_a_malicious_server(n, corrupt, t):
    thresholds = configure(n, corrupt=corrupt, adversary=MALICIOUS).thresholds(n)
    assert thresholds.t == thresholds.quorum == t == (n + corrupt) // 2 + 1


def test_survivors_and_honest_inputs():
    config = configure(10, dropout=0.25, corrupt=3)
    assert config.thresholds(10)[2:4] == (8, 5)
    assert config.thresholds(8)[2:4] == (6, 3)
    assert configure(10, corrupt=3, min_survivors=7).thresholds(8)[2:4] == (7, 4)


@pytest.mark.parametrize(("n", "count"), [(262, 166), (269, 246), (3000, 2071)])
def test_a_count_of_dropouts_is_that_count(n, count):
    """count / n times n may be a rounding below count."""
    assert configure(n, dropout=count).thresholds(n).min_survivors == n - count


def test_a_fraction_of_corrupt_clients_is_not_rounded_away():
    assert configure(5000, corrupt=0.57).corrupt == 2850


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"adversary": MALICIOUS, "dropout": 5, "corrupt": 1}, "no threshold fits"),
        ({"dropout": 8, "corrupt": 3, "min_survivors": 5}, "no threshold fits"),
        ({"corrupt": 9}, "at least corrupt"),
        ({"corrupt": 3, "min_survivors": 4}, "at least corrupt"),
        ({"summands": 9}, "ring would overflow"),
        ({"masking": "rlwe"}, "masking"),
        ({"kem": "none"}, "kem"),
    ],
)
def test_a_set_up_that_is_not_both_safe_and_live_is_refused(setting, message):
    with pytest.raises(ValueError, match=message) as caught:
        configure(10, **setting)
    assert not isinstance(caught.value, TooFewSurvivors)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 10.0),
        ("n", "10"),
        ("n", None),
        ("dropout", None),
        ("dropout", True),
        ("corrupt", 1.5),
        ("min_survivors", math.nan),
        ("min_survivors", 4.0),
        ("codec", 3),
        ("length", 2.5),
        ("weight_max", "many"),
        ("noise", 1.0),
    ],
)
def test_a_foreign_configuration_of_other_types_is_refused(name, value):
    """No number of survivors is below a floor of NaN, which JSON may hold."""
    values = configure(10, min_survivors=5).to_dict()
    assert Config.from_dict(values) == configure(10, min_survivors=5)
    with pytest.raises(TypeError):
        Config.from_dict({**values, name: value})


@pytest.mark.parametrize("participants", [0, 1, 2, 3, 4])
def test_too_few_participants_are_a_protocol_error(participants):
    config = configure(10, dropout=1, corrupt=3)
    with pytest.raises(TooFewSurvivors, match="participants"):
        config.thresholds(participants)


def test_corrupt_clients_are_a_number_and_no_fraction():
    """A server that picks who takes part must not raise the corrupt fraction."""
    config = configure(20, corrupt=0.25, adversary=MALICIOUS)
    assert config.corrupt == 5
    assert config.thresholds(20).t == 13
    assert config.thresholds(10).t == 8  # as for 5 of 10


def test_the_graph_is_sparse_from_a_hundred_curious_clients_on():
    assert configure(99, dropout=0.05, corrupt=0.05).graph == "full"
    assert configure(100, dropout=0.05, corrupt=0.05).thresholds(100)[:2] == (12, 6)
    assert configure(100, corrupt=0.05, adversary=MALICIOUS).graph == "full"
