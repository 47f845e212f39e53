"""What is refused, by whom, and that the others go on."""

import json
import logging

import numpy as np
import pytest

flwr = pytest.importorskip("flwr.app")

from flwr.serverapp import strategy as flower

from veil.errors import DataError, MalformedMessage, PolicyRefused, ProtocolError
from veil.fl import CentralDP, DistributedDP
from veil.integrations.flower import envelope, secagg_mod, task_app
from veil.integrations.flower.envelope import Envelope, Step
from veil.integrations.flower.participant import refusal
from veil.integrations.flower.terms import Terms
from veil.secagg import Config, Identity, Roster

from .memory import CODEC, MODEL, arrays_of, drifted, params_of, toy_app

DP = CentralDP(
    noise_multiplier=1.0,
    max_grad_norm=1.0,
    sampling_probability=0.1,
    population=100,
    rounds=3,
    unit="record",
)


# --- strategies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: flower.Krum(), "chooses among single updates"),
        (lambda: flower.MultiKrum(), "chooses among single updates"),
        (lambda: flower.Bulyan(), "chooses among single updates"),
        (lambda: flower.FedMedian(), "takes the median"),
        (lambda: flower.FedTrimmedAvg(), "sorts single updates"),
        (lambda: flower.QFedAvg(client_learning_rate=0.1), "by its own loss"),
        (lambda: flower.FedXgbBagging(), "trees"),
        (
            lambda: flower.DifferentialPrivacyServerSideFixedClipping(flower.FedAvg(), 1.0, 1.0, 5),
            "pass privacy=",
        ),
    ],
)
def test_strategy_that_needs_single_updates_is_refused_with_the_reason(cohort, make, reason):
    with pytest.raises(ProtocolError, match=reason):
        cohort().strategy(make())


@pytest.mark.parametrize("name", ["FedAvg", "FedAvgM", "FedAdagrad", "FedAdam", "FedYogi"])
def test_strategy_of_the_mean_is_taken(cohort, name):
    cohort().strategy(getattr(flower, name)())
    cohort  # noqa: B018


def test_unknown_aggregation_is_refused_until_it_says_that_the_mean_is_enough(cohort):
    class Own(flower.FedAvg):
        def aggregate_train(self, server_round, replies):
            return super().aggregate_train(server_round, replies)

    c = cohort()
    with pytest.raises(ProtocolError, match="needs_individual_updates = False"):
        c.strategy(Own())
    Own.needs_individual_updates = False
    c.strategy(Own())


def test_strategy_with_its_own_loop_is_refused(cohort):
    class Loop(flower.FedAvg):
        def start(self, *args, **kwargs):
            return None

    with pytest.raises(ProtocolError, match="has its own start"):
        cohort().strategy(Loop())


def test_what_is_no_strategy_is_refused(cohort):
    with pytest.raises(TypeError, match=r"flwr\.serverapp\.strategy\.Strategy, got str"):
        cohort().strategy("fedavg")


def test_weights_metrics_and_a_missing_ledger_are_refused_under_privacy(cohort):
    c = cohort()
    with pytest.raises(ProtocolError, match="weight_max: expected None"):
        c.strategy(privacy=DP)
    with pytest.raises(ProtocolError, match="metrics: expected none"):
        c.strategy(privacy=DP, weight_max=None, metrics={"train_loss": 1.0})
    with pytest.raises(TypeError, match="ledger"):
        c.strategy(privacy=DP, weight_max=None)


def test_mod_refuses_a_mechanism_on_gradients():
    with pytest.raises(ValueError, match="use task_app"):
        secagg_mod(None, privacy=DP)


# --- one site that is wrong ---------------------------------------------------------------------


def run_with(c, caplog, **settings):
    strategy = c.strategy(**settings)
    with caplog.at_level(logging.WARNING, "veil.flower"):
        c.start(strategy)
    return strategy


def test_site_whose_key_the_roster_lacks_is_refused_and_named(cohort, caplog, tmp_path):
    c = cohort()
    c.grid.nodes[1003].context.node_config["identity"] = str(Identity.new(tmp_path / "x").path)
    strategy = run_with(c, caplog)
    assert strategy.history.rounds[0].survivors == ("site0", "site1", "site2")
    assert "roster: has no site with this site's key" in caplog.text


def test_roster_names_the_key_that_it_lacks(tmp_path):
    own, other = Identity.new(tmp_path / "a"), Identity.new(tmp_path / "b")
    with pytest.raises(PolicyRefused, match="veil identity show"):
        Roster({"b": other.public}).id_of(own.public)


def test_node_without_an_identity_is_refused(cohort, caplog):
    c = cohort()
    del c.grid.nodes[1003].context.node_config["identity"]
    strategy = run_with(c, caplog)
    assert len(strategy.history.rounds[0].survivors) == 3
    assert "veil identity new" in caplog.text


