"""What central and distributed DP-FedSGD share: the checks, a site's sum, and the server's step."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from veil.columns import written
from veil.errors import DataError
from veil.fl import _checks
from veil.fl.layout import Layout
from veil.fl.privacy.clipping import chunks, first_rows, sample_units
from veil.fl.privacy.isolated import check_gradients, isolated_sum
from veil.fl.protocols import PrivateTask, Strategy, Task
from veil.fl.records import Params, SiteRound, Sum
from veil.fl.sites import Site
from veil.random import SecureGenerator

__all__ = [
    "check_delta",
    "check_mean_only",
    "check_most_rows",
    "check_rounds",
    "check_units",
    "gradient_step",
    "private_task",
    "sampled_sum",
    "try_gradients",
]

_CHUNK_BYTES = 64 << 20
_log = logging.getLogger("veil.fl")


def check_delta(name: str, delta: float, population: int, *, of: str = "patients") -> None:
    """Refuse a delta at which a mechanism may publish a whole unit.

    Parameters
    ----------
    name : str
        Of the argument.
    delta : float
        The value.
    population : int
        Number of units.
    of : str
        What the units are.

    Raises
    ------
    ValueError
        Unless delta lies in (0, 1/population).
    """
    if not 0 < delta < 1 / population:
        raise ValueError(
            f"{name}: expected a number in (0, 1/n) with n = {population} {of}, got {delta!r}; "
            f"1/(10n) = {0.1 / population:.2g} is usual"
        )


def check_mean_only(strategy: Strategy, *, why: str) -> None:
    """Refuse a strategy that needs more than a mean model change.

    Parameters
    ----------
    strategy : Strategy
        The strategy.
    why : str
        What the mechanism cannot give.

    Raises
    ------
    ValueError
        If it reads single updates or has a part in local training.
    """
    if strategy.needs_individual_updates or not strategy.needs_mean_only:
        raise ValueError(
            f"strategy: {type(strategy).__name__} needs more than the mean change of the "
            f"model, but {why}; use FedAvg or an adaptive strategy"
        )


def check_most_rows(most: int | None, unit: str) -> None:
    """Refuse a bound on a patient's rows where there is none to set, and its lack where there is.

    Parameters
    ----------
    most : int or None
        Rows of a patient that count.
    unit : str
        Whom the mechanism protects.

    Raises
    ------
    ValueError
        Unless it is a count for ``unit="patient"`` and None for all others.
    """
    if unit != "patient":
        if most is not None:
            raise ValueError(
                f"max_rows_per_patient: expected None for unit={unit!r}, got {most!r}; only "
                "unit='patient' puts rows together"
            )
        return
    if most is None:
        raise ValueError(
            "max_rows_per_patient: expected a public number for unit='patient', got None; without "
            "it one patient with many rows shows in the time of an answer"
        )
    _checks.count("max_rows_per_patient", most)


def check_rounds(rounds: int, planned: int) -> None:
    """Refuse more rounds than are accounted for.

    Parameters
    ----------
    rounds, planned : int
        To be run, and accounted for.

    Raises
    ------
    ValueError
        If there are more.
    """
    if rounds > planned:
        raise ValueError(f"rounds: the plan accounts for {planned} rounds, got {rounds}")


def check_units(sites: Sequence[Site], unit: str) -> None:
    """Refuse sites whose patients the unit would not protect.

    Parameters
    ----------
    sites : sequence of Site
        Who trains.
    unit : {"patient", "record"}
        Whom to protect.

    Raises
    ------
    DataError
        If patient ids are missing, a patient has several rows under ``unit="record"``, or one
        patient is declared at two sites, be it as a number here and as text there.
    """
    for site in sites:
        if unit == "patient" and site.patients is None:
            raise DataError(
                f"site {site.id!r}: patients: expected patient ids for unit='patient', got None; "
                "if each row is its own patient, say unit='record'"
            )
        if unit == "record" and site.n_patients < site.n_train:
            raise DataError(
                f"site {site.id!r}: patients: some patients have several rows, which "
                "unit='record' would not protect; say unit='patient'"
            )
    _check_disjoint([site for site in sites if site.patients is not None])


def _check_disjoint(sites: Sequence[Site]) -> None:
    owners: dict[str, str] = {}
    for site in sites:
        for patient in written(np.asarray(site.patients)):
            if owners.setdefault(patient, site.id) != site.id:
                raise DataError(
                    f"sites {owners[patient]!r} and {site.id!r} declare one patient; give each "
                    "patient to one site, or make ids global by putting the site's name in front"
                )


def private_task(task: Task) -> PrivateTask:
    """Return the task as one whose gradients are known per record.

    Parameters
    ----------
    task : Task
        Any task.

    Returns
    -------
    PrivateTask
        The same object.

    Raises
    ------
    TypeError
        If it lacks a member.
    """
    needed = ("record_gradients", "penalty_gradient", "learning_rate")
    if not all(hasattr(task, name) for name in needed):
        raise TypeError(
            f"task: expected per-record gradients, but {type(task).__name__} does not have all of "
            f"{', '.join(needed)}"
        )
    return cast(PrivateTask, task)


def try_gradients(task: Task, sites: Sequence[Site]) -> None:
    """Refuse a task that does not return a gradient for each row, on rows of zeros.

    Parameters
    ----------
    task : Task
        The task.
    sites : sequence of Site
        Whose rows have one shape; nothing is tried without a site.

    Raises
    ------
    TypeError
        If it lacks a member, or returns anything else.
    DataError
        If it raises.
    """
    for site in sites[:1]:
        params = task.init(SecureGenerator())
        check_gradients(private_task(task), params, site, size=Layout.of(params).size)


def sampled_sum(
    work: SiteRound, *, q: float, clip: float, most_rows: int | None
) -> NDArray[np.float64]:
    """Draw a site's patients, clip each one's gradient, and sum.

    Parameters
    ----------
    work : SiteRound
        What the site has in hand.
    q : float
        Probability with which each patient is drawn.
    clip : float
        L2 norm to which each patient's gradient is clipped.
    most_rows : int or None
        Rows of a patient that count; None where each row is its own patient.

    Returns
    -------
    ndarray of float64, shape (layout.size,)
        The sum, zero when nobody was drawn. A patient whose gradient cannot be computed or is not
        finite counts as zero.

    Notes
    -----
    Nothing about the rows raises: how many patients count as zero is for the site's own log.
    """
    task, site, params = private_task(work.task), work.site, work.params
    total, left_out = np.zeros(work.layout.size), 0
    rows, starts = sample_units(site.patients, site.n_train, q=q, rng=work.rng)
    if most_rows is not None:
        rows, starts = first_rows(rows, starts, most=most_rows)
    raised: BaseException | None = None
    for part in chunks(rows, starts, most=max(1, _CHUNK_BYTES // (8 * work.layout.size))):
        summed = isolated_sum(task, params, work, *part, clip=clip)
        total += summed.total
        if summed.raised is not None:
            raised, params = raised or summed.raised, work.params
        left_out += summed.left_out
    if left_out:
        _log.warning(
            "site %s: %d of %d patients drawn count as zero: no finite gradient (for this site's "
            "eyes only)", site.id, left_out, len(starts), exc_info=raised,
        )  # fmt: skip
    return total


def gradient_step(
    noisy: NDArray[np.float64], expected: float, *, task: Task, params: Params, total: Sum
) -> Sum:
    """Turn a noisy sum of gradients into the model change of one gradient step.

    Parameters
    ----------
    noisy : ndarray of float64, shape (layout.size,)
        The sum with its noise.
    expected : float
        q·N, the public denominator.
    task : Task
        Gives step size and penalty, which depends on the model alone.
    params : dict of str to ndarray
        The model of this round.
    total : Sum
        Whose survivors are kept.

    Returns
    -------
    Sum
        Whose mean is −η·(noisy/(q·N) + penalty gradient).
    """
    private = private_task(task)
    gradient = noisy / expected
    gradient += private.penalty_gradient(params)
    return Sum(-private.learning_rate * gradient, 1.0, total.survivors)
