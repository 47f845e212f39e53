"""What a study will run, fixed before the first model is trained: methods, delta, noise."""

from dataclasses import asdict, dataclass
from typing import Any

from veil.errors import DataError
from veil.fl import CentralDP
from veil.study import hybrid
from veil.study.datasets.table import Cohort
from veil.study.options import StudyOptions
from veil.study.preprocess import public_encoder
from veil.study.secure import left_out, words
from veil.study.split import training_patients

__all__ = ["Method", "Plan", "PrivateTraining", "calibrate", "make_plan"]

_STRATEGY_LABELS = {
    "fedavg": "FedAvg",
    "fedprox": "FedProx",
    "fedadam": "FedAdam",
    "fedyogi": "FedYogi",
    "fedadagrad": "FedAdagrad",
    "scaffold": "SCAFFOLD",
}


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the comparison, in the words of the report."""

    id: str
    kind: str
    label: str
    strategy: str | None
    epsilon: float | None
    protects: str
    does_not_protect: str
    trusted: str
    preprocessing: str
    rounds: int
    aggregation: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the method as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PrivateTraining:
    """Settings of DP-FedSGD: rounds, the public q, and the step size."""

    rounds: int
    sampling_probability: float
    learning_rate: float


# Chosen on synthetic patients (docs/guide/study.md). More patients carry more rounds for the same
# noise, and larger steps; the switch depends on n alone, which is public.
_SMALL = PrivateTraining(rounds=30, sampling_probability=0.25, learning_rate=1.0)
_LARGE = PrivateTraining(rounds=200, sampling_probability=0.1, learning_rate=2.0)
_LARGE_FROM = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A study before its first run.

    Parameters
    ----------
    options : StudyOptions
        What was asked.
    cohort : Cohort
        The patients.
    methods : tuple of Method
        In the order of the report.
    population : int
        Training patients of all sites, which no seed changes; treated as public.
    delta : float
        Of the private methods.
    delta_rule : str
        How it was chosen.
    private : PrivateTraining
        Settings of the private methods.
    """

    options: StudyOptions
    cohort: Cohort
    methods: tuple[Method, ...]
    population: int
    delta: float
    delta_rule: str
    private: PrivateTraining

    @property
    def simulated(self) -> bool:
        """Whether a private method draws seeded noise."""
        return bool(self.options.epsilons) and self.options.noise == "seeded"


def make_plan(options: StudyOptions, cohort: Cohort) -> Plan:
    """Decide what to run, and refuse what would not be private as claimed.

    Parameters
    ----------
    options : StudyOptions
        What was asked.
    cohort : Cohort
        The patients.

    Returns
    -------
    Plan
        The plan.

    Raises
    ------
    ValueError
        If delta is not below 1/n, n the number of training patients.
    DataError
        If private methods are asked for without a public schema, or with a draft.
    """
    population = training_patients(cohort)
    delta, rule = _choose_delta(options.delta, population)
    if options.epsilons:
        _require_public_schema(cohort)
    private = _private_training(options, population)
    methods = _methods(options, len(cohort.site_ids), private.rounds)
    return Plan(options, cohort, methods, population, delta, rule, private)


def calibrate(plan: Plan, epsilon: float) -> CentralDP:
    """Find the noise of one private method.

    Parameters
    ----------
    plan : Plan
        The plan.
    epsilon : float
        Target, for the model that a training run releases.

    Returns
    -------
    CentralDP
        The mechanism, whose accountant stays at or below `epsilon`.
    """
    return CentralDP.calibrate(
        target_epsilon=epsilon,
        target_delta=plan.delta,
        max_grad_norm=plan.options.max_grad_norm,
        sampling_probability=plan.private.sampling_probability,
        population=plan.population,
        rounds=plan.private.rounds,
        unit="patient",
        max_rows_per_patient=plan.options.max_rows_per_patient,
    )


def _choose_delta(given: float | None, population: int) -> tuple[float, str]:
    if given is None:
        return 1 / (10 * population), f"1/(10 n), n = {population} training patients (public)"
    if given >= 1 / population:
        raise ValueError(
            f"delta: expected less than 1/n = {1 / population:.3g} (n = {population} training "
            f"patients), got {given:g}; at 1/n a mechanism may publish a whole patient. Leave it "
            "out for 1/(10 n)"
        )
    return given, f"given; below 1/n, n = {population} training patients (public)"


