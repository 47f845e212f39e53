"""The work items of `paired.py`, written for any checkout: they build on its own helpers.

Secure rounds come from the checkout's `bench/bench_secagg_round.py`, Flower rounds from its
`tests/unit/flower/memory.py`, so that a change of the API is followed there and not here.
"""

import hashlib
import importlib
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from veil import FixedPoint, dp, ring
from veil.random import SecureGenerator

SEED = bytes(range(32))
CHARGES = 10

Call = Callable[[], Any]


class Item:
    """A work item: `ready` gives the call to time, `check` judges a result and gives its bits."""

    clock = "processor"  # "wall" where the work waits for a disk

    def ready(self) -> Call:
        raise NotImplementedError

    def check(self, result: Any) -> str | None:
        raise NotImplementedError

    def close(self) -> None:
        """Remove what it left."""


def bits_of(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def masked_bits() -> str:
    """An encoded vector under masks: the part of a round that chance leaves alone."""
    codec = FixedPoint(clip=8.0, bits=22, max_summands=100, rounding="stochastic")
    x = np.random.default_rng(4).normal(size=10_007).astype(np.float32)
    words = codec.encode(x, SecureGenerator.from_seed(SEED))
    return bits_of(ring.mask_add(words, [SEED, SEED[::-1]], [1, -1], offset=0, cipher="aes256-ctr"))


class SecureRound(Item):
    """All of one client's work, or all of the server's, on the messages of a round."""

    recorded: ClassVar[dict[tuple[int, int, int], Any]] = {}  # both parties share one

    def __init__(self, party: str, n: int, dropped: int, size: int) -> None:
        self.party, self.where = party, (n, dropped, size)
        if self.where not in self.recorded:
            module = importlib.import_module("bench_secagg_round")
            self.recorded[self.where] = module.Recorded(n, dropped, module.values_of(size))

    def ready(self) -> Call:
        return getattr(self.recorded[self.where], self.party)

    def check(self, result: Any) -> str | None:
        n, dropped, size = self.where
        if self.party == "client":
            assert result.size == size
        else:
            values = self.recorded[self.where].values
            exact = (n - dropped) * np.clip(values, -8, 8).astype(float)
            np.testing.assert_allclose(result, exact, rtol=0, atol=(n - dropped) * 2.0**-17)
        return masked_bits()

    def close(self) -> None:
        if self.party == "server":
            self.recorded.clear()


def ledger(**settings: Any) -> Any:
    return dp.Ledger(
        **{
            "epsilon": 12.0,
            "delta": 1e-2,
            "unit": "patient",
            "relation": "add-or-remove-one",
            "mode": "adaptive",
            **settings,
        }
    )


class Release(Item):
    """`GaussianMechanism.release` of float64."""

    def __init__(self, size: int) -> None:
        self.mechanism = dp.GaussianMechanism(l2_sensitivity=1.0, sigma=1.0)
        self.x, self.out = np.random.default_rng(0).normal(size=size), np.empty(size)

    def ready(self) -> Call:
        return lambda: self.mechanism.release(self.x, ledger=ledger(), out=self.out)

    def check(self, result: Any) -> str:
        error = result.value - self.x
        assert abs(error.std() - 1.0) < 6.0 / np.sqrt(error.size)
        seeded = SecureGenerator.from_seed(SEED)
        return bits_of(self.mechanism.release(self.x, ledger=ledger(), rng=seeded).value)


class Query(Item):
    """`dp.mean` of float64."""

    def __init__(self, rows: int) -> None:
        self.x = np.random.default_rng(0).normal(60, 15, rows)

    def ready(self) -> Call:
        return self.ask

    def ask(self, rng: Any = None) -> Any:
        return dp.mean(
            self.x, bounds=(0, 120), epsilon=1.0, delta=0.0, patient_ids=None, ledger=ledger(),
            rng=rng,
        )  # fmt: skip

    def check(self, result: Any) -> str:
        assert abs(result.value - self.x.mean()) < 120.0 * 30 / self.x.size + 1.0
        return bits_of(self.ask(SecureGenerator.from_seed(SEED)).value)


class Charges(Item):
    """Charges of several kinds to a fresh ledger, in memory or synced to a file."""

    events = (
        dp.Event.gaussian(sigma=1e4, sensitivity=1.0),
        dp.Event.pure(epsilon=1e-5),
        dp.Event.gaussian(sigma=1e3, sensitivity=1.0, sampling_probability=0.01),
    )

    def __init__(self, *, durable: bool) -> None:
        self.clock = "wall" if durable else "processor"
        self.folder = Path(tempfile.mkdtemp(prefix="veil-paired-")) if durable else None
        self.made = 0

    def ready(self) -> Call:
        self.made += 1
        path = None if self.folder is None else self.folder / f"{self.made}.ledger"
        book = ledger(path=path)

        def charge() -> Any:
            for at in range(CHARGES):
                book.charge(self.events[at % len(self.events)], label="paired")
            return book

        return charge

    def check(self, result: Any) -> str:
        spent = result.spent()
        assert spent.releases == CHARGES
        return f"{spent.epsilon:.12g}"

    def close(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder)


class UnseenCharge(Item):
    """A charge of a subsampled event that no cache has."""

    def __init__(self) -> None:
        self.sigma = 1e3

    def ready(self) -> Call:
        self.sigma += 1.0
        event = dp.Event.gaussian(sigma=self.sigma, sensitivity=1.0, sampling_probability=0.01)
        book = ledger()

        def charge() -> Any:
            book.charge(event, label="paired")
            return book

        return charge

    def check(self, result: Any) -> str:
        return f"{result.spent().epsilon:.12g}"


class FlowerRound(Item):
    """One round of FedAvg under `SecureStrategy` on a grid in memory, from keys to model."""

    def __init__(self, sites: int, size: int) -> None:
        importlib.import_module("flwr.app")
        logging.getLogger("flwr").setLevel(logging.ERROR)
        identity = importlib.import_module("flwr.supercore.task_identity").TaskIdentity
        for name in ("_run_id", "_node_id", "_task_id"):  # as Flower sets them in a run's process
            setattr(identity, name, 1)
        self.memory = importlib.import_module("tests.unit.flower.memory")
        self.sites = sites
        self.params = {"weight": np.linspace(-1, 1, size, dtype=np.float32)}
        self.folder = Path(tempfile.mkdtemp(prefix="veil-paired-"))
        self.made = 0

    def ready(self) -> Call:
        self.made += 1
        folder = self.folder / str(self.made)
        folder.mkdir()
        cohort = self.memory.Cohort(folder, self.sites, malicious=True)
        strategy = cohort.strategy()

        def rounds() -> Any:
            return cohort.start(strategy, params=self.params)

        return rounds

    def check(self, result: Any) -> str:
        after = self.memory.params_of(result.arrays)["weight"]
        moved = after.astype(float) - self.params["weight"]
        assert 0.0 < moved.mean() < 0.1
        return bits_of(after)

    def close(self) -> None:
        shutil.rmtree(self.folder)


def scenarios(quick: bool) -> dict[str, Callable[[], Item]]:
    """Name every work item; quick ones only show that they run."""
    n, dropped, size = (6, 1, 1000) if quick else (100, 10, 1_000_000)
    values = 10_000 if quick else 1_000_000
    sites, model = (4, 1000) if quick else (8, 100_000)
    shape = f"n = {n}, d = {size:,}, {dropped} dropped"
    return {
        f"secure round, one client: {shape}": lambda: SecureRound("client", n, dropped, size),
        f"secure round, the server: {shape}": lambda: SecureRound("server", n, dropped, size),
        f"GaussianMechanism.release, {values:,} float64": lambda: Release(values),
        f"dp.mean, {values:,} rows": lambda: Query(values),
        f"{CHARGES} × Ledger.charge, in memory": lambda: Charges(durable=False),
        f"{CHARGES} × Ledger.charge, synced to a file": lambda: Charges(durable=True),
        "Ledger.charge of an unseen sampled event": UnseenCharge,
        f"Flower round, {sites} sites, {model:,} values": lambda: FlowerRound(sites, model),
    }
