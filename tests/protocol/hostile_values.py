"""Messages of the right format with values that nobody honest sends, and how long they take.

`Draw` turns a source of whole numbers (a seeded generator, a fuzzer's bytes) into values;
`Site.answers` plays a message to a site and fails unless the answer is a message or a typed error
that comes in time.
"""

import copy
import dataclasses
import json
import math
import time

from hostile import Forgetful
from policies import pinned

from veil.errors import ProtocolError
from veil.secagg import Client
from veil.secagg import messages as m

BEYOND = 0.1  # seconds of processor time that a message may take beyond an honest one
MOST = 1 << 16  # bytes of a message

ODD = [
    0, 1, -1, 2, 3, 99, 100, 65535, 65536, 2**31, 2**31 + 1, 2**53, 2**63, 2**64, 10**18, 10**400,
    10**4000, -(10**4000), 0.0, -0.0, 5e-324, 1e-300, 0.2, 0.5, 1.0, 4.5, 1e9, 1e12, 1e200, 1e308,
    math.nan, math.inf, -math.inf, True, False, None, "", "5", "full", "\ud800", "x" * 1000, [],
    [1], {}, {"n": 5},
]  # fmt: skip
PLACES = [(), ("config",), ("config", "codec"), ("config", "noise"), ("metrics",)]
GRAPHS = ("full", "k-regular")
NOISES = ("discrete-gaussian", "skellam")


