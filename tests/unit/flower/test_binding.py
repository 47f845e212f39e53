"""A server that tells one site to train and the others to stand still, by every way it has.

All sites are sent the same model. Unless the masks depend on the rest of what they are sent, the
opened sum is one site's update.
"""

import json

import numpy as np
import pytest

flwr = pytest.importorskip("flwr.app")

from flwr.clientapp import ClientApp

from veil.errors import ProtocolError
from veil.integrations.flower.binding import Shown
from veil.integrations.flower.envelope import without_envelope
from veil.integrations.flower.terms import Terms
from veil.integrations.flower.vectors import Model, model_of
from veil.secagg import Config, context
from veil.secagg.client import unmask as unmask_round
from veil.secagg.server.vectors import VectorRound

from .memory import CODEC, MODEL, Cohort, arrays_of, params_of

N, TARGET = 5, 2
TRAINING = 3  # the exchange that carries the model
FAST, STILL = 0.5, 0.0


def gradient(site):
    rng = np.random.default_rng(site)
    return {
        name: rng.normal(size=a.shape).astype(a.dtype) if a.dtype.kind == "f" else np.zeros_like(a)
        for name, a in MODEL.items()
    }


def update_of(site):
    """What a site sends that was told to train."""
    return np.concatenate([FAST * gradient(site)[name].ravel() for name in ("bias", "weight")])


def app_that_reads(learning_rate):
    """As Flower's quick-start apps: one step whose size the server gives."""

    def make(site, mods):
        app = ClientApp(mods=mods)

        def step(message, context):
            lr = learning_rate(message, context)
            model = params_of(message.content["arrays"])
            after = {name: (a + lr * gradient(site)[name]).astype(a.dtype)
                     for name, a in model.items()}  # fmt: skip
            found = flwr.MetricRecord({"num-examples": 10})
            content = {"arrays": arrays_of(after), "metrics": found}
            return flwr.Message(flwr.RecordDict(content), reply_to=message)

        app.train()(step)
        app.train("slowly")(step)
        return app

    return make


def in_config(message, _):
    return message.content["config"]["lr"]


def set_config(message, _, lr):
    message.content["config"]["lr"] = lr


def in_other_config(message, _):
    return message.content["schedule"]["lr"]


def set_other_config(message, _, lr):
    message.content["schedule"] = flwr.ConfigRecord({"lr": lr})


def if_record_is_there(message, _):
    return FAST if "train" in message.content else STILL


def add_record(message, _, lr):
    if lr:
        message.content["train"] = flwr.ConfigRecord({"now": True})


def in_metrics(message, _):
    return message.content["hints"]["lr"]


def set_metrics(message, _, lr):
    message.content["hints"] = flwr.MetricRecord({"lr": lr})


def by_type(message, _):
    return FAST if isinstance(message.content["config"]["epochs"], int) else STILL


def set_type(message, _, lr):
    message.content["config"]["epochs"] = 1 if lr else 1.0


def in_run_config(_, node):
    return node.run_config["lr"]


def set_run_config(_, node, lr):
    node.run_config = {"lr": lr}


def in_group(message, _):
    return FAST if message.metadata.group_id == "1" else STILL


def set_group(message, _, lr):
    message.metadata.group_id = "1" if lr else "1000"


def in_type_of_message(message, _):
    return FAST if message.metadata.message_type == "train" else STILL


def set_type_of_message(message, _, lr):
    message.metadata.message_type = "train" if lr else "train.slowly"


def in_ttl(message, _):
    return FAST if message.metadata.ttl > 60 else STILL


def set_ttl(message, _, lr):
    message.metadata.ttl = 3600.0 if lr else 1.0


def in_order_of_arrays(message, _):
    return FAST if next(iter(message.content["arrays"])) == "weight" else STILL


def set_order_of_arrays(message, _, lr):
    arrays = params_of(message.content["arrays"])
    message.content["arrays"] = arrays_of({n: arrays[n] for n in sorted(arrays, reverse=bool(lr))})


def in_name_of_dtype(message, _):
    return FAST if message.content["arrays"]["bias"].dtype == "float32" else STILL


def set_name_of_dtype(message, _, lr):
    message.content["arrays"]["bias"].dtype = "float32" if lr else "float16"


def behind_an_array(message, _):
    return FAST if message.content["arrays"]["bias"].data.endswith(b"train") else STILL


def set_behind_an_array(message, _, lr):
    array = message.content["arrays"]["bias"]
    array.data += b"train" if lr else b"pause"


def in_model(message, _):
    return FAST if params_of(message.content["arrays"])["seen"] == 7 else STILL


