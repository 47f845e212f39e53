"""Nothing about one patient decides whether, or in what form, a site answers under a mechanism.

Each case runs a whole round twice, with the patient and without, and compares the form of every
reply of that patient's site: type, error, records, fields, and the length of every array.
"""

import asyncio
import dataclasses
import logging

import numpy as np
import pytest

flwr = pytest.importorskip("flwr.app")

import veil
from veil.errors import DataError, PolicyRefused
from veil.fixed_point import FixedPoint
from veil.fl import CentralDP, DistributedDP, LogisticRegression, Site
from veil.fl.privacy import distributed, sampled
from veil.fl.privacy.isolated import PartialSum
from veil.integrations.flower import secagg_mod, task_app, turn
from veil.integrations.flower.participant import _FAILED
from veil.random import SecureGenerator

from .memory import MODEL, Node, arrays_of, drifted, params_of, site_ledger, toy_app

TASK = LogisticRegression(features=4, learning_rate=0.5, epochs=1, batch_size=None)
START = TASK.init(SecureGenerator())
VICTIM = 1002  # the node whose data has the patient or not
MARK = 9.0  # the patient's first feature; all others are below 1.7
RECORD = {
    "noise_multiplier": 200.0, "max_norm": 1.0, "unit": "record", "rounds": 5, "size": 5,
    "sites": 4, "min_survivors": 3, "max_corrupt": 1, "sampling_probability": 1.0,
    "population": 160,
}  # fmt: skip
OF_SITES = RECORD | {"unit": "site", "sampling_probability": None, "population": None}
CENTRAL = CentralDP(
    noise_multiplier=200.0, max_grad_norm=1.0, sampling_probability=1.0, population=160, rounds=5,
    unit="record",
)  # fmt: skip
CODEC = FixedPoint(clip=64.0, bits=28, max_summands=8, rounding="nearest")


def data(number, *, offending=False, patients=None):
    rng = np.random.default_rng(number)
    x = np.clip(rng.normal(size=(40, 4)), -1.5, 1.5)
    if offending:
        x[17, 0] = MARK
    y = (x[:, 1] > 0).astype(np.int8)
    return Site(id=f"site{number}", x=x, y=y, x_test=x, y_test=y, patients=patients)


def form(reply):
    """All of a reply that does not depend on keys, masks and noise."""
    seen = {"type": reply.metadata.message_type, "error": reply.has_error()}
    if reply.has_error():
        return seen | {"reason": reply.error.reason}
    records = {name: type(record).__name__ for name, record in reply.content.items()}
    parts = reply.content["veil.parts"]
    arrays = {k: (a.dtype, a.shape, a.stype, len(a.data)) for k, a in parts.items()}
    return seen | {"records": records, "head": dict(reply.content["veil"]), "arrays": arrays}


class Round:
    """One round of four sites, against a server that may deviate."""

    def __init__(self, cohort, folder, dp):
        self.c, self.folder, self.dp = cohort(), folder, dp
        self.shared = {
            "privacy": dp, "answer_after": None, "policy": self.c.policy(max_corrupt=1)
        }  # fmt: skip

    def tasks(self, task=TASK, load=None, offending=False, **settings):
        """Sites that run a task."""
        for i in range(4):
            site = data(i, offending=offending and 1000 + i == VICTIM)
            found = load if load and 1000 + i == VICTIM else lambda _, site=site: site
            self._node(i, task_app(task, found, **(self.shared | settings)))
        return self

    def apps(self, drift, **settings):
        """Sites that run an app of somebody else's; the victim's does what `drift` says."""
        shared = dict(self.shared)
        policy = shared.pop("policy")
        for i in range(4):
            mods = [secagg_mod(policy, **shared)]
            own = drift if 1000 + i == VICTIM else drifted
            self._node(i, toy_app(i, mods, drift=own, **settings))
        return self

    def _node(self, i, app):
        config = {"identity": str(self.c.identities[i].path)}
        ledger = self.folder / f"{i}.ledger"
        if not ledger.exists():
            site_ledger(ledger, self.dp)
        self.c.grid.nodes[1000 + i] = Node(1000 + i, app, config | {"ledger": str(ledger)})

    def play(self, *, model=None, params=START):
        """Play a round in which all sites get `model`; return the forms, and what was refused."""
        if model is not None:

            def hostile(node, message):
                message.content["arrays"] = arrays_of(model)
                return node(message)

            self.c.grid.faults = {3: {1000 + i: hostile for i in range(4)}}
        dp = self.dp
        codec = dp.shares.codec if isinstance(dp, DistributedDP) else CODEC
        ledger = veil.dp.Ledger(
            epsilon=1e3, delta=1e-3, unit=dp.unit, mode="planned",
            relation="zero-out" if dp.unit == "site" else "add-or-remove-one",
        )  # fmt: skip
        strategy = self.c.strategy(
            codec=codec, dropout=1, corrupt=1, min_survivors=3, weight_max=None, privacy=dp,
            task=TASK, ledger=ledger,
        )  # fmt: skip
        try:
            self.c.start(strategy, params=params, timeout=2)
        except veil.errors.VeilError:
            assert model is not None  # an honest round goes through
        forms = [form(reply) for reply in self.c.grid.nodes[VICTIM].replies]
        return forms, [line for seen in forms for line in seen["head"].get("refused", [])]


