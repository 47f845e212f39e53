"""`weighted_mean`: what it accepts, what it refuses, and that its bits have no order."""

import tracemalloc

import numpy as np
import pytest

import veil
from veil.errors import DataError
from veil.fl import weighted_mean

pytestmark = pytest.mark.kernel

# 32 columns per tile, 512 per block, 16384 per task.
LENGTHS = [0, 1, 7, 31, 32, 33, 63, 511, 512, 513, 1000, 16383, 16384, 16385, 40000]
DTYPES = [np.float32, np.float64, np.float16, np.uint16]


def updates_of(dtype, n, length, seed=0):
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal((n, length)) * 2.0 ** rng.integers(-6, 6, (n, 1))).astype("f4")
    if dtype == np.uint16:  # bfloat16 bits
        return [(row.view(np.uint32) >> 16).astype(np.uint16) for row in values]
    return list(values.astype(dtype))


def as_float64(words):
    if words.dtype == np.uint16:
        return (words.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return words.astype(np.float64)


def half_ulp(dtype):
    return {"float32": 2.0**-24, "float64": 0.0, "float16": 2.0**-11, "uint16": 2.0**-8}[
        np.dtype(dtype).name
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", LENGTHS)
def test_close_to_the_float64_mean_at_every_edge_length(dtype, length):
    updates = updates_of(dtype, 5, length)
    weights = [3, 0, 1.5, 40, 0.25]
    got = as_float64(weighted_mean(updates, weights))
    rows = np.stack([as_float64(u) for u in updates])
    want = np.average(rows, axis=0, weights=weights)
    top = np.abs(rows).max(axis=0, initial=0)
    bound = (1 + 5 * 40 / 44.75) * 2.0**-49 * top + 1.01 * half_ulp(dtype) * np.abs(want) + 2.0**-25
    assert np.all(np.abs(got - want) <= bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 20, 67])
def test_same_bits_for_any_order_and_thread_count(dtype, n):
    updates = updates_of(dtype, n, 40001)
    rng = np.random.default_rng(1)
    weights = rng.uniform(0, 1000, n)
    want = weighted_mean(updates, weights, threads=1)
    for threads in (1, 2, 3):
        order = rng.permutation(n)
        got = weighted_mean([updates[i] for i in order], weights[order], threads=threads)
        assert got.tobytes() == want.tobytes()


def test_bits_do_not_depend_on_how_the_vector_is_cut():
    updates = updates_of(np.float32, 7, 5000)
    weights = np.arange(1, 8)
    whole = weighted_mean(updates, weights)
    for cut in (1, 31, 33, 700, 4990):
        left = weighted_mean([u[:cut] for u in updates], weights)
        right = weighted_mean([u[cut:] for u in updates], weights)
        assert np.concatenate([left, right]).tobytes() == whole.tobytes()


def test_scaling_all_weights_by_a_power_of_two_changes_no_bit():
    updates = updates_of(np.float32, 9, 100)
    weights = np.random.default_rng(2).uniform(0, 1, 9)
    want = weighted_mean(updates, weights).tobytes()
    assert weighted_mean(updates, weights * 2.0**-900).tobytes() == want
    assert weighted_mean(updates, weights * 2.0**900).tobytes() == want


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint16])
def test_equal_updates_average_to_themselves(dtype):
    update = updates_of(dtype, 1, 1000)[0]
    weights = np.random.default_rng(3).uniform(0, 1, 13)
    np.testing.assert_array_equal(weighted_mean([update] * 13, weights), update)


def test_one_element_of_every_float16_and_bfloat16_survives():
    every = np.arange(1 << 16, dtype=np.uint16)
    halves = every[np.isfinite(every.view(np.float16))].view(np.float16)
    np.testing.assert_array_equal(weighted_mean([halves], [3.0]), halves)
    brains = every[np.isfinite((every.astype(np.uint32) << 16).view(np.float32))]
    brains = brains[brains != 0x8000]  # a sum of zeros is +0
    np.testing.assert_array_equal(weighted_mean([brains], [3.0]), brains)


