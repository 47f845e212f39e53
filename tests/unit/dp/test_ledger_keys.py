"""Keys of a ledger: a plan is reserved once, a release charged once, whoever asks again."""

import json
import os

import pytest

from veil import dp
from veil.errors import BudgetExceeded, LedgerError

EVENT = dp.Event.gaussian(sigma=100.0, sensitivity=1.0)
SETTINGS = {
    "epsilon": 1.0,
    "delta": 1e-6,
    "unit": "patient",
    "relation": "add-or-remove-one",
    "mode": "adaptive",
}
PLAN = dp.Charge("rounds", EVENT.repeat(3))
ONE = PLAN.of(1)


def opened(path=None, **settings):
    return dp.Ledger(**{**SETTINGS, **settings}, path=path)


def reserved(ledger):
    return sum(runs for _, _, runs in ledger.spent().by_label)


@pytest.mark.parametrize("mode", ["adaptive", "planned"])
def test_a_plan_is_reserved_once_under_its_key(tmp_path, mode):
    path = tmp_path / "l"
    first = opened(path, mode=mode)
    first.reserve(PLAN, key="study")
    first.reserve(PLAN, key="study")
    again = dp.Ledger.open(path)
    again.reserve(PLAN, key="study")
    assert reserved(first) == reserved(again) == 3
    assert again.spent() == first.spent()


def test_another_key_reserves_anew_and_no_key_always_does():
    ledger = opened()
    ledger.reserve(PLAN, key="a")
    ledger.reserve(PLAN, key="b")
    ledger.reserve(PLAN)
    ledger.reserve(PLAN)
    assert reserved(ledger) == 12


def test_another_plan_under_a_key_is_refused():
    ledger = opened()
    ledger.reserve(PLAN, key="a")
    with pytest.raises(LedgerError, match="another plan was reserved under it"):
        ledger.reserve(PLAN.of(4), key="a")
    assert reserved(ledger) == 3


def test_a_release_is_charged_once_under_its_key_in_every_process(tmp_path):
    path = tmp_path / "l"
    plan = opened(path).reserve(PLAN, key="study")
    assert plan.draw(ONE, key="s1")
    assert not plan.draw(ONE, key="s1")
    again = dp.Ledger.open(path).reserve(PLAN, key="study")
    assert not again.draw(ONE, key="s1")
    assert again.left(ONE) == plan.left(ONE) == 2
    assert dp.Ledger.open(path).spent().releases == 1


def test_a_reservation_that_is_drawn_refuses_and_takes_nothing_from_the_rest_of_the_budget():
    ledger = opened()
    plan = ledger.reserve(PLAN, key="study")
    for i in range(3):
        assert plan.draw(ONE, key=f"s{i}")
    assert ledger.remaining(EVENT) > 0
    before = ledger.spent()
    with pytest.raises(BudgetExceeded, match="all runs that were reserved for it are drawn"):
        plan.draw(ONE, key="s3")
    assert not plan.draw(ONE, key="s0")
    assert ledger.spent() == before
    assert plan.left(ONE) == 0


def test_what_was_given_back_cannot_be_drawn_or_reserved_again_under_the_key():
    ledger = opened()
    plan = ledger.reserve(PLAN, key="study")
    plan.draw(ONE, key="s0")
    plan.give_back()
    again = ledger.reserve(PLAN, key="study")
    assert again.left(ONE) == 0
    with pytest.raises(BudgetExceeded):
        again.draw(ONE, key="s1")
    assert reserved(ledger) == 1


def test_a_key_that_was_charged_for_something_else_is_refused():
    ledger = opened()
    plan = ledger.reserve([PLAN, dp.Charge("other", EVENT.repeat(2))], key="study")
    plan.draw(ONE, key="s0")
    with pytest.raises(LedgerError, match="charged for something else"):
        plan.draw(dp.Charge("other", EVENT), key="s0")
    with pytest.raises(LedgerError, match="charged for something else"):
        ledger.reserve(PLAN, key="second").draw(ONE, key="s0")


