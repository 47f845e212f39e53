"""The options of a study, checked before anything is loaded."""

import hashlib
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from veil._checks import is_whole, whole

__all__ = ["DATASETS", "STRATEGIES", "TASKS", "StudyOptions"]

DATASETS = ("breast-cancer", "heart-disease", "diabetes130")
STRATEGIES = ("fedavg", "fedprox", "fedadam", "fedyogi", "fedadagrad", "scaffold")
TASKS = ("logistic", "mlp")
_MIN_SEEDS = 5
_QUICK_EPSILONS = (1.0, 8.0)
# Options that say where to write or how to run, not what to compute: a resumed run may change them.
_NOT_COMPUTED = frozenset({"out", "resume", "data_dir"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """What a study compares, on which patients, how often.

    The study is a simulation in one process: it measures what each method costs in accuracy. The
    grid of epsilon has a default because the study compares its values; it chooses none for you.

    Parameters
    ----------
    dataset : str
        One of ``breast-cancer``, ``heart-disease``, ``diabetes130``; ignored when `data` is given.
    data, target, site, patient : path and str, optional
        A CSV file of your own, its target and site columns, and the column of patient identifiers
        when a patient may have several rows.
    positive : str, optional
        The value of `target` that counts as positive; default: the larger of the two.
    schema : path, optional
        Public schema (``veil schema FILE.csv`` drafts one); private methods on `data` need it.
    data_dir : path, optional
        Directory of the data files; default: the environment variable ``VEIL_DATA_DIR``.
    out : path, optional
        Output directory, for checkpoints; None keeps everything in memory.
    resume : bool
        Continue from the checkpoints in `out` that were made with the same options.
    quick : bool
        Compare two values of epsilon and at most 5 seeds; on diabetes130 a sample of patients.
    seeds : tuple of int
        At least 5 distinct seeds; each repeats split, initialisation, sampling and noise.
    partition_seed : int
        Seed of the partition into sites, where the data set has no sites of its own.
    sites : int
        Number of sites of such a partition.
    sites_by : str
        ``specialty`` or ``random``: how diabetes130 is divided into sites.
    min_site : int
        Fewest patients of a site.
    strategies : tuple of str
        Federated strategies to compare, of `STRATEGIES`.
    secagg : bool, optional
        Whether FedAvg is also run over secure aggregation; default: with 3 to 30 sites. Left out,
        with a note in the results, where there are fewer than 3 sites or no FedAvg.
    hybrid : tuple of float, optional
        Values of epsilon for which DP-FedSGD is also run with the noise added by the sites, under
        secure aggregation; part of `epsilons`, empty for none. Default: the one nearest to 1, with
        3 to 30 sites.
    task : str
        ``logistic`` (NumPy) or ``mlp`` (torch).
    rounds, local_epochs, batch_size, learning_rate : int, int, int and float
        Training without privacy: rounds, passes over a site's rows in a round, rows of a step,
        step size.
    l2 : float
        Penalty on the weights, with and without privacy.
    proximal_mu : float
        FedProx's pull of local training towards the round's model.
    server_learning_rate : float
        Step size of the server in FedAdam, FedYogi and FedAdagrad.
    epsilons : tuple of float
        Grid of epsilon for DP-FedSGD; empty leaves the private methods out.
    delta : float, optional
        Below 1/n, n the number of training patients; default: 1/(10 n).
    dp_rounds, sampling_probability, dp_learning_rate : int, float and float, optional
        Training with privacy: rounds, the public probability q with which each patient takes part
        in a round, step size; default: by the public number of training patients n, 30, 0.25 and
        1 below n = 2,000, else 200, 0.1 and 2.
    max_grad_norm : float
        Norm C to which each patient's gradient is clipped.
    max_rows_per_patient : int
        Rows of a patient that count in a round of private training, the first in the file's order.
        Public: the same number for all data, 10 unless another is given.
    noise : str
        ``seeded``: samples and noise of private methods repeat with the seed, and the results say
        that they are simulated. ``os``: from the operating system, different each time.

    Raises
    ------
    ValueError
        If an option is out of range or names something unknown.

    Notes
    -----
    The training defaults are fixed, with values chosen on synthetic patients; that private
    training has two sets of them followed a result on diabetes130: see ``docs/guide/study.md``,
    *How the defaults were chosen*.

    Examples
    --------
    >>> from veil.study import StudyOptions
    >>> StudyOptions(dataset="heart-disease", quick=True).epsilons
    (1.0, 8.0)
    """

    dataset: str = "breast-cancer"
    data: Path | None = None
    target: str | None = None
    site: str | None = None
    patient: str | None = None
    positive: str | None = None
    schema: Path | None = None
    data_dir: Path | None = None
    out: Path | None = None
    resume: bool = False
    quick: bool = False
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    partition_seed: int = 0
    sites: int = 5
    sites_by: str = "specialty"
    min_site: int = 20
    strategies: tuple[str, ...] = ("fedavg",)
    secagg: bool | None = None
    hybrid: tuple[float, ...] | None = None
    task: str = "logistic"
    rounds: int = 30
    local_epochs: int = 1
    batch_size: int = 32
    learning_rate: float = 0.1
    l2: float = 0.001
    proximal_mu: float = 0.1
    server_learning_rate: float = 0.1
    epsilons: tuple[float, ...] = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
    delta: float | None = None
    dp_rounds: int | None = None
    sampling_probability: float | None = None
    max_grad_norm: float = 1.0
    max_rows_per_patient: int = 10
    dp_learning_rate: float | None = None
    noise: str = "seeded"

    def __post_init__(self) -> None:
        _normalise(self)
        _check_input(self)
        _check_repetitions(self)
        _check_training(self)
        _check_privacy(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON values.

        Returns
        -------
        dict
            Paths as strings, tuples as lists.
        """
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "StudyOptions":
        """Rebuild options from what `to_dict` returned.

        Parameters
        ----------
        values : dict
            Names and values of options.

        Returns
        -------
        StudyOptions
            The same options.

        Raises
        ------
        ValueError
            If a name is unknown or a value out of range.
        """
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"options: expected names of StudyOptions, got {unknown}; remove them")
        return cls(**values)

    def digest(self) -> str:
        """Return a hash of every option that changes a result.

        Returns
        -------
        str
            16 hexadecimal digits; the key of the checkpoints.
        """
        kept = {k: v for k, v in self.to_dict().items() if k not in _NOT_COMPUTED}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _normalise(o: StudyOptions) -> None:
    """Turn lists into tuples and strings into paths, and shrink the grid of a quick study."""
    for name in ("seeds", "strategies", "epsilons"):
        value = getattr(o, name)
        if isinstance(value, (str, int, float)):
            raise ValueError(f"{name}: expected a tuple, got {value!r}; write ({value!r},)")
        object.__setattr__(o, name, tuple(value))
    for name in ("data", "schema", "data_dir", "out"):
        value = getattr(o, name)
        if value is not None:
            object.__setattr__(o, name, Path(value))
    default = type(o).__dataclass_fields__["epsilons"].default
    if o.quick and o.epsilons == default:
        object.__setattr__(o, "epsilons", _QUICK_EPSILONS)
    if o.quick:
        object.__setattr__(o, "seeds", o.seeds[:_MIN_SEEDS])
    object.__setattr__(o, "epsilons", tuple(float(e) for e in o.epsilons))
    if o.hybrid is not None:
        if isinstance(o.hybrid, (str, int, float)):
            raise ValueError(f"hybrid: expected a tuple, got {o.hybrid!r}; write ({o.hybrid!r},)")
        object.__setattr__(o, "hybrid", tuple(float(e) for e in o.hybrid))


def _check_input(o: StudyOptions) -> None:
    if o.data is None:
        _one_of("dataset", o.dataset, DATASETS)
        for name in ("target", "site", "patient", "positive"):
            if getattr(o, name) is not None:
                raise ValueError(
                    f"{name}: expected only together with data, got {getattr(o, name)!r} for the "
                    f"built-in data set {o.dataset}; add data or drop {name}"
                )
    else:
        for name in ("target", "site"):
            if not getattr(o, name):
                raise ValueError(
                    f"{name}: expected the name of a column of {o.data}, got nothing; "
                    f"pass {name} (on the command line --{name} COLUMN)"
                )
    _one_of("sites_by", o.sites_by, ("specialty", "random"))
    _at_least(o, "sites", 2)
    _at_least(o, "min_site", 2)


def _check_repetitions(o: StudyOptions) -> None:
    if len(o.seeds) < _MIN_SEEDS or len(set(o.seeds)) != len(o.seeds):
        raise ValueError(
            f"seeds: expected at least {_MIN_SEEDS} distinct seeds, got {list(o.seeds)}; fewer do "
            "not give an interval worth printing"
        )
    object.__setattr__(o, "seeds", tuple(_whole("seeds", seed, 0) for seed in o.seeds))
    _at_least(o, "partition_seed", 0)


def _check_training(o: StudyOptions) -> None:
    for strategy in o.strategies:
        _one_of("strategies", strategy, STRATEGIES)
    if len(set(o.strategies)) != len(o.strategies):
        raise ValueError(f"strategies: expected distinct names, got {list(o.strategies)}")
    if o.secagg not in (None, True, False):
        raise ValueError(f"secagg: expected True, False or None, got {o.secagg!r}")
    if o.secagg and "fedavg" not in o.strategies:
        raise ValueError(
            f"secagg: expected with fedavg, which it is compared with, got {list(o.strategies)}; "
            "add fedavg to the strategies"
        )
    _one_of("task", o.task, TASKS)
    for name in ("rounds", "local_epochs", "batch_size"):
        _at_least(o, name, 1)
    for name in ("learning_rate", "server_learning_rate", "max_grad_norm"):
        _positive(name, getattr(o, name))
    for name in ("l2", "proximal_mu"):
        value = getattr(o, name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name}: expected a finite number of at least 0, got {value!r}")


def _check_privacy(o: StudyOptions) -> None:
    _one_of("noise", o.noise, ("seeded", "os"))
    for epsilon in o.epsilons:
        _positive("epsilons", epsilon)
    if len(set(o.epsilons)) != len(o.epsilons):
        raise ValueError(f"epsilons: expected distinct values, got {list(o.epsilons)}")
    missing = sorted(set(o.hybrid or ()) - set(o.epsilons))
    if missing:
        raise ValueError(
            f"hybrid: expected values of epsilons = {list(o.epsilons)}, with which it is compared, "
            f"got {missing}; add them to epsilons"
        )
    if o.delta is not None and not 0 < o.delta < 1:
        raise ValueError(
            f"delta: expected 0 < delta < 1/n (n = training patients), got {o.delta}; leave it out "
            "for 1/(10 n)"
        )
    if o.dp_rounds is not None:
        _at_least(o, "dp_rounds", 1)
    _at_least(o, "max_rows_per_patient", 1)
    if o.dp_learning_rate is not None:
        _positive("dp_learning_rate", o.dp_learning_rate)
    if o.sampling_probability is not None and not 0 < o.sampling_probability <= 1:
        raise ValueError(
            f"sampling_probability: expected 0 < q <= 1, got {o.sampling_probability}; 1 means "
            "every patient in every round"
        )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")


def _at_least(o: StudyOptions, name: str, least: int) -> None:
    object.__setattr__(o, name, _whole(name, getattr(o, name), least))


def _whole(name: str, value: int, least: int) -> int:
    if not is_whole(value) or value < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")
    return whole(name, value)


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a finite number above 0, got {value!r}")
