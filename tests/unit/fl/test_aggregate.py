"""PlainSum: an order-free sum that refuses, by name, what does not fit."""

import itertools
import tracemalloc

import numpy as np
import pytest

from veil.errors import DataError, ProtocolError
from veil.fl import Layout, PlainSum

LAYOUT = Layout.of({"w": np.zeros(1000, np.float32)})
IDS = ("a", "b", "c", "d")
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def opened(dtype=np.float32, **settings):
    plain = PlainSum()
    layout = Layout.of({"w": np.zeros(1000, dtype)})
    plain.open(layout, IDS, round=1, context=b"", **settings)
    return plain


def vectors(dtype=np.float32):
    rng = np.random.default_rng(2)
    scale = {"a": 1e-6, "b": 1.0, "c": 1e4, "d": 1.0}
    return {name: (s * rng.normal(size=1000)).astype(dtype) for name, s in scale.items()}


@DTYPES
def test_sum_is_weighted_and_as_exact_as_documented(dtype):
    plain, data = opened(dtype), vectors(dtype)
    for i, name in enumerate(IDS):
        plain.add(name, data[name], float(i))
    total = plain.close()
    expected = sum(i * data[name].astype(float) for i, name in enumerate(IDS))
    largest = max(i * np.abs(data[name]).max() for i, name in enumerate(IDS))
    step = 2.0**-40 if dtype == np.float32 else 2.0**-50
    np.testing.assert_allclose(total.total, expected, rtol=0, atol=8 * step * largest)
    assert total.total.dtype == np.float64
    np.testing.assert_allclose(total.mean(), total.total / 6, rtol=1e-15)
    assert total.weight == 6.0
    assert total.survivors == IDS
    assert total.updates is None
    assert plain.bytes_moved == (4 * (1000 * np.dtype(dtype).itemsize + 8), 0)


@DTYPES
def test_any_order_of_arrival_gives_the_same_bits(dtype):
    data, results = vectors(dtype), set()
    for order in itertools.permutations(IDS):
        plain = opened(dtype)
        for name in order:
            plain.add(name, data[name], 0.1 + ord(name))
        total = plain.close()
        results.add((total.total.tobytes(), total.weight, total.survivors))
    assert len(results) == 1


@DTYPES
def test_the_caller_may_reuse_its_vector(dtype):
    plain, data = opened(dtype, individual=True), vectors(dtype)
    scratch = np.empty(1000, dtype)
    for name in IDS:
        scratch[:] = data[name]
        plain.add(name, scratch, None)
    scratch[:] = 0
    total = plain.close()
    np.testing.assert_allclose(total.total, sum(data[n].astype(float) for n in IDS), atol=1e-6)
    assert all(np.array_equal(total.updates[name], data[name]) for name in IDS)


def test_float32_vectors_are_added_and_forgotten():
    size, sites = 200_000, 20
    layout = Layout.of({"w": np.zeros(size, np.float32)})
    plain = PlainSum(threads=1)
    ids = [str(i) for i in range(sites)]
    tracemalloc.start()
    try:
        plain.open(layout, ids, round=1, context=b"")
        for name in ids:
            plain.add(name, np.ones(size, np.float32), 1.0)
        plain.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 45 * size, (
        f"{peak / size:.0f} bytes per value; holding all would take {4 * sites}"
    )


def test_a_naive_float_sum_would_depend_on_order():
    data = vectors()
    sums = {
        sum(
            (data[n] * np.float32(0.1 + ord(n)) for n in order), np.zeros(1000, np.float32)
        ).tobytes()
        for order in itertools.permutations(IDS)
    }
    assert len(sums) > 1


def test_without_weights_the_mean_is_over_survivors():
    plain, data = opened(), vectors()
    plain.add("b", data["b"], None)
    plain.add("d", data["d"], None)
    total = plain.close()
    assert total.weight is None
    np.testing.assert_allclose(total.mean(), (data["b"].astype(float) + data["d"]) / 2, atol=1e-10)
    assert plain.bytes_moved == (2 * 4000, 0)


def test_single_updates_are_kept_only_when_asked_for():
    plain, data = opened(individual=True), vectors()
    plain.add("a", data["a"], 1.0)
    updates = plain.close().updates
    assert list(updates) == ["a"]
    np.testing.assert_array_equal(updates["a"], data["a"])


@pytest.mark.parametrize(
    ("vector", "weight", "message"),
    [
        (np.zeros(999, np.float32), 1.0, r"update: expected shape \(1000,\)"),
        (np.zeros(1000), 1.0, "update: expected float32, got float64"),
        ([0.0] * 1000, 1.0, "update: expected float32, got list"),
        (np.full(1000, np.nan, np.float32), 1.0, "update: has NaN"),
        (np.full(1000, np.inf, np.float32), 1.0, "update: has NaN or infinite"),
        (np.zeros(1000, np.float32), -1.0, "weight: expected a finite number >= 0"),
        (np.zeros(1000, np.float32), np.nan, "weight"),
        (np.zeros(1000, np.float32), np.inf, "weight"),
    ],
)
def test_a_bad_upload_names_its_site_and_is_not_added(vector, weight, message):
    plain = opened()
    with pytest.raises(DataError, match=f"site 'b': {message}"):
        plain.add("b", vector, weight)
    plain.add("b", np.ones(1000, np.float32), 1.0)
    np.testing.assert_allclose(plain.close().total, 1.0, rtol=1e-15)


def test_weights_for_all_or_for_none():
    plain = opened()
    plain.add("a", np.zeros(1000, np.float32), 1.0)
    with pytest.raises(DataError, match="site 'b': weight: expected one for every site"):
        plain.add("b", np.zeros(1000, np.float32), None)


def test_zero_weights_alone_are_refused():
    plain = opened()
    for name in IDS:
        plain.add(name, np.zeros(1000, np.float32), 0.0)
    with pytest.raises(DataError, match="all are zero"):
        plain.close()


def test_a_round_is_opened_filled_and_closed():
    plain = PlainSum()
    with pytest.raises(ProtocolError, match="open round"):
        plain.add("a", np.zeros(1000, np.float32), 1.0)
    with pytest.raises(ProtocolError, match="open round"):
        plain.close()
    plain = opened()
    with pytest.raises(ProtocolError, match=r"site 'z': .*an unknown site"):
        plain.add("z", np.zeros(1000, np.float32), 1.0)
    plain.add("a", np.zeros(1000, np.float32), 1.0)
    with pytest.raises(ProtocolError, match=r"site 'a': .*a second upload"):
        plain.add("a", np.zeros(1000, np.float32), 1.0)
    plain.close()
    with pytest.raises(DataError, match="at least one site"):
        opened().close()
