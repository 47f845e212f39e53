"""Scores agree with their definitions, ties and degenerate sets included."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veil.fl.metrics import accuracy, auroc, binary_scores, brier


def auroc_by_pairs(y, score):
    pairs = itertools.product(score[y == 1], score[y == 0])
    wins = [1.0 if case > control else 0.5 * (case == control) for case, control in pairs]
    return sum(wins) / len(wins)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_auroc_counts_pairs_and_ties(rows):
    y = np.array([label for label, _ in rows]).astype(int)
    score = np.array([value for _, value in rows], float)
    area = auroc(y, score)
    if len(set(y.tolist())) == 1:
        assert math.isnan(area)
    else:
        assert area == pytest.approx(auroc_by_pairs(y, score), abs=1e-12)


def test_auroc_agrees_with_scikit_learn():
    metrics = pytest.importorskip(
        "sklearn.metrics", reason="scikit-learn: pip install 'veil[study]'"
    )
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 1000)
    score = np.round(rng.normal(size=1000) + y, 1)
    assert auroc(y, score) == pytest.approx(metrics.roc_auc_score(y, score), abs=1e-12)
    assert brier(y, np.abs(score) / 10) == pytest.approx(
        metrics.brier_score_loss(y, np.abs(score) / 10), abs=1e-12
    )


def test_accuracy_and_brier_by_hand():
    y, p = np.array([0, 1, 1]), np.array([0.2, 0.5, 0.4])
    assert accuracy(y, p) == pytest.approx(2 / 3)
    assert brier(y, p) == pytest.approx((0.04 + 0.25 + 0.36) / 3)


def test_one_class_and_no_rows_are_nan_not_zero():
    assert math.isnan(auroc(np.ones(3), np.arange(3.0)))
    assert all(math.isnan(value) for value in binary_scores(np.zeros(0), np.zeros(0)).values())


def test_faults_are_named():
    with pytest.raises(ValueError, match="one shape"):
        auroc(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="only 0 and 1"):
        auroc(np.array([0, 2]), np.zeros(2))
    with pytest.raises(ValueError, match="NaN"):
        brier(np.array([0, 1]), np.array([0.1, np.nan]))
