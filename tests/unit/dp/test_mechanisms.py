"""Mechanisms: what they release, on which lattice, what they charge, what they refuse."""

import copy
import math
import pickle
import threading

import numpy as np
import pytest

from veil import dp, noise
from veil.dp import choice
from veil.errors import BudgetExceeded, DataError, LedgerError
from veil.random import SecureGenerator

DELTA = 1e-6


def ledger(**settings):
    return dp.Ledger(
        **{
            "epsilon": 8.0,
            "delta": DELTA,
            "unit": "patient",
            "relation": "add-or-remove-one",
            "mode": "adaptive",
            **settings,
        }
    )


def seeded(seed=0):
    return SecureGenerator.from_seed(bytes([seed]) * 32)


GAUSSIAN = dp.GaussianMechanism(l2_sensitivity=1.0, sigma=5.0)
LAPLACE = dp.LaplaceMechanism(l1_sensitivity=1.0, epsilon=0.5)
BOTH = pytest.mark.parametrize("mechanism", [GAUSSIAN, LAPLACE], ids=["gaussian", "laplace"])


# --- values and lattice ---------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (1025,)])
def test_float64_lies_on_the_lattice_to_the_last_bit(mechanism, shape):
    x = np.random.default_rng(0).normal(scale=1e3, size=shape)
    released = mechanism.release(x, ledger=ledger(), rng=seeded())
    assert math.frexp(released.granularity)[0] == 0.5
    points = np.asarray(released.value) / released.granularity
    assert np.array_equal(points, np.rint(points))
    assert np.shape(released.value) == shape


@BOTH
def test_float64_is_rounded_value_plus_the_sampler_s_noise(mechanism):
    x = np.random.default_rng(1).normal(size=50)
    released = mechanism.release(x, ledger=ledger(), rng=seeded())
    lattice = mechanism.lattice(50)
    kind = noise.DiscreteGaussian if mechanism is GAUSSIAN else noise.DiscreteLaplace
    drawn = kind(lattice.sigma).sample(50, seeded())
    g = lattice.granularity
    assert np.array_equal(released.value, (np.rint(x / g) + drawn) * g)


@BOTH
def test_float32_is_the_float64_release_rounded_once(mechanism):
    x = np.random.default_rng(2).normal(size=33).astype(np.float32)
    narrow = mechanism.release(x, ledger=ledger(), rng=seeded())
    wide = mechanism.release(x.astype(np.float64), ledger=ledger(), rng=seeded())
    assert narrow.value.dtype == np.float32
    assert np.array_equal(narrow.value, wide.value.astype(np.float32))


@BOTH
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint8, np.uint64])
def test_integers_stay_integers(mechanism, dtype):
    x = np.arange(40, dtype=dtype).reshape(8, 5)
    released = mechanism.release(x, ledger=ledger(), rng=seeded(), integer=True)
    assert released.value.dtype == np.int64
    assert released.value.shape == (8, 5)
    assert released.granularity == 1.0
    assert released.exact_from == "input"
    assert released.sensitivity == released.widened_sensitivity
    assert 0 < np.abs(released.value - x.astype(np.int64)).max() < 100


@BOTH
def test_scalars_stay_scalars(mechanism):
    assert isinstance(mechanism.release(3.0, ledger=ledger()).value, float)
    assert isinstance(mechanism.release(3, ledger=ledger()).value, float)
    assert isinstance(mechanism.release(3, ledger=ledger(), integer=True).value, int)


@BOTH
def test_large_values_are_clamped_not_refused(mechanism):
    released = mechanism.release(np.array([1e300, -1e300]), ledger=ledger(), rng=seeded())
    most = 2.0**52 * released.granularity
    assert released.value[0] == pytest.approx(most)
    assert released.value[1] == pytest.approx(-most)
    huge = np.array([2**64 - 1], dtype=np.uint64)
    clamped = mechanism.release(huge, ledger=ledger(), integer=True).value[0]
    assert abs(int(clamped) - 2**52) < 1000


