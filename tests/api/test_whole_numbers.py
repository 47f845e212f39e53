"""Every whole number of the public API: NumPy's count as Python's do, and nothing else counts.

Booleans, floats and text are refused with TypeError, and what is out of range with ValueError;
where a parameter keeps an older class of error, the table says so.
"""

import dataclasses
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import veil
from veil import dp, fl, noise, ring, secagg, study
from veil.fl.privacy.rotation import Rotation
from veil.random import Keystream, SecureGenerator
from veil.secagg import combine_shares, split_secret
from veil.study.datasets import partition


def rng():
    return SecureGenerator.from_seed(bytes(32))


def ledger():
    return dp.Ledger(
        epsilon=8.0, delta=1e-5, unit="patient", relation="add-or-remove-one", mode="adaptive"
    )


def codec(**more):
    return veil.FixedPoint(
        **{"clip": 4.0, "bits": 20, "max_summands": 10, "rounding": "nearest", **more}
    )


def cohort(**more):
    plan = {"n": 5, "dropout": 1, "corrupt": 1, "adversary": "malicious", "min_survivors": 4}
    return secagg.Config.for_cohort(**{**plan, "codec": codec(), "length": 8, **more})


def config(**more):
    made = cohort()
    kept = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    return secagg.Config(**{**kept, **more})


def policy(**more):
    limits = {"min_cohort": 3, "min_survivors": 3, "max_corrupt": 1}
    return secagg.Policy(**{**limits, "codec": codec(), "length": 8, **more})


def client(**more):
    plan = {"client_id": 1, "identity_key": None, "policy": policy(), **more}
    return secagg.Client(cohort(adversary="honest-but-curious"), **plan)


def secure_sum(**more):
    plan = {"dropout": 1, "corrupt": 1, "adversary": "malicious", "min_survivors": 4}
    return fl.SecureSum(**{"codec": codec(), "weight_max": None, **plan, **more})


def graph(n=7, **more):
    return secagg.choose_graph(n, **{"corrupt": 1, "dropout": 1, "adversary": "malicious", **more})


def central(**more):
    plan = {"noise_multiplier": 2.0, "max_grad_norm": 1.0, "sampling_probability": 0.5}
    return fl.CentralDP(**{**plan, "population": 100, "rounds": 2, "unit": "record", **more})


def distributed(**more):
    plan = {"noise_multiplier": 2.0, "max_norm": 1.0, "rounds": 2, "unit": "record", "size": 4}
    sites = {"sites": 5, "min_survivors": 4, "max_corrupt": 1, "sampling_probability": 0.5}
    return fl.DistributedDP(**{**plan, **sites, "population": 100, **more})


def logistic(**more):
    return fl.LogisticRegression(
        **{"features": 3, "epochs": 1, "batch_size": 4, "learning_rate": 0.1, **more}
    )


def perceptron(**more):
    return fl.MLP(
        **{"features": 3, "hidden": (4,), "epochs": 1, "batch_size": 4, "learning_rate": 0.1} | more
    )


def network(**more):
    return fl.ImageCNN(
        **{"channels": 1, "size": (16, 16), "epochs": 1, "batch_size": 4, "learning_rate": 0.1}
        | more
    )


def simulate(**more):
    x, y = np.eye(4), np.array([0, 1, 0, 1])
    site = fl.Site(id="a", x=x, y=y, x_test=x, y_test=y, patients=None)
    plan = {"rounds": 1, "seed": 1, "evaluate_every": 1, **more}
    return fl.simulate(logistic(features=4), [site], fl.FedAvg(), **plan)


def histogram(**more):
    plan = {"epsilon": 1.0, "delta": 0.0, "patient_ids": None, "bounds": (0, 8), "bins": 4}
    return dp.histogram([1.0, 3.0], **{**plan, **more}, ledger=ledger())


def planned(**more):
    plan = {"relation": "zero-out", "bounds": (0, 8), "epsilon": 1.0, "delta": 0.0, "bins": 4}
    return dp.planned(dp.histogram, **{**plan, **more})


def options(**more):
    return study.StudyOptions(**more)


