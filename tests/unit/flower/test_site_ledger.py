"""The site holds the account: its rounds are counted there, whatever the server starts again."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest

flwr = pytest.importorskip("flwr.app")

import veil
from veil.dp import Ledger
from veil.errors import PolicyRefused, ProtocolError
from veil.fixed_point import FixedPoint
from veil.fl import CentralDP, DistributedDP, LogisticRegression, Site
from veil.fl.site_account import SiteAccount
from veil.integrations.flower import account, secagg_mod, store, task_app, turn
from veil.integrations.flower.envelope import Envelope, Step
from veil.random import SecureGenerator
from veil.secagg import Client

from .memory import (
    Node,
    arrays_of,
    drifted,
    params_of,
    site_ledger,
    toy_app,
    travelled,
    wire,
)

OF_SITES = {
    "noise_multiplier": 2.0, "max_norm": 1.0, "unit": "site", "rounds": 2, "size": 15, "sites": 4,
    "min_survivors": 3, "max_corrupt": 0, "sampling_probability": None, "population": None,
}  # fmt: skip
DP = DistributedDP(**OF_SITES)
NODES = range(1000, 1004)


@pytest.fixture
def sites(cohort, tmp_path):
    """Four apps, each with a ledger in its node's configuration."""

    def make(dp=DP, app=toy_app, **settings):
        c = cohort()
        for i, node in enumerate(NODES):
            mod = secagg_mod(c.policy(), privacy=dp, **({"answer_after": None} | settings))
            config = {
                "identity": str(c.identities[i].path),
                "ledger": site_ledger(tmp_path / f"{i}.ledger", dp),
            }
            c.grid.nodes[node] = Node(node, app(i, [mod]), config)
        return c

    return make


def server(c, dp=DP, **more):
    """A new server process: a fresh run, and a fresh ledger of its own."""
    ledger = Ledger(epsilon=1e3, delta=1e-3, unit=dp.unit, relation=dp.relation, mode="planned")
    settings = {
        "codec": dp.shares.codec, "dropout": 1, "corrupt": 0, "min_survivors": 3,
        "weight_max": None, "privacy": dp, "ledger": ledger,
    }  # fmt: skip
    return c.strategy(**(settings | more))


def run(c, rounds=2, dp=DP, **more):
    strategy = server(c, dp, **more)
    try:
        c.start(strategy, rounds=rounds)
    except ProtocolError:
        return 0
    return len(strategy.history.rounds)


def answered(node):
    """Masked vectors that left a site."""
    return sum(
        key.startswith("mask")
        for reply in node.replies
        if not reply.has_error()
        for key in reply.content["veil.parts"]
    )


def refusals(node):
    return [
        line
        for reply in node.replies
        if not reply.has_error()
        for line in reply.content["veil"].get("refused", [])
    ]


def spent(c, number=0):
    return Ledger.open(c.grid.nodes[1000 + number].context.node_config["ledger"]).spent()


# --- the demonstration: a server that starts again and again -------------------------------------


def test_forty_servers_of_two_rounds_get_two_rounds_in_all(sites):
    c = sites()
    assert DP.epsilon(1e-6) < 4
    opened = [run(c) for _ in range(40)]
    assert sum(opened) == 2
    for node in c.grid.nodes.values():
        assert answered(node) == 2
        assert node.app.train_function.calls == 2
    assert spent(c).releases == 2
    last = refusals(c.grid.nodes[1000])[-1]
    assert last.startswith("advertise:")
    assert last.endswith("all 2 rounds that this site's ledger reserves for this mechanism are "
                         "spent")  # fmt: skip


def test_each_server_gets_its_rounds_where_the_sites_keep_no_account(sites, monkeypatch):
    monkeypatch.setattr(turn, "charge", lambda *_, **__: None)
    monkeypatch.setattr(turn, "require_left", lambda *_, **__: None)
    c = sites()
    assert [run(c) for _ in range(5)] == [2] * 5
    assert answered(c.grid.nodes[1000]) == 10


def test_a_server_that_lost_its_checkpoint_half_way_gets_the_rest_and_no_more(sites):
    c = sites()
    assert run(c, rounds=1) == 1
    assert run(c, rounds=2) == 1  # the site's second round; the third is refused
    assert run(c, rounds=2) == 0
    assert answered(c.grid.nodes[1000]) == 2