def renamed(site, params):
    after = drifted(site, params)
    return {("other" if site == 3 and n == "bias" else n): a for n, a in after.items()}


def reshaped(site, params):
    after = drifted(site, params)
    return {n: (a.reshape(4, 3) if site == 3 and a.ndim == 2 else a) for n, a in after.items()}


def widened(site, params):
    after = drifted(site, params)
    return {n: (a.astype(np.float64) if site == 3 and n == "bias" else a) for n, a in after.items()}


@pytest.mark.parametrize("change", [renamed, reshaped, widened])
def test_inner_mod_that_changes_keys_shapes_or_dtypes_is_refused(cohort, caplog, change):
    c = cohort(drift=change)
    strategy = run_with(c, caplog)
    assert strategy.history.rounds[0].survivors == ("site0", "site1", "site2")
    assert "not of the model that it was given" in strategy.refused["site3"]


def test_site_with_other_metrics_is_refused(cohort, caplog):
    c = cohort(mod={"metrics": {"train_loss": 2.0}})
    bare = [secagg_mod(c.policy())]
    c.grid.nodes[1003].app = toy_app(3, bare)
    strategy = run_with(c, caplog, metrics={"train_loss": 2.0})
    assert strategy.history.rounds[0].survivors == ("site0", "site1", "site2")
    assert "metrics: this site sends {}" in caplog.text


@pytest.mark.parametrize(
    ("sent", "counts_as"),
    [(0.875, 0.8), (-3.0, -0.8), (float("inf"), 0.8), (float("nan"), 0.0), (None, 0.0)],
)
def test_metric_beyond_its_bound_counts_as_the_bound_and_shows_no_value(
    cohort, caplog, sent, counts_as
):
    c = cohort(mod={"metrics": {"train_loss": 0.8}})
    for i in range(4):
        found = {"num-examples": 100, "train_loss": 0.4 if i < 3 else sent}
        known = {name: value for name, value in found.items() if value is not None}
        mods = [secagg_mod(c.policy(), **c.mod_settings)]
        c.grid.nodes[1000 + i].app = toy_app(i, mods, metrics=known)
    strategy = run_with(c, caplog, metrics={"train_loss": 0.8})
    (done,) = strategy.history.rounds
    assert done.survivors == ("site0", "site1", "site2", "site3")
    expected = (3 * 0.4 + counts_as) / 4
    assert done.metrics["all"]["train_loss"] == pytest.approx(expected, abs=1e-4)
    assert "metrics['train_loss']: no number within" in caplog.text
    assert "0.875" not in caplog.text


def test_site_that_protects_and_a_server_that_does_not_are_kept_apart(cohort, caplog):
    c = cohort()
    own = DistributedDP(
        noise_multiplier=1.0, max_norm=1.0, unit="site", rounds=3, size=15, sites=4,
        min_survivors=3, max_corrupt=0, sampling_probability=None, population=None,
    )  # fmt: skip
    mod = secagg_mod(c.policy(), privacy=own, answer_after=None)
    c.grid.nodes[1003].app = toy_app(3, [mod])
    strategy = run_with(c, caplog)
    assert strategy.history.rounds[0].survivors == ("site0", "site1", "site2")
    assert "privacy: the server's mechanism is not this site's" in caplog.text


# --- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["evaluate", "query"])
def test_anything_but_training_is_refused(cohort, kind):
    c = cohort()
    node = c.grid.nodes[1000]
    message = flwr.Message(flwr.RecordDict({"arrays": arrays_of(MODEL)}), 1000, kind)
    app = node.app
    getattr(app, kind)()(app.train_function)
    reply = app(message, node.context)
    assert reply.has_error()
    assert "only training is answered" in reply.error.reason


def test_training_outside_a_session_is_refused_not_answered_in_clear(cohort):
    node = cohort().grid.nodes[1000]
    message = flwr.Message(flwr.RecordDict({"arrays": arrays_of(MODEL)}), 1000, "train")
    reply = node.app(message, node.context)
    assert reply.has_error()
    assert "expected the records" in reply.error.reason
    assert node.app.train_function.calls == 0


def in_clear(node, message):
    """A site without the mod."""
    content = {"arrays": arrays_of(params_of(message.content["arrays"])), "m": flwr.MetricRecord()}
    return flwr.Message(flwr.RecordDict(content), reply_to=message)


def noise(node, message):
    parts = flwr.ArrayRecord(
        {"mask:1": flwr.Array("uint8", (9,), "numpy.ndarray", b"\x93NUMPY\x01\x00!")}
    )
    head = flwr.ConfigRecord({"version": envelope.VERSION, "steps": ["mask:1"]})
    return flwr.Message(flwr.RecordDict({"veil": head, "veil.parts": parts}), reply_to=message)