GAUSSIAN = dp.GaussianMechanism(l2_sensitivity=1.0, sigma=5.0)
LAPLACE = dp.LaplaceMechanism(l1_sensitivity=1.0, epsilon=0.5)
EXPONENTIAL = dp.ExponentialMechanism(sensitivity=1.0, epsilon=0.5)
EVENT = dp.Event.pure(epsilon=0.1)
STEP = dp.Event.gaussian(sigma=2.0, sensitivity=1.0)
SKELLAM = secagg.NoiseShare(distribution="skellam", sigma=3.0)
VECTOR = np.zeros(3, np.uint32)
SHARES = split_secret(b"key!", threshold=2, points=[1, 2, 3])
LABELS = np.array([0, 1] * 100, np.int8)


@dataclass(frozen=True)
class Number:
    """A call with one whole number, a value that is allowed, and what another type raises."""

    call: Callable[[Any], Any]
    good: int
    least: int | None = 1
    error: type[Exception] = TypeError
    float_allowed: bool = False


def draws(name, **more):
    return lambda v: getattr(rng(), name)(v, **more)


NUMBERS = {
    "set_num_threads(n)": Number(veil.set_num_threads, 1, 0),
    "FixedPoint(bits)": Number(lambda v: codec(bits=v), 20, 2),
    "FixedPoint(max_summands)": Number(lambda v: codec(max_summands=v), 10),
    "FixedPoint(noise)": Number(lambda v: codec(noise=v), 3, 0),
    "FixedPoint.encode(threads)": Number(lambda v: codec().encode(np.zeros(3), threads=v), 1),
    "FixedPoint.decode_sum(count)": Number(lambda v: codec().decode_sum(VECTOR, v), 2),
    "FixedPoint.decode_sum(noise)": Number(lambda v: codec().decode_sum(VECTOR, 2, noise=v), 2, 0),
    "FixedPoint.l2_sensitivity(dim)": Number(lambda v: codec().l2_sensitivity(1.0, v, "vector"), 3),
    "Config.for_cohort(n)": Number(lambda v: cohort(n=v), 5),
    "Config.for_cohort(dropout)": Number(lambda v: cohort(dropout=v), 1, 0, float_allowed=True),
    "Config.for_cohort(corrupt)": Number(lambda v: cohort(corrupt=v), 1, 0, float_allowed=True),
    "Config.for_cohort(min_survivors)": Number(lambda v: cohort(min_survivors=v), 4),
    "Config.for_cohort(length)": Number(lambda v: cohort(length=v), 8),
    "Config.for_cohort(weight_max)": Number(lambda v: cohort(weight_max=v), 9),
    "Config(n)": Number(lambda v: config(n=v), 5),
    "Config(corrupt)": Number(lambda v: config(corrupt=v), 1, 0),
    "Config(min_survivors)": Number(lambda v: config(min_survivors=v), 4),
    "Config(length)": Number(lambda v: config(length=v), 8),
    "Config(weight_max)": Number(lambda v: config(weight_max=v), 9),
    "Config.thresholds(participants)": Number(lambda v: cohort().thresholds(v), 5, None),
    "choose_graph(n)": Number(graph, 7),
    "choose_graph(corrupt)": Number(lambda v: graph(corrupt=v), 1, 0, float_allowed=True),
    "choose_graph(dropout)": Number(lambda v: graph(dropout=v), 1, 0, float_allowed=True),
    "NoiseShare.headroom(clients)": Number(SKELLAM.headroom, 5),
    "Policy(min_cohort)": Number(lambda v: policy(min_cohort=v), 3, 0),
    "Policy(min_survivors)": Number(lambda v: policy(min_survivors=v), 3, 0),
    "Policy(max_corrupt)": Number(lambda v: policy(max_corrupt=v), 1, 0),
    "Policy(length)": Number(lambda v: policy(length=v), 9, 0),
    "Policy(weight_max)": Number(lambda v: policy(weight_max=v), 9),
    "Client(client_id)": Number(lambda v: client(client_id=v), 3, 0),
    "Client(round_number)": Number(lambda v: client(round_number=v), 3, 0),
    "Server(round_number)": Number(lambda v: secagg.Server(cohort(), round_number=v), 3, 0),
    "split_secret(threshold)": Number(
        lambda v: split_secret(b"key!", threshold=v, points=[1, 2, 3], rng=rng()), 2
    ),
    "split_secret(points)": Number(
        lambda v: split_secret(b"k", threshold=1, points=[v, 9], rng=rng()), 2
    ),
    "combine_shares(threshold)": Number(
        lambda v: combine_shares({1: SHARES[0], 3: SHARES[2]}, threshold=v, length=4), 2, None
    ),
    "combine_shares(length)": Number(
        lambda v: combine_shares({1: SHARES[0], 3: SHARES[2]}, threshold=2, length=v), 4, None
    ),
    "Event(count)": Number(lambda v: dp.Event.pure(epsilon=1.0, count=v), 2),
    "Event.repeat(count)": Number(EVENT.repeat, 2),
    "Event.discrete_laplace(sensitivity)": Number(
        lambda v: dp.Event.discrete_laplace(scale=2.0, sensitivity=v), 2
    ),
    "Ledger.charge(count)": Number(lambda v: ledger().charge(EVENT, count=v, label="x"), 2),
    "epsilon_curve(counts)": Number(
        lambda v: dp.epsilon_curve(STEP, counts=[v], delta=1e-6, relation="zero-out"), 2
    ),
    "calibrate_noise_multiplier(steps)": Number(
        lambda v: dp.calibrate_noise_multiplier(
            target_epsilon=1.0, target_delta=1e-6, sampling_probability=1.0, steps=v
        ),
        2,
    ),
    "GaussianMechanism.lattice(size)": Number(GAUSSIAN.lattice, 2),
    "GaussianMechanism.charge(size)": Number(lambda v: GAUSSIAN.charge(v, label="x"), 2),
    "GaussianMechanism.epsilon(size)": Number(lambda v: GAUSSIAN.epsilon(1e-6, size=v), 2),
    "LaplaceMechanism.lattice(size)": Number(LAPLACE.lattice, 2),
    "LaplaceMechanism.charge(size)": Number(lambda v: LAPLACE.charge(v, label="x"), 2),
    "ExponentialMechanism.charge(size)": Number(lambda v: EXPONENTIAL.charge(v, label="x"), 2),
    "SparseVector.start(max_tests)": Number(
        lambda v: dp.SparseVector(sensitivity=1.0, epsilon=1.0).start(
            threshold=0.0, ledger=ledger(), max_tests=v
        ),
        2,
    ),
    "histogram(bins)": Number(lambda v: histogram(bins=v), 4),
    "histogram(max_rows_per_patient)": Number(
        lambda v: histogram(patient_ids=[1, 2], max_rows_per_patient=v), 1
    ),
    "planned(bins)": Number(lambda v: planned(bins=v), 4),
    "planned(max_rows_per_patient)": Number(lambda v: planned(max_rows_per_patient=v), 2),
    "Accumulator(shape)": Number(fl.Accumulator, 6, 0),
    "Accumulator(shape, of two)": Number(lambda v: fl.Accumulator((v, 2)), 6, 0),
    "weighted_mean(threads)": Number(lambda v: fl.weighted_mean([np.ones(3)], [1], threads=v), 1),
    "SecureSum(dropout)": Number(lambda v: secure_sum(dropout=v), 1, None, float_allowed=True),
    "SecureSum(corrupt)": Number(lambda v: secure_sum(corrupt=v), 1, None, float_allowed=True),
    "SecureSum(min_survivors)": Number(lambda v: secure_sum(min_survivors=v), 4, None),
    "SecureSum(weight_max)": Number(lambda v: secure_sum(weight_max=v), 9, None),
    "SecureSum.config(sites)": Number(lambda v: secure_sum().config(sites=v, length=8), 5),
    "SecureSum.config(length)": Number(lambda v: secure_sum().config(sites=5, length=v), 8),
    "CentralDP(population)": Number(lambda v: central(population=v), 100, error=ValueError),
    "CentralDP(rounds)": Number(lambda v: central(rounds=v), 2, error=ValueError),
    "DistributedDP(rounds)": Number(lambda v: distributed(rounds=v), 2, error=ValueError),
    "DistributedDP(size)": Number(lambda v: distributed(size=v), 4, error=ValueError),
    "DistributedDP(sites)": Number(lambda v: distributed(sites=v), 5, error=ValueError),
    "DistributedDP(min_survivors)": Number(
        lambda v: distributed(min_survivors=v), 4, error=ValueError
    ),
    "DistributedDP(max_corrupt)": Number(lambda v: distributed(max_corrupt=v), 1, 0),
    "DistributedDP(population)": Number(lambda v: distributed(population=v), 100, error=ValueError),
    "Rotation(length)": Number(lambda v: Rotation(length=v, seed=bytes(32)), 5),
    "simulate(rounds)": Number(lambda v: simulate(rounds=v), 1, error=ValueError),
    "simulate(seed)": Number(lambda v: simulate(seed=v), 1, 0, ValueError),
    "simulate(evaluate_every)": Number(lambda v: simulate(evaluate_every=v), 1, error=ValueError),
    "LogisticRegression(features)": Number(lambda v: logistic(features=v), 3, error=ValueError),
    "LogisticRegression(epochs)": Number(lambda v: logistic(epochs=v), 3, error=ValueError),
    "LogisticRegression(batch_size)": Number(lambda v: logistic(batch_size=v), 3, error=ValueError),
    "MLP(features)": Number(lambda v: perceptron(features=v), 3, error=ValueError),
    "MLP(hidden)": Number(lambda v: perceptron(hidden=(v,)), 3, error=ValueError),
    "MLP(epochs)": Number(lambda v: perceptron(epochs=v), 3, error=ValueError),
    "MLP(batch_size)": Number(lambda v: perceptron(batch_size=v), 3, error=ValueError),
    "ImageCNN(channels)": Number(lambda v: network(channels=v), 3, error=ValueError),
    "ImageCNN(size)": Number(lambda v: network(size=(v, 16)), 16, 4),
    "SecureGenerator.bytes(n)": Number(draws("bytes"), 3, 0),
    "SecureGenerator.normal(shape)": Number(draws("normal", dtype=np.float64, scale=1.0), 3, 0),
    "SecureGenerator.laplace(shape)": Number(draws("laplace", dtype=np.float64, scale=1.0), 3, 0),
    "SecureGenerator.uniform(shape)": Number(draws("uniform", dtype=np.float64), 3, 0),
    "SecureGenerator.uniform(threads)": Number(
        lambda v: rng().uniform(3, dtype=np.float64, threads=v), 1
    ),
    "SecureGenerator.integers(high)": Number(lambda v: rng().integers(v, 3), 3),
    "SecureGenerator.integers(shape)": Number(lambda v: rng().integers(3, v), 3, 0),
    "SecureGenerator.bernoulli(shape)": Number(lambda v: rng().bernoulli(0.5, v), 3, 0),
    "SecureGenerator.permutation(n)": Number(draws("permutation"), 3, 0),
    "Keystream.bytes(n)": Number(lambda v: Keystream(bytes(32)).bytes(v), 3, 0),
    "Keystream.uint32(n)": Number(lambda v: Keystream(bytes(32)).uint32(v), 3, 0),
    "Keystream.uint64(n)": Number(lambda v: Keystream(bytes(32)).uint64(v), 3, 0),
    "Keystream.seek(byte_offset)": Number(lambda v: Keystream(bytes(32)).seek(v), 3, 0),
    "Skellam.sample(n)": Number(lambda v: noise.Skellam(3.0).sample(v, rng()), 3, 0),
    "ring.add(threads)": Number(lambda v: ring.add(VECTOR, VECTOR, threads=v), 1),
    "ring.pack_bits(bits)": Number(lambda v: ring.pack_bits(VECTOR, v), 7),
    "ring.unpack_bits(bits)": Number(
        lambda v: ring.unpack_bits(np.zeros(3, np.uint8), v, 3, dtype=np.uint32), 7
    ),
    "ring.unpack_bits(count)": Number(
        lambda v: ring.unpack_bits(np.zeros(3, np.uint8), 7, v, dtype=np.uint32), 3, 0
    ),
    "ring.mask_add(offset)": Number(
        lambda v: ring.mask_add(VECTOR, [bytes(32)], [1], offset=v, cipher="aes256-ctr"), 4, 0
    ),
    "ring.mask_add(signs)": Number(
        lambda v: ring.mask_add(VECTOR, [bytes(32)], [v], cipher="aes256-ctr"), 1, None, ValueError
    ),
    "StudyOptions(seeds)": Number(lambda v: options(seeds=(v, 11, 12, 13, 14)), 1, 0, ValueError),
    **{
        f"StudyOptions({name})": Number(
            lambda v, name=name: options(**{name: v}), good, least, ValueError
        )
        for name, good, least in [
            ("partition_seed", 1, 0),
            ("sites", 5, 2),
            ("min_site", 50, 2),
            ("rounds", 5, 1),
            ("local_epochs", 5, 1),
            ("batch_size", 5, 1),
            ("dp_rounds", 5, 1),
        ]
    },
    "dirichlet_partition(sites)": Number(
        lambda v: partition.dirichlet_partition(
            LABELS, sites=v, concentration=9.0, min_site=9, seed=1
        ),
        2,
    ),
    "dirichlet_partition(seed)": Number(
        lambda v: partition.dirichlet_partition(
            LABELS, sites=2, concentration=9.0, min_site=9, seed=v
        ),
        2,
        0,
    ),
    "random_partition(sites)": Number(
        lambda v: partition.random_partition(np.arange(9), sites=v, seed=1), 2
    ),
}
EACH = pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)