def test_rounds_are_reserved_at_the_first_invitation_and_charged_before_the_app_is_called(sites):
    seen = []

    def app(i, mods):
        def looks(site, params):
            seen.append(spent(c, site))
            return drifted(site, params)

        return toy_app(i, mods, drift=looks)

    c = sites(app=app)
    c.grid.faults = {3: dict.fromkeys(NODES, "silent")}
    assert run(c, rounds=1) == 0
    (label, _, runs) = spent(c).by_label[0]
    assert (runs, spent(c).releases) == (2, 0)
    assert label.startswith("DistributedDP ")
    c.grid.faults = {}
    run(c, rounds=1)
    assert len(seen) == 4
    assert all(one.releases == 1 for one in seen)


def test_another_label_is_another_run_if_the_budget_allows_it(sites, tmp_path):
    c = sites()
    assert run(c) == 2
    for i, node in c.grid.nodes.items():
        mod = secagg_mod(c.policy(), privacy=DP, label="again", answer_after=None)
        node.app = toy_app(i - 1000, [mod])
    # A planned ledger has one plan; an adaptive one takes what fits.
    assert run(c) == 0
    assert "do not fit in what this site's ledger has left" in refusals(c.grid.nodes[1000])[-1]
    for i, node in c.grid.nodes.items():
        path = site_ledger(tmp_path / f"{i}.adaptive", DP, mode="adaptive", epsilon=20.0)
        node.context.node_config["ledger"] = path
    assert run(c) == 2


# --- one session, one charge ---------------------------------------------------------------------


def test_a_request_that_is_delivered_twice_costs_once(sites):
    c = sites()

    def twice(node, message):
        node(message)
        return node(message)

    c.grid.faults = {e: dict.fromkeys(NODES, twice) for e in range(1, 20)}
    assert run(c) == 2
    assert spent(c).releases == 2
    assert c.grid.nodes[1000].app.train_function.calls == 2


def with_another_model(node, message):
    """Deliver the request, and then its relayed shares again, beside a step of no session."""
    reply = node(message)
    for k in range(1, 6):
        again = travelled(message)
        steps = Envelope.of(message.content).steps
        for name, record in Envelope((*steps, Step("confirm", 90 + k, b""))).records().items():
            again.content[name] = record
        params = params_of(message.content["arrays"])
        again.content["arrays"] = arrays_of({n: a + a.dtype.type(k) for n, a in params.items()})
        node(again)
    return reply


def test_a_session_that_has_its_vector_trains_on_no_other_model(sites):
    c = sites()
    c.grid.faults = {3: {1000: with_another_model}}
    assert run(c, rounds=1) == 1
    assert c.grid.nodes[1000].app.train_function.calls == 1
    first, *others = [r for r in c.grid.nodes[1000].replies if "mask:1" in r.content["veil.parts"]]
    assert len(others) == 5
    for other in others:
        assert wire(other.content["veil.parts"]) == wire(first.content["veil.parts"])


def test_it_would_train_on_any_number_of_models_for_one_charge(sites, monkeypatch):
    monkeypatch.setattr(Client, "awaits_vector", True)
    c = sites()
    c.grid.faults = {3: {1000: with_another_model}}
    assert run(c, rounds=1) == 1
    assert c.grid.nodes[1000].app.train_function.calls == 6
    assert spent(c).releases == 1


class PowerCut(KeyboardInterrupt):
    """What no except clause of the site's catches."""


def test_a_site_that_crashes_after_the_charge_is_not_charged_again(sites):
    crashes = {"left": 3}

    def app(i, mods):
        def sometimes(site, params):
            if site == 2 and crashes["left"]:
                crashes["left"] -= 1
                raise PowerCut
            return drifted(site, params)

        return toy_app(i, mods, drift=sometimes)

    c = sites(app=app)

    def restarted(node, message):
        while True:
            try:
                return node(message)
            except PowerCut:
                assert spent(c, 2).releases == 1

    c.grid.faults = {3: {1002: restarted}}
    assert run(c) == 2
    assert crashes["left"] == 0
    assert spent(c, 2).releases == spent(c, 1).releases == 2
    assert answered(c.grid.nodes[1002]) == 2


