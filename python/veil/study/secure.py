"""The arm FedAvg + SecAgg: its settings, its words, and a sum that counts the values it cuts.

Clip: the sites' updates are changes of a model over standardised features. A step moves a
coefficient by at most the step size times the batch's mean of |x|, so a round moves it by at most
step size · steps · mean |x|: about 60 for 20,000 rows of a site with the default step of 0.1 and
batches of 32. A clip of 1024 leaves room above that, and 40 bits keep the lattice at 2^-28.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.fixed_point import FixedPoint
from veil.fl import SecureSum

__all__ = ["CountingSum", "caveat", "left_out", "make_sum", "settings", "words"]

FEWEST, MOST = 3, 30
"""Sites of the arm unless it is asked for; each pair of sites agrees on keys in each round."""

_CLIP, _BITS = 1024.0, 40
_CORRUPT = 1


def settings(n_sites: int) -> dict[str, Any]:
    """Return what the protocol runs with, but for the weights' bound, which depends on the split.

    Parameters
    ----------
    n_sites : int
        Number of sites, at least 3.

    Returns
    -------
    dict
        Keywords of `veil.fl.SecureSum` as JSON values.
    """
    return {
        "codec": _codec(n_sites).to_dict(),
        "dropout": 0 if n_sites == FEWEST else 1,  # a majority must outvote one corrupt site
        "corrupt": _CORRUPT,
        "adversary": "malicious",
        "min_survivors": None,
    }


def left_out(n_sites: int, asked: bool | None) -> str | None:
    """Say why a study has no such arm.

    Parameters
    ----------
    n_sites : int
        Number of sites.
    asked : bool or None
        Whether the arm was asked for; None where nothing was said.

    Returns
    -------
    str or None
        A sentence, or None when the arm runs.
    """
    if asked is False:
        return "FedAvg + SecAgg was left out, as asked."
    if n_sites < FEWEST:
        return (
            f"FedAvg + SecAgg was left out: it needs at least {FEWEST} sites, here are {n_sites}; "
            "in a sum of two, each site could read the other's update."
        )
    if n_sites > MOST and asked is None:
        return (
            f"FedAvg + SecAgg was left out: {n_sites} sites would exchange keys pair by pair in "
            "every round of this one process; ask for it to have it."
        )
    return None


class CountingSum(SecureSum):
    """A `SecureSum` that tells how many values lay outside the codec's range and were cut."""

    values_cut = 0

    def add(self, site: str, vector: NDArray[np.floating[Any]], weight: float | None) -> None:
        """Count, then mask and add, as `SecureSum.add`."""
        self.values_cut += int(np.count_nonzero(np.abs(vector) > _CLIP))
        super().add(site, vector, weight)


def make_sum(train: Mapping[str, NDArray[np.int64]]) -> CountingSum:
    """Make the aggregator of one run.

    Parameters
    ----------
    train : mapping of str to ndarray
        Training rows by site; the largest number of them bounds a weight, and is public.

    Returns
    -------
    CountingSum
        Between the sites of `train`.
    """
    limits = settings(len(train)) | {"codec": _codec(len(train))}
    return CountingSum(**limits, weight_max=max(rows.size for rows in train.values()))


def words(n_sites: int) -> dict[str, str]:
    """Say what the arm protects, what it does not, and who is trusted.

    Parameters
    ----------
    n_sites : int
        Number of sites, at least 3.

    Returns
    -------
    dict
        Texts of a method.
    """
    dropout = settings(n_sites)["dropout"]
    together = n_sites - dropout - _CORRUPT
    vanish = f"{dropout} may vanish in a round" if dropout else "none may vanish in a round"
    return {
        "protects": "Records stay at their site. In each round the server sees only the sum of the "
        "updates, who took part and the total of their training rows, never a single site's "
        "update, even if it deviates from the protocol. Assumed: sites know one another's identity "
        f"keys; X25519 with ML-KEM-768, Ed25519 and AES-256 hold; at most {_CORRUPT} site "
        f"colludes with the server; {vanish}.",
        "does_not_protect": "The released model is not differentially private: the sums and the "
        "model may reveal patients to the server and to everyone who receives the model; two "
        "rounds whose sites differ by one show that site's update to the server; and a sum "
        f"may hold as few as {together} honest sites. Features' means, variances and categories "
        "leave the site too.",
        "trusted": "Nobody with a single update: the server and up to "
        f"{_CORRUPT} site colluding with it learn the others' sum alone. The server and everyone "
        "who receives the model, with what sum and model reveal.",
    }


def caveat(runs: list[dict[str, Any]], n_sites: int) -> str:
    """Say how far the arm's numbers can be from FedAvg's, and whether anything was cut.

    Parameters
    ----------
    runs : list of dict
        The arm's finished runs.
    n_sites : int
        Number of sites.

    Returns
    -------
    str
        A sentence.
    """
    cut = sum(run["values_cut"] for run in runs)
    told = (
        "no value was cut"
        if cut == 0
        else f"{cut} values were cut, so its scores may differ from FedAvg's"
    )
    return (
        f"FedAvg + SecAgg clips each value of an update to ±{_CLIP:g} and rounds it to a multiple "
        f"of {_codec(n_sites).granularity:.2g}; {told}. Its bytes count every message of the "
        "protocol, its seconds the work of all sites and of the server in one process."
    )


def _codec(n_sites: int) -> FixedPoint:
    return FixedPoint(clip=_CLIP, bits=_BITS, max_summands=n_sites, rounding="nearest")