def test_halfway_between_two_float16_goes_to_even():
    low = np.arange(0, 31743, dtype=np.uint16)
    high = low + np.uint16(1)
    got = weighted_mean([low.view(np.float16), high.view(np.float16)], [1, 1]).view(np.uint16)
    np.testing.assert_array_equal(got, np.where(low % 2 == 0, low, high))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_magnitudes_do_not_overflow(dtype):
    largest, least = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    updates = [np.array([largest, -largest, least, -least, 0], dtype)] * 5
    got = weighted_mean(updates, [1e300, 1, 1e-300, 7, 0.1])
    np.testing.assert_array_equal(got[:2], updates[0][:2])
    # float64 subnormals times a weight below 1/4 underflow: 2^-1070 is what the docstring allows
    np.testing.assert_allclose(got[2:], updates[0][2:], rtol=0, atol=2.0**-1070)


def test_more_than_4095_updates():
    n = 10_000
    updates = list(np.full((n, 3), [1.5, -2.0, 2.0**-140], np.float32))
    np.testing.assert_array_equal(weighted_mean(updates, np.ones(n)), updates[0])


def test_any_equal_shape_and_out():
    updates = [np.full((3, 5, 7), float(i), np.float32) for i in range(3)]
    out = np.empty((3, 5, 7), np.float32)
    assert weighted_mean(updates, [1, 1, 2], out=out) is out
    np.testing.assert_array_equal(out, np.float32(1.25))
    assert weighted_mean([np.array(3, np.float32)], [2.0]).shape == ()


def test_updates_may_be_a_generator():
    got = weighted_mean((np.float32([i]) for i in range(3)), [1, 1, 1])
    np.testing.assert_array_equal(got, np.float32([1]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("length", [3, 33, 20000])
def test_not_finite_names_update_and_element(bad, dtype, length):
    updates = [np.ones(length, dtype) for _ in range(6)]
    updates[4][length - 1] = bad
    with pytest.raises(DataError, match=rf"updates\[4\].*NaN at element {length - 1}"):
        weighted_mean(updates, np.ones(6))


def test_not_finite_is_refused_even_at_weight_zero():
    with pytest.raises(DataError, match=r"updates\[1\]"):
        weighted_mean([np.ones(3, "f4"), np.full(3, np.nan, "f4")], [1, 0])


def test_bfloat16_infinity_is_refused():
    with pytest.raises(DataError, match=r"updates\[0\].*element 1"):
        weighted_mean([np.array([0x3F80, 0x7F80], np.uint16)], [1])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1], "at least 0, got -1"),
        ([0, 0], "at least one above 0"),
        ([1, np.nan], "finite"),
        ([1, np.inf], "finite"),
        ([1], r"shape \(2,\), got shape \(1,\)"),
        ([[1], [2]], r"shape \(2,\), got shape \(2, 1\)"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(ValueError, match=f"weights: expected.*{message}"):
        weighted_mean([np.ones(3, "f4"), np.ones(3, "f4")], weights)


def test_no_update():
    with pytest.raises(ValueError, match="updates: expected at least one"):
        weighted_mean([], [])


def test_shapes_and_dtypes_must_agree():
    one = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"updates\[1\]: expected shape \(3,\).*got \(4,\)"):
        weighted_mean([one, np.ones(4, np.float32)], [1, 1])
    with pytest.raises(TypeError, match=r"updates\[1\]: expected float32.*got float64"):
        weighted_mean([one, np.ones(3)], [1, 1])
    with pytest.raises(TypeError, match=r"updates\[0\]: expected float32.*got int64"):
        weighted_mean([np.ones(3, np.int64)], [1])
    with pytest.raises(TypeError, match=r"updates\[0\]: expected float32"):
        weighted_mean([np.ones(3, ">f4")], [1])
    with pytest.raises(TypeError, match=r"updates\[0\]: expected a NumPy array.*got list"):
        weighted_mean([[1.0, 2.0]], [1])
    with pytest.raises(ValueError, match=r"updates\[0\]: expected a C-contiguous"):
        weighted_mean([np.ones((3, 4), np.float32).T], [1])


