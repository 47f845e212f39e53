"""A model and its vector: there and back, to the last bit, for arrays and tensors."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veil.errors import DataError
from veil.fl import Layout

MODEL = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([-0.0, 7.5], np.float32),
    "seen": np.array(3, np.int64),
}


def test_entries_are_sorted_and_integers_stay_out():
    layout = Layout.of(MODEL)
    assert layout.names == ("b", "w")
    assert layout.shapes == ((2,), (2, 3))
    assert [entry.name for entry in layout.buffers] == ["seen"]
    assert layout.size == 8
    assert layout.nbytes == 32
    assert Layout.of(dict(reversed(MODEL.items()))) == layout
    assert Layout.from_dict(layout.to_dict()) == layout


def test_flatten_then_unflatten_is_the_model():
    layout = Layout.of(MODEL)
    vector = layout.flatten(MODEL)
    np.testing.assert_array_equal(vector, [-0.0, 7.5, 0, 1, 2, 3, 4, 5])
    back = layout.unflatten(vector, buffers=MODEL)
    assert layout.digest(back) == layout.digest(MODEL)
    assert set(layout.unflatten(vector)) == {"b", "w"}


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=4),
        st.tuples(
            st.lists(st.integers(0, 3), max_size=3),
            st.sampled_from(["float16", "float32", "float64"]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_mix_of_float_dtypes_returns_exactly(shapes):
    rng = np.random.default_rng(1)
    model = {
        name: np.asarray(rng.normal(size=shape)).astype(dtype)
        for name, (shape, dtype) in shapes.items()
    }
    layout = Layout.of(model)
    widest = "float64" if any(a.dtype == np.float64 for a in model.values()) else "float32"
    vector = layout.flatten(model)
    assert vector.dtype == widest
    back = layout.unflatten(vector)
    for name, array in model.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_unflatten_gives_views_of_its_vector():
    layout = Layout.of(MODEL)
    vector = layout.flatten(MODEL)
    layout.unflatten(vector)["w"][0, 0] = 99
    assert vector[2] == 99


def test_flatten_writes_into_out():
    layout = Layout.of(MODEL)
    out = np.empty(8, np.float32)
    assert layout.flatten(MODEL, out=out) is out
    np.testing.assert_array_equal(out, layout.flatten(MODEL))


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.empty(7, np.float32), ValueError),
        (np.empty(8, np.float64), TypeError),
        (np.empty(16, np.float32)[::2], ValueError),
        ("no array", TypeError),
    ],
)
def test_wrong_out_is_refused(out, error):
    with pytest.raises(error, match="out"):
        Layout.of(MODEL).flatten(MODEL, out=out)


def test_read_only_and_overlapping_out_is_refused():
    layout = Layout.of(MODEL)
    out = np.empty(8, np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable"):
        layout.flatten(MODEL, out=out)
    memory = np.zeros(10, np.float32)
    model = {"b": memory[1:3], "w": memory[3:9].reshape(2, 3)}
    with pytest.raises(ValueError, match="out: expected memory of its own"):
        Layout.of(model).flatten(model, out=memory[:8])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w": MODEL["w"].T}, r"params\['w'\]: expected float32 of shape \(2, 3\)"),
        ({"w": MODEL["w"].astype(float)}, "got float64"),
        ({"extra": MODEL["b"]}, "has 'extra'"),
        ({"seen": np.array(3, np.int32)}, r"params\['seen'\]: expected int64"),
    ],
)
def test_another_model_is_refused(changes, message):
    layout = Layout.of(MODEL)
    with pytest.raises(DataError, match=message):
        layout.flatten(MODEL | changes)
    with pytest.raises(DataError, match=message):
        layout.digest(MODEL | changes)


def test_a_missing_array_is_refused():
    layout = Layout.of(MODEL)
    with pytest.raises(DataError, match="expected an array 'b'"):
        layout.flatten({name: MODEL[name] for name in ("w", "seen")})
    with pytest.raises(DataError, match="expected an array 'seen'"):
        layout.unflatten(layout.flatten(MODEL), buffers={})


@pytest.mark.parametrize(
    ("array", "error"),
    [
        ([1.0], TypeError),
        (np.array([1j]), TypeError),
        (np.array(["a"]), TypeError),
        (np.zeros(2, ">f4"), TypeError),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(array, error):
    with pytest.raises(error, match=r"params\['p'\]"):
        Layout.of({"p": array})


def test_a_model_without_floats_is_refused():
    with pytest.raises(DataError, match="at least one floating-point array"):
        Layout.of({"seen": np.array(3)})


def test_unflatten_refuses_another_vector():
    layout = Layout.of(MODEL)
    with pytest.raises(ValueError, match=r"vector: expected shape \(8,\)"):
        layout.unflatten(np.zeros(9, np.float32))
    with pytest.raises(TypeError, match="vector: expected float32"):
        layout.unflatten(np.zeros(8))


def test_digest_is_the_documented_hash():
    model = {"b": np.array([1.5], np.float32), "n": np.array(2, np.int64)}
    expected = hashlib.sha256(b"veil/model/1")
    for name, dtype, shape, content in [
        (b"b", b"float32", (1).to_bytes(8, "little"), np.float32(1.5).tobytes()),
        (b"n", b"int64", b"", (2).to_bytes(8, "little")),
    ]:
        for field in (name, dtype, shape, content):
            expected.update(len(field).to_bytes(8, "little") + field)
    assert Layout.of(model).digest(model) == expected.digest()


def test_digest_sees_every_bit():
    layout = Layout.of(MODEL)
    digests = {
        layout.digest(MODEL),
        layout.digest(MODEL | {"b": np.array([0.0, 7.5], np.float32)}),
        layout.digest(MODEL | {"seen": np.array(4, np.int64)}),
        layout.digest(MODEL | {"w": np.nextafter(MODEL["w"], np.float32(9))}),
    }
    assert len(digests) == 4


def test_digest_ignores_strides():
    fortran = MODEL | {"w": np.asfortranarray(MODEL["w"])}
    assert Layout.of(MODEL).digest(fortran) == Layout.of(MODEL).digest(MODEL)


class TestTensors:
    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch", reason="torch: pip install 'veil[torch]'")

    def test_tensors_and_arrays_have_one_layout_and_digest(self, torch):
        tensors = {name: torch.from_numpy(array) for name, array in MODEL.items()}
        layout = Layout.of(MODEL)
        assert Layout.of(tensors) == layout
        assert layout.digest(tensors) == layout.digest(MODEL)
        vector = layout.flatten(tensors)
        assert isinstance(vector, torch.Tensor)
        np.testing.assert_array_equal(vector.numpy(), layout.flatten(MODEL))

    def test_half_precisions_return_exactly(self, torch):
        model = {
            "a": torch.randn(3, 2, generator=torch.Generator().manual_seed(1)).bfloat16(),
            "b": torch.tensor([1.0, 2.0]).half(),
        }
        layout = Layout.of(model)
        assert layout.dtype == np.float32
        back = layout.unflatten(layout.flatten(model))
        assert all(torch.equal(back[name], model[name]) for name in model)
        assert layout.digest(back) == layout.digest(model)
        with pytest.raises(TypeError, match="NumPy has no bfloat16"):
            layout.unflatten(layout.flatten(model).numpy())

    def test_out_may_be_the_array_behind_a_tensor(self, torch):
        layout = Layout.of(MODEL)
        tensors = {name: torch.from_numpy(array) for name, array in MODEL.items()}
        out = np.empty(8, np.float32)
        layout.flatten(tensors, out=out)
        np.testing.assert_array_equal(out, layout.flatten(MODEL))
        with pytest.raises(ValueError, match="memory of its own"):
            Layout.of({"w": tensors["w"]}).flatten({"w": tensors["w"]}, out=MODEL["w"].reshape(-1))

    def test_a_module_with_gradients_and_counters(self, torch):
        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
        layout = Layout.of(model.state_dict())
        assert [entry.name for entry in layout.buffers] == ["1.num_batches_tracked"]
        vector = layout.flatten(dict(model.named_parameters()) | model.state_dict(keep_vars=True))
        assert not vector.requires_grad
        model.load_state_dict(layout.unflatten(vector, buffers=model.state_dict()))
