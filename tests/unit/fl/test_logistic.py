"""Logistic regression: its gradients are those of its loss, its steps those of gradient descent."""

import numpy as np
import pytest

from veil.errors import DataError
from veil.fl import GradientCorrection, LogisticRegression


def loss(params, x, y, l2=0.0):
    logits = x @ params["weights"] + params["bias"]
    return np.mean(np.logaddexp(0, logits) - y * logits) + l2 / 2 * (params["weights"] ** 2).sum()


def numeric_gradient(function, vector, step=1e-6):
    columns = np.eye(len(vector)) * step
    return np.array([(function(vector + c) - function(vector - c)) / (2 * step) for c in columns])


def task(**changes):
    settings = {"features": 3, "learning_rate": 0.5, "epochs": 2, "batch_size": None}
    return LogisticRegression(**(settings | changes))


def model(vector):
    return {"bias": vector[:1], "weights": vector[1:]}


START = np.array([0.1, -0.3, 0.7, 1.1])


def test_record_gradients_are_the_loss_differences(site):
    got = task(l2=3.0).record_gradients(model(START), site.x, site.y)
    for i in range(5):
        expected = numeric_gradient(
            lambda v, i=i: loss(model(v), site.x[i : i + 1], site.y[i : i + 1]), START
        )
        np.testing.assert_allclose(got[i], expected, atol=1e-8)


def test_penalty_gradient_spares_the_bias():
    expected = numeric_gradient(lambda v: 0.25 / 2 * (v[1:] ** 2).sum(), START)
    np.testing.assert_allclose(task(l2=0.25).penalty_gradient(model(START)), expected, atol=1e-8)


def test_full_batch_steps_are_gradient_descent(site, stream):
    update = task(l2=0.1).local_update(
        model(START), site, correction=GradientCorrection(), rng=stream()
    )
    vector = START.copy()
    for _ in range(2):
        vector = vector - 0.5 * numeric_gradient(
            lambda v: loss(model(v), site.x, site.y, 0.1), vector
        )
    np.testing.assert_allclose(
        np.append(update.params["bias"], update.params["weights"]), vector, atol=1e-8
    )
    assert (update.examples, update.steps, update.learning_rate) == (40, 2, 0.5)


def test_correction_enters_every_step(site, stream):
    offset = np.array([1.0, 0.0, -1.0, 0.5])
    correction = GradientCorrection(proximal=2.0, offset=offset)
    update = task(learning_rate=0.1).local_update(
        model(START), site, correction=correction, rng=stream()
    )
    vector = START.copy()
    for _ in range(2):
        gradient = numeric_gradient(lambda v: loss(model(v), site.x, site.y), vector)
        vector = vector - 0.1 * (gradient + 2.0 * (vector - START) + offset)
    np.testing.assert_allclose(
        np.append(update.params["bias"], update.params["weights"]), vector, atol=1e-8
    )


def test_minibatches_visit_every_row_once_per_epoch(site, stream):
    seen = []

    class Spy(LogisticRegression):
        __slots__ = ()

        def _mean_gradient(self, vector, x, y):
            seen.append(x)
            return LogisticRegression._mean_gradient(self, vector, x, y)

    spy = Spy(features=3, learning_rate=0.5, epochs=2, batch_size=15)
    update = spy.local_update(model(START), site, correction=GradientCorrection(), rng=stream())
    assert [len(part) for part in seen] == [15, 15, 10] * 2
    assert update.steps == 6
    for epoch in (seen[:3], seen[3:]):
        rows = np.concatenate(epoch)
        np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(site.x, axis=0))
    assert not np.array_equal(seen[0], seen[3])


def test_predict_survives_huge_logits():
    probability = task(features=1).predict(
        {"bias": np.zeros(1), "weights": np.array([1e5])}, np.array([[1.0], [-1.0], [0.0]])
    )
    np.testing.assert_array_equal(probability, [1.0, 0.0, 0.5])


def test_wrong_columns_are_refused(site, stream):
    with pytest.raises(DataError, match=r"x: expected shape \(n, 4\)"):
        task(features=4).predict(model(np.zeros(5)), site.x)


@pytest.mark.parametrize(
    "changes",
    [
        {"features": 0},
        {"learning_rate": 0.0},
        {"learning_rate": np.nan},
        {"epochs": 0},
        {"epochs": 1.5},
        {"batch_size": 0},
        {"l2": -1.0},
    ],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        task(**changes)
