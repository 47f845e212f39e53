"""The ledger in memory: what it admits, what it refuses, what it reports."""

import copy
import math
import multiprocessing
import pickle
import threading

import pytest

from veil import dp
from veil.errors import BudgetExceeded, LedgerError, UnsupportedEvent

DELTA = 1e-6


def ledger(**settings):
    return dp.Ledger(
        **{
            "epsilon": 1.0,
            "delta": DELTA,
            "unit": "patient",
            "relation": "add-or-remove-one",
            "mode": "adaptive",
            **settings,
        }
    )


def gaussian(sigma, **more):
    return dp.Event.gaussian(sigma=sigma, sensitivity=1.0, **more)


SMALL = gaussian(30.0)
PURE = dp.Event.pure(epsilon=0.05)


# --- adaptive -------------------------------------------------------------------------------------


def test_filter_admits_until_its_budget_and_no_further():
    book = ledger()
    admitted = book.remaining(SMALL)
    assert admitted > 10
    for _ in range(admitted):
        book.charge(SMALL, label="mean age")
    assert book.remaining(SMALL) == 0
    before = book.spent()
    with pytest.raises(BudgetExceeded, match="nothing was released"):
        book.charge(SMALL, label="mean age")
    assert book.spent() == before
    assert before.epsilon <= 1.0
    assert before.releases == admitted


def test_filter_figure_is_a_valid_renyi_conversion():
    book = ledger()
    book.charge(SMALL, count=5, label="a")
    order = book.settings.order
    divergence = 5 * order / (2 * 30.0**2)
    delta = 0.99 * DELTA
    # Mironov 2017, Proposition 3: weaker than the conversion used, so above it.
    assert book.spent().epsilon <= divergence + math.log(1 / delta) / (order - 1)
    assert book.spent().epsilon >= dp.epsilon(
        gaussian(30.0, count=5), delta=DELTA, relation="zero-out"
    )


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 1.0, 8.0])
def test_what_the_filter_admits_spends_no_more_than_the_budget(epsilon):
    book = ledger(epsilon=epsilon)
    event = gaussian(10.0 / epsilon)
    book.charge(event, count=book.remaining(event), label="all")
    assert 0.5 * epsilon < book.epsilon_if_fixed() <= book.spent().epsilon <= epsilon


def test_order_is_fixed_when_the_ledger_opens():
    book = ledger()
    order = book.settings.order
    book.charge(PURE, label="a")
    assert book.settings.order == order
    assert ledger(order=30.0).settings.order == 30.0


def test_labels_are_reported_apart():
    book = ledger()
    book.charge(SMALL, label="age")
    book.charge(PURE, count=2, label="sex")
    rows = {label: (epsilon, runs) for label, epsilon, runs in book.spent().by_label}
    assert rows["age"][1] == 1
    assert rows["sex"][1] == 2
    assert all(0 < epsilon < book.spent().epsilon for epsilon, _ in rows.values())


def test_unit_relation_and_mode_are_stated():
    spent = ledger(unit="visit", relation="replace-one").spent()
    assert (spent.unit, spent.relation, spent.mode) == ("visit", "replace-one", "adaptive")
    assert spent.epsilon == 0.0
    assert dp.Spent.from_dict(spent.to_dict()) == spent


def test_slack_has_a_budget_of_its_own():
    book = ledger()
    most = DELTA * 0.01 / (1 + math.e)
    book.charge(SMALL, slack=most / 2, label="a")
    with pytest.raises(BudgetExceeded, match="slack"):
        book.charge(SMALL, slack=most, label="a")
    assert book.spent().slack == most / 2


def test_failure_probabilities_need_delta_set_aside():
    with pytest.raises(BudgetExceeded, match="additive_delta="):
        ledger().charge(PURE, label="bins", additive_delta=1e-8)
    book = ledger(additive_delta=5e-7)
    book.charge(PURE, label="bins", additive_delta=4e-7)
    with pytest.raises(BudgetExceeded, match="set aside"):
        book.charge(PURE, label="bins", additive_delta=4e-7)
    assert book.remaining(SMALL) < ledger().remaining(SMALL)


