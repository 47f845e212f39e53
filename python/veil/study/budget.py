"""The ledger of each private model, and what publishing several of them would add up to."""

from typing import Any

from veil.dp import Event, Ledger, epsilon
from veil.fl import CentralDP, Layout, PrivacyStatement
from veil.study.plan import Plan

__all__ = ["RELATION", "certificate", "entry", "open_ledger", "together"]

RELATION = "add-or-remove-one"


def open_ledger(plan: Plan, target: float) -> Ledger:
    """Open the budget of one private model: its target, which calibration stays within.

    Parameters
    ----------
    plan : Plan
        The study, with δ.
    target : float
        The method's ε.

    Returns
    -------
    Ledger
        In memory; a model that would spend more is refused before its first round.
    """
    return Ledger(
        epsilon=target, delta=plan.delta, unit="patient", relation=RELATION, mode="planned"
    )


def entry(ledger: Ledger) -> dict[str, Any]:
    """Say what a finished model was charged.

    Parameters
    ----------
    ledger : Ledger
        The model's.

    Returns
    -------
    dict
        JSON values: ``ledger`` of a run in the results.
    """
    spent = ledger.spent()
    return {
        "mode": spent.mode,
        "budget": ledger.settings.epsilon,
        "delta": spent.delta,
        "spent": spent.epsilon,
        "accountant": spent.accountant,
        "charges": [
            {"label": label, "epsilon": own, "rounds": runs} for label, own, runs in spent.by_label
        ],
        "drawn": spent.releases,
        "slack": spent.slack,
        "head": ledger.head,
    }


def certificate(mechanism: CentralDP, layout: Layout, target: float, *, seeded: bool) -> Any:
    """Say what guarantees one ε: the noise and the event, as they were used.

    Parameters
    ----------
    mechanism : CentralDP
        The calibrated mechanism.
    layout : Layout
        Of the private models.
    target : float
        The ε it was calibrated to.
    seeded : bool
        Whether noise is drawn from seeds.

    Returns
    -------
    dict
        JSON values: an item of ``privacy.certificates`` in the results.
    """
    said: PrivacyStatement = mechanism.statement(layout, seeded=seeded)
    return {
        "epsilon": target,
        "noise_multiplier": mechanism.noise_multiplier,
        "sensitivity": said.sensitivity,
        "sensitivity_widened": said.sensitivity_widened,
        "sigma": said.sigma,
        "granularity": said.granularity,
        "event": said.event,
        "slack": said.slack,
        "exact_from": said.exact_from,
    }


def together(certificate: dict[str, Any], *, models: int, delta: float) -> float | None:
    """Return ε of publishing several models of one method.

    Parameters
    ----------
    certificate : dict
        From `certificate`.
    models : int
        How many, each trained with its own draws.
    delta : float
        δ of all together.

    Returns
    -------
    float or None
        None where ε would be so large that the sampler's slack leaves nothing of δ.
    """
    event = Event.from_dict(certificate["event"]).repeat(models)
    try:
        return epsilon(event, delta=delta, relation=RELATION, slack=models * certificate["slack"])
    except ValueError:
        return None
