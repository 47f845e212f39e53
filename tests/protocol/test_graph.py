"""The degree of a sparse graph: that of the definition, in little time, whatever is asked for."""

import itertools
import time

import pytest
from reference import every_degree, most_corrupt_neighbours

from veil.secagg import choose_graph, graph, hypergeometric
from veil.secagg.hypergeometric import quantile

CURIOUS, MALICIOUS = ADVERSARIES = ("honest-but-curious", "malicious")


def chosen(search, n, corrupt, dropout, adversary):
    try:
        return search(n, corrupt, dropout, adversary)
    except ValueError as error:
        return str(error)


def counts(n, parts):
    return sorted({n * i // parts for i in range(parts)} | {1, 2, n - 2, n - 1})


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize(
    ("sizes", "parts"), [(range(3, 16), 15), ((16, 21, 33, 40, 64, 100), 8), ((150, 257), 5)]
)
def test_the_degree_is_that_of_the_definition(sizes, parts, adversary):
    for n in sizes:
        for corrupt, dropout in itertools.product(counts(n, parts), repeat=2):
            found = chosen(graph._choose.__wrapped__, n, corrupt, dropout, adversary)
            assert found == chosen(every_degree, n, corrupt, dropout, adversary), (corrupt, dropout)


@pytest.mark.parametrize(
    ("n", "corrupt", "dropout", "adversary"),
    [(1000, 0.05, 0.33, CURIOUS), (1000, 0.33, 0.05, MALICIOUS), (2000, 0.3, 0.3, CURIOUS)],
)
def test_the_degree_of_a_large_cohort_is_that_of_the_definition(n, corrupt, dropout, adversary):
    corrupt, dropout = int(n * corrupt), int(n * dropout)
    found = choose_graph(n, corrupt=corrupt, dropout=dropout, adversary=adversary)
    assert found == every_degree(n, corrupt, dropout, adversary)


def test_comparisons_in_floating_point_and_in_integers_agree(monkeypatch):
    """Every comparison is decided once by either: the margin sends what is close to integers."""
    cases = [(n, m, k, bits) for n in (5, 40, 300) for m in counts(n, 4) for k in counts(n, 5)[1:]
             for bits in (20, 41) if k < n - 1]  # fmt: skip
    fast = [quantile(*case) for case in cases]
    connected = [hypergeometric.is_connected(*case) for case in cases]
    monkeypatch.setattr(hypergeometric, "_UNSURE", float("inf"))
    assert [quantile(*case) for case in cases] == fast
    assert [hypergeometric.is_connected(*case) for case in cases] == connected


def test_a_quantile_never_falls_with_the_sample():
    """What lets the search pass degrees over."""
    for n, marked in ((60, 7), (60, 30), (400, 390)):
        found = [quantile(n, marked, k, 41) for k in range(1, n)]
        assert found == sorted(found)
        assert found[11] == most_corrupt_neighbours(n, marked, 12)


# Few honest live clients to spare: the degree is as large as it gets, and the search longest.
TIGHT = [
    (65535, (65535 - gap) * share // 100, (65535 - gap) * (100 - share) // 100, adversary)
    for gap in (-1, 0, 1, 3, 40, 400, 1000, 4000)
    for share in (0, 10, 50, 99)
    for adversary in ADVERSARIES
]


def test_no_cohort_takes_long():
    slowest = 0.0
    for n, corrupt, dropout, adversary in TIGHT:
        begin = time.process_time()
        chosen(graph._choose.__wrapped__, n, corrupt, dropout, adversary)
        slowest = max(slowest, time.process_time() - begin)
    assert slowest < 0.1