@pytest.mark.parametrize("key", ["", "k" * 201, 7, None, b"k"])
def test_a_key_is_a_short_string(key):
    plan = opened().reserve(PLAN, key="study")
    with pytest.raises(ValueError, match="key: expected a string of 1 to 200"):
        plan.draw(ONE, key=key)
    if key is not None:
        with pytest.raises(ValueError, match="key: expected"):
            opened().reserve(PLAN, key=key)


def test_a_draw_that_was_torn_while_it_was_written_counts_for_nothing(tmp_path):
    path = tmp_path / "l"
    plan = opened(path).reserve(PLAN, key="study")
    whole = path.read_bytes()
    plan.draw(ONE, key="s0")
    data = path.read_bytes()
    for size in range(len(whole), len(data)):
        path.write_bytes(data[:size])
        again = dp.Ledger.open(path).reserve(PLAN, key="study")
        assert again.left(ONE) == 3
        assert again.draw(ONE, key="s0")
        assert not again.draw(ONE, key="s0")


def test_keys_stand_in_the_chain(tmp_path):
    path = tmp_path / "l"
    opened(path).reserve(PLAN, key="study").draw(ONE, key="s0")
    bodies = [json.loads(line)["body"] for line in path.read_text().splitlines()]
    assert [body.get("key") for body in bodies] == [None, "study", "s0"]
    path.write_bytes(path.read_bytes().replace(b'"s0"', b'"s1"'))
    with pytest.raises(LedgerError, match="hash chain"):
        dp.Ledger.open(path)


def in_children(work, count):
    """Run `work` in so many processes at once; return what each wrote."""
    pipes, children = [], []
    for number in range(count):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(writer, str(work(number)).encode())
            finally:
                os._exit(0)
        os.close(writer)
        children.append(child)
        pipes.append(os.fdopen(reader))
    for child in children:
        os.waitpid(child, 0)
    return [pipe.read() for pipe in pipes]


def test_processes_that_race_reserve_once_and_draw_no_more_than_that(tmp_path):
    path = tmp_path / "l"
    opened(path).remaining(EVENT)  # the accountants are imported before the first fork
    plan = PLAN.of(20)

    def work(number):
        own = dp.Ledger.open(path).reserve(plan, key="study")
        done = 0
        for i in range(20):
            try:
                done += own.draw(ONE, key=f"{number}-{i}")
            except BudgetExceeded:
                break
        return done

    done = in_children(work, 4)
    assert sum(map(int, done)) == 20
    assert reserved(dp.Ledger.open(path)) == 20


def test_processes_that_race_for_one_key_charge_it_once(tmp_path):
    path = tmp_path / "l"
    opened(path).reserve(PLAN, key="study")

    def work(number):
        return int(dp.Ledger.open(path).reserve(PLAN, key="study").draw(ONE, key="s0"))

    assert sorted(in_children(work, 4)) == ["0", "0", "0", "1"]


# --- whose ledger it is ---------------------------------------------------------------------------


def test_a_population_is_fixed_when_the_ledger_opens(tmp_path):
    path = tmp_path / "l"
    opened(path, population="north")
    assert dp.Ledger.open(path).settings.population == "north"
    opened(path, population="north")
    with pytest.raises(LedgerError, match="of other settings"):
        opened(path, population="south")
    with pytest.raises(LedgerError, match="of other settings"):
        opened(path)
    with pytest.raises(ValueError, match="population: expected a name or None"):
        opened(population="")


def test_a_file_of_a_version_before_populations_and_keys_still_opens(tmp_path):
    from veil.dp._journal import _NO_HASH, _line

    body = {
        "type": "open", "format": 1, "time": "2025-01-01T00:00:00.000+00:00", "epsilon": 1.0,
        "delta": 1e-6, "unit": "patient", "relation": "add-or-remove-one", "mode": "adaptive",
        "additive_delta": 0.0, "order": 32.0,
    }  # fmt: skip
    path = tmp_path / "l"
    line, head = _line(body, _NO_HASH)
    item = PLAN.to_dict()
    path.write_bytes(line + _line({"type": "reserve", "items": [item]}, head)[0])
    ledger = dp.Ledger.open(path)
    assert ledger.settings.population is None
    assert ledger.undrawn(PLAN) == 3
    del body["order"]
    path.write_bytes(_line(body, _NO_HASH)[0])
    with pytest.raises(LedgerError, match="cannot be read"):
        dp.Ledger.open(path)
