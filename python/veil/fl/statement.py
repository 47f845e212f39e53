"""What a report must say about a private run: promise 7 of the design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["PrivacyStatement"]


@dataclass(frozen=True, slots=True)
class PrivacyStatement:
    """Everything that is claimed about a private run, and everything that is not.

    Parameters
    ----------
    mechanism : str
        Name of the mechanism, for example ``"central DP-FedSGD"``.
    unit : str
        Whom it protects: ``"record"``, ``"patient"`` or ``"site"``.
    relation : str
        Which data sets count as neighbours: ``"add-or-remove-one"`` or ``"zero-out"``.
    sensitivity : float
        L2 norm by which one unit changes the total, before rounding.
    sensitivity_widened : float
        The same after rounding to the lattice.
    sigma : float
        Standard deviation of the noise on each value of the total.
    granularity : float
        Step of the lattice that the noise lies on, a power of two.
    event : dict
        What an accountant is charged with, as `veil.dp.Event` writes it; of all rounds together.
    slack : float
        Total-variation distance of all draws together from what the event says; also charged.
    exact_from : {"input", "sum"}
        ``"sum"``: the guarantee holds from the value on that was rounded to the lattice; the float
        arithmetic before it is taken as real arithmetic. ``"input"``: for the data as given.
    trusted : tuple of str
        Who must be trusted, with what.
    account : str
        Whose ledger counts: who can tell that the guarantee's rounds are spent, and stop.
    public : tuple of str
        What is treated as public, with its value.
    caveats : tuple of str
        Where the guarantee ends.
    seeded : bool
        Whether the draws repeat: then it is a simulation and protects nobody.
    """

    mechanism: str
    unit: str
    relation: str
    sensitivity: float
    sensitivity_widened: float
    sigma: float
    granularity: float
    event: dict[str, Any]
    slack: float
    exact_from: str
    trusted: tuple[str, ...]
    account: str
    public: tuple[str, ...]
    caveats: tuple[str, ...]
    seeded: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the statement as JSON types.

        Returns
        -------
        dict
            The fields by name, tuples as lists.
        """
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> PrivacyStatement:
        """Read what `to_dict` returned.

        Parameters
        ----------
        fields : mapping
            As from `to_dict`.

        Returns
        -------
        PrivacyStatement
            An equal statement.
        """
        read: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
        }
        return cls(**read)
