"""A whole round in one process: the work and the bytes of each party, beside Flower's functions.

Both sides do all of one client's calls and all of the server's, on messages that were recorded
beforehand. Flower's key agreement is SECP384R1, ours X25519 with ML-KEM-768.
"""

import functools

import numpy as np
import pytest

import flower_secagg
import peers
from veil import FixedPoint
from veil.random import SecureGenerator
from veil.secagg import Client, Config, Policy, Server

SEED, CONTEXT = bytes(range(32)), b"model"
CODEC = {"clip": flower_secagg.CLIP, "bits": 22, "rounding": "stochastic"}
STEP = 2.0**-17  # ours: a power of two; twice Flower's


class Recorded:
    """All messages of one round, and each party's part of it once more."""

    def __init__(self, n, dropped, values):
        codec = FixedPoint(max_summands=n, **CODEC)
        self.config = Config.for_cohort(
            n, dropout=dropped, corrupt=n // 3, adversary="honest-but-curious", min_survivors=None,
            codec=codec, length=values.size, graph="full",
        )  # fmt: skip
        self.values, self.alive = values, range(n - dropped)
        self.rng = SecureGenerator()
        clients = {i: self.new_client(i) for i in range(n)}
        server = Server(self.config)
        self.adverts = {i: c.advertise() for i, c in clients.items()}
        self.roster = server.collect_keys(self.adverts)
        self.shares = {i: c.share(self.roster[i]) for i, c in clients.items()}
        self.relay = server.relay_shares(self.shares)
        self.masked = {i: self.mask(clients[i], i) for i in self.alive}
        self.survivors = server.collect_vectors(self.masked)
        self.opened = {i: clients[i].unmask(self.survivors[i]) for i in self.alive}

    def new_client(self, i):
        # A fixed seed for client 0: it makes the same keys again, so the recorded messages fit.
        policy = Policy.for_config(self.config, min_cohort=3, min_survivors=2, roster=None)
        rng = SecureGenerator.from_seed(SEED) if i == 0 else None
        return Client(self.config, i, None, policy, rng=rng)

    def mask(self, client, i):
        return client.mask(self.relay[i], self.values, context=CONTEXT, rng=self.rng, threads=1)

    def client(self):
        client = self.new_client(0)
        sent = [client.advertise(), client.share(self.roster[0]), self.mask(client, 0)]
        sent.append(client.unmask(self.survivors[0]))
        self.sent = sum(map(len, sent))
        self.received = len(self.roster[0]) + len(self.relay[0]) + len(self.survivors[0])
        return self.values

    def server_wire(self):
        """Bytes that the server sends and receives."""
        up = [self.adverts, self.shares, self.masked, self.opened]
        down = [self.roster, self.relay, self.survivors]
        return peers.Wire(*(sum(len(m) for part in parts for m in part.values())
                            for parts in (down, up)))  # fmt: skip

    def server(self):
        server = Server(self.config)
        server.collect_keys(self.adverts)
        server.relay_shares(self.shares)
        server.collect_vectors(self.masked)
        return server.finish(self.opened, threads=1).total


@functools.cache
def recorded(n, dropped, size):
    return Recorded(n, dropped, values_of(size))


@functools.cache
def flower(n, dropped, size):
    threshold = recorded(n, dropped, size).config.thresholds(n).t
    return flower_secagg.Round(n, dropped, threshold, values_of(size))


@functools.cache
def values_of(size):
    return np.random.default_rng(4).normal(size=size).astype(np.float32)


def scale(benchmark):
    """Clients, dropped ones and values; a small round where only the check counts."""
    return (6, 1, 1000) if benchmark.disabled else (100, 10, 1_000_000)


@pytest.mark.parametrize("who", ["veil", "flower"])
def bench_client(who, contest, benchmark):
    n, dropped, size = where = scale(benchmark)
    calls = {"veil": lambda: recorded(*where).client(), "flower": lambda: flower(*where).client()}
    contest(
        f"one client's whole round: n = {n}, d = {size}, {dropped} dropped, full graph",
        who, calls, amount=size, unit="value", rounds=5,
        check=lambda got: peers.equals(size)(got.size),
        wire={"veil": lambda: recorded(*where), "flower": lambda: flower(*where)},
        note="All calls of one client; bytes that it sends and receives, all rounds. Setting up "
        "the other clients' messages is not timed.",
    )  # fmt: skip


@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", ["veil", "flower"])
def bench_server(who, contest, benchmark):
    n, dropped, size = where = scale(benchmark)

    def theirs():
        flower(*where).client()  # for its bytes
        flower(*where).prepare_server()
        return flower(*where).server

    alive = n - dropped
    contest(
        f"the server's whole round: n = {n}, d = {size}, {dropped} dropped, full graph",
        who, {"veil": lambda: recorded(*where).server(), "flower": peers.lazily(theirs)},
        amount=size, unit="value", rounds=2,
        wire={"veil": lambda: recorded(*where).server_wire(),
              "flower": lambda: flower(*where).server_wire()},
        check=peers.equals(alive * np.clip(values_of(size), -8, 8).astype(float),
                           atol=alive * STEP),
        note=f"Rounds 0 to 4 at the server: {alive} vectors summed, {n} secrets recovered, "
        f"{alive * (dropped + 1)} masks removed. Flower's side recovers a tenth of the secrets, "
        "from as few shares as will do, and is handed the others: its whole work takes minutes. "
        "It parses no message; Veil's side parses all.",
    )  # fmt: skip
