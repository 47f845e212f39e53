"""`veil.secagg.context`: what it takes, what it refuses, and how two of them are told apart."""

import hashlib
import importlib
import struct
import tracemalloc

import numpy as np
import pytest
from hostile import CONTEXT, TARGET, context_of

import veil
from veil.errors import ContextMismatch, PolicyRefused
from veil.secagg import context
from veil.secagg.messages import MAX_CONTEXT_BYTES

module = importlib.import_module("veil.secagg.context")

PARTS = {
    "model": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "seen": np.array(7)},
    "round": 3,
    "instructions": {"lr": 0.1, "epochs": 2, "resume": False, "note": "a", "key": b"a"},
    "shared": {"variate": np.zeros(6)},
    "settings": {"algorithm": "scaffold", "betas": [0.9, 0.99], "cap": None},
    "terms": {"run": "trial-7"},
}


def counted(tag, content):
    return tag + struct.pack("<Q", len(content)) + content


def test_context_is_the_documented_hash():
    """Types and lengths written out by hand, as docs/design/secagg-wire.md has them."""
    size = struct.Struct("<Q").pack
    array = counted(b"A", b"int16") + size(2) + size(1) + size(2) + b"\x01\x00\xff\xff"
    streams = {
        "model": b"M" + size(1) + counted(b"S", b"w") + array,
        "round": counted(b"I", b"\x80\x00"),
        "instructions": b"M" + size(2)
        + counted(b"S", b"a") + b"D" + struct.pack("<d", -0.0)
        + counted(b"S", b"b") + b"L" + size(3) + b"T" + b"F" + b"N",
        "shared": b"M" + size(0),
        "settings": b"M" + size(1) + counted(b"S", b"\xc3\xa9") + counted(b"B", b"\x00"),
        "terms": b"M" + size(1) + counted(b"S", b"") + counted(b"I", b"\xff"),
    }  # fmt: skip
    hashes = {name: hashlib.sha256(stream).digest() for name, stream in streams.items()}
    named = b"".join(
        size(len(field)) + field
        for field in (b"veil/context/1", *(f for n, h in hashes.items() for f in (n.encode(), h)))
    )
    assert context(
        model={"w": np.array([[1, -1]], ">i2")},
        round=128,
        instructions={"b": [True, False, None], "a": -0.0},
        shared={},
        settings={"é": b"\0"},
        terms={"": -1},
    ) == b"\x01" + hashlib.sha256(named).digest() + b"".join(h[:4] for h in hashes.values())


def test_context_fits_the_message():
    assert len(context(**PARTS)) <= MAX_CONTEXT_BYTES


@pytest.mark.parametrize("name", PARTS)
def test_no_part_may_be_left_out(name):
    with pytest.raises(TypeError, match=f"required keyword-only argument: '{name}'"):
        context(**{n: v for n, v in PARTS.items() if n != name})


@pytest.mark.parametrize(
    "changed",
    [
        {"model": {**PARTS["model"], "w": np.nextafter(PARTS["model"]["w"], np.float32(9))}},
        {"model": {**PARTS["model"], "w": PARTS["model"]["w"].reshape(3, 2)}},
        {"model": {**PARTS["model"], "seen": np.array(8)}},
        {"round": 4},
        {"instructions": {**PARTS["instructions"], "lr": 0.0}},
        {"instructions": {**PARTS["instructions"], "epochs": 2.0}},
        {"shared": {"variate": -np.zeros(6)}},
        {"settings": {**PARTS["settings"], "betas": [0.99, 0.9]}},
        {"terms": {}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_change_of_one_part_is_named(changed):
    one, other = context(**PARTS), context(**{**PARTS, **changed})
    assert one != other
    assert module.differing_fields(one, other) == next(iter(changed))


def test_every_part_that_differs_is_named():
    other = context(**{**PARTS, "round": 4, "terms": {}})
    assert module.differing_fields(context(**PARTS), other) == "round, terms"


def test_bytes_of_another_version_are_named_so():
    newer = bytes([2]) + context(**PARTS)[1:] + b"more"
    for other in (newer, b"", bytes(32)):
        assert "version" in module.differing_fields(context(**PARTS), other)


# --- what counts, and what does not ---------------------------------------------------------------


def strided(array):
    return np.repeat(array, 2, axis=0)[::2]


def backwards(array):
    return np.flip(np.flip(array).copy())


@pytest.mark.parametrize(
    "arranged",
    [np.asfortranarray, strided, lambda a: a.astype(a.dtype.newbyteorder(">")), backwards],
    ids=["fortran", "strided", "big-endian", "negative-strides"],
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
def test_how_an_array_lies_in_memory_does_not_count(arranged, dtype):
    array = (np.arange(70_000 * 3) % 7).reshape(70_000, 3).astype(dtype)
    same = arranged(array)
    assert context(**{**PARTS, "model": {"w": same}}) == context(**{**PARTS, "model": {"w": array}})


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 0), (3, 1, 70_000), (70_000, 1, 2)])
def test_any_shape_is_hashed_in_the_order_of_c(shape):
    array = np.random.default_rng(1).normal(size=shape)
    turned = np.asarray(array.T.copy()).T
    assert context_of("m", shared={"a": turned}) == context_of("m", shared={"a": array})


def test_tensors_count_as_the_arrays_that_they_hold():
    torch = pytest.importorskip("torch")
    arrays = {"w": np.random.default_rng(1).normal(size=(300, 500)), "n": np.array([True, False])}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    turned = {**tensors, "w": tensors["w"].t().contiguous().t().requires_grad_()}
    for same in (tensors, turned):
        assert context_of("m", model=same) == context_of("m", model=arrays)
    halves = {"w": tensors["w"].to(torch.bfloat16)}
    bits = {"w": halves["w"].view(torch.int16).numpy().view(np.uint16)}
    assert context_of("m", model=halves) != context_of("m", model=bits)
    meta = torch.zeros(3, device="meta")
    for odd in (torch.zeros(3, dtype=torch.complex64), torch.eye(3).to_sparse(), meta):
        with pytest.raises((TypeError, NotImplementedError)):
            context_of("m", model={"w": odd})


def test_lists_and_tuples_and_orders_of_keys_do_not_count():
    one = context_of("m", settings={"a": [1, (2, 3)], "b": 0})
    assert one == context_of("m", settings={"b": 0, "a": (1, [2, 3])})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1, 2}, "got set"),
        (object(), "got object"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), "got MaskedArray"),
        (np.array([None]), "array of object"),
        (np.array(["a"]), "array of str"),
        (np.zeros(2, complex), "array of complex128"),
        (np.zeros(2, np.longdouble), "array of"),
        (np.zeros(2, "M8[s]"), "array of datetime64"),
        (np.str_("a"), "array of str"),
        ({1: 2}, "keys of type str, got int"),
        (lambda: 0, "got function"),
    ],
)
def test_a_value_without_one_encoding_is_refused_and_named(value, said):
    with pytest.raises(TypeError, match=said) as caught:
        context_of("m", instructions={"config": [{"odd": value}]})
    assert "instructions['config'][0]['odd']" in str(caught.value)


