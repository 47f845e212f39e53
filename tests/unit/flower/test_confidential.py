"""What leaves a site, and what lies in Flower's hands: nothing that tells about its patients."""

import itertools
import json
import struct
from dataclasses import replace

import numpy as np
import pytest

flwr = pytest.importorskip("flwr.app")

from cryptography.hazmat.primitives import serialization

from veil.secagg import Identity

from .memory import CODEC, MODEL, Cohort, arrays_of, drifted, toy_app, wire

# So large that no encoding is shorter than 6 bytes: random bytes hit it with chance below 1e-8.
EXAMPLES, LOSS, SEEN = 98_765_432_123, 0.618033988749894, 987_654_321_987
SHORTEST = 6
SECRET = {"num-examples": EXAMPLES, "train_loss": LOSS}


def varint(value):
    content = bytearray()
    while value:
        content.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
    return bytes(content)


def encodings(value):
    """A number as it may stand in a message."""
    yield repr(value).encode()
    yield struct.pack("<d", value)
    yield struct.pack(">d", value)
    if isinstance(value, int):
        yield struct.pack("<q", value)
        yield struct.pack(">q", value)
        yield varint(value)
        yield varint(2 * value)  # protobuf's sint64


def leaks(messages):
    """Names of the secrets that stand in the bytes of some message."""
    secrets = {"examples": EXAMPLES, "loss": LOSS, "seen": SEEN}
    content = [b"".join(wire(message).values()) for message in messages]
    return {
        name
        for name, value in secrets.items()
        for pattern in encodings(value)
        if len(pattern) >= SHORTEST and any(pattern in bytes_ for bytes_ in content)
    }


def counted(site, params):
    """Training that also counts in an integer buffer."""
    return {**drifted(site, params), "seen": np.array(SEEN, np.int64)}


def test_no_count_no_metric_and_no_buffer_leaves_in_clear(cohort, malicious):
    c = cohort(malicious=malicious, metrics=SECRET, drift=counted)
    fine = replace(CODEC, bits=44)  # a unit weight of 2^38 must count
    c.start(c.strategy(weight_max=1 << 38, codec=fine), rounds=2)
    assert len(c.grid.up) == 4 * c.grid.exchange
    assert leaks(c.grid.up) == set()


def test_the_search_finds_what_flower_sends_without_the_mod(cohort):
    c = cohort(metrics=SECRET, drift=counted)
    bare = toy_app(0, [], metrics=SECRET, drift=counted)
    message = flwr.Message(flwr.RecordDict({"arrays": arrays_of(MODEL)}), 1000, "train")
    assert leaks([bare(message, c.grid.nodes[1000].context)]) == {"examples", "loss", "seen"}


def test_no_change_of_the_model_leaves_in_clear(cohort):
    c = cohort()
    c.start(c.strategy())
    change = drifted(3, MODEL)["weight"]
    content = b"".join(b"".join(wire(m).values()) for m in c.grid.up)
    assert change.tobytes() not in content
    assert (change - MODEL["weight"]).tobytes() not in content


def test_saved_state_holds_neither_the_identity_nor_a_seed(cohort):
    c = cohort()
    c.start(c.strategy(), rounds=2)
    identity, context = c.identities[0], c.grid.nodes[1000].context
    state = b"".join(
        value if isinstance(value, bytes) else repr(value).encode()
        for record in context.state.config_records.values()
        for value in record.values()
    )
    assert len(state) > 1000
    raw = identity.key.private_bytes_raw()
    pem = identity.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for secret in (raw, raw.hex().encode(), pem, identity.storage_key("flower-state")):
        assert secret not in state
    for readable in (b"transport", b"AwaitSurvivors", b"client_id", b"masking"):
        assert readable not in state  # all of it stands in the sealed JSON


def test_state_of_another_identity_does_not_open_and_the_site_joins_anew(cohort, tmp_path):
    c = cohort(malicious=False)
    strategy = c.strategy()
    c.start(strategy)
    node = c.grid.nodes[1003]
    node.context.node_config["identity"] = str(Identity.new(tmp_path / "other.key").path)
    second = c.strategy()
    c.start(second)
    assert len(second.history.rounds[0].survivors) == 4


def test_training_error_stays_in_the_sites_log(cohort, caplog):
    def fails(site, params):
        if site == 3:
            raise RuntimeError("patient 4711 has a haemoglobin of 3.1")
        return drifted(site, params)

    c = cohort(drift=fails)
    strategy = c.strategy()
    c.start(strategy)
    assert "haemoglobin" in caplog.text
    assert "training failed at the site" in strategy.refused["site3"]
    assert not any(b"haemoglobin" in part for m in c.grid.up for part in wire(m).values())


# --- the same request again ---------------------------------------------------------------------


def content_of(reply):
    return {
        **{k: a.data for k, a in reply.content["veil.parts"].items()},
        "head": json.dumps(dict(reply.content["veil"])),
    }


def test_request_that_comes_twice_gets_the_same_bytes_without_training(cohort, malicious):
    c = cohort(malicious=malicious)
    seen = []

    def twice(node, message):
        first, second = node(message), node(message)
        seen.append((content_of(first), content_of(second)))
        return second

    every = {1000 + i: twice for i in range(4)}
    c.grid.faults = dict.fromkeys(range(1, 30), every)
    strategy = c.strategy()
    c.start(strategy, rounds=2)
    assert len(seen) == 4 * c.grid.exchange
    assert all(first == second for first, second in seen)
    for node in c.grid.nodes.values():
        assert node.app.train_function.calls == 2


def test_stale_request_is_refused_and_costs_the_session_nothing(cohort, malicious):
    c = cohort(malicious=malicious)
    errors = []

    def again(node, message):
        for old in node.requests[:-2]:
            reply = node.app(old, node.context)
            errors.append(reply.error.reason)
        return node(message)

    c.grid.faults = {e: {1000: again} for e in range(3, 30)}
    strategy = c.strategy()
    c.start(strategy, rounds=2)
    assert {len(r.survivors) for r in strategy.history.rounds} == {4}
    assert errors
    assert set(errors) == {"veil: this request was answered before the last one; it is stale"}


def test_state_restored_from_a_copy_cannot_mask_twice(cohort):
    """Without the guard beside the identity's file, two sums would open one site's update."""
    c = cohort()
    copies = {}

    def copy_then_answer(node, message):
        copies["state"] = flwr.RecordDict(dict(node.context.state))
        copies["request"] = message
        return node(message)

    c.grid.faults = {3: {1000: copy_then_answer}}
    c.start(c.strategy())
    node = c.grid.nodes[1000]
    node.context.state = copies["state"]
    reply = node.app(copies["request"], node.context)
    refused = " ".join(reply.content["veil"]["refused"])
    assert "expected a number above" in refused
    assert not any(key.startswith("mask") for key in reply.content["veil.parts"])


def test_two_runs_differ_in_every_masked_word(tmp_path, cohort):
    folders = [tmp_path / "a", tmp_path / "b"]
    masked = []
    cohort()
    for folder in folders:
        folder.mkdir()
        c = Cohort(folder, 3, malicious=True)
        c.start(c.strategy(dropout=0))
        parts = [m.content["veil.parts"] for m in c.grid.up]
        masked.append([a.data[-40:] for p in parts for k, a in p.items() if k.startswith("mask")])
    assert all(x != y for x, y in itertools.product(*masked))