@pytest.fixture
def a_round(cohort, tmp_path):
    """Make rounds of a mechanism, each with sites and ledgers of its own."""
    count = iter(range(100))

    def make(dp):
        folder = tmp_path / str(next(count))
        folder.mkdir()
        for key in tmp_path.glob("*.key*"):
            key.unlink()
        return Round(cohort, folder, dp)

    return make


def masked(forms):
    return [key for seen in forms for key in seen.get("arrays", {}) if key.startswith("mask")]


# --- the demonstration: a model that overflows on one patient's row alone ------------------------

OVERFLOWS = {"bias": np.array([-np.inf]), "weights": np.array([1.79e308 / 1.7, 0, 0, 0])}
FINITE = {"bias": np.array([-1.7e308]), "weights": np.array([1.79e308 / 1.7, -1.7e308, 0, 0])}


def as_before(task, params, work, rows, starts, *, clip):
    """The sum without isolation: one gradient that is not finite costs the site its answer."""
    each = task.record_gradients(params, work.site.x[rows], work.site.y[rows]).astype(np.float64)
    if not np.isfinite(each).all():
        raise DataError("a record's gradient is not finite")
    return PartialSum(each.sum(axis=0), 0, None)


def without_the_model_check(monkeypatch):
    monkeypatch.setattr(turn, "check_incoming", lambda *_: None)
    monkeypatch.setattr(distributed, "check_model", lambda *_: None)


def attack(a_round, model):
    """What the server gets from the victim's site: with the patient, and without."""
    dp = DistributedDP(**RECORD)
    assert dp.epsilon(1e-6) < 0.04
    return [a_round(dp).tasks(offending=o).play(model=model) for o in (True, False)]


@pytest.mark.parametrize("model", [OVERFLOWS, FINITE], ids=["infinite", "finite"])
def test_a_model_that_overflows_on_one_patient_is_refused_before_any_is_looked_at(a_round, model):
    (forms, refused), (others, refused_too) = attack(a_round, model)
    assert forms == others
    assert refused == refused_too
    assert "no data was touched" in refused[0]
    assert not masked(forms)


def test_a_model_that_overflows_tells_nothing_even_if_it_is_not_checked(a_round, monkeypatch):
    without_the_model_check(monkeypatch)
    with np.errstate(all="ignore"):
        (forms, refused), (others, _) = attack(a_round, OVERFLOWS)
    assert forms == others
    assert masked(forms)
    assert not refused


def test_a_model_that_overflows_finds_the_patient_without_check_and_isolation(a_round, monkeypatch):
    without_the_model_check(monkeypatch)
    monkeypatch.setattr(sampled, "isolated_sum", as_before)
    with np.errstate(all="ignore"):
        (forms, refused), (others, refused_too) = attack(a_round, OVERFLOWS)
    assert forms != others
    assert refused == [f"mask:1 {_FAILED}"]
    assert not refused_too