def test_bad_out():
    updates = [np.ones(40, np.float32), np.ones(40, np.float32)]
    read_only = np.empty(40, np.float32)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable"):
        weighted_mean(updates, [1, 1], out=read_only)
    with pytest.raises(TypeError, match="out: expected dtype float32"):
        weighted_mean(updates, [1, 1], out=np.empty(40))
    with pytest.raises(ValueError, match=r"out: expected shape \(40,\)"):
        weighted_mean(updates, [1, 1], out=np.empty(41, np.float32))
    shared = np.ones(60, np.float32)
    with pytest.raises(ValueError, match=r"out: expected memory apart from `updates\[1\]`"):
        weighted_mean([updates[0], shared[:40]], [1, 1], out=shared[20:])
    with pytest.raises(ValueError, match=r"overlapping"):
        weighted_mean(updates, [1, 1], out=updates[0])
    with pytest.raises(ValueError, match="threads"):
        weighted_mean(updates, [1, 1], threads=0)


def test_memory_is_the_output_and_blocks():
    updates = updates_of(np.float32, 4, 2_000_000)
    out = np.empty(2_000_000, np.float32)
    tracemalloc.start()
    try:
        weighted_mean(updates, np.ones(4), out=out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_torch_tensors_are_views_and_come_back_as_tensors():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        updates = [torch.full((5,), float(i), dtype=dtype, requires_grad=True) for i in range(3)]
        got = weighted_mean(updates, [1, 2, 1])
        assert isinstance(got, torch.Tensor)
        assert got.dtype == dtype
        assert not got.requires_grad
        assert torch.equal(got, torch.ones(5, dtype=dtype))
    out = torch.empty(5)
    assert weighted_mean([np.ones(5, np.float32)], [1], out=out) is out
    assert torch.equal(out, torch.ones(5))
    with pytest.raises(TypeError, match="int16"):
        weighted_mean([torch.ones(3, dtype=torch.int16)], [1])


def test_dlpack_exporters_are_accepted():
    class Exporter:
        def __init__(self, array):
            self.held = array

        def __dlpack__(self, **kwargs):
            return self.held.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.held.__dlpack_device__()

    got = weighted_mean([Exporter(np.float32([1, 3]))], [1])
    np.testing.assert_array_equal(got, np.float32([1, 3]))


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("n", [1, 6, 5000])
def test_the_torch_path_gives_the_native_bits(name, n):
    torch = pytest.importorskip("torch")
    from veil.fl import _lattice_torch

    dtype = getattr(torch, name)
    length = 3000 if n < 100 else 5
    rng = np.random.default_rng(n)
    scale = 2.0 ** rng.integers(-20, 4, (n, length))
    values = torch.from_numpy(rng.standard_normal((n, length)) * scale).to(dtype)
    values[:, :2] = 0
    weights = rng.uniform(0, 5, n)
    want = weighted_mean(list(values), weights)
    got = torch.empty_like(want)
    _lattice_torch.weighted_mean(list(values), weights, got)
    word = {2: torch.int16, 4: torch.int32, 8: torch.int64}[want.element_size()]
    assert torch.equal(got.view(word), want.view(word))


def test_the_torch_path_refuses_not_finite():
    torch = pytest.importorskip("torch")
    from veil.fl import _lattice_torch

    bad = torch.tensor([1.0, float("nan")])
    with pytest.raises(DataError, match=r"updates\[1\].*element 1"):
        _lattice_torch.weighted_mean([torch.ones(2), bad], np.ones(2), torch.empty(2))


def test_it_is_reached_from_the_package():
    assert veil.fl.weighted_mean is weighted_mean