@pytest.mark.parametrize("number", [True, 1.0, np.int64(1), "1", None])
def test_a_round_that_is_no_int_is_refused(number):
    with pytest.raises(TypeError, match="round: expected an int"):
        context_of("m", round=number)


def test_a_negative_round_is_refused():
    with pytest.raises(ValueError, match="round: expected a number >= 0"):
        context_of("m", round=-1)


@pytest.mark.parametrize("name", [n for n in PARTS if n != "round"])
@pytest.mark.parametrize("value", [None, [], b"", 0, np.zeros(3)])
def test_a_part_that_is_no_mapping_is_refused(name, value):
    with pytest.raises(TypeError, match=f"{name}: expected a mapping"):
        context_of("m", **{name: value})


def test_a_cycle_is_refused():
    cycle = {}
    cycle["again"] = [cycle]
    with pytest.raises(ValueError, match="settings: expected containers nested at most 32 deep"):
        context_of("m", settings=cycle)


@pytest.mark.parametrize("arranged", [np.asarray, np.asfortranarray, lambda a: a.astype(">f4")])
def test_hashing_copies_no_model(arranged):
    model = {"w": arranged(np.ones((2000, 1000), np.float32))}
    tracemalloc.start()
    context_of("m", model=model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < model["w"].nbytes / 10


# --- two that differ, at the server and at a client -----------------------------------------------


def mismatch(session, **told_to_13):
    relay = session.to_relay()
    for client in session.clients:
        bound = context_of("m", **told_to_13) if client == 13 else context_of("m")
        vector = session.vectors[client]
        session.server.add_vector(
            client, session.clients[client].mask(relay[client], vector, context=bound)
        )
    with pytest.raises(ContextMismatch) as caught:
        session.server.collect_vectors({})
    return str(caught.value)


def test_the_server_names_who_differs_and_in_what(make_session):
    session = make_session(5)
    said = mismatch(session, instructions={"lr": 0.0}, round=2)
    assert "clients [13] masked for other things than the other 4, in: round, instructions" in said
    assert list(session.server.refused) == [13]
    assert "in: round, instructions" in str(session.server.refused[13])


def test_the_server_names_a_client_of_another_version(make_session):
    session = make_session(5)
    relay = session.to_relay()
    newer = bytes([2]) + CONTEXT[1:]
    for client in session.clients:
        bound = newer if client == 13 else CONTEXT
        vector = session.vectors[client]
        session.server.add_vector(
            client, session.clients[client].mask(relay[client], vector, context=bound)
        )
    with pytest.raises(ContextMismatch, match=r"\[13\].*in: version"):
        session.server.collect_vectors({})


def test_a_malicious_session_refuses_a_digest_of_the_model_alone(make_session):
    """What docs asked for before: it would let the server choose each site's instructions."""
    session = make_session(5, adversary="malicious", dropout=1)
    relay = session.to_relay()
    model = {"w": np.zeros(3)}
    alone = veil.fl.Layout.of(model).digest(model)
    with pytest.raises(PolicyRefused, match=r"context: .*expected the 57 bytes .*got 32"):
        session.clients[TARGET].mask(relay[TARGET], session.vectors[TARGET], context=alone)


def test_a_malicious_session_refuses_a_context_of_another_version(make_session):
    session = make_session(5, adversary="malicious", dropout=1)
    relay = session.to_relay()
    newer = bytes([2]) + CONTEXT[1:]
    with pytest.raises(ContextMismatch, match="context: version: expected 1, got 2"):
        session.clients[TARGET].mask(relay[TARGET], session.vectors[TARGET], context=newer)