@pytest.mark.parametrize(
    "model",
    [
        {"bias": np.zeros(1), "weights": np.array([0, np.nan, 0, 0])},
        {"bias": np.zeros(1), "weights": np.full(4, 2.0**501)},
        {"bias": np.zeros(1, np.float32), "weights": np.zeros(4, np.float32)},
        {"bias": np.zeros(1), "weights": np.zeros(5)},
        {"bias": np.zeros(1), "other": np.zeros(4)},
        {"bias": np.zeros(1), "weights": np.zeros((2, 2))},
        {"bias": np.zeros(1), "weights": np.zeros(4), "more": np.zeros(3, np.int64)},
    ],
    ids=["nan", "too large", "dtype", "length", "name", "shape", "buffer"],
)
def test_a_model_that_was_not_planned_is_refused_before_data_is_loaded(a_round, model):
    loaded = []

    def load(context):
        loaded.append(1)
        return data(2)

    forms, refused = a_round(DistributedDP(**RECORD)).tasks(load=load).play(model=model)
    assert len(loaded) == 1  # at the invitation, before any model came
    assert "mask:1 model: " in refused[0]
    assert not masked(forms)


def test_a_refused_model_costs_nothing(a_round):
    played = a_round(DistributedDP(**RECORD)).tasks()
    played.play(model=OVERFLOWS)
    spent = veil.dp.Ledger.open(played.folder / "2.ledger").spent()
    assert spent.releases == 0


# --- every error path that a patient's row can reach ---------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fragile(LogisticRegression):
    """Fails, in the way that `kind` says, on a batch with the marked patient in it."""

    kind: str

    def record_gradients(self, params, x, y):
        each = LogisticRegression.record_gradients(self, params, x, y)
        marked = x[:, 0] == MARK
        return each if not marked.any() else FAULTS[self.kind](each, marked)

    def evaluate(self, params, site):
        if self.kind == "score" and (site.x_test[:, 0] == MARK).any():
            raise ZeroDivisionError("patient 17")
        return LogisticRegression.evaluate(self, params, site)


def raising(error):
    def fault(each, marked):
        raise error

    return fault


def filled(value):
    return lambda each, marked: np.where(marked[:, None], value, each)


FAULTS = {
    "raises": raising(ValueError("patient 17")),
    "raises ours": raising(PolicyRefused("patient 17 is here")),
    "out of memory": raising(MemoryError()),
    "exits": raising(SystemExit(3)),
    "is cancelled": raising(asyncio.CancelledError("patient 17")),
    "nan": filled(np.nan),
    "infinite": filled(-np.inf),
    "square overflows": filled(1e300),
    "drops the row": lambda each, marked: each[~marked],
    "another length": lambda each, marked: each[:, :3],
    "integers": lambda each, marked: each.astype(np.int64),
    "underflows": filled(1e-200),
    "a masked array": lambda each, marked: np.ma.array(
        np.where(marked[:, None], 1e6, each), mask=np.repeat(marked[:, None], each.shape[1], 1)
    ),
    "a list": lambda each, marked: each.tolist(),
    "nothing": lambda each, marked: None,
    "score": lambda each, marked: each,
}


@pytest.mark.parametrize("dp", [DistributedDP(**RECORD), CENTRAL], ids=["distributed", "central"])
@pytest.mark.parametrize("kind", sorted(set(FAULTS) - {"underflows"}))
def test_a_patient_on_whom_the_task_fails_changes_nothing_of_the_answer(a_round, dp, kind, caplog):
    task = Fragile(features=4, learning_rate=0.5, epochs=1, batch_size=None, kind=kind)
    with caplog.at_level(logging.WARNING, "veil"):
        forms, refused = a_round(dp).tasks(task, offending=True).play()
    told = caplog.text
    caplog.clear()
    others, _ = a_round(dp).tasks(task).play()
    assert forms == others
    assert masked(forms)
    assert not refused
    expected = "could not be scored" if kind == "score" else "1 of 40 patients drawn count as zero"
    assert expected in told
    assert expected not in caplog.text


