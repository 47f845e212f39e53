"""``veil account``: what a private training run spends, or how much noise it needs."""

import math
from typing import Annotated

import typer

from veil.cli.guard import guarded

__all__ = ["account"]

_RELATIONS = "add-or-remove-one, replace-one or zero-out"


@guarded
def account(
    sampling_probability: Annotated[
        float,
        typer.Option(metavar="Q", help="Probability with which each patient takes part in a step."),
    ],
    steps: Annotated[int, typer.Option(metavar="N", help="Number of steps or rounds.")],
    delta: Annotated[
        float,
        typer.Option(metavar="DELTA", help="Failure probability; below one over the patients."),
    ],
    noise_multiplier: Annotated[
        float | None,
        typer.Option(metavar="Z", help="Standard deviation of the noise over the clipping norm."),
    ] = None,
    target_epsilon: Annotated[
        float | None,
        typer.Option(metavar="EPSILON", help="Find the least noise multiplier for this instead."),
    ] = None,
    relation: Annotated[
        str, typer.Option(metavar="NAME", help=f"Which data sets are neighbours: {_RELATIONS}.")
    ] = "add-or-remove-one",
) -> None:
    """Say what a training run with Poisson sampling and Gaussian noise spends.

    Example: veil account --noise-multiplier 1.1 --sampling-probability 0.01 --steps 1000
    --delta 1e-5
    """
    from veil import dp
    from veil.dp.events import check_count, check_delta, check_positive, check_relation

    check_relation(relation)
    check_delta("--delta", delta)
    check_count("--steps", steps)
    if check_positive("--sampling-probability", sampling_probability) > 1.0:
        raise ValueError(
            f"--sampling-probability: expected a number in (0, 1], got {sampling_probability:g}"
        )
    if (noise_multiplier is None) == (target_epsilon is None):
        raise ValueError("expected either --noise-multiplier or --target-epsilon")
    # The multiplier is over the clipping norm C; replacing a record moves the sum by up to 2 C.
    reach = 2.0 if relation == "replace-one" else 1.0
    if target_epsilon is not None:
        noise_multiplier = reach * dp.calibrate_noise_multiplier(
            target_epsilon=check_positive("--target-epsilon", target_epsilon),
            target_delta=delta,
            sampling_probability=sampling_probability,
            steps=steps,
            relation=relation,
        )
    assert noise_multiplier is not None
    event = dp.Event.gaussian(
        sigma=check_positive("--noise-multiplier", noise_multiplier),
        sensitivity=reach,
        sampling_probability=sampling_probability,
        count=steps,
        clip=1.0,
    )
    _print(event, delta, relation, calibrated=target_epsilon is not None)


def _print(event: object, delta: float, relation: str, *, calibrated: bool) -> None:
    from veil import dp
    from veil.dp.accounting import merge_events, why_not

    assert isinstance(event, dp.Event)
    figures = dp.compare_accountants(event, delta=delta, relation=relation)
    epsilon = dp.epsilon(event, delta=delta, relation=relation)
    if calibrated:
        print(f"noise multiplier  {event.sigma:.6g}")
    names = {"gaussian": "closed form", "pld": "PLD", "rdp": "RDP"}
    for name, figure in figures.items():
        said = f"{figure:.5g}" if figure is not None else ""
        if figure is None and name != "gaussian":
            said = f"not used: it {why_not(name, merge_events(event), relation, delta)}"
        if said:
            print(f"epsilon ({names[name]})".ljust(23), said)
    print("GDP mu".ljust(23), f"{dp.gdp_mu(event, relation=relation):.5g}")
    print()
    print(f"{'epsilon':>9}  {'delta':>9}")
    for point, value in _profile(event, epsilon, relation):
        print(f"{point:9.4g}  {value:9.3g}")
    print()
    print(sentence(epsilon, delta, event.count))


def _profile(event: object, epsilon: float, relation: str) -> list[tuple[float, float]]:
    from veil import dp

    assert isinstance(event, dp.Event)
    points = [epsilon * share for share in (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)]
    values = dp.privacy_profile(event, epsilons=points, relation=relation)
    return list(zip(points, values.tolist(), strict=True))


def sentence(epsilon: float, delta: float, steps: int) -> str:
    """Say in one sentence what (epsilon, delta) means to a patient.

    Parameters
    ----------
    epsilon, delta : float
        The guarantee.
    steps : int
        Number of steps it covers.

    Returns
    -------
    str
        The sentence.
    """
    right = delta + (1.0 - delta) / (1.0 + math.exp(-epsilon))
    percent = f"{100 * right:.3g}" if right < 0.9995 else "over 99.9"
    return (
        f"Whoever sees everything that these {steps} steps publish, and had a fifty-fifty guess "
        f"whether a given patient took part, can be right about it with a probability of at most "
        f"{percent} %, whatever else they know."
    )
