"""Arguments of mechanisms and queries of any type: one meaning, or a refusal that says so."""

import array

import numpy as np
import pytest

from veil import dp


def ledger():
    return dp.Ledger(
        epsilon=8.0, delta=1e-6, unit="patient", relation="add-or-remove-one", mode="adaptive"
    )


NO_NUMBERS = ["1", True, [1.0], np.array([1.0]), 1j, 10**400, 1e-300, 1e300, 5e-324]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: str(value)[:8])
def test_what_is_no_usable_number_is_refused_by_name_and_before_any_charge(value):
    book = ledger()
    for name, build in [
        ("l2_sensitivity", lambda: dp.GaussianMechanism(l2_sensitivity=value, sigma=1.0)),
        ("sigma", lambda: dp.GaussianMechanism(l2_sensitivity=1.0, sigma=value)),
        ("l1_sensitivity", lambda: dp.LaplaceMechanism(l1_sensitivity=value, epsilon=1.0)),
        ("epsilon", lambda: dp.ExponentialMechanism(sensitivity=1.0, epsilon=value)),
        ("sensitivity", lambda: dp.SparseVector(sensitivity=value, epsilon=1.0)),
        ("epsilon", lambda: dp.mean([1.0], bounds=(0, 1), epsilon=value, delta=0.0,
                                    patient_ids=None, ledger=book)),
        ("step", lambda: dp.quantiles([1.0], bounds=(0, 1), epsilon=1.0, delta=0.0, step=value,
                                      patient_ids=None, ledger=book)),
    ]:  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=f"{name}: expected"):
            build()
    assert book.spent().releases == 0


def test_a_parameter_of_less_precision_is_charged_as_one_of_full_precision():
    for given in (np.float32(0.7), np.float16(0.7), np.longdouble(0.7)):
        narrow = dp.GaussianMechanism(l2_sensitivity=given, sigma=np.float32(11.3))
        full = dp.GaussianMechanism(l2_sensitivity=float(given), sigma=float(np.float32(11.3)))
        assert narrow == full
        assert type(narrow.l2_sensitivity) is float
        assert narrow.charge(1000, label="x") == full.charge(1000, label="x")


def test_integers_beyond_a_float_are_compared_as_the_largest_float():
    for value, above in ((10**400, True), (-(10**400), False)):
        session = dp.SparseVector(sensitivity=1.0, epsilon=1.0).start(threshold=0, ledger=ledger())
        assert session.above(value) is above


@pytest.mark.parametrize(
    "value", [array.array("d", [98761.0]), [98761], np.array([98761.0]), "98761"], ids=str
)
def test_a_value_that_is_no_number_is_not_quoted(value):
    session = dp.SparseVector(sensitivity=1.0, epsilon=1.0).start(threshold=0, ledger=ledger())
    with pytest.raises(TypeError, match="value: expected a number") as found:
        session.above(value)
    assert "98761" not in str(found.value)


@pytest.mark.parametrize("scores", [[[1], [2, 3]], np.zeros((2, 2)), ["a"]], ids=str)
def test_scores_that_are_no_vector_of_numbers_are_refused(scores):
    with pytest.raises(TypeError, match="scores: expected one dimension"):
        dp.ExponentialMechanism(sensitivity=1.0, epsilon=1.0).release(scores, ledger=ledger())