HARMLESS = {  # they cost no answer before
    "score", "square overflows", "integers", "drops the row", "a masked array", "underflows"
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(set(FAULTS) - HARMLESS - {"exits", "is cancelled"}))
def test_each_of_these_faults_would_show_without_isolation(a_round, kind, monkeypatch):
    monkeypatch.setattr(sampled, "isolated_sum", as_before)
    task = Fragile(features=4, learning_rate=0.5, epochs=1, batch_size=None, kind=kind)
    dp = DistributedDP(**RECORD)
    forms, refused = a_round(dp).tasks(task, offending=True).play()
    others, refused_too = a_round(dp).tasks(task).play()
    assert forms != others
    assert len(refused) == 1
    assert not refused_too


@pytest.mark.parametrize(
    "later",
    [
        raising(OSError("the file is gone")),
        raising(SystemExit(1)),
        raising(asyncio.CancelledError()),
        raising(PolicyRefused("patient 17 is here")),
        lambda *_: None,
        lambda *_: data(2, patients=np.zeros(40, np.int64)),
    ],
    ids=["raises", "exits", "is cancelled", "raises ours", "nothing", "several rows of a patient"],
)
@pytest.mark.parametrize("dp", [DistributedDP(**RECORD), CENTRAL], ids=["distributed", "central"])
def test_data_that_fail_after_the_invitation_change_nothing_of_the_answer(
    a_round, dp, later, caplog
):
    loads = []

    def load(context):
        loads.append(1)
        return data(2) if len(loads) == 1 else later(None, None)

    with caplog.at_level(logging.ERROR, "veil"):
        forms, refused = a_round(dp).tasks(load=load).play()
    others, _ = a_round(dp).tasks().play()
    assert len(loads) == 2
    assert forms == others
    assert masked(forms)
    assert not refused
    assert "sends what it would send without any" in caplog.text


@pytest.mark.parametrize("dp", [DistributedDP(**RECORD), CENTRAL], ids=["distributed", "central"])
def test_a_gradient_that_underflows_changes_nothing_where_numpy_is_asked_to_raise(a_round, dp):
    task = Fragile(features=4, learning_rate=0.5, epochs=1, batch_size=None, kind="underflows")
    with np.errstate(all="raise"):  # as an app may set it for its whole process
        forms, refused = a_round(dp).tasks(task, offending=True).play()
        others, _ = a_round(dp).tasks(task).play()
    assert forms == others
    assert masked(forms)
    assert not refused


def test_a_gradient_that_underflows_shows_if_its_norm_is_taken_as_numpy_is_asked(
    a_round, monkeypatch
):
    def as_asked(task, params, work, rows, starts, *, clip):
        each = task.record_gradients(params, work.site.x[rows], work.site.y[rows])
        norms = np.sqrt(np.square(each).sum(axis=1, keepdims=True))
        return PartialSum((each * np.minimum(1, clip / norms)).sum(axis=0), 0, None)

    monkeypatch.setattr(sampled, "isolated_sum", as_asked)
    task = Fragile(features=4, learning_rate=0.5, epochs=1, batch_size=None, kind="underflows")
    dp = DistributedDP(**RECORD)
    with np.errstate(all="raise"):
        _, refused = a_round(dp).tasks(task, offending=True).play()
        _, refused_too = a_round(dp).tasks(task).play()
    assert len(refused) == 1
    assert not refused_too


def test_nobody_drawn_and_all_drawn_look_the_same(a_round):
    none = DistributedDP(**(RECORD | {"sampling_probability": 1e-9}))
    everybody, _ = a_round(DistributedDP(**RECORD)).tasks().play()
    nobody, _ = a_round(none).tasks().play()
    # The codecs differ with q, so the widths do; the rest of the form does not.
    assert [set(seen["arrays"]) for seen in nobody] == [set(seen["arrays"]) for seen in everybody]
    assert [seen["head"] for seen in nobody] == [seen["head"] for seen in everybody]


def test_a_patient_with_many_rows_changes_nothing_of_the_answer(a_round):
    dp = DistributedDP(**(RECORD | {"unit": "patient", "max_rows_per_patient": 2}))
    found = []
    for patients in (np.arange(40), np.minimum(np.arange(40), 3)):
        site = data(2, patients=patients)
        played = a_round(dp)
        for i in range(4):
            own = site if i == 2 else data(i, patients=np.arange(100 * i, 100 * i + 40))
            played._node(i, task_app(TASK, lambda _, own=own: own, **played.shared))
        found.append(played.play())
    assert found[0] == found[1]
    assert masked(found[0][0])