class Draw:
    """Values from `below`, a function that draws a whole number below another."""

    def __init__(self, below):
        self.below = below

    def of(self, values):
        return values[self.below(len(values))]

    def size(self, most):
        """From 0 to `most`, small ones as often as large ones."""
        return self.below(1 + min(most, 1 << self.below(1 + most.bit_length())))

    def fraction(self):
        return self.below(1 << 20) / (1 << 20)

    def data(self, size):
        return bytes(self.below(256) for _ in range(min(size, 64))).ljust(size, b"\7")

    # --- an invitation ---------------------------------------------------------------------------

    def terms(self, honest):
        """An invitation whose values are odd in some places, or in range and unheard of."""
        values = copy.deepcopy(honest)
        if self.below(2):
            self.plausible(values["config"])
        for _ in range(self.below(4)):
            at = values
            for name in self.of(PLACES):
                at = at.get(name) if isinstance(at, dict) else None
            if isinstance(at, dict) and at:
                at[self.of(sorted(at))] = self.of(ODD)
        return values

    def plausible(self, config):
        """Every field in its range, as far as the range of one alone tells."""
        n = 3 + self.size(65532)
        corrupt = self.of([0, self.size(n - 1), n * self.below(100) // 100])
        config |= {
            "n": n,
            "corrupt": corrupt,
            "dropout": self.of([0.0, self.fraction(), max(0.0, 1 - (corrupt + self.size(50)) / n)]),
            "adversary": self.of(["honest-but-curious", "malicious"]),
            "graph": self.of(GRAPHS),
            "min_survivors": self.of([None, corrupt + 2, self.size(n)]),
            "length": 1 + self.size(2**31),
            "weight_max": self.of([None, 1 + self.size(2**15)]),
        }
        config["codec"] |= {
            "max_summands": n + self.size(2**20),
            "bits": 2 + self.below(40),
            "clip": 2.0 ** (self.below(200) - 100),
            "noise": self.size(2**40),
        }
        if self.below(2):
            sigma = self.of([0.5, 2.67, 4096.0, 2.0**32, 1e9, 2.0 ** (self.below(70) - 5)])
            config |= {"noise": {"distribution": self.of(NOISES), "sigma": sigma}}
            config["weight_max"] = None

    # --- the protocol's messages ------------------------------------------------------------------

    def ids(self, known, most):
        """Ids of a set: some of those known, strangers, all that fit, or the same twice."""
        kind = self.below(5) if known else 2
        if kind == 0:
            return [i for i in known if self.below(4)]
        if kind == 1:
            return sorted({*known, *(self.below(2**32) for _ in range(1 + self.below(20)))})
        if kind == 2:
            first = self.of([0, *known])
            return list(range(first, first + 1 + self.size(most)))
        if kind == 3:
            return [*known, self.of(known)]
        return list(known)

    def bytes_like(self, value):
        kind = self.below(4)
        if kind == 0:
            return self.data(self.of([0, len(value), 32, 2048, 2049]))
        if kind == 1 and value:
            at = self.below(len(value))
            return value[:at] + bytes([value[at] ^ 1 << self.below(8)]) + value[at + 1 :]
        if kind == 2:
            return bytes(len(value))
        return value

    def mapping(self, known, most):
        ids = self.ids(sorted(known), most)
        spare = list(known.values())
        return {i: self.bytes_like(known.get(i) or self.of(spare)) for i in ids}

    def roster(self, honest):
        leaves = self.mapping(honest.leaves, MOST // 40) if self.below(2) else honest.leaves
        leaves = {i: leaf.ljust(32)[:32] for i, leaf in leaves.items()}
        if self.below(2):
            leaves = {**leaves, **honest.leaves}
        order = self.of([honest.order, tuple(sorted(leaves)), tuple(reversed(sorted(leaves)))])
        if self.below(3) == 0:
            order = tuple(self.ids(list(order), MOST // 40))
        adverts = self.mapping(honest.adverts, 30) if self.below(2) else honest.adverts
        return m.Roster(leaves, order, adverts)

    def relay(self, honest):
        peers = {}
        for i in self.ids(sorted(honest.peers), 20):
            parts = dataclasses.astuple(honest.peers.get(i) or self.of(list(honest.peers.values())))
            peers[i] = m.PeerShare(*(self.bytes_like(part) for part in parts))
        if self.below(2):
            peers = honest.peers
        return m.Relay(honest.sid, self.ids(honest.shared, MOST // 4 - 20), peers)

    def survivors(self, honest):
        return m.Survivors(honest.sid, self.ids(honest.survivors, MOST // 4 - 20))

    def quorum(self, honest):
        signatures = self.mapping(honest.signatures, MOST // 68 - 2)
        cut = {i: value.ljust(64)[:64] for i, value in signatures.items()}
        return m.Quorum(honest.sid, cut)


def seconds(call):
    """Processor seconds of a call, and the typed error that it ended with."""
    error, begin = None, time.process_time()
    try:
        call()
    except ProtocolError as refused:
        error = refused
    return time.process_time() - begin, error


class Site:
    """One client at one step, for which an honest message is at hand."""

    def __init__(self, client, step, honest, arguments):
        self.client, self.step, self.honest, self.arguments = client, step, honest, arguments
        self.usual = min(self.answers(honest) for _ in range(3))

    def answers(self, message):
        """Play the message to a copy of the client; any error that is not typed goes on."""
        again = object.__new__(Client)
        vars(again).update(vars(self.client))
        return seconds(lambda: getattr(again, self.step)(message, **self.arguments))[0]

    def check(self, message):
        assert len(message) <= MOST
        took = self.answers(message)
        assert took <= self.usual + BEYOND, f"{self.step}: {took:.3f} s, honest {self.usual:.3f} s"


def lasting_policy(config, **more):
    return pinned(config, replay=Forgetful(), **more)


def sites_of(session, context):
    """Every step of one client of a session, each with the honest message and its kind."""
    one = next(iter(session.clients))
    client, config, malicious = session.clients[one], session.config, bool(session.identities)
    held = {"context": context}
    steps = []

    def keep(step, message, decoded, **arguments):
        copied = object.__new__(Client)
        vars(copied).update(vars(client))
        steps.append((Site(copied, step, message, arguments), decoded))

    replies = session.keys()
    keep("share", replies[one], ("roster", m.Roster.decode(replies[one], config)))
    replies = session.server.relay_shares(session.share(replies))
    sid = session.server._state.before.sid
    relay = m.Relay.decode(replies[one], config, sid)
    keep("mask", replies[one], ("relay", relay), vector=session.vectors[one], **held)
    replies = session.server.collect_vectors(session.mask(replies, context))
    survivors = m.Survivors.decode(replies[one], config, sid)
    keep("confirm" if malicious else "unmask", replies[one], ("survivors", survivors))
    if malicious:
        signed = {i: session.clients[i].confirm(r) for i, r in replies.items()}
        replies = session.server.collect_confirmations(signed)
        quorum = m.Quorum.decode(replies[one], config, sid)
        keep("unmask", replies[one], ("quorum", quorum))
    return steps


def check_message(draw, steps):
    """Draw one message for one of the steps, and play it unless it is too long."""
    site, (kind, honest) = draw.of(steps)
    message = getattr(draw, kind)(honest).encode()
    if len(message) <= MOST:
        site.check(message)


class Door:
    """A site on Flower, as far as an invitation goes."""

    def __init__(self, config, policy, identity):
        from veil.integrations.flower.participant import Participant
        from veil.integrations.flower.store import Store
        from veil.integrations.flower.terms import Terms

        self._site = Participant(
            policy=policy,
            identity=identity,
            metrics={"loss": 2.0},
            privacy=None,
            ledger=None,
            label=None,
            answer_after=None,
        )
        self._store = lambda: Store(identity, policy)
        client = None if policy.roster is not None else 0
        self.honest = Terms("run", client, config, {"loss": 2.0}, None).to_dict()
        self.usual = min(self.answers(json.dumps(self.honest).encode()) for _ in range(3))

    def answers(self, payload):
        from veil.integrations.flower.envelope import Step

        step = Step("advertise", 1, payload)
        return seconds(lambda: self._site._advertise(step, self._store()))[0]

    def check(self, values):
        payload = json.dumps(values).encode()
        if len(payload) <= MOST:
            took = self.answers(payload)
            assert took <= self.usual + BEYOND, f"{took:.3f} s, {self.usual:.3f} s, {payload[:500]}"
