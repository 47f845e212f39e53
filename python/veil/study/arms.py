"""The arms of a study: one method, one seed, scored at every site."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.dp import Ledger
from veil.fl import (
    MLP,
    Aggregator,
    CentralDP,
    DistributedDP,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedProx,
    FedYogi,
    Layout,
    LogisticRegression,
    Scaffold,
    Site,
    Strategy,
    Streams,
    Task,
    simulate,
)
from veil.study.budget import entry, open_ledger
from veil.study.datasets.table import Cohort
from veil.study.hybrid import make_hybrid
from veil.study.options import StudyOptions
from veil.study.plan import Method, Plan
from veil.study.preprocess import Encoder, fit_encoders, public_encoder
from veil.study.secure import make_sum
from veil.study.split import split_patients
from veil.study.subgroups import Predictions, group_columns, score_groups

__all__ = ["SplitCohort", "make_strategy", "make_task", "public_features", "run_arm"]

_HIDDEN = (16,)

Scores = dict[str, dict[str, Any]]
Outcome = tuple[Scores, int, int, list[Predictions]]  # bytes up and down between them


@dataclass(frozen=True, slots=True, eq=False)
class SplitCohort:
    """One seed's division into training and held-out rows, per site."""

    cohort: Cohort
    train: dict[str, NDArray[np.int64]]
    test: dict[str, NDArray[np.int64]]
    groups: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, cohort: Cohort, *, seed: int) -> "SplitCohort":
        """Split the patients of every site.

        Parameters
        ----------
        cohort : Cohort
            The patients.
        seed : int
            Seed of the split.

        Returns
        -------
        SplitCohort
            Row indices by site.
        """
        train = split_patients(cohort, seed=seed)
        rows = {site: cohort.sites == site for site in cohort.site_ids}
        return cls(
            cohort,
            {site: np.flatnonzero(here & train) for site, here in rows.items()},
            {site: np.flatnonzero(here & ~train) for site, here in rows.items()},
            group_columns(cohort),
        )

    def patients(self, rows: NDArray[np.int64]) -> tuple[int, int]:
        """Count the patients of rows, and those of them with a positive row."""
        ids, labels = self.cohort.patients[rows], self.cohort.labels[rows]
        return int(np.unique(ids).size), int(np.unique(ids[labels == 1]).size)

    def sites(self, encoders: Mapping[str, Encoder]) -> list[Site]:
        """Encode the rows of the sites that have an encoder."""
        return [self._site(site, encoder) for site, encoder in encoders.items()]

    def _site(self, site: str, encoder: Encoder) -> Site:
        train, test, cohort = self.train[site], self.test[site], self.cohort
        return Site(
            id=site,
            x=encoder.encode(cohort.columns, train),
            y=cohort.labels[train],
            x_test=encoder.encode(cohort.columns, test),
            y_test=cohort.labels[test],
            patients=cohort.patients[train],
            subgroups={name: groups[test] for name, groups in self.groups.items()},
        )

    def predictions(self, task: Task, params: Any, sites: list[Site]) -> list[Predictions]:
        """Apply a model to the held-out rows of sites."""
        return [
            Predictions(
                y=site.y_test,
                probability=task.predict(params, site.x_test),
                patients=self.cohort.patients[self.test[site.id]],
                groups=site.subgroups or {},
            )
            for site in sites
        ]


def public_features(cohort: Cohort) -> tuple[str, ...]:
    """Return the inputs of private models.

    Parameters
    ----------
    cohort : Cohort
        Patients with a public schema.

    Returns
    -------
    tuple of str
        Names of the features.
    """
    assert cohort.schema is not None
    return public_encoder(cohort.schema, cohort.columns).features


def make_task(plan: Plan, *, features: int, private: bool) -> Task:
    """Make the model and its training.

    Parameters
    ----------
    plan : Plan
        Names the task and its settings.
    features : int
        Number of inputs.
    private : bool
        Whether the step size of private training applies.

    Returns
    -------
    Task
        A logistic regression, or a perceptron with one hidden layer of 16.
    """
    options = plan.options
    rate = plan.private.learning_rate if private else options.learning_rate
    if options.task == "mlp":
        return MLP(
            features=features,
            hidden=_HIDDEN,
            learning_rate=rate,
            epochs=options.local_epochs,
            batch_size=options.batch_size,
            l2=options.l2,
        )
    return LogisticRegression(
        features=features,
        learning_rate=rate,
        epochs=options.local_epochs,
        batch_size=options.batch_size,
        l2=options.l2,
    )


def run_arm(
    plan: Plan, method: Method, split: SplitCohort, *, seed: int, privacy: CentralDP | None
) -> dict[str, Any]:
    """Train one method with one seed and score it at every site.

    Parameters
    ----------
    plan : Plan
        The study.
    method : Method
        What to run.
    split : SplitCohort
        The seed's split.
    seed : int
        Seed of initialisation and minibatches, and of samples and noise where these are seeded.
    privacy : CentralDP or None
        The calibrated mechanism of a private method.

    Returns
    -------
    dict
        An entry of ``runs`` in the results.
    """
    begin = time.perf_counter()
    counting = method.aggregation == "secure" and privacy is None
    secure = make_sum(split.train) if counting else None
    ledger = None if method.epsilon is None else open_ledger(plan, method.epsilon)
    if method.kind == "local":
        scores, up, down, told = _local(plan, split, seed)
    elif method.kind == "pooled":
        scores, up, down, told = _pooled(plan, split, seed)
    else:
        scores, up, down, told = _federated(plan, method, split, seed, privacy, ledger, secure)
    record = {
        "method": method.id,
        "seed": seed,
        "seconds": round(time.perf_counter() - begin, 4),
        "bytes_up": up,
        "bytes_down": down,
        "sites": {site: _scores(split, site, scores[site]) for site in plan.cohort.site_ids},
    }
    groups = score_groups(told)
    if groups:
        record["subgroups"] = groups
    if secure is not None:
        record["values_cut"] = secure.values_cut
    return record if ledger is None else record | {"ledger": entry(ledger)}