# --- the site as the unit ------------------------------------------------------------------------


class Spoilt(LogisticRegression):
    """Training that fails at the victim's site."""

    __slots__ = ()

    def local_update(self, params, site, *, correction, rng):
        if (site.x[:, 0] == MARK).any():
            raise FloatingPointError("patient 17")
        return LogisticRegression.local_update(self, params, site, correction=correction, rng=rng)


def test_a_task_that_fails_at_a_site_changes_nothing_of_its_answer(a_round, caplog):
    task = Spoilt(features=4, learning_rate=0.5, epochs=1, batch_size=None)
    dp = DistributedDP(**OF_SITES)
    with caplog.at_level(logging.ERROR, "veil"):
        forms, refused = a_round(dp).tasks(task, offending=True).play()
    others, _ = a_round(dp).tasks(task).play()
    assert forms == others
    assert masked(forms)
    assert not refused
    assert "it counts as zero" in caplog.text


def changed(params, value):
    return {n: np.full_like(a, value) if a.dtype.kind == "f" else a for n, a in params.items()}


def exits(site, params):
    raise SystemExit("patient 17")


def is_cancelled(site, params):
    raise asyncio.CancelledError("patient 17")


DRIFTS = {
    "raises": lambda site, params: 1 / 0,
    "nan": lambda site, params: changed(params, np.nan),
    "infinite": lambda site, params: changed(params, np.inf),
    "renamed": lambda site, params: {"x" + n: a for n, a in params.items()},
    "one missing": lambda site, params: {n: a for n, a in params.items() if n != "bias"},
    "reshaped": lambda site, params: {n: a.reshape(-1) for n, a in params.items()},
    "other dtype": lambda site, params: {n: a.astype(np.float64) for n, a in params.items()},
    "empty": lambda site, params: {},
}


def raises_ours(site, params):
    raise PolicyRefused("patient 17 is here")


def test_a_change_that_underflows_changes_nothing_where_numpy_is_asked_to_raise(a_round):
    def tiny(site, params):
        return {n: np.full_like(a, 1e-200) if a.dtype.kind == "f" else a for n, a in params.items()}

    dp = DistributedDP(**(OF_SITES | {"size": 5}))
    start = {n: np.zeros_like(a) for n, a in START.items()}
    with np.errstate(all="raise"):
        forms, refused = a_round(dp).apps(tiny).play(params=start)
    others, _ = a_round(dp).apps(drifted).play(params=start)
    assert forms == others
    assert masked(forms)
    assert not refused


@pytest.mark.parametrize(
    "drift",
    [*DRIFTS.values(), raises_ours, exits, is_cancelled],
    ids=[*DRIFTS, "raises ours", "exits", "is cancelled"],
)
def test_an_app_that_fails_at_a_site_changes_nothing_of_its_answer(a_round, drift, caplog):
    dp = DistributedDP(**(OF_SITES | {"size": 15}))
    with caplog.at_level(logging.ERROR, "veil"), np.errstate(all="ignore"):
        forms, refused = a_round(dp).apps(drift).play(params=MODEL)
    others, _ = a_round(dp).apps(drifted).play(params=MODEL)
    assert forms == others
    assert masked(forms)
    assert not refused
    assert "it counts as zero" in caplog.text


def training_as_before(self, strategy, work):
    """What a site did without isolation: whatever its training raises costs it its answer."""
    change = strategy.train(work).vector
    if not np.isfinite(change).all():
        raise DataError("the model's change is not finite")
    return np.zeros(self.length, np.int64), {}


@pytest.mark.parametrize("drift", [*DRIFTS.values(), raises_ours], ids=[*DRIFTS, "raises ours"])
def test_each_of_these_apps_would_show_without_isolation(a_round, drift, monkeypatch):
    monkeypatch.setattr(DistributedDP, "_of_site", training_as_before)
    dp = DistributedDP(**(OF_SITES | {"size": 15}))
    with np.errstate(all="ignore"):
        forms, refused = a_round(dp).apps(drift).play(params=MODEL)
    others, refused_too = a_round(dp).apps(drifted).play(params=MODEL)
    assert forms != others
    assert len(refused) == 1
    assert not refused_too


