"""``veil study``: what training together gains and what privacy costs, on your patients."""

from pathlib import Path
from typing import Annotated, Any

import typer

from veil import set_num_threads
from veil.cli.guard import guarded
from veil.study.options import DATASETS, STRATEGIES, TASKS, StudyOptions

__all__ = ["study"]

_PATIENTS = "Patients"
_COMPARED = "What is compared"
_PRIVACY = "Privacy"
_RUNNING = "Running"

_RESUME = "interrupted; finished parts are kept: run the same command with --resume to continue"


def _default(name: str) -> Any:
    return StudyOptions.__dataclass_fields__[name].default


def _option(panel: str, *names: str, metavar: str, default: str | bool = False, text: str) -> Any:
    return typer.Option(
        *names, metavar=metavar, help=text, rich_help_panel=panel, show_default=default
    )


def _listed(name: str) -> str:
    return " ".join(f"{value:g}" if isinstance(value, float) else value for value in _default(name))


@guarded
def study(
    dataset: Annotated[
        str,
        _option(
            _PATIENTS,
            metavar="NAME",
            default=True,
            text=f"Built-in patients: {', '.join(DATASETS)}. The first needs no file.",
        ),
    ] = _default("dataset"),
    data: Annotated[
        Path | None,
        _option(
            _PATIENTS,
            metavar="FILE.csv",
            text="Your own patients instead: one header line, one row per patient or visit.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        _option(_PATIENTS, metavar="COLUMN", text="Column to predict; two different values."),
    ] = None,
    positive: Annotated[
        str | None,
        _option(
            _PATIENTS,
            metavar="VALUE",
            default="the larger",
            text="Value of the target that counts as positive.",
        ),
    ] = None,
    site: Annotated[
        str | None,
        _option(_PATIENTS, metavar="COLUMN", text="Column that names each row's hospital."),
    ] = None,
    patient: Annotated[
        str | None,
        _option(
            _PATIENTS,
            metavar="COLUMN",
            default="each row is a patient",
            text="Column that identifies patients who have several rows; "
            "privacy then covers all rows of a patient.",
        ),
    ] = None,
    schema: Annotated[
        Path | None,
        _option(
            _PATIENTS,
            metavar="SCHEMA.json",
            text="Public bounds, categories and fill-in values of your columns, needed by the "
            "private methods. [bold]veil schema FILE.csv[/bold] drafts it.",
        ),
    ] = None,
    sites_by: Annotated[
        str,
        _option(
            _PATIENTS,
            metavar="NAME",
            default=True,
            text="Sites of diabetes130: by medical specialty, or random.",
        ),
    ] = _default("sites_by"),
    min_site: Annotated[
        int,
        _option(_PATIENTS, metavar="N", default=True, text="Fewest patients a site may have."),
    ] = _default("min_site"),
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            envvar="VEIL_DATA_DIR",
            help="Where the files of heart-disease and diabetes130 are.",
            rich_help_panel=_PATIENTS,
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str,
        _option(
            _COMPARED,
            metavar="NAME",
            default=True,
            text=f"Model: {' or '.join(TASKS)} (mlp needs the extra torch).",
        ),
    ] = _default("task"),
    strategy: Annotated[
        list[str] | None,
        _option(
            _COMPARED,
            metavar="NAME",
            default=_listed("strategies"),
            text=f"Federated strategy, may be repeated: {', '.join(STRATEGIES)}.",
        ),
    ] = None,
    secagg: Annotated[
        bool | None,
        typer.Option(
            "--secagg/--no-secagg",
            help="Run FedAvg over secure aggregation too (default: with 3 to 30 sites).",
            rich_help_panel=_COMPARED,
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int,
        _option(
            _COMPARED,
            metavar="N",
            default=True,
            text="Rounds of federated training without privacy.",
        ),
    ] = _default("rounds"),
    local_epochs: Annotated[
        int,
        _option(
            _COMPARED, metavar="N", default=True, text="Passes over a site's patients in a round."
        ),
    ] = _default("local_epochs"),
    learning_rate: Annotated[
        float,
        _option(_COMPARED, metavar="X", default=True, text="Step size without privacy."),
    ] = _default("learning_rate"),
    proximal_mu: Annotated[
        float,
        _option(
            _COMPARED,
            metavar="X",
            default=True,
            text="FedProx: pull of local training towards the shared model.",
        ),
    ] = _default("proximal_mu"),
    server_learning_rate: Annotated[
        float,
        _option(
            _COMPARED,
            metavar="X",
            default=True,
            text="FedAdam, FedYogi, FedAdagrad: step size of the server.",
        ),
    ] = _default("server_learning_rate"),
    seeds: Annotated[
        str,
        _option(
            _COMPARED,
            metavar="N",
            default=True,
            text="How often everything is repeated, at least 5; or the seeds themselves, "
            "separated by commas. Intervals come from these repetitions.",
        ),
    ] = str(len(_default("seeds"))),
    epsilon: Annotated[
        list[float] | None,
        _option(
            _PRIVACY,
            metavar="ε",
            default=_listed("epsilons"),
            text="Privacy budget to try, may be repeated. Smaller protects each patient better.",
        ),
    ] = None,
    delta: Annotated[
        float | None,
        _option(
            _PRIVACY,
            metavar="δ",
            default="1/(10 n)",
            text="Must stay below 1/n, n the number of training patients.",
        ),
    ] = None,
    max_grad_norm: Annotated[
        float,
        _option(
            _PRIVACY,
            metavar="C",
            default=True,
            text="Each patient's gradient is shortened to this length.",
        ),
    ] = _default("max_grad_norm"),
    max_rows_per_patient: Annotated[
        int,
        _option(
            _PRIVACY,
            metavar="N",
            default=True,
            text="Rows of a patient that count, the first in the file; a public number.",
        ),
    ] = _default("max_rows_per_patient"),
    sampling_probability: Annotated[
        float,
        _option(
            _PRIVACY,
            metavar="q",
            default=True,
            text="Probability with which a patient takes part in a round.",
        ),
    ] = _default("sampling_probability"),
    dp_rounds: Annotated[
        int, _option(_PRIVACY, metavar="N", default=True, text="Rounds of private training.")
    ] = _default("dp_rounds"),
    dp_learning_rate: Annotated[
        float, _option(_PRIVACY, metavar="X", default=True, text="Step size of private training.")
    ] = _default("dp_learning_rate"),
    hybrid: Annotated[
        list[float] | None,
        _option(
            _PRIVACY,
            metavar="ε",
            default="the one nearest to 1, with 3 to 30 sites",
            text="Of these, also run the hybrid: sites add the noise and nobody sees a noiseless "
            "sum. May be repeated.",
        ),
    ] = None,
    no_hybrid: Annotated[
        bool,
        typer.Option("--no-hybrid", help="Leave the hybrid out.", rich_help_panel=_PRIVACY),
    ] = False,
    noise: Annotated[
        str,
        _option(
            _PRIVACY,
            metavar="NAME",
            default=True,
            text="seeded: the study can be repeated to the last digit, and says that it is "
            "simulated. os: noise from the operating system, as a real release needs.",
        ),
    ] = _default("noise"),
    no_private: Annotated[
        bool,
        typer.Option(
            "--no-private",
            help="Leave the private methods out; your own data then needs no schema.",
            rich_help_panel=_PRIVACY,
        ),
    ] = False,
    out: Annotated[
        Path | None,
        _option(
            _RUNNING,
            metavar="DIR",
            default="study-NAME",
            text="Where report.html, results.json and tradeoff.png go.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="A first look in under a minute: two values of ε, the same five repetitions.",
            rich_help_panel=_RUNNING,
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an interrupted study in --out with the same options.",
            rich_help_panel=_RUNNING,
        ),
    ] = False,
    threads: Annotated[
        int | None,
        _option(
            _RUNNING,
            metavar="N",
            default="all that this process may use",
            text="Most threads to use.",
        ),
    ] = None,
) -> None:
    """Compare training alone, pooled, federated, and federated with differential privacy.

    The result is one file, report.html, that opens anywhere and needs no network: how well each
    method predicts at each hospital, with 95 % intervals, what it moves and costs, and what it
    protects and does not.

    The study is a simulation on this computer. It tells what privacy would cost; the models it
    trains are thrown away.

    [bold]Examples[/bold]

    [cyan]veil study --quick[/cyan]

    [cyan]veil study --dataset heart-disease --data-dir files/ --epsilon 1 --epsilon 4[/cyan]

    [cyan]veil study --data patients.csv --target died --site hospital --schema schema.json[/cyan]

    Without a schema yet, add --no-private and compare the other methods first.
    """
    if no_private and epsilon:
        raise ValueError("--no-private: expected without --epsilon; drop one of the two")
    if no_hybrid and hybrid:
        raise ValueError("--no-hybrid: expected without --hybrid; drop one of the two")
    if threads is not None:
        if threads < 1:
            raise ValueError(f"--threads: expected at least 1, got {threads}")
        set_num_threads(threads)
    name = dataset if data is None else data.stem
    options = StudyOptions(
        dataset=dataset,
        data=data,
        target=target,
        positive=positive,
        site=site,
        patient=patient,
        schema=schema,
        min_site=min_site,
        sites_by=sites_by,
        data_dir=data_dir,
        task=task,
        strategies=tuple(strategy or _default("strategies")),
        secagg=secagg,
        hybrid=() if no_hybrid else tuple(hybrid) if hybrid else None,
        rounds=rounds,
        local_epochs=local_epochs,
        learning_rate=learning_rate,
        proximal_mu=proximal_mu,
        server_learning_rate=server_learning_rate,
        seeds=_seeds(seeds),
        epsilons=() if no_private else tuple(epsilon or _default("epsilons")),
        delta=delta,
        max_grad_norm=max_grad_norm,
        max_rows_per_patient=max_rows_per_patient,
        sampling_probability=sampling_probability,
        dp_rounds=dp_rounds,
        dp_learning_rate=dp_learning_rate,
        noise=noise,
        out=out or Path(f"study-{name}"),
        quick=quick,
        resume=resume,
    )
    _run(options)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--seeds: expected a number such as 5, or seeds such as 1,2,3,4,5, got {text!r}"
        ) from None
    return numbers if "," in text else tuple(range(1, numbers[0] + 1))


def _run(options: StudyOptions) -> None:
    import veil.report
    from veil.cli.outcome import show
    from veil.cli.progress import progress
    from veil.study import run

    assert options.out is not None
    try:
        with progress() as tell:
            results = run(options, on_progress=tell)
        written = veil.report.write(results, options.out)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_RESUME) from None
    show(results, written)
