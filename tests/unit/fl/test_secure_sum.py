"""SecureSum in `simulate`: the plain sum to within the codec's lattice, whoever drops out."""

import numpy as np
import pytest

import veil
from veil.errors import ProtocolError, TooFewSurvivors
from veil.fl import FedAvg, LogisticRegression, PlainSum, SecureSum, Site, simulate


@pytest.fixture(scope="module")
def sites():
    rng = np.random.default_rng(5)
    made = []
    for name in "abcde":
        x = rng.normal(size=(40, 3))
        y = (x @ [1.0, -2.0, 0.5] + rng.normal(size=40) > 0).astype(int)
        made.append(Site(id=name, x=x, y=y, x_test=x, y_test=y, patients=None))
    return made


def secure(**changes):
    codec = veil.FixedPoint(clip=8.0, bits=24, max_summands=5, rounding="nearest")
    options = {"codec": codec, "dropout": 1, "corrupt": 1, "adversary": "honest-but-curious",
               "min_survivors": None, "weight_max": 100}  # fmt: skip
    return SecureSum(**{**options, **changes})


def run(sites, aggregator, rounds=3):
    task = LogisticRegression(features=3, learning_rate=0.5, epochs=2, batch_size=10)
    return simulate(task, sites, FedAvg(), rounds=rounds, seed=1, aggregator=aggregator)


@pytest.mark.parametrize("adversary", ["honest-but-curious", "malicious"])
def test_the_model_is_that_of_a_plain_sum_within_the_lattice(sites, adversary):
    plain, masked = run(sites, PlainSum()), run(sites, secure(adversary=adversary))
    for name, value in plain.params.items():
        np.testing.assert_allclose(masked.params[name], value, atol=1e-4)
    assert masked.metrics["a"]["auroc"] == pytest.approx(plain.metrics["a"]["auroc"], abs=1e-3)


def test_a_run_repeats_bit_for_bit(sites):
    one, other = run(sites, secure()), run(sites, secure())
    for name, value in one.params.items():
        np.testing.assert_array_equal(other.params[name], value)


@pytest.mark.parametrize("when", [0, 1, 2, 3, 4])
def test_a_site_may_drop_out_at_every_protocol_round(sites, when):
    aggregator = secure(dropouts=lambda number: {"c": when} if number == 2 else {})
    history = run(sites, aggregator)
    survivors = [done.survivors for done in history.rounds]
    everyone = tuple("abcde")
    expected = tuple("abde") if when <= 2 else everyone
    assert survivors == [everyone, expected, everyone]


def test_too_many_dropouts_end_the_round_with_a_typed_error(sites):
    aggregator = secure(dropouts=lambda _: {"c": 2, "d": 2, "e": 2})
    with pytest.raises(TooFewSurvivors):
        run(sites, aggregator, rounds=1)


def test_bytes_of_all_messages_are_counted(sites):
    history = run(sites, secure(), rounds=1)
    plain = run(sites, PlainSum(), rounds=1)
    assert history.rounds[0].bytes_up > plain.rounds[0].bytes_up
    assert history.rounds[0].bytes_down > plain.rounds[0].bytes_down


def test_single_updates_are_refused():
    layout = veil.fl.Layout.of({"w": np.zeros(3)})
    with pytest.raises(ProtocolError, match="single updates"):
        secure().open(layout, list("abcde"), round=1, context=b"c", individual=True)


@pytest.mark.parametrize("weight", [1.5, 101, 0, None])
def test_weights_that_do_not_fit_are_refused(weight):
    aggregator = secure()
    layout = veil.fl.Layout.of({"w": np.zeros(3)})
    aggregator.open(layout, list("abcde"), round=1, context=b"c")
    with pytest.raises(ValueError, match="weight"):
        aggregator.add("a", np.zeros(3), weight)


def test_dropouts_or_survivors_are_said():
    codec = veil.FixedPoint(clip=1.0, bits=8, max_summands=5, rounding="nearest")
    limits = {"corrupt": 1, "adversary": "honest-but-curious", "weight_max": None}
    with pytest.raises(ValueError, match="dropout, min_survivors: expected one of them"):
        SecureSum(codec=codec, dropout=None, min_survivors=None, **limits)
    sums = SecureSum(codec=codec, dropout=None, min_survivors=4, **limits)
    assert [sums.config(sites=n, length=2).dropout for n in (4, 5)] == [0.0, 0.2]