@BOTH
def test_out_receives_the_value(mechanism):
    x = np.linspace(-1, 1, 20)
    fresh = mechanism.release(x, ledger=ledger(), rng=seeded()).value
    out = np.empty(20)
    assert mechanism.release(x, ledger=ledger(), rng=seeded(), out=out).value is out
    assert np.array_equal(out, fresh)
    mechanism.release(x, ledger=ledger(), rng=seeded(), out=x)
    assert np.array_equal(x, fresh)


@BOTH
def test_strided_input_gives_what_its_copy_gives(mechanism):
    x = np.random.default_rng(3).normal(size=(6, 8))
    strided = mechanism.release(x.T[::2], ledger=ledger(), rng=seeded()).value
    copied = mechanism.release(x.T[::2].copy(), ledger=ledger(), rng=seeded()).value
    assert np.array_equal(strided, copied)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_torch_tensors_give_torch_tensors(mechanism, dtype):
    torch = pytest.importorskip("torch")
    x = torch.arange(12, dtype=getattr(torch, dtype)).reshape(3, 4)
    released = mechanism.release(x, ledger=ledger(), rng=seeded()).value
    assert isinstance(released, torch.Tensor)
    same = mechanism.release(x.numpy(), ledger=ledger(), rng=seeded()).value
    assert np.array_equal(released.numpy(), same)


@BOTH
def test_equal_seeds_give_equal_values_and_say_so(mechanism):
    x = np.zeros(9)
    first = mechanism.release(x, ledger=ledger(), rng=seeded())
    again = mechanism.release(x, ledger=ledger(), rng=seeded())
    assert np.array_equal(first.value, again.value)
    assert first.seeded
    fresh = mechanism.release(x, ledger=ledger())
    assert not fresh.seeded
    assert not np.array_equal(fresh.value, first.value)


# --- what is charged ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 10, 10_000, 1_000_000])
@pytest.mark.parametrize("sigma", [0.01, 1.0, 37.5, 1e3])
def test_gaussian_lattice_follows_its_rule(size, sigma):
    lattice = dp.GaussianMechanism(l2_sensitivity=2.0, sigma=sigma).lattice(size)
    g = lattice.granularity
    bound = min(2.0 / (1000 * math.sqrt(size)), sigma / 64)
    assert g <= bound < 2 * g
    assert lattice.sigma == sigma / g >= 64
    assert lattice.sensitivity == 2.0 / g + math.sqrt(size)
    assert lattice.sensitivity * g <= 2.0 * 1.001


def test_gaussian_event_is_the_smoothed_one_at_the_widened_sensitivity():
    book = ledger()
    released = GAUSSIAN.release(np.zeros(16), ledger=book)
    lattice = GAUSSIAN.lattice(16)
    assert released.event == dp.Event.gaussian(
        sigma=math.sqrt(lattice.sigma**2 - 3.5467), sensitivity=lattice.sensitivity
    )
    assert released.widened_sensitivity == 1.0 + 4 * released.granularity
    assert released.slack == 16 * (noise.DiscreteGaussian(lattice.sigma).tv_bound + 2.0**-99)
    assert book.spent().slack == released.slack


def test_laplace_event_is_whole_and_spends_epsilon():
    released = LAPLACE.release(np.zeros(16), ledger=ledger())
    assert released.event.kind == "discrete-laplace"
    assert released.event.sensitivity == math.ceil(1.0 / released.granularity + 16)
    assert released.event.ratio == pytest.approx(0.5, rel=1e-15)
    assert released.slack > 0


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-6), (1.0, 1e-9), (5.0, 1e-3)])
def test_calibrated_release_spends_no_more_than_asked(epsilon, delta, size):
    mechanism = dp.GaussianMechanism.calibrate(epsilon=epsilon, delta=delta, l2_sensitivity=3.0)
    spent = mechanism.epsilon(delta, size=size)
    assert 0.99 * epsilon < spent <= epsilon
    book = ledger(mode="planned", epsilon=epsilon, delta=delta)
    book.reserve(mechanism.charge(size, label="gaussian"))
    mechanism.release(np.zeros(size), ledger=book)


