"""A whole session in one process, with hooks for what an attacker or the network does."""

import dataclasses

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hostile import CONTEXT
from policies import pinned

from veil import FixedPoint
from veil.secagg import Client, Config, Server


@dataclasses.dataclass
class Session:
    """Clients and a server that agree, and the vectors that they will sum."""

    config: Config
    clients: dict
    server: Server
    vectors: dict
    weights: dict
    identities: dict
    dropped: dict = dataclasses.field(default_factory=dict)

    def vanish(self, round_number, *ids):
        """From this round on, these clients send nothing."""
        self.dropped.update(dict.fromkeys(ids, round_number))
        return self

    def alive(self, round_number, ids):
        return [i for i in ids if self.dropped.get(i, 99) > round_number]

    def keys(self):
        adverts = {i: self.clients[i].advertise() for i in self.alive(0, self.clients)}
        return self.server.collect_keys(adverts)

    def share(self, replies):
        return {i: self.clients[i].share(replies[i]) for i in self.alive(1, replies)}

    def mask(self, replies, context=CONTEXT):
        return {
            i: self.clients[i].mask(
                replies[i], self.vectors[i], context=context, weight=self.weights.get(i)
            )
            for i in self.alive(2, replies)
        }

    def confirm(self, replies):
        if self.config.adversary != "malicious":
            return replies
        signed = {i: self.clients[i].confirm(replies[i]) for i in self.alive(3, replies)}
        return self.server.collect_confirmations(signed)

    def unmask(self, replies):
        return {i: self.clients[i].unmask(replies[i]) for i in self.alive(4, replies)}

    def to_shares(self):
        return self.share(self.keys())

    def to_relay(self):
        return self.server.relay_shares(self.to_shares())

    def to_survivors(self):
        return self.server.collect_vectors(self.mask(self.to_relay()))

    def run(self):
        return self.server.finish(self.unmask(self.confirm(self.to_survivors())))

    def expected(self, survivors):
        """Plain sum, or weighted mean, of what the codec makes of the vectors."""
        if self.config.weight_max is None:
            return sum(self.vectors[i].astype(float) for i in survivors)
        total = sum(self.weights[i] for i in survivors)
        return sum(self.weights[i] * self.vectors[i].astype(float) for i in survivors) / total


def make_codec(n, bits=16, clip=4.0):
    return FixedPoint(clip=clip, bits=bits, max_summands=n, rounding="nearest")


def make_session(
    n=5,
    *,
    length=20,
    adversary="honest-but-curious",
    corrupt=1,
    dropout=2,
    min_survivors=None,
    weight_max=None,
    codec=None,
    policy=None,
    config=None,
    ids=None,
    **options,
):
    """Build a session of clients 10, 11, … whose vectors lie on the codec's lattice."""
    ids = ids or [10 + i for i in range(n)]
    codec = codec or make_codec(n)
    config = config or Config.for_cohort(
        n,
        dropout=dropout,
        corrupt=corrupt,
        adversary=adversary,
        min_survivors=min_survivors,
        codec=codec,
        length=length,
        weight_max=weight_max,
        **options,
    )
    malicious = config.adversary == "malicious"
    identities = {i: Ed25519PrivateKey.generate() for i in ids} if malicious else {}
    roster = {i: key.public_key() for i, key in identities.items()} if malicious else None

    def own_policy():
        return pinned(config, **{"max_corrupt": corrupt, "roster": roster, **(policy or {})})

    rng = np.random.default_rng(7)
    steps = int(codec.clip / codec.granularity) // 2
    vectors = {
        i: (rng.integers(-steps, steps, config.length) * codec.granularity).astype(np.float32)
        for i in ids
    }
    clients = {
        i: Client(config, i, identities.get(i), own_policy(), run_id="run", round_number=1)
        for i in ids
    }
    server = Server(config, run_id="run", round_number=1, roster=roster)
    weights = {i: 1 + (7 * i) % weight_max for i in ids} if weight_max else {}
    return Session(config, clients, server, vectors, weights, identities)


@pytest.fixture(name="make_session", scope="session")
def make_session_fixture():
    """`make_session`, for tests."""
    return make_session


@pytest.fixture(name="make_codec", scope="session")
def make_codec_fixture():
    """`make_codec`, for tests."""
    return make_codec