def test_the_last_round_can_be_repeated_after_a_crash_though_nothing_is_left(sites):
    dp = DistributedDP(**(OF_SITES | {"rounds": 1}))
    crashed = []

    def app(i, mods):
        def once(site, params):
            if site == 2 and not crashed:
                crashed.append(1)
                raise PowerCut
            return drifted(site, params)

        return toy_app(i, mods, drift=once)

    c = sites(dp, app=app)

    def restarted(node, message):
        with pytest.raises(PowerCut):
            node(message)
        return node(message)

    c.grid.faults = {3: {1002: restarted}}
    assert run(c, rounds=1, dp=dp) == 1
    assert spent(c, 2).releases == 1


def replayed_after_the_answer(c):
    """Answer a request, put back the state from before it, and answer it again."""
    seen = []

    def twice(node, message):
        before = flwr.RecordDict(dict(node.context.state))
        first = node(message)
        node.context.state = before
        seen.append(node(message))
        return first

    c.grid.faults = {3: {1002: twice}}
    run(c, rounds=1)
    return seen[0]


def test_a_charge_lets_one_answer_leave_even_if_the_state_is_put_back(sites):
    c = sites()
    second = replayed_after_the_answer(c)
    assert not [k for k in second.content["veil.parts"] if k.startswith("mask")]
    assert "expected a number above" in second.content["veil"]["refused"][0]
    assert spent(c, 2).releases == 1


def test_a_charge_would_pay_for_two_answers_without_the_replay_guard(sites, monkeypatch):
    monkeypatch.setattr("veil.secagg.FileReplayGuard.advance", lambda *_, **__: None)
    monkeypatch.setattr("veil.secagg.FileReplayGuard.knows", lambda *_: True)
    c = sites()
    second = replayed_after_the_answer(c)
    assert [k for k in second.content["veil.parts"] if k.startswith("mask")]
    assert spent(c, 2).releases == 1


@pytest.fixture
def keeps_state(monkeypatch):
    """Sites whose state lies in this process: for a test that forgets their guards between runs."""
    kept = {}
    monkeypatch.setattr(
        store.Store, "open", classmethod(lambda cls, s, i, p: kept.setdefault(i.path, cls(i, p)))
    )
    monkeypatch.setattr(store.Store, "save", lambda *_: None)
    return kept


def sessions_of_one_name(c, keeps_state):
    opened = 0
    for _ in range(4):
        keeps_state.clear()
        for node in c.grid.nodes.values():
            Path(f"{node.context.node_config['identity']}.replay").unlink(missing_ok=True)
        strategy = server(c)
        strategy._rounds.run = "always"
        try:
            c.start(strategy, rounds=1)
            opened += len(strategy.history.rounds)
        except ProtocolError:
            pass
    return opened


def test_sessions_of_one_name_and_number_are_charged_each(sites, keeps_state):
    """What the server chooses names no charge: the site's own fresh keys do."""
    c = sites()
    assert sessions_of_one_name(c, keeps_state) == 2
    assert spent(c).releases == answered(c.grid.nodes[1000]) == 2


def test_they_would_cost_once_if_the_server_named_the_charge(sites, keeps_state, monkeypatch):
    from veil.secagg import Client

    named = property(lambda self: f"{self._session.run_id}:{self._session.round_number}".encode())
    monkeypatch.setattr(Client, "session_id", named)
    c = sites()
    assert sessions_of_one_name(c, keeps_state) == 4
    assert spent(c).releases == 1


def test_a_session_that_was_invited_while_rounds_were_left_is_refused_when_none_is(sites):
    """Two runs at once: both are admitted, one is charged."""
    dp = DistributedDP(**(OF_SITES | {"rounds": 1}))
    c = sites(dp)
    other = {}

    def meanwhile(node, message):
        path = node.context.node_config["ledger"]
        kept = Ledger.open(path)
        label = kept.spent().by_label[0][0]
        account_of_other = SiteAccount.open(kept, dp, size=15, label=label)
        other[path] = account_of_other.charge("session of the other run")
        return node(message)

    c.grid.faults = {3: dict.fromkeys(NODES, meanwhile)}
    assert run(c, rounds=1, dp=dp) == 0
    assert all(other.values())
    assert all("are spent" in refusals(node)[-1] for node in c.grid.nodes.values())
    assert refusals(c.grid.nodes[1000])[-1].startswith("mask:1 ")
    assert c.grid.nodes[1000].app.train_function.calls == 0


# --- a ledger that cannot be used ----------------------------------------------------------------


