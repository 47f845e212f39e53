"""PlainSum: an order-free sum that refuses, by name, what does not fit."""

import itertools

import numpy as np
import pytest

from veil.errors import DataError, ProtocolError
from veil.fl import Layout, PlainSum

LAYOUT = Layout.of({"w": np.zeros(1000, np.float32)})
IDS = ("a", "b", "c", "d")


def opened(**settings):
    plain = PlainSum()
    plain.open(LAYOUT, IDS, round=1, context=b"", **settings)
    return plain


def vectors():
    rng = np.random.default_rng(2)
    scale = {"a": 1e-6, "b": 1.0, "c": 1e4, "d": 1.0}
    return {name: (s * rng.normal(size=1000)).astype(np.float32) for name, s in scale.items()}


def test_sum_is_weighted_and_exact_to_rounding():
    plain, data = opened(), vectors()
    for i, name in enumerate(IDS):
        plain.add(name, data[name], float(i))
    total = plain.close()
    expected = sum(i * data[name].astype(float) for i, name in enumerate(IDS))
    np.testing.assert_allclose(total.total, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(total.mean(), expected / 6, rtol=1e-9, atol=1e-9)
    assert total.weight == 6.0
    assert total.survivors == IDS
    assert total.updates is None
    assert plain.bytes_moved == (4 * 4008, 0)


def test_any_order_of_arrival_gives_the_same_bits():
    data, results = vectors(), set()
    for order in itertools.permutations(IDS):
        plain = opened()
        for name in order:
            plain.add(name, data[name], 0.1 + ord(name))
        total = plain.close()
        results.add((total.total.tobytes(), total.weight, total.survivors))
    assert len(results) == 1


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
    np.testing.assert_allclose(total.mean(), (data["b"].astype(float) + data["d"]) / 2, atol=1e-12)
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
