"""Quantiles on small grids: the exact law of every answer, and its loss between all neighbours.

The search itself runs, and each of its draws is answered with every outcome in turn; outcomes are
weighed by the laws of permute-and-flip and of discrete Laplace noise, computed here.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from veil import dp
from veil.dp import quantile
from veil.dp._query import Budget, Noise
from veil.random import SecureGenerator

ALPHA = 1e-6
ADD, REPLACE = "add-or-remove-one", "replace-one"
EPSILON = 1.0
POINTS = 3
MOST_ROWS = 5


class Branch(Exception):
    """A draw that the script has no answer for, and what it may give."""

    def __init__(self, options):
        self.options = options


def flip_law(points, rate):
    """P(i is chosen): i is accepted, and drawn among all that their coins accept."""
    accept = np.exp(-rate * (points.max() - points).astype(float))
    for i, mine in enumerate(accept):
        others = np.array([1.0])  # law of the number of others that are accepted
        for p in np.delete(accept, i):
            others = np.convolve(others, [1.0 - p, p])
        # At least one candidate, the best, is always accepted.
        yield i, mine * float(np.sum(others / (1.0 + np.arange(others.size))))


def cut_law(exact, scale, units):
    """P(the noisy number of ties rounds to a), for a of 0 or less, 1, ... or all rows or more."""
    decay = math.exp(-1.0 / scale)

    def below(z):
        """P(Z < z) of discrete Laplace noise."""
        return decay ** (1 - z) / (1 + decay) if z <= 0 else 1 - decay**z / (1 + decay)

    edges = [
        -math.inf,
        *(a * units - units // 2 - exact for a in range(1, MOST_ROWS + 2)),
        math.inf,
    ]
    for a, (least, end) in enumerate(itertools.pairwise(edges)):
        mass = (1.0 if end == math.inf else below(end)) - (
            0.0 if least == -math.inf else below(least)
        )
        yield a * units, mass


class Scripted:
    """Draws that follow a script, and branch at its end."""

    def __init__(self, units):
        self.units = units
        self.script = ()
        self.at = 0

    def next(self, options):
        if self.at == len(self.script):
            raise Branch(list(options))
        self.at += 1
        return self.script[self.at - 1]

    def choose(self, points, rate, rng):
        return self.next(flip_law(points, rate))

    def add(self, drawn, exact, rng):
        return [self.next(cut_law(exact[0], drawn.scale, self.units))]


def law(rows, design, monkeypatch):
    """P of each transcript of a search over rows per point, and the answer that it gives."""
    tree = design.tree
    drawn = Scripted(tree.units)
    monkeypatch.setattr(quantile, "permute_and_flip", drawn.choose)
    monkeypatch.setattr(Noise, "add", lambda noise, exact, rng: drawn.add(noise, exact, rng))
    found, todo = {}, [((), 1.0)]
    while todo:
        script, p = todo.pop()
        drawn.script, drawn.at = script, 0
        search = quantile._Search(np.array(rows), tree, None)
        try:
            search.run(sorted(tree.steps), 0, len(rows) - 1, 0, int(sum(rows)))
        except Branch as branch:
            todo += [((*script, value), p * mass) for value, mass in branch.options if mass > 0]
        else:
            found[script] = p, tuple(search.found[q] for q in sorted(tree.steps))
    assert math.isclose(sum(p for p, _ in found.values()), 1.0, rel_tol=1e-12)
    return found


def design_of(q, relation, most, points=POINTS):
    bounds = (0.0, points - 1.0)
    return quantile.design_of(Budget(EPSILON, 0.0), bounds, most, relation, q, 1.0)


def tables(most_rows=MOST_ROWS):
    """Every table of one row or more on the grid, as rows per point."""
    for counts in itertools.product(range(most_rows + 1), repeat=POINTS):
        if 1 <= sum(counts) <= most_rows:
            yield counts


def units(most):
    return [c for c in itertools.product(range(most + 1), repeat=POINTS) if sum(c) <= most]


def neighbours(known, most, relation):
    """Tables that one patient's rows, 0 to `most` of them, set apart."""
    for here in known:
        for come in units(most):
            for go in units(most) if relation == REPLACE else [(0,) * POINTS]:
                there = tuple(h + c - g for h, c, g in zip(here, come, go, strict=True))
                if there in known and all(h >= g for h, g in zip(here, go, strict=True)):
                    yield here, there