@BOTH
def test_charge_of_a_plan_is_what_a_release_charges(mechanism):
    for x in (np.zeros(5), np.zeros(5, np.int64)):
        integer = x.dtype == np.int64
        item = mechanism.charge(5, label="x", integer=integer)
        released = mechanism.release(x, ledger=ledger(), label="x", integer=integer)
        assert (item.event, item.slack) == (released.event, released.slack)


def test_noise_has_the_stated_scale():
    rng = seeded(7)
    n = 40_000
    for x, integer in [(np.zeros(n), False), (np.zeros(n, np.int64), True)]:
        value = GAUSSIAN.release(x, ledger=ledger(), rng=rng, integer=integer).value
        # Five standard errors of a standard deviation, at n = 40,000.
        assert np.std(value) == pytest.approx(5.0, rel=5 / math.sqrt(2 * n) + 0.002)
    wide = dp.LaplaceMechanism(l1_sensitivity=n, epsilon=0.5)
    released = wide.release(np.zeros(n), ledger=ledger(), rng=rng)
    assert np.mean(np.abs(released.value)) == pytest.approx(released.sigma, rel=5 / math.sqrt(n))


def test_release_states_everything_and_survives_a_dict():
    released = GAUSSIAN.release(np.zeros(2), ledger=ledger(unit="visit", relation="zero-out"))
    text = released.statement()
    for word in ("visit", "zero-out", "slack", "lattice", "Trusted", "Public", "AES-256", "sum"):
        assert word in text
    assert "SEEDED" in GAUSSIAN.release(0.0, ledger=ledger(), rng=seeded()).statement()
    again = dp.Release.from_dict(released.to_dict())
    assert again.event == released.event
    assert np.array_equal(again.value, released.value)
    assert pickle.loads(pickle.dumps(released)).statement() == text


# --- what is refused ------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_not_finite_are_refused_before_any_charge(mechanism, bad, dtype):
    book = ledger()
    x = np.zeros(100, dtype)
    x[57] = bad
    with pytest.raises(DataError, match="x: expected finite values"):
        mechanism.release(x, ledger=book)
    assert book.spent().releases == 0


def test_finite_values_whose_sum_overflows_are_not_refused():
    GAUSSIAN.release(np.full(4, 1e308), ledger=ledger())


@BOTH
@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.zeros(0), DataError),
        (np.zeros(3, np.float16), TypeError),
        (np.zeros(3, complex), TypeError),
        (np.zeros(3, bool), TypeError),
        (np.zeros(3, ">f8"), TypeError),
        ("text", TypeError),
        ([1.0, 2.0], TypeError),
        (True, TypeError),
    ],
    ids=str,
)
def test_wrong_data_is_refused_before_any_charge(mechanism, x, error):
    book = ledger()
    with pytest.raises(error):
        mechanism.release(x, ledger=book)
    assert book.spent().releases == 0


def read_only(n):
    out = np.zeros(n)
    out.flags.writeable = False
    return out


@BOTH
@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.zeros(4), ValueError),
        (np.zeros(5, np.float32), TypeError),
        (np.zeros(10)[::2], ValueError),
        (read_only(5), ValueError),
        ("no", TypeError),
    ],
    ids=["shape", "dtype", "strided", "read-only", "text"],
)
def test_wrong_out_is_refused_before_any_charge(mechanism, out, error):
    book = ledger()
    with pytest.raises(error, match="out"):
        mechanism.release(np.zeros(5), ledger=book, out=out)
    assert book.spent().releases == 0


@BOTH
def test_out_that_overlaps_in_part_is_refused(mechanism):
    memory = np.zeros(10)
    with pytest.raises(ValueError, match="out: expected memory apart"):
        mechanism.release(memory[:5], ledger=ledger(), out=memory[3:8])


