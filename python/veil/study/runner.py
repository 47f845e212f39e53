"""`run`: the whole study, arm by arm, seed by seed."""

from collections.abc import Callable
from typing import Any

from veil.fl import CentralDP
from veil.study.arms import SplitCohort, run_arm
from veil.study.checkpoint import Checkpoint, prepare_out, study_key
from veil.study.datasets import load_cohort
from veil.study.options import StudyOptions
from veil.study.plan import Method, Plan, calibrate, make_plan
from veil.study.progress import Clock, Progress
from veil.study.results import make_results

__all__ = ["run"]

_CALIBRATE = "calibrate"


def run(
    options: StudyOptions, *, on_progress: Callable[[Progress], None] | None = None
) -> dict[str, Any]:
    """Compare local, pooled, federated and private training on patients of several sites.

    The private methods' models would be (ε, δ)-differentially private per training patient; the
    metrics returned are not private.

    Parameters
    ----------
    options : StudyOptions
        What to compare.
    on_progress : callable, optional
        Called with a `Progress` as each step begins and at the end; it may raise to stop.

    Returns
    -------
    dict
        The results, valid against `veil.report.schema`; `veil.report.write` draws them.

    Raises
    ------
    DataError
        If the data cannot be studied, the schema is no public knowledge, `options.out` cannot be
        written, or a checkpoint belongs to another study.
    ValueError
        If delta is not below 1/n.
    ImportError
        If a package is missing; the message names the extra.

    Notes
    -----
    With ``options.out``, finished runs are kept in ``checkpoint.json``, which is replaced as a
    whole: an interrupt at any time leaves the old file or the new one. It holds metrics only, no
    model and no patient. Same options, same data: same metrics, to the last bit (where noise is
    seeded). One thread, besides BLAS. Breast-cancer takes about half a minute.
    """
    cohort = load_cohort(options)
    plan = make_plan(options, cohort)
    if options.out is not None:
        prepare_out(options.out)
    checkpoint = Checkpoint(options.out, study_key(plan))
    if options.resume:
        checkpoint.load()
    kinds = [_CALIBRATE] * len(options.epsilons)
    kinds += [m.id for _ in options.seeds for m in plan.methods]
    clock = Clock(kinds, on_progress, unlike=_CALIBRATE)
    mechanisms = _calibrate_all(plan, clock)
    runs = [
        record
        for seed in options.seeds
        for record in _run_seed(plan, seed, mechanisms, checkpoint, clock)
    ]
    return make_results(plan, runs, mechanisms)


def _calibrate_all(plan: Plan, clock: Clock) -> dict[float, CentralDP]:
    mechanisms = {}
    for epsilon in plan.options.epsilons:
        clock.start(f"noise for ε = {epsilon:g}")
        mechanisms[epsilon] = calibrate(plan, epsilon)
        clock.stop()
    return mechanisms


def _run_seed(
    plan: Plan,
    seed: int,
    mechanisms: dict[float, CentralDP],
    checkpoint: Checkpoint,
    clock: Clock,
) -> list[dict[str, Any]]:
    split = SplitCohort.of(plan.cohort, seed=seed)
    return [_run_one(plan, m, split, seed, mechanisms, checkpoint, clock) for m in plan.methods]


def _run_one(
    plan: Plan,
    method: Method,
    split: SplitCohort,
    seed: int,
    mechanisms: dict[float, CentralDP],
    checkpoint: Checkpoint,
    clock: Clock,
) -> dict[str, Any]:
    finished = checkpoint.find(method.id, seed)
    if finished is not None:
        clock.skip()
        return finished
    clock.start(f"{method.label}, seed {seed}")
    privacy = None if method.epsilon is None else mechanisms[method.epsilon]
    record = run_arm(plan, method, split, seed=seed, privacy=privacy)
    checkpoint.add(record)
    clock.stop()
    return record
