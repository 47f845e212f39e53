"""How a round of secure aggregation grows with the clients n and with the vector's length d.

Each point is one whole round in one process, 5 % of the clients dropped after round 1: seconds of
one client (the median over those that stayed) and of the server, one thread each, and the bytes
that the client sends. `report.py` draws the points; nothing is compared here.
"""

import statistics
import time
from collections import defaultdict

import numpy as np
import pytest

from veil import FixedPoint
from veil.secagg import Client, Config, Policy, Server

FIGURE = "secagg-scaling"
CLIENTS = [
    *((n, "full") for n in (10, 30, 100, 200)),
    *((n, "k-regular") for n in (100, 300, 1000)),
]
LENGTHS = [10**power for power in range(4, 9)]


class Stopwatch:
    """Processor seconds by party: a busy machine changes them less than a clock's."""

    def __init__(self):
        self.seconds = defaultdict(float)

    def __call__(self, party, call, *args, **kwargs):
        begin = time.process_time()
        result = call(*args, **kwargs)
        self.seconds[party] += time.process_time() - begin
        return result


def play(n, length, graph):
    """One round; gives the point and what was wrong in the sum (nothing)."""
    gone = n // 20
    codec = FixedPoint(clip=8.0, bits=22, max_summands=n, rounding="nearest")
    config = Config.for_cohort(
        n, dropout=gone, corrupt=gone, adversary="honest-but-curious", min_survivors=None,
        codec=codec, length=length, graph=graph,
    )  # fmt: skip
    timed, sent = Stopwatch(), defaultdict(int)

    def tell(clients, name, messages, **kwargs):
        answers = {}
        for i, message in messages.items():
            answers[i] = timed(i, getattr(clients[i], name), *message, **kwargs)
            sent[i] += len(answers[i])
        return answers

    limits = {"min_cohort": 3, "min_survivors": 2, "roster": None}
    clients = {i: Client(config, i, None, Policy.for_config(config, **limits)) for i in range(n)}
    server = Server(config)
    vector = np.full(length, 0.5, np.float32)
    adverts = tell(clients, "advertise", dict.fromkeys(clients, ()))
    roster = timed("server", server.collect_keys, adverts)
    shares = tell(clients, "share", {i: (message,) for i, message in roster.items()})
    relay = timed("server", server.relay_shares, shares)
    for i in range(n - gone):  # each vector is added as it comes, and forgotten
        masked = tell(clients, "mask", {i: (relay[i], vector)}, context=b"m", threads=1)
        timed("server", server.add_vector, i, masked[i])
    survivors = timed("server", server.collect_vectors, {})
    opened = tell(clients, "unmask", {i: (message,) for i, message in survivors.items()})
    result = timed("server", server.finish, opened, threads=1)
    assert (result.total == 0.5 * (n - gone)).all()
    stayed = range(n - gone)
    return {
        "client": statistics.median(timed.seconds[i] for i in stayed),
        "server": timed.seconds["server"],
        "sent": statistics.median(sent[i] for i in stayed),
    }


def point(benchmark, axis, n, length, graph):
    measured = benchmark.pedantic(play, (n, length, graph), rounds=1, iterations=1)
    benchmark.extra_info.update(figure=FIGURE, axis=axis, n=n, d=length, graph=graph, **measured)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("n", "graph"), CLIENTS)
def bench_clients(benchmark, n, graph):
    if benchmark.disabled:
        n, graph = 5, "full"
    point(benchmark, "n", n, 100 if benchmark.disabled else 100_000, graph)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("length", LENGTHS)
def bench_lengths(benchmark, length):
    point(benchmark, "d", 5, min(length, 10_000) if benchmark.disabled else length, "full")