@BOTH
@pytest.mark.parametrize("argument", ["ledger", "rng"])
def test_wrong_ledger_and_generator_are_refused(mechanism, argument):
    good = {"ledger": ledger(), "rng": None}
    with pytest.raises(TypeError, match=f"{argument}: expected"):
        mechanism.release(0.0, **{**good, argument: np.random.default_rng(0)})


@BOTH
def test_refused_charge_draws_and_writes_nothing(mechanism):
    out = np.full(3, 7.0)
    rng = seeded()
    with pytest.raises(BudgetExceeded):
        mechanism.release(np.zeros(3), ledger=ledger(epsilon=0.01), rng=rng, out=out)
    assert np.array_equal(out, np.full(3, 7.0))
    assert rng.bytes(8) == seeded().bytes(8)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_parameters_outside_their_range_are_refused(value):
    for build in (
        lambda: dp.GaussianMechanism(l2_sensitivity=value, sigma=1.0),
        lambda: dp.GaussianMechanism(l2_sensitivity=1.0, sigma=value),
        lambda: dp.GaussianMechanism.calibrate(epsilon=value, delta=1e-6, l2_sensitivity=1.0),
        lambda: dp.GaussianMechanism.calibrate(epsilon=1.0, delta=value, l2_sensitivity=1.0),
        lambda: dp.LaplaceMechanism(l1_sensitivity=value, epsilon=1.0),
        lambda: dp.LaplaceMechanism(l1_sensitivity=1.0, epsilon=value),
        lambda: dp.ExponentialMechanism(sensitivity=value, epsilon=1.0),
        lambda: dp.SparseVector(sensitivity=1.0, epsilon=value),
    ):
        with pytest.raises(ValueError, match="expected a"):
            build()


def test_noise_beyond_the_sampler_s_range_is_refused_before_any_charge():
    book = ledger()
    for mechanism, x in [
        (dp.GaussianMechanism(l2_sensitivity=1.0, sigma=1e8), 0.0),
        (dp.GaussianMechanism(l2_sensitivity=1.0, sigma=0.01), 0),
        (dp.LaplaceMechanism(l1_sensitivity=1.0, epsilon=1e-8), 0.0),
        (dp.LaplaceMechanism(l1_sensitivity=1.0, epsilon=50.0), 0),
    ]:
        with pytest.raises(ValueError, match="expected"):
            mechanism.release(x, ledger=book, integer=x.__class__ is int)
    assert book.spent().releases == 0


# --- choices --------------------------------------------------------------------------------------


def permute_and_flip_distribution(scores, rate):
    """The exact law, by enumeration of which coins come up (McKenna and Sheldon 2020)."""
    p = np.exp(-rate * (max(scores) - np.asarray(scores, float)))
    law = np.zeros(len(p))
    for mask in range(1, 2 ** len(p)):
        chosen = np.array([mask >> i & 1 for i in range(len(p))], bool)
        weight = np.prod(np.where(chosen, p, 1 - p))
        law[chosen] += weight / chosen.sum()
    return law


def test_permute_and_flip_has_its_distribution():
    scores = np.array([0, 3, 5, 5, 1])
    rate = 0.4
    rng = seeded(3)
    n = 20_000
    counts = np.bincount(
        [choice.permute_and_flip(scores, rate, rng) for _ in range(n)], minlength=5
    )
    expected = n * permute_and_flip_distribution(scores, rate)
    statistic = ((counts - expected) ** 2 / expected).sum()
    # Upper 1e-6 point of chi-square with 4 degrees of freedom.
    assert statistic < 33.38, f"chi-square {statistic:.1f} over {n} draws, alpha = 1e-6"
    wrong = n * permute_and_flip_distribution(scores, rate * 1.1)
    assert ((counts - wrong) ** 2 / wrong).sum() > 33.38


