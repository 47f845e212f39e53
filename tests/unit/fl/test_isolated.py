"""What one patient breaks stays with that patient: sums, rows that count, and the model's check."""

import dataclasses
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veil.dp._columns import kept_rows
from veil.errors import DataError
from veil.fl import CentralDP, DistributedDP, FedAvg, LogisticRegression, Site, SiteRound, simulate
from veil.fl.layout import Layout
from veil.fl.privacy import sampled
from veil.fl.privacy.clipping import clipped_sum, first_rows, sample_units
from veil.fl.privacy.intake import check_model, largest_value
from veil.random import SecureGenerator

MARK = 9.0
VECTOR = np.array([0.1, 2.0, -1.0, 0.5])
TASK = LogisticRegression(features=3, learning_rate=0.5, epochs=1, batch_size=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fragile(LogisticRegression):
    """Fails on marked rows as `fault` says, and counts its calls."""

    fault: object
    calls: list = dataclasses.field(default_factory=list)

    def record_gradients(self, params, x, y):
        self.calls.append(len(x))
        each = LogisticRegression.record_gradients(self, params, x, y)
        marked = x[:, 0] == MARK
        return self.fault(each, marked, params) if marked.any() else each


def raises(each, marked, params):
    raise ZeroDivisionError("a patient's value")


def raises_and_spoils_the_model(each, marked, params):
    params["weights"][:] = 1e6
    raise ValueError


FAULTS = {
    "raises": raises,
    "spoils": raises_and_spoils_the_model,
    "nan": lambda each, marked, _: np.where(marked[:, None], np.nan, each),
    "inf": lambda each, marked, _: np.where(marked[:, None], [np.inf, -np.inf, 0, 0], each),
    "huge": lambda each, marked, _: np.where(marked[:, None], 1e200, each),
    "shape": lambda each, marked, _: each[~marked],
    "dtype": lambda each, marked, _: each.astype(int),
    "none": lambda each, marked, _: None,
    "masked": lambda each, marked, _: np.ma.array(
        np.where(marked[:, None], 1e6, each), mask=np.repeat(marked[:, None], 4, axis=1)
    ),
}


def fragile(fault):
    return Fragile(features=3, learning_rate=0.5, epochs=1, batch_size=None, fault=fault)


def marked(site, rows, patients=None):
    x = site.x.copy()
    x[rows, 0] = MARK
    return dataclasses.replace(site, x=x, patients=patients)


def without(site, rows):
    kept = np.setdiff1d(np.arange(site.n_train), rows)
    patients = None if site.patients is None else site.patients[kept]
    return dataclasses.replace(site, x=site.x[kept], y=site.y[kept], patients=patients)


def mechanism(**changes):
    settings = {
        "noise_multiplier": 4.0, "max_grad_norm": 0.3, "sampling_probability": 1.0,
        "population": 125, "rounds": 20, "unit": "record",
    }  # fmt: skip
    return CentralDP(**(settings | changes))


def total(site, task, stream, dp=None):
    work = SiteRound(task, site, Layout.of(TASK.init(None)), VECTOR, {}, {}, {}, stream("x"))
    return (dp or mechanism()).contribute(FedAvg(), work).vector


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("bad", [[3], [0, 1], [39], [0, 7, 8, 21, 39]])
@pytest.mark.parametrize("rows_at_once", [1, 3, 1000])
def test_all_other_patients_count_as_if_the_failing_ones_were_away(
    site, stream, monkeypatch, fault, bad, rows_at_once
):
    monkeypatch.setattr(sampled, "_CHUNK_BYTES", rows_at_once * 8 * 4)
    which = marked(site, bad)
    found = total(which, fragile(fault), stream)
    expected = total(without(which, bad), TASK, stream)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_failing_row_costs_its_patient_and_nobody_else(site, stream, fault):
    patients = np.arange(40) // 4
    which = marked(site, [5], patients)
    dp = mechanism(unit="patient", max_rows_per_patient=4)
    found = total(which, fragile(fault), stream, dp)
    expected = total(without(which, [4, 5, 6, 7]), TASK, stream, dp)
    if fault is not FAULTS["huge"]:  # whose sum is finite and is clipped like any other
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert np.linalg.norm(found - expected) <= 0.3


def test_one_patient_who_fails_moves_the_sum_by_at_most_the_norm_and_not_by_all_others(
    site, stream
):
    which = marked(site, [5])
    with_patient, without_them = (
        total(s, fragile(raises), stream) for s in (which, without(which, [5]))
    )
    assert np.linalg.norm(with_patient) > 3 * 0.3  # what counting the site as zero would move
    assert np.linalg.norm(with_patient - without_them) <= 0.3


def test_sums_of_a_patient_s_rows_that_overflow_count_as_zero(site, stream):
    patients = np.arange(40) // 4

    class Huge(LogisticRegression):
        __slots__ = ()

        def record_gradients(self, params, x, y):
            each = LogisticRegression.record_gradients(self, params, x, y)
            each[x[:, 0] == MARK] = 1.7e308
            return each

    task = Huge(features=3, learning_rate=0.5, epochs=1, batch_size=None)
    which = marked(site, [4, 5], patients)
    dp = mechanism(unit="patient", max_rows_per_patient=4)
    found = total(which, task, stream, dp)
    expected = total(without(which, [4, 5, 6, 7]), TASK, stream, dp)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_task_that_reuses_its_memory_is_summed_right(site, stream):
    memory = np.empty((40, 4))

    class Reusing(LogisticRegression):
        __slots__ = ()

        def record_gradients(self, params, x, y):
            if (x[:, 0] == MARK).any():
                raise ValueError
            memory[: len(x)] = LogisticRegression.record_gradients(self, params, x, y)
            return memory[: len(x)]

    task = Reusing(features=3, learning_rate=0.5, epochs=1, batch_size=None)
    which = marked(site, [11])
    expected = total(without(which, [11]), TASK, stream)
    np.testing.assert_allclose(total(which, task, stream), expected, rtol=1e-12)


def test_patients_are_found_in_few_calls(site, stream):
    one, all_of_them = fragile(raises), fragile(raises)
    total(marked(site, [3]), one, stream)
    total(marked(site, np.arange(40)), all_of_them, stream)
    assert len(one.calls) <= 1 + 2 * 6
    assert len(all_of_them.calls) == 2 * 40 - 1


def test_how_many_count_as_zero_is_in_the_log_and_no_patient_s_value_is_in_an_error(
    site, stream, caplog
):
    with caplog.at_level(logging.WARNING, "veil.fl"):
        total(marked(site, [3, 8]), fragile(raises), stream)
        total(marked(site, [3]), fragile(FAULTS["nan"]), stream)
    assert [r.getMessage().split(":")[1].split(" count")[0] for r in caplog.records] == [
        " 2 of 40 patients drawn",
        " 1 of 40 patients drawn",
    ]


def test_a_whole_run_goes_through_with_a_patient_whose_gradient_is_not_finite(sites):
    from veil.dp import Ledger

    broken = [marked(sites[0], [2]), *sites[1:]]
    ledger = Ledger(
        epsilon=30.0, delta=1e-6, unit="record", relation="add-or-remove-one", mode="adaptive"
    )
    run = simulate(
        fragile(FAULTS["nan"]), broken, FedAvg(), rounds=2, seed=0, privacy=mechanism(),
        ledger=ledger,
    )  # fmt: skip
    assert all(np.isfinite(a).all() for a in run.params.values())


def test_a_norm_that_is_not_finite_is_left_out_and_counted():
    rows = np.array([[3.0, 4.0], [np.nan, 0.0], [np.inf, 1.0], [1e200, 1e200], [0.0, 0.0]])
    summed, left_out = clipped_sum(rows, 1.0)
    np.testing.assert_allclose(summed, [0.6, 0.8], rtol=2e-4)
    assert left_out == 3


# --- what is checked before data -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["raises", "none", "shape", "dtype"])
def test_a_task_is_tried_on_rows_of_zeros_before_any_patient_s(sites, kind):
    class Always(LogisticRegression):
        __slots__ = ()

        def record_gradients(self, params, x, y):
            assert not x.any()
            each = LogisticRegression.record_gradients(self, params, x, y)
            return FAULTS[kind](each, np.array([True, False]), params)

    task = Always(features=3, learning_rate=0.5, epochs=1, batch_size=None)
    from veil.fl import PlainSum

    with pytest.raises((TypeError, DataError), match="task: record_gradients"):
        mechanism().check(task, FedAvg(), PlainSum(), sites, rounds=1)


WIDE = Layout.of({"w": np.zeros(4)})
NARROW = Layout.of({"w": np.zeros(4, np.float32)})
MIXED = Layout.of({"a": np.zeros(2), "b": np.zeros(2, np.float32)})


@pytest.mark.parametrize(
    ("layout", "value"),
    [(WIDE, 2.0**500), (NARROW, 2.0**60), (MIXED, 2.0**60), (WIDE, -(2.0**500))],
)
def test_a_model_up_to_the_bound_is_taken_and_its_products_stay_finite(layout, value):
    vector = np.full(4, value, layout.dtype)
    check_model(layout, vector)
    narrowest = np.float64 if layout is WIDE else np.float32
    features = np.full(4, largest_value(layout), narrowest)
    assert np.isfinite(np.dot(vector.astype(narrowest), features))


@pytest.mark.parametrize(
    "bad", [np.nan, np.inf, -np.inf, 2.0**501, -(2.0**501)], ids=["nan", "inf", "-inf", "+", "-"]
)
@pytest.mark.parametrize("at", [0, 3])
def test_a_model_beyond_it_is_refused(bad, at):
    vector = np.array([1.0, -2.0, 0.0, 3.0])
    vector[at] = bad
    with pytest.raises(DataError, match="no data was touched"):
        check_model(WIDE, vector)


def test_a_model_of_another_dtype_or_length_is_refused():
    for vector in (np.zeros(4, np.float32), np.zeros(5), np.zeros((2, 2))):
        with pytest.raises(DataError, match="model: expected 4 values of float64"):
            check_model(WIDE, vector)


def test_the_mechanisms_check_the_model_before_data(site, stream):
    class Never(LogisticRegression):
        __slots__ = ()

        def record_gradients(self, params, x, y):
            pytest.fail("data was touched")

    task = Never(features=3, learning_rate=0.5, epochs=1, batch_size=None)
    layout = Layout.of(TASK.init(None))
    work = SiteRound(task, site, layout, np.full(4, np.inf), {}, {}, {}, stream("x"))
    of_records = DistributedDP(
        noise_multiplier=2.0, max_norm=1.0, unit="record", rounds=2, size=4, sites=3,
        min_survivors=3, max_corrupt=0, sampling_probability=1.0, population=125,
    )  # fmt: skip
    of_sites = dataclasses.replace(
        of_records, unit="site", sampling_probability=None, population=None
    )
    for dp in (mechanism(), of_records, of_sites):
        with pytest.raises(DataError, match="no data was touched"):
            dp.contribute(FedAvg(), work)


# --- rows of a patient that count ----------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    ids=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    most=st.integers(1, 5),
    q=st.sampled_from([1.0, 0.5]),
)
def test_the_rows_that_count_are_the_first_of_each_patient(ids, most, q):
    patients = np.array(ids)
    rng = SecureGenerator()
    rows, starts = sample_units(patients, len(patients), q=q, rng=rng)
    kept, kept_starts = first_rows(rows, starts, most=most)
    drawn = np.unique(patients[rows])
    assert sorted(np.unique(patients[kept])) == sorted(drawn)
    ends = np.append(kept_starts[1:], len(kept))[: len(kept_starts)]
    for begin, end in zip(kept_starts, ends, strict=True):
        (patient,) = np.unique(patients[kept[begin:end]])
        own = np.flatnonzero(patients == patient)
        np.testing.assert_array_equal(kept[begin:end], own[:most])
    if q == 1.0:
        expected, _ = kept_rows(patients, len(patients), most)
        np.testing.assert_array_equal(np.sort(kept), expected)