def junk_inside(node, message):
    records = Envelope((Step("mask", 1, bytes(range(200))),)).records()
    return flwr.Message(flwr.RecordDict(records), reply_to=message)


def other_version(node, message):
    reply = node(message)
    head = dict(reply.content["veil"])
    head["version"] = "veil/flower/0"
    reply.content["veil"] = flwr.ConfigRecord(head)
    return reply


def with_metrics_in_clear(node, message):
    reply = node(message)
    reply.content["metrics"] = flwr.MetricRecord({"num-examples": 3})
    return reply


def empty(node, message):
    return flwr.Message(flwr.RecordDict(), reply_to=message)


def crashed(node, message):
    return flwr.Message(flwr.Error(2, "ZeroDivisionError"), reply_to=message)


def another_sites(node, message):
    """The masked vector of another site, under this node's connection."""
    own = node(message)
    own.content = node.others[1000].replies[-1].content
    return own


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (in_clear, "expected the records"),
        (noise, "array of bytes"),
        (junk_inside, "expected a message of Veil|not a message|VEIL|bytes"),
        (other_version, "run the same release of Veil"),
        (with_metrics_in_clear, "in clear"),
        (empty, "expected the records"),
        (crashed, "ZeroDivisionError"),
        (another_sites, "expected a message of client 3, got one of 0"),
    ],
)
def test_garbage_is_refused_and_named_and_the_round_goes_on(cohort, caplog, fault, reason):
    c = cohort()
    c.grid.nodes[1003].others = c.grid.nodes
    c.grid.faults = {3: {1003: lambda node, m: relabelled(fault(node, m), node)}}
    strategy = run_with(c, caplog)
    assert strategy.history.rounds[0].survivors == ("site0", "site1", "site2")
    assert list(strategy.refused) == ["site3"]
    assert pytest.importorskip("re").search(reason, strategy.refused["site3"])


def relabelled(reply, node):
    reply.metadata.__dict__["_src_node_id"] = node.context.node_id
    return reply


def test_reply_that_cannot_be_a_message_of_this_version_never_raises_anything_else():
    good = Envelope((Step("mask", 1, b"abc"),)).records()
    parts = good["veil.parts"]
    for head in (
        {},
        {"version": envelope.VERSION},
        {"version": envelope.VERSION, "steps": ["mask:1", "mask:1"]},
        {"version": envelope.VERSION, "steps": ["mask:2"]},
        {"version": envelope.VERSION, "steps": ["mask:1"], "refused": 3},
        {"version": 3, "steps": ["mask:1"]},
    ):
        content = flwr.RecordDict({"veil": flwr.ConfigRecord(head), "veil.parts": parts})
        with pytest.raises(MalformedMessage):
            Envelope.of(content)
    for step in ("mask", "mask:-1", "dance:1", "mask:1x"):
        content = flwr.RecordDict(
            {
                "veil": flwr.ConfigRecord({"version": envelope.VERSION, "steps": [step]}),
                "veil.parts": flwr.ArrayRecord({step: parts["mask:1"]}),
            }
        )
        with pytest.raises(MalformedMessage, match="expected a step such as"):
            Envelope.of(content)


def test_array_that_claims_more_than_it_holds_is_refused_before_it_is_allocated():
    array = flwr.Array(np.zeros(4, np.uint8))
    huge = array.data.replace(b"(4,)", b"(99999999999,)".ljust(4))[: len(array.data) + 10]
    parts = flwr.ArrayRecord({"mask:1": flwr.Array("uint8", (4,), "numpy.ndarray", huge)})
    head = flwr.ConfigRecord({"version": envelope.VERSION, "steps": ["mask:1"]})
    with pytest.raises(MalformedMessage):
        Envelope.of(flwr.RecordDict({"veil": head, "veil.parts": parts}))


GOOD_TERMS = {
    "run": "r",
    "client": 0,
    "config": Config.for_cohort(
        4,
        dropout=1,
        corrupt=0,
        adversary="honest-but-curious",
        min_survivors=3,
        codec=CODEC,
        length=3,
    ).to_dict(),
    "metrics": {"loss": 1.0},
    "privacy": None,
}


def test_invitation_reads_back():
    terms = Terms.decode(json.dumps(GOOD_TERMS).encode())
    assert json.loads(terms.encode()) == GOOD_TERMS


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"run": "' + b"x" * 70_000 + b'"}',
        *(
            json.dumps(GOOD_TERMS | change).encode()
            for change in (
                {"run": 3},
                {"client": "0"},
                {"client": True},
                {"config": {}},
                {"config": GOOD_TERMS["config"] | {"corrupt": 9}},
                {"metrics": [1]},
                {"metrics": {"loss": "much"}},
                {"privacy": 1},
                {"more": 1},
            )
        ),
    ],
)
def test_invitation_that_does_not_fit_is_malformed(payload):
    with pytest.raises(MalformedMessage, match="terms"):
        Terms.decode(payload)