def answering(reply):
    """An app whose reply a test makes."""

    def app(i, mods, *, drift, **_):
        made = toy_app(i, mods)
        if drift is drifted:
            return made
        train = made.train_function

        def other(message, context):
            return reply(message, train(message, context))

        again = flwr_client(mods)
        again.train()(other)
        again.train_function = train
        return again

    return app


def flwr_client(mods):
    from flwr.clientapp import ClientApp

    return ClientApp(mods=mods)


def with_metrics(found):
    def reply(message, good):
        good.content["metrics"] = flwr.MetricRecord(found)
        return good

    return reply


def two_models(message, good):
    good.content["again"] = arrays_of(params_of(good.content["arrays"]))
    return good


def extra_record(message, good):
    good.content["note"] = flwr.ConfigRecord({"patient": 17})
    return good


REPLIES = {
    "error": lambda message, good: flwr.Message(flwr.Error(2, "patient 17"), reply_to=message),
    "no records": lambda message, good: flwr.Message(flwr.RecordDict(), reply_to=message),
    "nothing": lambda message, good: None,
    "two models": two_models,
    "an extra record": extra_record,
    "weight is nan": with_metrics({"num-examples": float("nan"), "train_loss": 1.0}),
    "weight is a fraction": with_metrics({"num-examples": 0.5}),
    "no metrics": with_metrics({}),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_an_app_that_replies_oddly_changes_nothing_of_the_answer(a_round, reply):
    dp = DistributedDP(**(OF_SITES | {"size": 15}))
    found = []
    for drift in (None, drifted):
        played = a_round(dp)
        shared = dict(played.shared)
        policy = shared.pop("policy")
        for i in range(4):
            own = drift if 1000 + i == VICTIM else drifted
            played._node(i, answering(reply)(i, [secagg_mod(policy, **shared)], drift=own))
        found.append(played.play(params=MODEL))
    assert found[0] == found[1]
    assert masked(found[0][0])


# --- what may still be refused, and its words ----------------------------------------------------


def test_data_that_do_not_load_are_refused_once_before_any_model_and_without_a_reason(a_round):
    def load(context):
        raise DataError("patient 17 has no haemoglobin")

    played = a_round(DistributedDP(**RECORD)).tasks(load=load)
    forms, _ = played.play()
    assert len(forms) == 1
    (told,) = forms[0]["head"]["refused"]
    assert told == f"advertise:1 {turn._UNFIT}"


def test_a_task_that_returns_no_gradients_is_refused_at_the_invitation(a_round, caplog):
    class Wrong(LogisticRegression):
        __slots__ = ()

        def record_gradients(self, params, x, y):
            return np.zeros((len(x), 2))

    task = Wrong(features=4, learning_rate=0.5, epochs=1, batch_size=None)
    played = a_round(DistributedDP(**RECORD))
    played._node(2, task_app(task, lambda _: data(2), **played.shared))
    for i in (0, 1, 3):
        played._node(i, task_app(TASK, lambda _, i=i: data(i), **played.shared))
    forms, _ = played.play()
    assert len(forms) == 1
    assert "expected an ndarray of float of shape (2, 5)" in caplog.text


@pytest.mark.parametrize("malformed", [PolicyRefused("patient 17"), ValueError("patient 17")])
def test_without_a_mechanism_too_an_app_s_own_words_stay_at_the_site(cohort, malformed):
    def fails(site, params):
        if site == 3:
            raise malformed
        return drifted(site, params)

    c = cohort(drift=fails)
    strategy = c.strategy()
    c.start(strategy)
    assert strategy.refused["site3"] == f"mask:1: {_FAILED}"


def test_metrics_beside_a_mechanism_are_refused_when_the_app_is_made():
    dp = DistributedDP(**OF_SITES)
    with pytest.raises(ValueError, match="metrics: expected none under differential privacy"):
        secagg_mod(None, privacy=dp, metrics={"loss": 1.0}, answer_after=None)
    with pytest.raises(ValueError, match="metrics: expected none"):
        task_app(TASK, None, policy=None, privacy=CENTRAL, metrics={"accuracy": 1.0})
