"""What the statement of a distributed mechanism says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from veil.fl.privacy.distributed import DistributedDP

__all__ = ["ACCOUNT", "SERVER_ACCOUNT", "TIMING", "caveats", "public", "rows_told", "trusted"]

ACCOUNT = (
    "each site's own ledger: on an engine it reserves all rounds before the first, charges each "
    "before it samples, and refuses when they are spent; the server's ledger is a record for "
    "itself. In a simulation one ledger stands for all"
)
SERVER_ACCOUNT = (
    "the server's ledger, which it is trusted with; a site that keeps one of its own on an engine "
    "answers no more rounds than that reserves"
)
TIMING = (
    "when an answer comes is not covered, and work grows with the patients drawn; an engine can "
    "hold answers back until a fixed time"
)


def trusted(unit: str, max_corrupt: int) -> tuple[str, ...]:
    """Say who must be trusted, with what."""
    own = "each site with its own patients" if unit != "site" else "each site with its own data"
    return (
        own,
        "nobody with another site's noiseless value: the server, even together with up to "
        f"{max_corrupt} colluding sites, learns the sum with noise in it alone",
        f"all but {max_corrupt} of the sites with adding their share of the noise",
    )


def public(plan: DistributedDP) -> tuple[str, ...]:
    """Say what is treated as public, with its value."""
    told = [
        f"clipping norm C = {plan.max_norm:g}",
        f"rounds = {plan.rounds}",
        f"sites, survivors and colluders: at most {plan.sites}, at least {plan.min_survivors}, at "
        f"most {plan.max_corrupt}",
        "lattice, noise of a site and ring",
        "which sites took part in each round",
    ]
    if plan.unit == "site":
        return tuple([*told, "the rotation's seed"] if plan.rotation_seed else told)
    return (
        f"population N = {plan.population}",
        f"sampling probability q = {plan.sampling_probability:g}",
        *told[:2],
        *rows_told(plan.max_rows_per_patient),
        "the schema: columns, bounds, categories and imputation constants",
        *told[2:],
    )


def rows_told(most: int | None) -> tuple[str, ...]:
    """Say how many rows of a patient count, where the unit puts rows together."""
    if most is None:
        return ()
    return (f"rows of a patient that count in a round: the first {most} in the site's order",)


def caveats(plan: DistributedDP) -> tuple[str, ...]:
    """Say where the guarantee ends."""
    return (
        f"each site adds 1/{plan.honest} of the noise variance that the guarantee needs, so that "
        f"the honest sites of any {plan.min_survivors} suffice: a sum of S sites has "
        f"S/{plan.honest} times the variance of a trusted server's noise",
        "sites that leave out their noise, beyond the colluders allowed, are outside the model",
        "exact from the rounded sum on: training, clipping and the float64 sum before it are taken "
        "as real arithmetic",
        "computational: samples and noise come from AES-256 keystreams, and the masks hold as "
        "secure aggregation does",
        TIMING,
        "test metrics, and choices made after seeing them, are not covered",
    )