def test_event_that_the_relation_has_no_divergence_for_is_refused():
    book = ledger(relation="replace-one")
    with pytest.raises(UnsupportedEvent, match="planned"):
        book.charge(gaussian(2.0, sampling_probability=0.5, clip=0.5), label="a")
    assert book.spent().releases == 0


def test_unreachable_budget_is_refused_when_the_ledger_opens():
    with pytest.raises(ValueError, match="no Renyi filter"):
        ledger(epsilon=1e-3, order=2.0)


# --- reservations ---------------------------------------------------------------------------------

STEP = gaussian(3.0, sampling_probability=0.01)


def test_reservation_is_spent_at_once_and_drawn_without_further_cost():
    book = ledger()
    with book.reserve(STEP.repeat(200), label="training"):
        spent = book.spent()
        for _ in range(200):
            book.charge(STEP, label="training")
        assert book.spent().epsilon == spent.epsilon
        assert book.spent().releases == 200
    book.charge(STEP, label="training")  # the reservation is drawn: this one costs
    assert book.spent().epsilon > spent.epsilon


def test_undrawn_steps_are_given_back_only_when_asked():
    book = ledger()
    with book.reserve(STEP.repeat(200), label="training") as plan:
        book.charge(STEP, count=50, label="training")
    full = book.spent().epsilon
    plan.give_back()
    plan.give_back()
    other = ledger()
    other.charge(STEP, count=50, label="training")
    assert book.spent().epsilon == pytest.approx(other.spent().epsilon, rel=1e-12)
    assert book.spent().epsilon < full
    assert book.spent().by_label == other.spent().by_label


def test_reservation_covers_its_own_label_and_event_alone():
    book = ledger()
    book.reserve(STEP.repeat(10), label="training")
    spent = book.spent().epsilon
    book.charge(STEP, label="another")
    assert book.spent().epsilon > spent


def test_reservation_beyond_the_budget_is_refused():
    book = ledger()
    with pytest.raises(BudgetExceeded):
        book.reserve(gaussian(0.5), label="training")
    assert book.spent().epsilon == 0.0


@pytest.mark.parametrize(
    ("plan", "label", "error", "message"),
    [
        (SMALL, None, ValueError, "label: expected"),
        ([], None, ValueError, "plan: expected at least one"),
        ([SMALL], None, TypeError, "plan: expected veil.dp.Charge"),
    ],
)
def test_wrong_plans_are_refused(plan, label, error, message):
    with pytest.raises(error, match=message):
        ledger().reserve(plan, label=label)


# --- planned --------------------------------------------------------------------------------------

PLAN = [dp.Charge("age", gaussian(6.0)), dp.Charge("sex", dp.Event.pure(epsilon=0.2).repeat(2))]


def test_planned_ledger_answers_its_plan_once():
    book = ledger(mode="planned", epsilon=1.5)
    book.reserve(PLAN)
    assert book.remaining(PURE) == 0
    assert book.remaining(dp.Event.pure(epsilon=0.2)) == 2
    book.charge(gaussian(6.0), label="age")
    book.charge(dp.Event.pure(epsilon=0.2), label="sex")
    book.charge(dp.Event.pure(epsilon=0.2), label="sex")
    for event, label in [(gaussian(6.0), "age"), (dp.Event.pure(epsilon=0.2), "sex")]:
        with pytest.raises(BudgetExceeded, match="not in the plan"):
            book.charge(event, label=label)


def test_planned_epsilon_is_pld_of_the_whole_plan():
    book = ledger(mode="planned", epsilon=1.5)
    book.reserve(PLAN)
    expected = dp.epsilon([c.event for c in PLAN], delta=DELTA, relation="add-or-remove-one")
    assert book.spent().epsilon == expected == book.epsilon_if_fixed()
    # An adaptive ledger of the same budget refuses the same list.
    other = ledger(epsilon=expected)
    with pytest.raises(BudgetExceeded):
        other.reserve(PLAN)