def one_site_refuses(c, caplog):
    """Play a round in which site 3 has no usable account; return what it told, and its log."""
    with caplog.at_level(logging.WARNING, "veil.flower"):
        assert run(c, rounds=1) == 1
    node = c.grid.nodes[1003]
    assert node.app.train_function.calls == 0
    told = refusals(node)
    assert len(told) == 1
    assert told[0].startswith("advertise:1 ledger: ")
    return told[0], caplog.text


def test_a_site_without_a_ledger_takes_no_part_and_says_what_to_do(sites, caplog):
    c = sites()
    del c.grid.nodes[1003].context.node_config["ledger"]
    told, _ = one_site_refuses(c, caplog)
    assert "--node-config 'ledger=\"site.ledger\"'" in told
    assert "veil ledger new" in told


def test_a_ledger_that_is_missing_is_not_made_and_its_path_stays_at_the_site(
    sites, caplog, tmp_path
):
    c = sites()
    c.grid.nodes[1003].context.node_config["ledger"] = str(tmp_path / "no.ledger")
    told, log = one_site_refuses(c, caplog)
    assert "its own log says why" in told
    assert "no.ledger" not in told
    assert "no.ledger: cannot be opened" in log
    assert "veil ledger new" in log
    assert not (tmp_path / "no.ledger").exists()


def test_a_ledger_that_another_process_holds_is_refused(sites, caplog, monkeypatch):
    import fcntl

    from veil.dp import ledger as module

    c = sites()
    path = c.grid.nodes[1003].context.node_config["ledger"]
    open_now = module.Ledger.open.__func__
    monkeypatch.setattr(
        module.Ledger, "open", classmethod(lambda cls, p: open_now(cls, p, lock_timeout=0.05))
    )
    held = os.open(path, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        _, log = one_site_refuses(c, caplog)
    finally:
        os.close(held)
    assert "locked by another process" in log
    assert "wait for that or stop it" in log


def test_a_ledger_that_was_edited_is_refused(sites, caplog):
    c = sites()
    path = Path(c.grid.nodes[1003].context.node_config["ledger"])
    path.write_bytes(path.read_bytes().replace(b"1000", b"2000"))
    _, log = one_site_refuses(c, caplog)
    assert "does not fit the hash chain" in log
    assert "do not put an older copy in its place" in log


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"unit": "patient"}, "expected the unit 'site' that the mechanism protects"),
        ({"relation": "replace-one"}, "expected the relation 'zero-out'"),
        ({"delta": 0.25}, "expected a delta below 1/n with n = 4 sites"),
    ],
)
def test_a_ledger_of_something_else_is_refused(sites, caplog, tmp_path, settings, said):
    c = sites()
    other = site_ledger(tmp_path / "other.ledger", DP, **settings)
    c.grid.nodes[1003].context.node_config["ledger"] = other
    _, log = one_site_refuses(c, caplog)
    assert said in log
    assert Ledger.open(other).spent().by_label == ()


@pytest.mark.parametrize(("own", "refused"), [("north", False), ("south", True), (None, False)])
def test_a_ledger_of_another_population_is_refused(sites, caplog, tmp_path, own, refused):
    c = sites()
    node = c.grid.nodes[1003]
    node.context.node_config["ledger"] = site_ledger(tmp_path / "n", DP, population=own)
    node.context.node_config["site"] = "north"
    if not refused:
        assert run(c, rounds=1) == 1
        assert answered(node) == 1
        return
    told, log = one_site_refuses(c, caplog)
    assert "of another population than its data" in told
    assert "'south', the data are of 'north'" in log


def test_a_ledger_without_room_for_all_rounds_is_refused_before_the_first(sites, caplog, tmp_path):
    c = sites()
    small = site_ledger(tmp_path / "small", DP, epsilon=0.5, mode="adaptive")
    c.grid.nodes[1003].context.node_config["ledger"] = small
    told, _ = one_site_refuses(c, caplog)
    assert "the 2 rounds of this mechanism do not fit" in told
    assert Ledger.open(small).spent().by_label == ()