def worst_loss(q, relation, most, monkeypatch):
    """Largest loss between neighbours, of whatever the search drew and so of what it answers."""
    design = design_of(q, relation, most)
    known = {}
    for rows in tables():
        with monkeypatch.context() as patch:
            known[rows] = law(rows, design, patch)
    pairs = set(neighbours(known, most, relation))
    return max(loss(known[here], known[there]) for here, there in pairs)


def loss(one, other):
    """Largest privacy loss between two laws of transcripts."""
    if one.keys() != other.keys():
        return math.inf
    return max(abs(math.log(one[script][0] / other[script][0])) for script in one)


SEVEN = tuple(i / 8 for i in range(1, 8))
QUANTILES = [(0.5,), (0.1,), (0.3, 0.8), (0.25, 0.5, 0.75), (0.05, 0.1, 0.9)]


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("relation", dp.RELATIONS)
@pytest.mark.parametrize("q", QUANTILES, ids=str)
def test_no_neighbours_are_told_apart_by_more_than_epsilon(q, relation, most, monkeypatch):
    worst = worst_loss(q, relation, most, monkeypatch)
    assert 0.25 * EPSILON < worst <= EPSILON * (1 + 1e-9)


@pytest.mark.long
@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("relation", [ADD, REPLACE])
def test_seven_quantiles_keep_epsilon_on_every_table_of_three_rows(relation, most, monkeypatch):
    monkeypatch.setattr(f"{__name__}.MOST_ROWS", 3)
    worst = worst_loss(SEVEN, relation, most, monkeypatch)
    assert 0.25 * EPSILON < worst <= EPSILON * (1 + 1e-9)


def test_answers_follow_their_laws(monkeypatch):
    """What the enumeration says is what seeded runs of the whole query give."""
    q, rows, runs = (0.25, 0.5, 0.75), (1, 2, 1), 4000
    with monkeypatch.context() as patch:
        known = law(rows, design_of(q, ADD, 1), patch)
    expected = {}
    for p, answer in known.values():
        expected[answer] = expected.get(answer, 0.0) + p
    rng = SecureGenerator.from_seed(b"laws" * 8)
    seen = dict.fromkeys(expected, 0)
    for _ in range(runs):
        released = dp.quantiles(
            np.repeat([0.0, 1.0, 2.0], rows),
            bounds=(0, POINTS - 1),
            step=1,
            q=q,
            epsilon=EPSILON,
            delta=0.0,
            patient_ids=None,
            ledger=dp.Ledger(
                epsilon=2.0, delta=1e-6, unit="patient", relation=ADD, mode="adaptive"
            ),
            rng=rng,
        )
        seen[tuple(int(v) for v in released.value)] += 1
    frequencies = np.array([seen[answer] for answer in expected])
    wanted = runs * np.array([expected[answer] for answer in expected])
    assert wanted.min() > 5
    p = stats.chisquare(frequencies, wanted * frequencies.sum() / wanted.sum()).pvalue
    assert p > ALPHA, f"p = {p:.2g}; a right search fails once in {1 / ALPHA:.0e}"
    wrong = np.roll(wanted, 1) * frequencies.sum() / wanted.sum()
    assert stats.chisquare(frequencies, wrong).pvalue < ALPHA


# --- what the enumeration would see ---------------------------------------------------------------

QUARTILES = (0.25, 0.5, 0.75)


def test_the_enumeration_sees_half_the_noise(monkeypatch):
    laplace, choose = Noise.laplace, Scripted.choose
    monkeypatch.setattr(Noise, "laplace", lambda scale: laplace(scale / 2))
    monkeypatch.setattr(
        Scripted, "choose", lambda self, points, rate, rng: choose(self, points, 2 * rate, rng)
    )
    assert worst_loss(QUARTILES, ADD, 1, monkeypatch) > EPSILON


def test_the_enumeration_sees_ties_shared_out_without_noise(monkeypatch):
    """A cut at the very share moves every part below it when one row comes."""

    def exact(search, least, most, aim, noise):
        return min(max(search._tree.whole(aim), least), most)

    design = design_of(SEVEN, ADD, 1, points=4)
    tables = (1, 1, 1, 1), (1, 1, 1, 2)
    assert loss(*(law(rows, design, monkeypatch) for rows in tables)) <= EPSILON
    monkeypatch.setattr(quantile._Search, "_cut", exact)
    assert loss(*(law(rows, design, monkeypatch) for rows in tables)) > EPSILON