def test_reason_of_a_site_s_error_cannot_forge_a_line_of_the_log(cohort, caplog):
    def forged(node, message):
        error = flwr.Error(2, "fine\nround 9: the sum of everybody")
        return relabelled(flwr.Message(error, reply_to=message), node)

    c = cohort()
    c.grid.faults = {3: {1003: forged}}
    run_with(c, caplog)
    refusals = [r.getMessage() for r in caplog.records if "everybody" in r.getMessage()]
    assert refusals
    assert not any("\n" in line for line in refusals)


def test_the_name_of_a_run_cannot_forge_a_line_of_a_site_s_log(cohort, caplog):
    c = cohort()

    def renamed(node, message):
        values = json.loads(Envelope.of(message.content).steps[0].payload)
        payload = json.dumps({**values, "run": "fine\nround 9: the sum of everybody"}).encode()
        for name, record in Envelope((Step("advertise", 1, payload),)).records().items():
            message.content[name] = record
        return node(message)

    c.grid.faults = {1: {1003: renamed}}
    strategy = run_with(c, caplog)
    assert "run: expected printable text" in strategy.refused["node 1003"]
    assert not any("\nround" in r.getMessage() for r in caplog.records)


def test_no_refusal_forges_a_line_of_a_log(cohort, caplog):
    message = flwr.Message(flwr.RecordDict(), 1, "train")
    message.metadata.__dict__["_message_id"] = "1"
    with caplog.at_level(logging.WARNING, "veil.flower"):
        reply = refusal(message, "fine\nround 9: the sum of everybody" + 1000 * "x")
    for text in (reply.error.reason, caplog.records[0].getMessage()):
        assert "\n" not in text
        assert len(text) < 500


def quotes(_):
    raise ValueError("patient 17")


def quotes_as_ours(_):
    raise PolicyRefused("patient 17")


def app_whose(setting, policy):
    if setting == "task":
        return task_app(quotes, lambda _: None, policy=policy)
    if setting == "task, as ours":
        return task_app(quotes_as_ours, lambda _: None, policy=policy)
    mods = {"policy": {"policy": quotes}, "identity": {"policy": policy, "identity": quotes}}
    return toy_app(3, [secagg_mod(**mods[setting])])


@pytest.mark.parametrize("setting", ["policy", "identity", "task", "task, as ours"])
def test_what_the_code_of_a_setting_raises_never_leaves_its_site(cohort, caplog, setting):
    c = cohort()
    c.grid.nodes[1003].app = app_whose(setting, c.policy())
    run_with(c, caplog)
    said = [r.error.reason if r.has_error() else str(dict(r.content["veil"]))
            for r in c.grid.nodes[1003].replies]  # fmt: skip
    assert any("its own log says why" in one for one in said)
    assert not any("patient 17" in one for one in said)
    assert "patient 17" in caplog.text  # in the site's own


def test_models_that_differ_between_sites_are_noticed(cohort, caplog):
    """The server hands one site another model: its masks would not cancel, so no sum is opened."""
    c = cohort()

    def other_model(node, message):
        params = params_of(message.content["arrays"])
        message.content["arrays"] = arrays_of({n: a + a.dtype.type(1) for n, a in params.items()})
        return node(message)

    c.grid.faults = {3: {1003: other_model}}
    strategy = c.strategy()
    with caplog.at_level(logging.WARNING, "veil.flower"), pytest.raises(ProtocolError):
        c.start(strategy)
    assert "site3: refused: masked for other things than 3 clients did, in: model" in caplog.text


def test_diverged_model_stops_the_run(cohort):
    class Explodes(flower.FedAvg):
        needs_individual_updates = False

        def aggregate_train(self, server_round, replies):
            arrays, metrics = super().aggregate_train(server_round, replies)
            return arrays_of({n: a * np.inf for n, a in params_of(arrays).items()}), metrics

    c = cohort()
    with pytest.raises(DataError, match="diverged"), np.errstate(invalid="ignore"):
        c.start(c.strategy(Explodes(min_available_nodes=4, min_train_nodes=4)))


def test_codec_must_hold_every_site(cohort):
    from veil.fixed_point import FixedPoint

    small = FixedPoint(clip=1.0, bits=16, max_summands=3, rounding="nearest")
    c = cohort()
    with pytest.raises(ValueError, match="codec: expected max_summands of at least n = 4"):
        c.start(c.strategy(codec=small))
    assert CODEC.max_summands >= 4