def test_coins_near_a_random_word_are_settled_by_128_bits():
    class Words:
        """A generator that gives the words it is told."""

        def __init__(self, *words):
            self.words = list(words)

        def bytes(self, n):
            assert n == 8
            return int(self.words.pop(0)).to_bytes(8, "little")

    # exp(-1): its first 128 bits, from mpmath with 200 bits.
    import mpmath

    with mpmath.workprec(200):
        threshold = int(mpmath.floor(mpmath.exp(-1) * 2**128))
    high, low = threshold >> 64, threshold & (2**64 - 1)
    for word, rest, expected in [
        (high, low - 1, True),
        (high, low, False),
        (high, low + 1, False),
        (high - 1, 0, True),
        (high + 1, 0, False),
    ]:
        coins = choice._coins(np.array([1.0]), 1.0, Words(word, rest))
        assert bool(coins[0]) is expected


def test_exponential_mechanism_prefers_high_scores_and_spends_epsilon():
    mechanism = dp.ExponentialMechanism(sensitivity=1.0, epsilon=1.0)
    book = ledger()
    released = mechanism.release(np.array([0.0, 100.0, 50.0]), ledger=book, rng=seeded())
    assert released.value == 1
    assert released.event == dp.Event.pure(epsilon=1.0)
    assert mechanism.charge(3, label="choice").slack == released.slack == book.spent().slack


@pytest.mark.parametrize(
    ("scores", "error"),
    [
        (np.zeros(0), DataError),
        ([1.0, math.nan], DataError),
        ([math.inf], DataError),
        ([[1.0]], TypeError),
        (["a"], TypeError),
    ],
)
def test_wrong_scores_are_refused_before_any_charge(scores, error):
    book = ledger()
    with pytest.raises(error, match="scores: expected"):
        dp.ExponentialMechanism(sensitivity=1.0, epsilon=1.0).release(scores, ledger=book)
    assert book.spent().releases == 0


def test_sparse_vector_pays_once_and_ends_with_its_first_above():
    book = ledger()
    session = dp.SparseVector(sensitivity=1.0, epsilon=1.0).start(
        threshold=100.0, ledger=book, rng=seeded()
    )
    assert [session.above(v) for v in (-50.0, 0.0, -100.0)] == [False] * 3
    assert session.open
    assert session.above(400.0)
    assert not session.open
    assert book.spent().releases == 1
    assert session.statement.event == dp.Event.pure(epsilon=1.0)
    with pytest.raises(LedgerError, match="has ended"):
        session.above(0.0)


def test_sparse_vector_refuses_more_tests_than_it_paid_slack_for():
    session = dp.SparseVector(sensitivity=1.0, epsilon=1.0).start(
        threshold=1e9, ledger=ledger(), max_tests=2
    )
    assert not session.above(0.0)
    with pytest.raises(DataError, match="value: expected a finite"):
        session.above(math.nan)
    assert not session.above(0.0)
    with pytest.raises(LedgerError):
        session.above(0.0)


def test_sparse_vector_answers_above_once_to_two_threads():
    session = dp.SparseVector(sensitivity=1.0, epsilon=1.0).start(threshold=0.0, ledger=ledger())
    noise_of_a_value, drawing, others = session._noise, threading.Event(), []

    def ask():
        try:
            others.append(session.above(1e6))
        except LedgerError:
            others.append("ended")

    class Interrupted:
        """Let the other thread run, as it might, while the first draws."""

        def sample(self, n, rng):
            if not drawing.is_set():
                drawing.set()
                other.start()
                other.join(timeout=0.5)
            return noise_of_a_value.sample(n, rng)

    other = threading.Thread(target=ask)
    session._noise = Interrupted()
    assert session.above(1e6)
    other.join()
    assert others == ["ended"]


def test_sparse_vector_session_is_not_copied():
    session = dp.SparseVector(sensitivity=1.0, epsilon=1.0).start(threshold=0.0, ledger=ledger())
    with pytest.raises(TypeError, match="would repeat"):
        copy.copy(session)
    with pytest.raises(ValueError, match="threshold: expected"):
        dp.SparseVector(sensitivity=1.0, epsilon=1.0).start(threshold=math.nan, ledger=ledger())