def set_model(message, _, lr):
    arrays = params_of(message.content["arrays"])
    message.content["arrays"] = arrays_of({**arrays, "seen": np.array(7 if lr else 8)})


WAYS = {
    "configuration": (in_config, set_config),
    "another configuration record": (in_other_config, set_other_config),
    "a record that only one gets": (if_record_is_there, add_record),
    "metric record": (in_metrics, set_metrics),
    "type of a value": (by_type, set_type),
    "configuration of the run": (in_run_config, set_run_config),
    "group of the message": (in_group, set_group),
    "type of the message": (in_type_of_message, set_type_of_message),
    "lifetime of the message": (in_ttl, set_ttl),
    "order of the arrays": (in_order_of_arrays, set_order_of_arrays),
    "dtype that an array claims": (in_name_of_dtype, set_name_of_dtype),
    "bytes after an array": (behind_an_array, set_behind_an_array),
    "buffer of the model": (in_model, set_model),
}


def hides_the_mismatch(self, refused):
    return next(iter(self._contexts.values()))


def read_one_site(tmp_path, monkeypatch, way, *, malicious=True):
    """Open the sum of five sites of which one was told to train; None if it does not open."""
    reads, tells = WAYS[way]
    c = Cohort(tmp_path, N, malicious=malicious, app=app_that_reads(reads))

    def lying(node, message):
        site = node.context.node_id - 1000
        tells(message, node.context, FAST if site == TARGET else STILL)
        return node(message)

    c.grid.faults = {TRAINING: {1000 + i: lying for i in range(N)}}
    monkeypatch.setattr(VectorRound, "_agreed_context", hides_the_mismatch)
    strategy = c.strategy(weight_max=None)
    try:
        result = c.start(strategy)
    except ProtocolError:
        return None
    after = params_of(result.arrays)
    moved = [(after[name] - MODEL[name]).ravel() for name in ("bias", "weight")]
    return N * np.concatenate(moved).astype(float)


def is_update(read):
    """Whether what was read is the target's update, to what the codec rounds."""
    return read is not None and np.abs(read - update_of(TARGET)).max() < 10 * CODEC.granularity


def bind_the_model_alone(monkeypatch):
    """What masks were bound to before."""

    def model_alone(self, terms, session):
        model = Model.of(model_of(self.message.content, who="request")).params
        floats = {name: a for name, a in model.items() if a.dtype.kind == "f"}
        nothing = {"instructions": {}, "shared": {}, "settings": {}, "terms": {}}
        return context(model=floats, round=session, **nothing)

    monkeypatch.setattr(Shown, "context", model_alone)


@pytest.fixture(autouse=True)
def _in_a_run(cohort):
    """The identifiers that Flower sets in a run's process."""


@pytest.mark.parametrize("way", WAYS)
def test_a_site_that_was_told_otherwise_is_not_read(tmp_path, monkeypatch, caplog, way):
    assert read_one_site(tmp_path, monkeypatch, way) is None
    assert "the signature is not its own" in caplog.text


@pytest.mark.parametrize("way", WAYS)
def test_it_is_read_to_the_codecs_granularity_without_the_check(tmp_path, monkeypatch, way):
    bind_the_model_alone(monkeypatch)
    assert is_update(read_one_site(tmp_path, monkeypatch, way))


@pytest.mark.parametrize("way", WAYS)
def test_masks_stop_it_where_nobody_signs(tmp_path, monkeypatch, way):
    read = read_one_site(tmp_path, monkeypatch, way, malicious=False)
    assert not is_update(read)
    # The residue of masks that do not cancel is uniform in the ring.
    assert read is None or np.abs(read - update_of(TARGET)).max() > 0.1


def test_masks_stop_it_where_signatures_are_forged(tmp_path, monkeypatch):
    monkeypatch.setattr(unmask_round, "verify_signature", lambda *_: None)
    assert not is_update(read_one_site(tmp_path, monkeypatch, "configuration"))


def test_an_honest_server_is_told_who_differs_and_in_what(tmp_path, caplog):
    c = Cohort(tmp_path, N, malicious=True, app=app_that_reads(in_config))

    def stands_still(node, message):
        set_config(message, node.context, STILL)
        return node(message)

    c.grid.faults = {TRAINING: {1000 + TARGET: stands_still}}
    with pytest.raises(ProtocolError, match="none of 1 rounds"):
        c.start(c.strategy(), config={"lr": FAST})
    said = f"site{TARGET}: refused: masked for other things than 4 clients did, in: instructions"
    assert said in caplog.text


