"""`Accumulator`: one or two lattices, any order of additions and merges."""

import pickle
import tracemalloc

import numpy as np
import pytest

from veil.errors import BoundExceeded, DataError
from veil.fl import Accumulator

pytestmark = pytest.mark.kernel

# Blocks of 256 elements, tasks of 16384.
LENGTHS = [0, 1, 2, 3, 31, 255, 256, 257, 16384, 16385, 40000]
BOUNDS = [None, 1e4]
DTYPES = [np.float32, np.float64, np.float16, np.uint16]


def updates_of(dtype, n, length, seed=0):
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal((n, length)) * 2.0 ** rng.integers(-9, 5, (n, 1))).astype("f4")
    if dtype == np.uint16:  # bfloat16 bits
        return [(row.view(np.uint32) >> 16).astype(np.uint16) for row in values]
    return list(values.astype(dtype))


def as_float64(words):
    if words.dtype == np.uint16:
        return (words.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return words.astype(np.float64)


def accumulated(updates, weights, bound, threads=None):
    mean = Accumulator(updates[0].shape, bound=bound)
    for update, weight in zip(updates, weights, strict=True):
        mean.add(update, weight, threads=threads)
    return mean


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", LENGTHS)
def test_close_to_the_float64_mean_at_every_edge_length(bound, dtype, length):
    updates = updates_of(dtype, 5, length)
    weights = [3, 0, 1.5, 40, 0.25]
    got = accumulated(updates, weights, bound).mean()
    want = np.average(np.stack([as_float64(u) for u in updates]), axis=0, weights=weights)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_any_order_merge_and_thread_count(bound, dtype):
    n = 12
    updates = updates_of(dtype, n, 17000)
    for index, scale in enumerate([40, 0, -20]):  # so that blocks change their level on the way
        if dtype == np.float64:
            updates[index] = updates[index] * 2.0**scale * (1 if bound is None else 2.0**-40)
    rng = np.random.default_rng(1)
    weights = rng.uniform(0, 10, n)
    want = accumulated(updates, weights, bound, threads=1).mean().tobytes()
    for threads in (1, 2, 3):
        order = rng.permutation(n)
        parts = np.split(order, np.sort(rng.integers(0, n + 1, 3)))
        merged = Accumulator(17000, bound=bound)
        for part in parts:
            one = Accumulator(17000, bound=bound)
            for i in part:
                one.add(updates[i], weights[i], threads=threads)
            merged.merge(one)
        assert merged.mean().tobytes() == want
        assert merged.total_weight == pytest.approx(weights.sum())


def test_levels_follow_the_largest_value_whenever_it_comes():
    rng = np.random.default_rng(2)
    values = [
        np.float64([x]) for x in rng.standard_normal(40) * 10.0 ** rng.integers(-250, 250, 40)
    ]
    want = accumulated(values, np.ones(40), None).mean()
    for _ in range(20):
        order = rng.permutation(40)
        got = accumulated([values[i] for i in order], np.ones(40), None).mean()
        assert got.tobytes() == want.tobytes()
    np.testing.assert_allclose(want[0], sum(v[0] for v in values) / 40, rtol=1e-11)


def test_small_addends_survive_beside_a_large_one_within_two_levels():
    mean = Accumulator(1)
    mean.add(np.float64([2.0**30]), 1)
    for _ in range(1000):
        mean.add(np.float64([1.5]), 1)
    assert mean.mean()[0] * 1001 == 2.0**30 + 1500


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_and_nothing_is_added(bound, bad):
    mean = accumulated(updates_of(np.float32, 3, 40000), [1, 2, 3], bound)
    before = mean.mean().tobytes()
    update = np.ones(40000, np.float32)
    update[39999] = bad
    with pytest.raises(DataError, match=r"update: expected finite.*element 39999"):
        mean.add(update, 1)
    assert mean.mean().tobytes() == before
    assert mean.total_weight == 6


def test_leaving_the_bound_is_refused_and_nothing_is_added():
    mean = Accumulator(40000, bound=10.0)
    mean.add(np.full(40000, 3.0, np.float32), 2)
    update = np.full(40000, 1.0, np.float32)
    update[-1] = 4.5
    before = mean.mean().tobytes()
    with pytest.raises(BoundExceeded, match="bound = 10"):
        mean.add(update, 1)
    with pytest.raises(OverflowError):  # far beyond the lattice
        mean.add(update * np.float32(1e30), 1)
    assert mean.mean().tobytes() == before
    mean.add(np.full(40000, 4.0, np.float32), 1)  # just fills it
    np.testing.assert_array_equal(mean.mean(), 10 / 3)
    other = Accumulator(40000, bound=10.0)
    other.add(np.full(40000, 1.0, np.float32), 1)
    with pytest.raises(BoundExceeded):
        mean.merge(other)
    np.testing.assert_array_equal(mean.mean(), 10 / 3)


def test_sums_that_reach_the_bound_by_rounding_are_accepted():
    n = 2000
    mean = Accumulator(1, bound=1.0)
    for _ in range(n):
        mean.add(np.float64([1.0]), 1 / n)  # 1/n rounds up: the products add to just over 1
    assert mean.mean()[0] == pytest.approx(1, abs=n * 2.0**-51)


def test_products_beyond_the_levels_are_refused():
    mean = Accumulator(1)
    with pytest.raises(BoundExceeded, match="2\\^999"):
        mean.add(np.float64([1e200]), 1e150)
    mean.add(np.float64([2.0**998]), 1)
    assert mean.mean()[0] == 2.0**998


@pytest.mark.parametrize("bound", BOUNDS)
def test_mean_rounds_once_to_the_dtype_of_out(bound):
    updates = updates_of(np.float32, 7, 1000)
    mean = accumulated(updates, np.arange(7), bound)
    wide = mean.mean()
    assert wide.dtype == np.float64
    for dtype in (np.float32, np.float16):
        out = np.empty(1000, dtype)
        assert mean.mean(out=out) is out
        np.testing.assert_array_equal(out, wide.astype(dtype))


@pytest.mark.parametrize("bound", BOUNDS)
def test_pickle_and_self_merge(bound):
    mean = accumulated(updates_of(np.float32, 3, 300), [1, 2, 3], bound)
    twin = pickle.loads(pickle.dumps(mean))
    want = mean.mean().tobytes()
    assert twin.mean().tobytes() == want
    twin.merge(twin)
    assert twin.mean().tobytes() == want
    assert twin.total_weight == 12
    empty = Accumulator(300, bound=bound)
    empty.merge(mean)
    empty.add(np.ones(300, np.float32), 1)
    assert mean.mean().tobytes() == want


def test_shapes():
    mean = Accumulator((2, 3))
    mean.add(np.ones((2, 3), np.float32), 1)
    assert mean.mean().shape == (2, 3)
    with pytest.raises(ValueError, match=r"update: expected shape \(2, 3\), got \(6,\)"):
        mean.add(np.ones(6, np.float32), 1)
    with pytest.raises(ValueError, match=r"out: expected shape"):
        mean.mean(out=np.empty(6))
    with pytest.raises(ValueError, match="shape: expected dimensions"):
        Accumulator(-1)
    scalar = Accumulator(())
    scalar.add(np.array(2.5), 2)
    assert scalar.mean() == 2.5


def test_wrong_use():
    mean = Accumulator(3, bound=5.0)
    with pytest.raises(ValueError, match="mean: expected a total weight above 0"):
        mean.mean()
    for weight in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match="weight: expected a finite number"):
            mean.add(np.ones(3), weight)
    mean.add(np.ones(3), 0)
    with pytest.raises(ValueError, match="total weight above 0"):
        mean.mean()
    with pytest.raises(TypeError, match=r"update: expected float32.*int64"):
        mean.add(np.ones(3, np.int64), 1)
    with pytest.raises(ValueError, match="update: expected a C-contiguous"):
        mean.add(np.ones(6)[::2], 1)
    with pytest.raises(ValueError, match="other: expected shape"):
        mean.merge(Accumulator(3))
    with pytest.raises(ValueError, match="other: expected shape"):
        mean.merge(Accumulator(4, bound=5.0))
    for bound in (0, -1, np.inf, np.nan, 1e300):
        with pytest.raises(ValueError, match="bound: expected None or"):
            Accumulator(3, bound=bound)
    mean.add(np.ones(3), 1)
    read_only = np.empty(3)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable"):
        mean.mean(out=read_only)
    with pytest.raises(TypeError, match="out"):
        mean.mean(out=np.empty(3, np.int32))