def test_planned_ledger_refuses_everything_before_its_plan():
    with pytest.raises(BudgetExceeded, match="not in the plan"):
        ledger(mode="planned").charge(PURE, label="a")


def test_plan_beyond_the_budget_is_refused():
    book = ledger(mode="planned", epsilon=0.3)
    with pytest.raises(BudgetExceeded, match="spends epsilon"):
        book.reserve(PLAN)
    assert book.spent().epsilon == 0.0


def test_plan_cannot_be_extended_or_given_back():
    book = ledger(mode="planned", epsilon=1.5)
    plan = book.reserve(PLAN)
    with pytest.raises(BudgetExceeded, match="has its plan already"):
        book.reserve(PLAN[:1])
    with pytest.raises(LedgerError, match="gives nothing back"):
        plan.give_back()


def test_plan_that_no_one_accountant_supports_is_refused():
    mixed = [
        dp.Charge("a", dp.Event.discrete_gaussian(sigma=2.0, sensitivity=1.0)),
        dp.Charge("b", gaussian(2.0, sampling_probability=0.5, clip=0.5)),
    ]
    book = ledger(mode="planned", epsilon=50.0, relation="replace-one")
    with pytest.raises(UnsupportedEvent) as refused:
        book.reserve(mixed)
    for said in (
        "no accountant supports these events together under replace-one",
        "pld knows no discrete-gaussian event",
        "rdp knows no sampled gaussian event",
        "ledgers of their own",
        "add-or-remove-one",
    ):
        assert said in str(refused.value)
    # Nothing was charged, so that no mechanism drew noise; each kind alone is in reach.
    assert book.spent().releases == 0
    book.reserve(mixed[1:])


# --- wrong use ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epsilon", 0.0),
        ("epsilon", math.inf),
        ("epsilon", math.nan),
        ("delta", 0.0),
        ("delta", 1.0),
        ("unit", ""),
        ("relation", "swap"),
        ("mode", "online"),
        ("additive_delta", 1e-6),
        ("order", 1.0),
    ],
)
def test_wrong_settings_name_the_argument(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        ledger(**{name: value})


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"event": "gaussian"}, TypeError),
        ({"count": 0}, ValueError),
        ({"count": 1.5}, TypeError),
        ({"slack": -1.0}, ValueError),
        ({"slack": math.nan}, ValueError),
        ({"label": ""}, ValueError),
        ({"additive_delta": 1.0}, ValueError),
    ],
)
def test_wrong_charges_are_refused_and_cost_nothing(arguments, error):
    book = ledger()
    good = {"event": SMALL, "label": "a"}
    with pytest.raises(error, match=next(iter(arguments))):
        book.charge(**{**good, **arguments})
    assert book.spent().releases == 0


def _charge_in_child(book, queue):
    try:
        book.charge(SMALL, label="a")
    except LedgerError as error:
        queue.put(str(error))


def test_memory_ledger_is_neither_copied_nor_pickled_nor_forked():
    book = ledger()
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="whole budget"):
            duplicate(book)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_charge_in_child, args=(book, queue))
    child.start()
    assert "does not cross processes" in queue.get(timeout=30)
    child.join()


def test_threads_share_one_budget():
    book = ledger()
    most = book.remaining(SMALL)
    admitted = []

    def work():
        for _ in range(most):
            try:
                book.charge(SMALL, label="a")
            except BudgetExceeded:
                return
            admitted.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == most == book.spent().releases


def test_repr_states_the_budget():
    assert repr(ledger()) == (
        "Ledger(epsilon=1, delta=1e-06, unit='patient', relation='add-or-remove-one', "
        "mode='adaptive')"
    )