def _require_public_schema(cohort: Cohort) -> None:
    if cohort.schema is None:
        raise DataError(
            "schema: expected a public schema for the private methods, got none; bounds and "
            "categories read off the patients would leak. Draft one with veil schema FILE.csv, "
            "replace its numbers by public knowledge, and pass it, or leave the private methods "
            "out (no epsilons)"
        )
    public_encoder(cohort.schema, cohort.columns)


def _private_training(options: StudyOptions, population: int) -> PrivateTraining:
    default = _SMALL if population < _LARGE_FROM else _LARGE
    rounds, q, rate = options.dp_rounds, options.sampling_probability, options.dp_learning_rate
    return PrivateTraining(
        rounds=default.rounds if rounds is None else rounds,
        sampling_probability=default.sampling_probability if q is None else q,
        learning_rate=default.learning_rate if rate is None else rate,
    )


def _methods(options: StudyOptions, n_sites: int, dp_rounds: int) -> tuple[Method, ...]:
    federated: list[Method] = []
    for name in options.strategies:
        federated.append(_federated(name, options.rounds))
        if name == "fedavg" and left_out(n_sites, options.secagg) is None:
            federated.append(_secure(n_sites, options.rounds))
    private = [_private(epsilon, dp_rounds) for epsilon in options.epsilons]
    if hybrid.left_out(n_sites, options.hybrid) is None:
        chosen = hybrid.chosen_epsilons(options.epsilons, options.hybrid)
        private += [_hybrid(epsilon, dp_rounds) for epsilon in chosen]
    return (_local(), _pooled(), *federated, *private)


def _local() -> Method:
    return Method(
        id="local",
        kind="local",
        label="Local only",
        strategy=None,
        epsilon=None,
        protects="Nothing leaves a site.",
        does_not_protect="A site that publishes its model may reveal its patients through it.",
        trusted="Each site, with its own patients.",
        preprocessing="training-data",
        rounds=0,
        aggregation=None,
    )


def _pooled() -> Method:
    return Method(
        id="pooled",
        kind="pooled",
        label="Pooled",
        strategy=None,
        epsilon=None,
        protects="Nothing: all patients' records are copied to one place.",
        does_not_protect="The records themselves, and what the model reveals of them.",
        trusted="Whoever holds the pooled records, and everyone who receives the model.",
        preprocessing="training-data",
        rounds=0,
        aggregation=None,
    )


def _federated(strategy: str, rounds: int) -> Method:
    return Method(
        id=strategy,
        kind="federated",
        label=_STRATEGY_LABELS[strategy],
        strategy=strategy,
        epsilon=None,
        protects="Records stay at their site.",
        does_not_protect="Updates and the model may reveal patients to the server and to everyone "
        "who receives the model; features' means, variances and categories leave the site too.",
        trusted="The server, the other sites, and everyone who receives the model.",
        preprocessing="training-data",
        rounds=rounds,
        aggregation="plain",
    )


def _secure(n_sites: int, rounds: int) -> Method:
    return Method(
        id="fedavg-secagg",
        kind="federated",
        label="FedAvg + SecAgg",
        strategy="fedavg",
        epsilon=None,
        **words(n_sites),
        preprocessing="training-data",
        rounds=rounds,
        aggregation="secure",
    )


def _private(epsilon: float, rounds: int) -> Method:
    return Method(
        id=f"dp-{epsilon:.15g}",
        kind="dp",
        label=f"DP-FedSGD, ε = {epsilon:.15g}",
        strategy="fedavg",
        epsilon=epsilon,
        protects="Whoever receives the model of any round learns almost the same of a training "
        "patient as if that patient had not taken part, within (ε, δ).",
        does_not_protect="The server sees each site's sum of clipped gradients. Held-out patients "
        "and the test metrics of this report are not covered.",
        trusted="Each site with its own patients; the server with the sites' sums and with adding "
        "the noise.",
        preprocessing="public-schema",
        rounds=rounds,
        aggregation="plain",
    )


def _hybrid(epsilon: float, rounds: int) -> Method:
    return Method(
        id=f"hybrid-{epsilon:.15g}",
        kind="dp",
        label=f"Hybrid, ε = {epsilon:.15g}",
        strategy="fedavg",
        epsilon=epsilon,
        **hybrid.words(),
        preprocessing="public-schema",
        rounds=rounds,
        aggregation="secure",
    )
