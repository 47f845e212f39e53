"""What a federated run leaves behind: its rounds, its model, its guarantee."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from veil.fl._packing import pack, unpack
from veil.fl.layout import Layout
from veil.fl.records import Params
from veil.fl.statement import PrivacyStatement

__all__ = ["History", "Round"]


@dataclass(frozen=True, slots=True)
class Round:
    """One finished round.

    Parameters
    ----------
    number : int
        1 for the first.
    seconds : float
        Wall time of training and aggregation, without scoring.
    bytes_up, bytes_down : int
        Moved from all sites, and to them: the model, what strategy and aggregator add.
    survivors : tuple of str
        Sites whose upload was used.
    metrics : dict of str to dict of str to float
        Scores by site, then by name, of the model after this round; NaN where not defined; empty
        in rounds that were not scored.
    """

    number: int
    seconds: float
    bytes_up: int
    bytes_down: int
    survivors: tuple[str, ...]
    metrics: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return the round as JSON types; NaN becomes None.

        Returns
        -------
        dict
            The fields by name.
        """
        scores = {
            site: {name: None if math.isnan(v) else v for name, v in row.items()}
            for site, row in self.metrics.items()
        }
        return {
            "number": self.number,
            "seconds": self.seconds,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "survivors": list(self.survivors),
            "metrics": scores,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Round:
        """Read what `to_dict` returned.

        Parameters
        ----------
        fields : mapping
            As from `to_dict`.

        Returns
        -------
        Round
            The same round.
        """
        metrics = {
            site: {name: math.nan if v is None else float(v) for name, v in row.items()}
            for site, row in fields["metrics"].items()
        }
        return cls(**{**fields, "survivors": tuple(fields["survivors"]), "metrics": metrics})


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """A finished run.

    Parameters
    ----------
    rounds : tuple of Round
        In order.
    params : dict of str to ndarray
        The final model.
    layout : Layout
        Its layout.
    seeded : bool
        Whether every draw came from a seed. A seeded private run is a simulation: its noise
        protects nobody.
    privacy : PrivacyStatement or None
        What is guaranteed; None for a run without differential privacy.
    """

    rounds: tuple[Round, ...]
    params: Params = field(repr=False)
    layout: Layout = field(repr=False)
    seeded: bool
    privacy: PrivacyStatement | None

    @property
    def simulated(self) -> bool:
        """Whether a privacy guarantee is claimed of noise that was seeded."""
        return self.seeded and self.privacy is not None

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Scores of the final model by site, then by name."""
        return self.rounds[-1].metrics if self.rounds else {}

    @property
    def bytes_up(self) -> int:
        """Bytes from the sites, all rounds together."""
        return sum(r.bytes_up for r in self.rounds)

    @property
    def bytes_down(self) -> int:
        """Bytes to the sites, all rounds together."""
        return sum(r.bytes_down for r in self.rounds)

    @property
    def seconds(self) -> float:
        """Wall time of training and aggregation, all rounds together."""
        return math.fsum(r.seconds for r in self.rounds)

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON types, the model's arrays in base64 to the last bit.

        Returns
        -------
        dict
            ``rounds``, ``params``, ``layout``, ``seeded`` and ``privacy``.
        """
        return {
            "rounds": [r.to_dict() for r in self.rounds],
            "params": {name: pack(array) for name, array in self.params.items()},
            "layout": self.layout.to_dict(),
            "seeded": self.seeded,
            "privacy": self.privacy and self.privacy.to_dict(),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> History:
        """Read what `to_dict` returned.

        Parameters
        ----------
        fields : mapping
            As from `to_dict`.

        Returns
        -------
        History
            The same run.
        """
        statement = fields["privacy"]
        return cls(
            rounds=tuple(Round.from_dict(r) for r in fields["rounds"]),
            params={name: unpack(packed) for name, packed in fields["params"].items()},
            layout=Layout.from_dict(fields["layout"]),
            seeded=bool(fields["seeded"]),
            privacy=None if statement is None else PrivacyStatement.from_dict(statement),
        )