@pytest.mark.parametrize(("bound", "bytes_per_element"), [(None, 16), (1e3, 8)])
def test_memory_per_element(bound, bytes_per_element):
    length = 1_000_000
    update = np.ones(length, np.float32)
    tracemalloc.start()
    try:
        mean = Accumulator(length, bound=bound)
        mean.add(update, 1)
        mean.add(update, 2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < bytes_per_element * length * 1.005 + 50_000


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("length", [0, 1, 255, 256, 5000])
def test_the_torch_path_gives_the_native_bits(bound, length):
    torch = pytest.importorskip("torch")
    from veil.fl import _lattice_torch

    def state():
        if bound is None:
            return _lattice_torch.Levels(length, torch.device("cpu"))
        return _lattice_torch.Bounded(bound, length, torch.device("cpu"))

    names = ["float32", "float64", "float16", "bfloat16"]
    pairs = zip(names * 2, _tensors(torch, 8, length), strict=True)
    updates = [update.to(getattr(torch, name)) for name, update in pairs]
    if bound is None and length:
        updates[1] = updates[1] * 2.0**100
    weights = [1.5, 2, 0, 7, 1, 1e-3, 4, 2]
    native = Accumulator(length, bound=bound)
    halves = [state(), state()]
    for i, (update, weight) in enumerate(zip(updates, weights, strict=True)):
        native.add(update, weight)
        halves[i % 2].add(update, str(update.dtype), weight, i // 2 + 1, None)
    halves[0].merge(halves[1], 8)
    for name in names:
        want = native.mean(out=torch.empty(length, dtype=getattr(torch, name)))
        got = torch.empty_like(want)
        halves[0].mean(native.total_weight, got, None)
        assert torch.equal(got, want)
    copy = halves[0].copy()
    copy.merge(copy, 16)
    got = copy.empty((length,))
    copy.mean(2 * native.total_weight, got, None)
    assert torch.equal(got, torch.from_numpy(native.mean()))


def _tensors(torch, n, length):
    rng = np.random.default_rng(3)
    return [torch.from_numpy(rng.standard_normal(length) * 2.0 ** (i - 4)) for i in range(n)]


def test_the_torch_path_refuses_what_the_native_one_refuses():
    torch = pytest.importorskip("torch")
    from veil.fl import _lattice_torch

    cpu = torch.device("cpu")
    for state in (_lattice_torch.Levels(3, cpu), _lattice_torch.Bounded(10.0, 3, cpu)):
        state.add(torch.ones(3), "float32", 4.0, 1, None)
        with pytest.raises(DataError, match="element 1"):
            state.add(torch.tensor([1.0, float("nan"), 1.0]), "float32", 1.0, 2, None)
        got = torch.empty(3)
        state.mean(4.0, got, None)
        assert torch.equal(got, torch.ones(3))
        with pytest.raises(TypeError, match="out: expected a tensor"):
            state.mean(4.0, np.empty(3), None)
    with pytest.raises(BoundExceeded):
        state.add(torch.ones(3) * 7, "float32", 1.0, 2, None)
    state.merge(state.copy(), 2)  # 4 + 4 of at most 10
    with pytest.raises(BoundExceeded):
        state.merge(state.copy(), 4)
    levels = _lattice_torch.Levels(3, cpu)
    with pytest.raises(BoundExceeded, match="2\\^999"):
        levels.add(torch.full((3,), 1e30), "float32", 1e280, 1, None)
    with pytest.raises(BoundExceeded, match="additions"):
        levels.add(torch.ones(3), "float32", 1.0, 1 << 24, None)
    with pytest.raises(TypeError, match="int64"):
        _lattice_torch.require_floats(torch.ones(3, dtype=torch.int64), "update")
    with pytest.raises(ValueError, match="contiguous"):
        _lattice_torch.require_floats(torch.ones(6)[::2], "update")