def test_rows_beyond_the_bound_are_never_computed(site, stream):
    task = fragile(raises)
    many = dataclasses.replace(site, patients=np.zeros(40, np.int64))
    dp = mechanism(unit="patient", max_rows_per_patient=3)
    found = total(many, task, stream, dp)
    assert task.calls == [3]
    first = dataclasses.replace(many, x=site.x[:3], y=site.y[:3], patients=many.patients[:3])
    np.testing.assert_array_equal(found, total(first, TASK, stream, dp))


@pytest.mark.parametrize(
    ("unit", "most", "message"),
    [
        ("patient", None, "expected a public number for unit='patient'"),
        ("patient", 0, "expected an integer >= 1"),
        ("patient", 2.5, "expected an integer >= 1"),
        ("patient", True, "expected an integer >= 1"),
        ("record", 3, "expected None for unit='record'"),
    ],
)
def test_the_bound_is_required_for_patients_and_for_them_alone(unit, most, message):
    with pytest.raises(ValueError, match=f"max_rows_per_patient: {message}"):
        mechanism(unit=unit, max_rows_per_patient=most)
    with pytest.raises(ValueError, match=f"max_rows_per_patient: {message}"):
        DistributedDP(
            noise_multiplier=2.0, max_norm=1.0, unit=unit, rounds=2, size=4, sites=3,
            min_survivors=3, max_corrupt=0, sampling_probability=1.0, population=125,
            max_rows_per_patient=most,
        )  # fmt: skip


def test_the_bound_is_told_as_public_and_survives_json():
    dp = mechanism(unit="patient", max_rows_per_patient=7)
    assert CentralDP.from_dict(dp.to_dict()) == dp
    said = dp.statement(WIDE, seeded=False)
    assert any("the first 7 in the site's order" in line for line in said.public)
    assert not any("rows of a patient" in line for line in mechanism().statement(
        WIDE, seeded=False).public)  # fmt: skip


def test_a_site_of_one_row_is_a_site(stream):
    x, y = np.ones((1, 3)), np.array([1])
    alone = Site(id="a", x=x, y=y, x_test=x, y_test=y, patients=np.array(["p"]))
    dp = mechanism(unit="patient", max_rows_per_patient=1)
    assert np.linalg.norm(total(alone, TASK, stream, dp)) > 0