def _local(plan: Plan, split: SplitCohort, seed: int) -> Outcome:
    """Train each site alone, with preprocessing of its own; nothing moves."""
    scores: Scores = {}
    told: list[Predictions] = []
    for name, rows in split.train.items():
        (site,) = split.sites(fit_encoders(plan.cohort, {name: rows}))
        task = make_task(plan, features=site.x.shape[1], private=False)
        history = _train(plan, task, [site], FedAvg(), seed)
        scores |= history.metrics
        told += split.predictions(task, history.params, [site])
    return scores, 0, 0, told


def _pooled(plan: Plan, split: SplitCohort, seed: int) -> Outcome:
    """Train on all sites' rows in one place; the rows move up, the model down."""
    sites = split.sites(fit_encoders(plan.cohort, split.train))
    pooled = Site(
        id="pooled",
        x=np.concatenate([s.x for s in sites]),
        y=np.concatenate([s.y for s in sites]),
        x_test=sites[0].x_test,
        y_test=sites[0].y_test,
        patients=np.concatenate([s.patients for s in sites if s.patients is not None]),
    )
    task = make_task(plan, features=pooled.x.shape[1], private=False)
    params = _train(plan, task, [pooled], FedAvg(), seed).params
    scores = {site.id: task.evaluate(params, site) for site in sites}
    down = Layout.of(params).nbytes * len(sites)
    told = split.predictions(task, params, sites)
    return scores, pooled.x.nbytes + pooled.y.nbytes, down, told


def _federated(
    plan: Plan,
    method: Method,
    split: SplitCohort,
    seed: int,
    privacy: CentralDP | None,
    ledger: Ledger | None,
    aggregator: Aggregator | None,
) -> Outcome:
    """Train all sites together, with or without differential privacy or secure aggregation."""
    encoders = fit_encoders(plan.cohort, split.train)
    if privacy is not None:
        assert plan.cohort.schema is not None
        encoders = dict.fromkeys(
            plan.cohort.site_ids, public_encoder(plan.cohort.schema, plan.cohort.columns)
        )
    sites = split.sites(encoders)
    task = make_task(plan, features=sites[0].x.shape[1], private=privacy is not None)
    assert method.strategy is not None
    strategy = make_strategy(method.strategy, plan.options)
    mechanism: CentralDP | DistributedDP | None = privacy
    if privacy is not None and method.aggregation == "secure":
        size = Layout.of(task.init(Streams(0).get("init"))).size
        mechanism = make_hybrid(privacy, size=size, n_sites=len(sites))
        aggregator = mechanism.secure_sum(adversary="malicious")
    label = None if ledger is None else f"{method.id}, seed {seed}"
    history = _train(plan, task, sites, strategy, seed, mechanism, ledger, label, aggregator)
    told = split.predictions(task, history.params, sites)
    return history.metrics, history.bytes_up, history.bytes_down, told


def _train(
    plan: Plan,
    task: Task,
    sites: list[Site],
    strategy: Strategy,
    seed: int,
    privacy: CentralDP | DistributedDP | None = None,
    ledger: Ledger | None = None,
    label: str | None = None,
    aggregator: Aggregator | None = None,
) -> Any:
    rounds = plan.options.rounds if privacy is None else plan.private.rounds
    from_os = privacy is not None and plan.options.noise == "os"
    return simulate(
        task,
        sites,
        strategy,
        rounds=rounds,
        seed=None if from_os else seed,
        aggregator=aggregator,
        privacy=privacy,
        ledger=ledger,
        label=label,
        evaluate_every=rounds,
    )


def make_strategy(name: str, options: StudyOptions) -> Strategy:
    """Make a strategy with the study's settings.

    Parameters
    ----------
    name : str
        One of `veil.study.options.STRATEGIES`.
    options : StudyOptions
        Hold the settings.

    Returns
    -------
    Strategy
        The strategy.
    """
    step = options.server_learning_rate
    makers: dict[str, Strategy] = {
        "fedavg": FedAvg(),
        "fedprox": FedProx(mu=options.proximal_mu),
        "fedadam": FedAdam(learning_rate=step),
        "fedyogi": FedYogi(learning_rate=step),
        "fedadagrad": FedAdagrad(learning_rate=step),
        "scaffold": Scaffold(),
    }
    return makers[name]


def _scores(split: SplitCohort, site: str, scores: Mapping[str, float]) -> dict[str, Any]:
    """Return one site's entry; a score that is not defined is None."""
    defined = {n: None if np.isnan(scores[n]) else float(scores[n]) for n in scores}
    return {"n_test": split.patients(split.test[site])[0]} | {
        name: defined[name] for name in ("auroc", "accuracy", "brier")
    }
