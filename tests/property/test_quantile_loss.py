"""The exact privacy loss of quantiles on small grids: every outcome with its probability.

Only the two primitives are replaced, permute-and-flip and discrete Laplace noise, by all that they
may draw: which draws are asked for, with which scores, rates and targets, is the code's own.
"""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from veil import dp
from veil.dp import quantile

ADD, REPLACE, _ = dp.RELATIONS


class Followed(Exception):
    """Ends a run that asked for more draws than its script has."""


def cells_of(values, top):
    return np.concatenate(([0], np.cumsum(np.bincount(values, minlength=top + 1))))


def explore(monkeypatch, values, design, wanted, top):
    """Every outcome of a search with its exact probability: coins and noise are enumerated."""
    outcomes = {}
    todo = [((), 1.0)]
    scale = design.split.scale if design.split else None
    while todo:
        script, probability = todo.pop()
        branch = follow(monkeypatch, values, design, wanted, top, script)
        if branch[0] == "done":
            outcomes[branch[1]] = outcomes.get(branch[1], 0.0) + probability
        elif branch[0] == "choice":
            for at, p in enumerate(flip_probabilities(branch[1], branch[2])):
                todo.append(((*script, at), probability * p))
        else:
            for noise, p in noise_probabilities(len(values) + 1, scale):
                todo.append(((*script, noise), probability * p))
    return outcomes


def follow(monkeypatch, values, design, wanted, top, script):
    """Run a search along a script; return what it asks next, or what it found."""
    left = list(script)
    asked = []

    def choose(scores, rate, rng):
        if not left:
            asked.append(("choice", tuple(scores.tolist()), rate))
            raise Followed
        return left.pop(0)

    class Split:
        scale = design.split.scale if design.split else None

        def sample(self, n, rng):
            if not left:
                asked.append(("split",))
                raise Followed
            return np.array([left.pop(0)])

    monkeypatch.setattr(quantile, "permute_and_flip", choose)
    drawn = dataclasses.replace(design, split=Split() if design.split else None)
    search = quantile._Search(cells_of(values, top), drawn, None)
    try:
        search.run(sorted(wanted), 0, top, 0.0, 1.0, 0, len(values))
    except Followed:
        return asked[0]
    return ("done", tuple(search.found[w] for w in sorted(wanted)))


def flip_probabilities(scores, rate):
    """Permute-and-flip, exactly: over all sets of candidates whose coins accept."""
    coins = [math.exp(rate * (score - max(scores))) for score in scores]
    chances = [0.0] * len(scores)
    for accepted in itertools.product([False, True], repeat=len(scores)):
        p = math.prod(c if yes else 1.0 - c for c, yes in zip(coins, accepted, strict=True))
        for at in np.flatnonzero(accepted):
            chances[at] += p / sum(accepted)
    return chances


def noise_probabilities(most, scale):
    """Discrete Laplace noise; beyond +-most a split is the same, so the tails are put there."""
    q = math.exp(-1.0 / scale)
    inside = [(z, (1 - q) / (1 + q) * q ** abs(z)) for z in range(-most + 1, most)]
    return [(-most, q**most / (1 + q)), *inside, (most, q**most / (1 + q))]


def tables(top, rows):
    return list(itertools.combinations_with_replacement(range(top + 1), rows))


def neighbours(relation, most, top):
    """Pairs of small tables that differ by one unit of 0 to `most` rows."""
    for others in [t for n in (0, 2) for t in tables(top, n)]:
        own = [t for n in range(most + 1) for t in tables(top, n)]
        pairs = itertools.product(own, own) if relation == REPLACE else (((), t) for t in own)
        for a, b in pairs:
            if a != b:
                yield others + a, others + b


@pytest.mark.parametrize("relation", [ADD, REPLACE])
@pytest.mark.parametrize(("most", "top", "wanted"), [
    (1, 2, (0.5,)),
    (1, 2, (0.3, 0.8)),
    (2, 1, (0.25, 0.5, 0.75)),
])  # fmt: skip
def test_the_exact_loss_of_quantiles_is_within_epsilon(monkeypatch, relation, most, top, wanted):
    assert worst_quantile_loss(monkeypatch, relation, most, top, wanted) <= 1.0 + 1e-9


def test_half_the_noise_is_caught(monkeypatch):
    whole = quantile._Search._rate
    monkeypatch.setattr(quantile._Search, "_rate", lambda *args: 2.0 * whole(*args))
    assert worst_quantile_loss(monkeypatch, ADD, 1, 2, (0.3, 0.8)) > 1.0


def worst_quantile_loss(monkeypatch, relation, most, top, wanted):
    epsilon = 1.0
    design = quantile.design_of(
        quantile.Budget(epsilon, 0.0), (0.0, float(top)), most, relation, wanted, 1.0
    )
    known = {}

    def outcomes(values):
        key = tuple(sorted(values))
        if key not in known:
            known[key] = explore(monkeypatch, np.array(key, int), design, wanted, top)
        return known[key]

    worst = 0.0
    for one, other in neighbours(relation, most, top):
        a, b = outcomes(one), outcomes(other)
        for outcome in a.keys() | b.keys():
            pa, pb = a.get(outcome, 0.0), b.get(outcome, 0.0)
            worst = max(worst, abs(math.log(pa / pb)) if pa and pb else math.inf)
    return worst / epsilon
