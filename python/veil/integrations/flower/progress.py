"""What a run has done: its checkpoint after each round, and going on from there."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from veil._optional import require
from veil.errors import ProtocolError
from veil.fl.checkpoint import Checkpoint, fingerprint
from veil.fl.history import Round
from veil.fl.layout import Layout
from veil.integrations.flower.vectors import Model
from veil.integrations.flower.wrapped import capture, restore

if TYPE_CHECKING:
    from flwr.serverapp.strategy import Result, Strategy

__all__ = ["Progress"]

_log = logging.getLogger("veil.flower")


@dataclass(slots=True)
class Progress:
    """The last completed round of a run.

    Parameters
    ----------
    strategy : flwr.serverapp.strategy.Strategy
        The strategy inside, whose moments are kept too.
    settings : sequence
        What makes the run another one when it changes.
    path : path or None
        The checkpoint's file.
    """

    strategy: Strategy
    settings: Sequence[Any]
    path: str | os.PathLike[str] | None
    state: Checkpoint | None = None
    done: int = 0  # rounds of earlier processes, by number

    def resume(self, first: Model) -> Model:
        """Read the file if there is one, and return the model to go on from.

        Raises
        ------
        ProtocolError
            If the checkpoint is another run's.
        """
        self.done = 0
        if self.path is None or not os.path.exists(self.path):
            return first
        state = Checkpoint.load(self.path)
        if state.fingerprint != self._fingerprint(first.layout):
            raise ProtocolError(
                f"{os.fspath(self.path)}: the checkpoint is of another model, strategy or "
                "setting; remove it to start over"
            )
        self.state, self.done = state, state.rounds[-1].number
        restore(self.strategy, state.server)
        _log.info("going on after round %d of the checkpoint", self.done)
        return Model(state.layout, state.params)

    def commit(self, done: Round, model: Model) -> None:
        """Keep a completed round, on disk before anything else happens."""
        before = () if self.state is None else self.state.rounds
        self.state = Checkpoint(
            fingerprint=self._fingerprint(model.layout),
            layout=model.layout,
            vector=model.vector,
            buffers={e.name: model.params[e.name] for e in model.layout.buffers},
            server=capture(self.strategy),
            sites={},
            rounds=(*before, done),
        )
        if self.path is not None:
            self.state.save(self.path)
        _log.info("round %d: the sum of %s", done.number, ", ".join(done.survivors))

    def whole(self, result: Result) -> Result:
        """Count a resumed run's metrics from its beginning, and add those of the checkpoint."""
        flwr = require("flwr.app", "flower")
        assert self.state is not None
        for name in ("train_metrics_clientapp", "evaluate_metrics_serverapp"):
            shifted = {number + self.done: m for number, m in getattr(result, name).items()}
            setattr(result, name, shifted)
        earlier = {
            r.number: flwr.MetricRecord(r.metrics["all"])
            for r in self.state.rounds
            if r.number <= self.done and "all" in r.metrics
        }
        result.train_metrics_clientapp = earlier | result.train_metrics_clientapp
        model = Model(self.state.layout, self.state.params)
        result.arrays = model.record(model.vector)
        return result

    def _fingerprint(self, layout: Layout) -> str:
        plain = [type(self.strategy).__qualname__, repr(layout.to_dict())]
        return fingerprint([*self.settings, *plain], [])