def plain(value):
    """A result in a form that tells an int from a NumPy integer."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return repr(value)


@EACH
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_numpy_integers_are_whole_numbers(number, kind):
    got, expected = number.call(kind(number.good)), number.call(number.good)
    if not re.search(r" at 0x|Release\(|seconds=", repr(expected)):
        assert plain(got) == plain(expected)


@EACH
@pytest.mark.parametrize("wrong", [True, np.True_, 2.0, np.float64(2.0), "2"], ids=repr)
def test_other_types_are_refused(number, wrong):
    if number.float_allowed and isinstance(wrong, float):
        return  # a fraction, for which 2.0 is out of range
    with pytest.raises(number.error):
        number.call(wrong)


@EACH
def test_numbers_below_the_range_are_refused(number):
    if number.least is None:
        return
    for kind in (int, np.int64):
        with pytest.raises(ValueError, match="expected"):
            number.call(kind(number.least - 1))


def test_the_table_names_parameters_that_exist():
    for name in NUMBERS:
        path, _, parameter = name.rstrip(")").partition("(")
        for room in (veil, dp, fl, secagg, noise, study, partition, veil.random):
            target = room
            for part in path.split("."):
                target = getattr(target, part, None)
            if target is not None:
                break
        target = {"Rotation": Rotation, "Event": dp.Event.pure}.get(path, target)
        assert target is not None, name
        assert parameter.partition(",")[0] in inspect.signature(target).parameters, name


# --- what is stored is plain ----------------------------------------------------------------------


def test_configurations_made_of_numpy_numbers_are_json():
    made = cohort(
        n=np.int64(5), dropout=np.float32(0.25), corrupt=np.uint8(1), min_survivors=np.int16(4),
        length=np.int64(8), weight_max=None,
        codec=codec(
            clip=np.float32(4.0), bits=np.int64(20), max_summands=np.uint8(10), noise=np.int64(9000)
        ),
        noise=secagg.NoiseShare(distribution="discrete-gaussian", sigma=np.float32(3.0)),
    )  # fmt: skip
    same = cohort(
        dropout=0.25,
        codec=codec(noise=9000),
        noise=secagg.NoiseShare(distribution="discrete-gaussian", sigma=3.0),
    )
    assert json.loads(json.dumps(made.to_dict())) == same.to_dict()
    assert made == same
    assert made.digest() == same.digest()
    assert secagg.Config.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_a_number_and_its_float_are_one_configuration():
    assert cohort(codec=codec(clip=4)).digest() == cohort(codec=codec(clip=4.0)).digest()


@pytest.mark.parametrize("clip", [1e308, 1e-320, np.float64(1e200)])
def test_a_clip_out_of_range_is_told_the_range(clip):
    with pytest.raises(ValueError, match=r"clip: expected 2\*\*-500 to 2\*\*500 .*; rescale"):
        codec(clip=clip)


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clip_that_is_no_size_is_told_so(clip):
    with pytest.raises(ValueError, match="clip: expected a finite number above 0"):
        codec(clip=clip)


@pytest.mark.parametrize("clip", ["4", True, None, [4.0]])
def test_a_clip_of_another_type_is_refused(clip):
    with pytest.raises(TypeError, match="clip: expected a number"):
        codec(clip=clip)


@pytest.mark.parametrize(
    "make",
    [
        lambda v: codec(clip=v),
        lambda v: config(dropout=v),
        lambda v: secagg.NoiseShare(distribution="skellam", sigma=v),
    ],
)
def test_numbers_beyond_a_float_s_range_are_refused_by_name(make):
    with pytest.raises(ValueError, match=r"(clip|dropout|sigma): expected a number in a float's"):
        make(10**400)


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_weights_are_whole_numbers_of_any_type(kind):
    from veil.secagg.client.vectors import check_weight

    weight = check_weight(cohort(weight_max=300), kind(200))
    assert type(weight) is int
    for wrong in (True, 2.0, "2", None, 0, 301):
        with pytest.raises(ValueError, match="weight: expected a whole number from 1 to 300"):
            check_weight(cohort(weight_max=300), wrong)