def test_a_ledger_may_come_from_the_context_or_be_an_object_with_a_path(sites, tmp_path):
    c = sites()
    ledgers = (
        lambda context: context.node_config["ledger"],
        Path(site_ledger(tmp_path / "a", DP)),
        Ledger.open(site_ledger(tmp_path / "b", DP)),
    )
    for i, ledger in enumerate(ledgers):
        mod = secagg_mod(c.policy(), privacy=DP, ledger=ledger, label=f"n{i}", answer_after=None)
        c.grid.nodes[1000 + i].app = toy_app(i, [mod])
    assert run(c, rounds=1) == 1
    assert [answered(node) for node in c.grid.nodes.values()] == [1] * 4
    assert Ledger.open(tmp_path / "a").spent().by_label[0][0] == "n1"


def test_a_ledger_in_memory_or_without_a_mechanism_is_refused():
    memory = Ledger(epsilon=1.0, delta=1e-5, unit="site", relation="zero-out", mode="planned")
    with pytest.raises(ValueError, match="ledger: expected one with path="):
        secagg_mod(None, privacy=DP, ledger=memory, answer_after=None)
    with pytest.raises(PolicyRefused):
        account.open_ledger(lambda _: memory, None, DP)
    for more in ({"ledger": "x"}, {"label": "x"}):
        with pytest.raises(ValueError, match="expected None without privacy="):
            secagg_mod(None, **more)


# --- a task, and CentralDP -----------------------------------------------------------------------

TASK = LogisticRegression(features=4, learning_rate=0.5, epochs=1, batch_size=None)
START = TASK.init(SecureGenerator())
CODEC = FixedPoint(clip=64.0, bits=28, max_summands=8, rounding="nearest")
CENTRAL = CentralDP(
    noise_multiplier=2.0, max_grad_norm=1.0, sampling_probability=0.5, population=160, rounds=2,
    unit="record",
)  # fmt: skip


def data(name):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 4))
    y = (x[:, 0] > 0).astype(np.int8)
    return Site(id=name, x=x, y=y, x_test=x, y_test=y, patients=None)


def central_round(cohort, configs, load=lambda i: data(f"s{i}"), watched=None, **settings):
    """One round of `CentralDP` over secure sums."""
    c = cohort()
    if watched is not None:
        c.grid.faults = {e: dict.fromkeys(NODES, watched) for e in range(1, 20)}
    for i, node in enumerate(NODES):
        app = task_app(TASK, lambda _, i=i: load(i), policy=c.policy(), privacy=CENTRAL, **settings)
        config = {"identity": str(c.identities[i].path)} | configs[i]
        c.grid.nodes[node] = Node(node, app, config)
    ledger = Ledger(
        epsilon=1e3, delta=1e-3, unit="record", relation="add-or-remove-one", mode="planned"
    )
    strategy = c.strategy(
        codec=CODEC, dropout=1, min_survivors=3, weight_max=None, privacy=CENTRAL, task=TASK,
        ledger=ledger,
    )  # fmt: skip
    c.start(strategy, params=START, timeout=2)
    return c, strategy


def test_central_dp_uses_a_site_s_ledger_where_there_is_one(cohort, tmp_path):
    own = {"ledger": site_ledger(tmp_path / "own", CENTRAL, population="s0")}
    other = {"ledger": site_ledger(tmp_path / "other", CENTRAL, population="elsewhere")}
    c, strategy = central_round(cohort, [own, {}, {}, other])
    assert strategy.history.rounds[0].survivors == ("site0", "site1", "site2")
    assert Ledger.open(own["ledger"]).spent().releases == 1
    assert Ledger.open(other["ledger"]).spent().releases == 0
    assert "of another population than its data" in refusals(c.grid.nodes[1003])[0]


def test_a_site_is_charged_before_its_data_is_loaded(cohort, tmp_path):
    own = site_ledger(tmp_path / "own", CENTRAL)
    seen = []

    def load(i):
        if i == 0:
            seen.append(Ledger.open(own).spent().releases)
        return data(f"s{i}")

    central_round(cohort, [{"ledger": own}, {}, {}, {}], load)
    assert seen == [0, 1]  # at the invitation, and for the round


def test_statements_say_whose_ledger_counts():
    from veil.fl.layout import Entry, Layout

    layout = Layout((Entry("w", (15,), "float64"),))
    said = DP.statement(layout, seeded=False)
    assert said.account.startswith("each site's own ledger")
    assert CENTRAL.statement(layout, seeded=False).account.startswith("the server's ledger")
    assert veil.fl.PrivacyStatement.from_dict(said.to_dict()) == said
