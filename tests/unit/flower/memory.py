"""Flower without processes: a grid in memory that carries real messages, and nodes to fill it."""

import flwr.app as flwr
import numpy as np
from flwr.clientapp import ClientApp
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from veil.dp import Ledger
from veil.fixed_point import FixedPoint
from veil.integrations.flower import SecureStrategy, secagg_mod
from veil.secagg import Identity, Policy, Roster

CODEC = FixedPoint(clip=4.0, bits=22, max_summands=16, rounding="nearest")
MODEL = {
    "weight": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "bias": np.zeros(3, np.float32),
    "seen": np.array(7, np.int64),  # a buffer such as BatchNorm's num_batches_tracked
}


def site_ledger(path, dp, **settings):
    """A new ledger file with room for a mechanism, as a site would make it."""
    wanted = {
        "epsilon": 1e3, "delta": 1e-3, "unit": dp.unit, "relation": "add-or-remove-one",
        "mode": "planned",
    }  # fmt: skip
    if dp.unit == "site":
        wanted["relation"] = "zero-out"
    Ledger(path=path, **(wanted | settings))
    return str(path)


def arrays_of(params):
    return flwr.ArrayRecord({name: flwr.Array(np.asarray(a)) for name, a in params.items()})


def params_of(arrays):
    return {name: array.numpy() for name, array in arrays.items()}


def wire(message):
    """A message as the bytes of all its objects."""
    return {i: obj.deflate() for i, obj in get_all_nested_objects(message).items()}


def travelled(message):
    """The message as it arrives: nothing but its bytes."""
    message.metadata.__dict__["_message_id"] = message.object_id
    after = inflate_object_from_contents(message.object_id, wire(message))
    after.metadata.__dict__["_message_id"] = message.object_id
    return after


class Node:
    """One SuperNode: an app, its context, and how it misbehaves."""

    def __init__(self, node_id, app, node_config):
        self.app = app
        self.context = flwr.Context(1, node_id, node_config, flwr.RecordDict(), {})
        self.requests, self.replies = [], []

    def __call__(self, message):
        reply = travelled(self.app(message, self.context))
        reply.metadata.__dict__["_src_node_id"] = self.context.node_id
        self.replies.append(reply)
        return reply


class MemoryGrid:
    """What a strategy sees of Flower, with every message kept.

    `faults` maps an exchange's number, from 1, to ``{node: what to do}``: "silent", or a function
    from the node and the message to a reply or None.
    """

    def __init__(self, nodes):
        self.nodes = {node.context.node_id: node for node in nodes}
        self.faults = {}
        self.exchange = 0
        self.down, self.up = [], []
        self._waiting = {}

    def get_node_ids(self):
        return sorted(self.nodes)

    def push_messages(self, messages):
        self.exchange += 1
        arrived_all = [travelled(message) for message in messages]
        for arrived in sorted(arrived_all, key=lambda m: m.metadata.dst_node_id):
            self.down.append(arrived)
            node = self.nodes[arrived.metadata.dst_node_id]
            node.requests.append(arrived)
            reply = self._reply(node, arrived)
            if reply is not None:
                self.up.append(reply)
                self._waiting[arrived.metadata.message_id] = reply
        return [arrived.metadata.message_id for arrived in arrived_all]

    def _reply(self, node, message):
        fault = self.faults.get(self.exchange, {}).get(node.context.node_id)
        if fault == "silent":
            return None
        return node(message) if fault is None else fault(node, message)

    def pull_messages(self, ids):
        return [self._waiting.pop(i) for i in ids if i in self._waiting]


def drifted(site, params, factor=1.0):
    """What site number `site` trains: a change that is a multiple of the codec's granularity."""
    step = CODEC.granularity * factor
    return {
        name: a + np.asarray(step * (1000 * site + 1), a.dtype) if a.dtype.kind == "f" else a + site
        for name, a in params.items()
    }


def toy_app(site, mods, *, examples=None, metrics=None, drift=drifted):
    app = ClientApp(mods=mods)

    @app.train()
    def train(message, context):
        train.calls += 1
        after = drift(site, params_of(message.content["arrays"]))
        found = {"num-examples": examples or 100 + site, "train_loss": 0.5 + site / 8}
        content = {"arrays": arrays_of(after), "metrics": flwr.MetricRecord(metrics or found)}
        return flwr.Message(flwr.RecordDict(content), reply_to=message)

    train.calls = 0
    app.train_function = train
    return app


class Cohort:
    """Sites with identities, their nodes, a grid, and a strategy over them."""

    def __init__(self, folder, n, *, malicious, mod=None, app=toy_app, **app_settings):
        self.n = n
        self.identities = [Identity.new(folder / f"site{i}.key") for i in range(n)]
        self.roster = Roster({f"site{i}": x.public for i, x in enumerate(self.identities)})
        if not malicious:
            self.roster = None
        self.mod_settings = mod or {}
        nodes = []
        for i in range(n):
            mods = [secagg_mod(self.policy(), **self.mod_settings)]
            node_app = app(i, mods, **app_settings)
            nodes.append(Node(1000 + i, node_app, {"identity": str(self.identities[i].path)}))
        self.grid = MemoryGrid(nodes)

    def policy(self, **more):
        """From a node's context to a policy that pins what the last strategy proposes."""

        def pinned(_):
            config = self.made._config_for(self.n)
            fields = ("codec", "length", "weight_max", "noise")
            agreed = {name: getattr(config, name) for name in fields}
            keys = None if self.roster is None else self.roster.keys
            limits = {"min_cohort": 3, "min_survivors": 3, "max_corrupt": 0, "roster": keys}
            return Policy(**agreed | limits | more)

        return pinned

    def strategy(self, inner=None, **more):
        settings = {
            "codec": CODEC,
            "dropout": 1,
            "corrupt": 0,
            "min_survivors": 3,
            "weight_max": 1000,
            "roster": self.roster,
        }
        self.made = SecureStrategy(inner or self.fedavg(), **{**settings, **more})
        return self.made

    def fedavg(self, **more):
        from flwr.serverapp.strategy import FedAvg

        return FedAvg(min_available_nodes=self.n, min_train_nodes=self.n, **more)

    def start(self, strategy, rounds=1, params=None, timeout=0.15, config=None):
        arrays = arrays_of(params or MODEL)
        train_config = None if config is None else flwr.ConfigRecord(config)
        return strategy.start(
            self.grid, arrays, num_rounds=rounds, timeout=timeout, train_config=train_config
        )