def test_a_round_with_one_configuration_for_all_is_opened(tmp_path):
    c = Cohort(tmp_path, N, malicious=True, app=app_that_reads(in_config))
    strategy = c.strategy(weight_max=None)
    result = c.start(strategy, config={"lr": FAST})
    after = params_of(result.arrays)
    mean = sum(update_of(site) for site in range(N)) / N
    moved = np.concatenate([(after[n] - MODEL[n]).ravel() for n in ("bias", "weight")])
    np.testing.assert_allclose(moved, mean, atol=1e-5)


def test_a_configuration_that_names_a_site_is_not_stopped(tmp_path):
    """What remains: one configuration for all under which all but one stand still."""

    def named(message, node):
        return message.content["config"].get(f"lr_{node.node_config['identity'][-9:-4]}", STILL)

    c = Cohort(tmp_path, N, malicious=True, app=app_that_reads(named))
    result = c.start(c.strategy(weight_max=None), config={f"lr_site{TARGET}": FAST})
    after = params_of(result.arrays)
    moved = np.concatenate([(after[n] - MODEL[n]).ravel() for n in ("bias", "weight")])
    assert is_update(N * moved.astype(float))


# --- what the app is shown ------------------------------------------------------------------------


def message_of(content, **metadata):
    message = flwr.Message(flwr.RecordDict(content), 1, "train")
    for name, value in metadata.items():
        message.metadata.__dict__[f"_{name}"] = value
    return message


def in_both_orders(content):
    turned = {}
    for name, record in reversed(list(content.items())):
        values = dict(reversed(list(record.items())))
        turned[name] = record if isinstance(record, flwr.ArrayRecord) else type(record)(values)
    return content, turned


CONTENT = {
    "zeta": flwr.ConfigRecord({"b": 1, "a": [0.5, 0.25]}),
    "arrays": arrays_of(MODEL),
    "metrics": flwr.MetricRecord({"y": 1.0, "x": [1, 2]}),
}
NODE = flwr.Context(1, 1, {}, flwr.RecordDict(), {"b": 1, "a": True})
CONFIG = Config.for_cohort(5, dropout=1, corrupt=1, adversary="malicious", min_survivors=None,
                           codec=CODEC, length=15)  # fmt: skip
TERMS = Terms("run", None, CONFIG, {"loss": 1.0}, None)


def test_the_app_cannot_tell_in_which_order_records_came():
    for content in in_both_orders(CONTENT):
        shown = without_envelope(flwr.RecordDict(content))
        assert list(shown) == ["arrays", "metrics", "zeta"]
        assert list(shown["zeta"]) == ["a", "b"]
        assert list(shown["metrics"]) == ["x", "y"]
        assert list(shown["arrays"]) == list(MODEL)


def test_the_order_of_records_does_not_count():
    one, other = (
        Shown.of(message_of(content), node).context(TERMS, 1)
        for content, node in zip(
            in_both_orders(CONTENT),
            (NODE, flwr.Context(1, 2, {"x": 1}, flwr.RecordDict(), {"a": True, "b": 1})),
            strict=True,
        )
    )
    assert one == other


def test_a_site_has_the_same_context_whoever_it_is():
    """Ids of node and message, times, and the client's own number are each site's own."""
    one = message_of(CONTENT, dst_node_id=1, message_id="a", created_at=1.0)
    other = message_of(CONTENT, dst_node_id=2, message_id="b", created_at=2.0)
    seventh = Terms.from_dict(json.loads(json.dumps({**TERMS.to_dict(), "client": 7})))
    assert Shown.of(one, NODE).context(TERMS, 1) == Shown.of(other, NODE).context(seventh, 1)


@pytest.mark.parametrize(
    ("change", "session"),
    [
        ({"run": "another"}, 1),
        ({"metrics": {"loss": 2.0}}, 1),
        ({"privacy": "00"}, 1),
        ({"config": {**CONFIG.to_dict(), "corrupt": 0}}, 1),
        ({}, 2),
    ],
)
def test_terms_and_session_count(change, session):
    shown = Shown.of(message_of(CONTENT), NODE)
    other = Terms.from_dict({**TERMS.to_dict(), **change})
    assert shown.context(other, session) != shown.context(TERMS, 1)


def test_what_the_app_does_to_its_instructions_does_not_count(tmp_path, monkeypatch):
    """Two of five apps empty their configuration: all have masked for what came."""

    def emptied(message, node):
        config = message.content["config"]
        lr = config["lr"]
        if node.node_id < 1002:
            config.clear()
        return lr

    seen = []

    def watching(self, refused):
        seen.extend(self._contexts.values())
        return seen[0]

    monkeypatch.setattr(VectorRound, "_agreed_context", watching)
    c = Cohort(tmp_path, N, malicious=True, app=app_that_reads(emptied))
    c.start(c.strategy(weight_max=None), config={"lr": FAST})
    assert len(seen) == N
    assert len(set(seen)) == 1
