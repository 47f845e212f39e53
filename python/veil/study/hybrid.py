"""The arm hybrid: DP-FedSGD whose noise the sites add, under secure aggregation; nobody is trusted.

Every site takes part in every round of a study, so a sum is opened of all sites or not at all, and
one of them may collude with the server: n - 1 honest shares make up the noise.
"""

from collections.abc import Sequence

from veil.fl import CentralDP, DistributedDP
from veil.study.secure import FEWEST, MOST

__all__ = ["caveat", "chosen_epsilons", "left_out", "make_hybrid", "sentence", "words"]

_CORRUPT = 1


def chosen_epsilons(epsilons: Sequence[float], asked: Sequence[float] | None) -> tuple[float, ...]:
    """Return the epsilons of the arm.

    Parameters
    ----------
    epsilons : sequence of float
        The grid of the study.
    asked : sequence of float or None
        Those asked for, in the grid; None where nothing was said.

    Returns
    -------
    tuple of float
        In the grid's order; by default the one nearest to 1, in ratio.
    """
    if asked is not None:
        return tuple(epsilon for epsilon in epsilons if epsilon in asked)
    return tuple(sorted(epsilons, key=lambda e: (max(e, 1 / e), e))[:1])


def left_out(n_sites: int, asked: Sequence[float] | None) -> str | None:
    """Say why a study with private methods has no such arm.

    Parameters
    ----------
    n_sites : int
        Number of sites.
    asked : sequence of float or None
        The epsilons asked for; None where nothing was said.

    Returns
    -------
    str or None
        A sentence, or None when the arm runs.
    """
    if asked is not None and not asked:
        return "The hybrid was left out, as asked."
    if n_sites < FEWEST:
        return (
            f"The hybrid was left out: it needs at least {FEWEST} sites, here are {n_sites}; in a "
            "sum of two, each site could read the other's."
        )
    if n_sites > MOST and asked is None:
        return (
            f"The hybrid was left out: {n_sites} sites would exchange keys pair by pair in every "
            "round of this one process; ask for it to have it."
        )
    return None


def make_hybrid(central: CentralDP, *, size: int, n_sites: int) -> DistributedDP:
    """Make the mechanism with the event of a central one: same sample, clip, multiplier, rounds.

    Parameters
    ----------
    central : CentralDP
        The calibrated mechanism of one epsilon.
    size : int
        Values of the model.
    n_sites : int
        Number of sites, at least 3.

    Returns
    -------
    DistributedDP
        With 1/(n - 1) of the noise variance at each site.
    """
    return DistributedDP(
        noise_multiplier=central.noise_multiplier,
        max_norm=central.max_grad_norm,
        unit="patient",
        rounds=central.rounds,
        size=size,
        sites=n_sites,
        min_survivors=n_sites,
        max_corrupt=_CORRUPT,
        sampling_probability=central.sampling_probability,
        population=central.population,
        max_rows_per_patient=central.max_rows_per_patient,
    )


def words() -> dict[str, str]:
    """Say what the arm protects, what it does not, and who is trusted.

    Returns
    -------
    dict
        Texts of a method.
    """
    return {
        "protects": "Whoever receives the model of any round, and the server too, learns almost "
        "the same of a training patient as if that patient had not taken part, within (ε, δ): "
        "each site adds its share of the noise before secure aggregation, and the server sees one "
        "noisy sum. Assumed besides: what FedAvg + SecAgg assumes, and that all sites but "
        f"{_CORRUPT} add their noise.",
        "does_not_protect": "Held-out patients and the test metrics of this report are not "
        "covered.",
        "trusted": "Each site with its own patients, and all but "
        f"{_CORRUPT} with adding their share of the noise. Nobody with another site's noiseless "
        f"sum: neither the server nor up to {_CORRUPT} site colluding with it.",
    }


def sentence(n_sites: int) -> str:
    """Say what the guarantee of the arm is, beside that of DP-FedSGD.

    Parameters
    ----------
    n_sites : int
        Number of sites.

    Returns
    -------
    str
        A sentence.
    """
    return (
        "The hybrid's guarantee has the same event and holds towards the server too, even together "
        f"with {_CORRUPT} site: each site adds 1/{n_sites - _CORRUPT} of the noise variance before "
        "secure aggregation; its slack is that of all sites' draws."
    )


def caveat(n_sites: int) -> str:
    """Say what it costs to trust nobody.

    Parameters
    ----------
    n_sites : int
        Number of sites.

    Returns
    -------
    str
        A sentence.
    """
    honest = n_sites - _CORRUPT
    return (
        f"The hybrid's noise counts on {honest} honest sites of {n_sites}, all of which take part: "
        f"its variance is {n_sites}/{honest} of that of DP-FedSGD at the same ε. Its bytes count "
        "every message of the protocol, its seconds the work of all sites and of the server in one "
        "process."
    )
