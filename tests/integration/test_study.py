"""A whole study, from options to results, on real patients and on a file of one's own."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import veil.report
from veil.dp import Event, epsilon
from veil.errors import DataError
from veil.study import StudyOptions, run
from veil.study.checkpoint import NAME

# Small enough for seconds, large enough that every kind of method is in it.
SMALL = {"epsilons": (4.0,), "rounds": 3, "dp_rounds": 2, "sampling_probability": 1.0}
ARMS = ["local", "pooled", "fedavg", "fedavg-secagg", "dp-4", "hybrid-4"]


def comparable(results):
    """Results without what differs between two equal runs: clocks."""
    kept = json.loads(veil.report.dumps(results))
    del kept["created"]
    for record in kept["runs"]:
        del record["seconds"]
    return kept


def mean(results, method, metric="auroc", scope="mean"):
    rows = results["summary"]
    found = [r for r in rows if (r["method"], r["metric"], r["scope"]) == (method, metric, scope)]
    return found[0]["mean"]


@pytest.fixture(scope="module")
def small():
    return run(StudyOptions(**SMALL))


@pytest.fixture(scope="module")
def quick():
    return run(StudyOptions(quick=True))


def test_results_are_valid_and_can_be_drawn(small, tmp_path):
    veil.report.loads(veil.report.dumps(small))
    written = veil.report.write(small, tmp_path)
    assert {p.name for p in written} == {"report.html", "results.json", "tradeoff.png"}


def test_every_method_runs_with_every_seed_at_every_site(small):
    assert [m["id"] for m in small["methods"]] == ARMS
    assert [(r["seed"], r["method"]) for r in small["runs"]] == [
        (seed, arm) for seed in range(1, 6) for arm in ARMS
    ]
    sites = [s["id"] for s in small["dataset"]["sites"]]
    assert all(list(r["sites"]) == sites for r in small["runs"])
    assert sum(s["n_train"] for s in small["dataset"]["sites"]) == small["privacy"]["population"]


def test_same_options_give_the_same_bits(small):
    assert comparable(run(StudyOptions(**SMALL))) == comparable(small)


def test_seeds_vary_the_results(small):
    aurocs = {json.dumps(r["sites"]) for r in small["runs"] if r["method"] == "pooled"}
    assert len(aurocs) == 5


def test_bytes_are_what_each_method_moves(small):
    by_method = {r["method"]: r for r in small["runs"] if r["seed"] == 1}
    parameters, sites, rounds, dp_rounds = 31, 5, 3, 2
    n_train = small["privacy"]["population"]
    assert (by_method["local"]["bytes_up"], by_method["local"]["bytes_down"]) == (0, 0)
    assert by_method["pooled"]["bytes_up"] == n_train * (30 * 8 + 1)
    assert by_method["pooled"]["bytes_down"] == sites * parameters * 8
    # FedAvg sends a weight of 8 bytes along; private sums carry none.
    assert by_method["fedavg"]["bytes_up"] == rounds * sites * (parameters + 1) * 8
    assert by_method["dp-4"]["bytes_up"] == dp_rounds * sites * parameters * 8
    assert by_method["dp-4"]["bytes_down"] == dp_rounds * sites * parameters * 8


def test_secure_aggregation_follows_fedavg_to_within_the_codec_and_moves_more(quick):
    labels = [m["label"] for m in quick["methods"]]
    assert labels[labels.index("FedAvg") + 1] == "FedAvg + SecAgg"
    runs = {(r["method"], r["seed"]): r for r in quick["runs"]}
    for seed in quick["seeds"]:
        plain, secure = runs["fedavg", seed], runs["fedavg-secagg", seed]
        for site, scores in plain["sites"].items():
            assert abs(secure["sites"][site]["auroc"] - scores["auroc"]) <= 1e-3
            # A score that is not a ranking tells that another sum was used, and how close it is.
            assert secure["sites"][site]["brier"] == pytest.approx(scores["brier"], abs=1e-6)
        assert secure["sites"] != plain["sites"]
        assert secure["bytes_up"] > plain["bytes_up"]
        assert secure["bytes_down"] > plain["bytes_down"]
        assert secure["seconds"] > 0
        assert secure["values_cut"] == 0
    (told,) = (c for c in quick["caveats"] if c.startswith("FedAvg + SecAgg clips"))
    assert "no value was cut" in told


def test_secure_aggregation_says_whom_it_trusts_and_what_it_leaves_open(small):
    method = next(m for m in small["methods"] if m["id"] == "fedavg-secagg")
    assert (method["kind"], method["aggregation"]) == ("federated", "secure")
    assert "sees only the sum of the updates, who took part" in method["protects"]
    assert "Assumed" in method["protects"]
    assert "not differentially private" in method["does_not_protect"]
    assert method["trusted"].startswith("Nobody with a single update")
    assert any("secure aggregation" in told for told in small["public"])


def test_the_hybrid_is_as_good_as_central_dp_and_trusts_nobody(quick):
    """At equal ε: within the interval of DP-FedSGD, though its noise variance is 5/4 of that."""
    row = next(
        r
        for r in quick["summary"]
        if (r["method"], r["metric"], r["scope"]) == ("dp-1", "auroc", "mean")
    )
    assert row["low"] <= mean(quick, "hybrid-1") <= row["high"]
    methods = {m["id"]: m for m in quick["methods"]}
    assert list(methods)[-1] == "hybrid-1"  # of the two values of ε, the one nearest to 1
    assert (methods["hybrid-1"]["kind"], methods["hybrid-1"]["aggregation"]) == ("dp", "secure")
    assert "Nobody with another site's noiseless sum" in methods["hybrid-1"]["trusted"]
    assert any("variance is 5/4 of that of DP-FedSGD" in told for told in quick["caveats"])
    runs = {(r["method"], r["seed"]): r for r in quick["runs"]}
    for seed in quick["seeds"]:
        assert runs["hybrid-1", seed]["sites"] != runs["dp-1", seed]["sites"]
        assert "values_cut" not in runs["hybrid-1", seed]


def test_without_the_hybrid_when_not_wanted(small):
    results = run(StudyOptions(**SMALL, hybrid=()))
    assert [m["id"] for m in results["methods"]] == ARMS[:-1]
    assert "The hybrid was left out, as asked." in results["caveats"]


def test_values_outside_the_codec_are_counted_and_told():
    # A step of 1e5 throws coefficients far beyond the clip: the run goes on, and says so.
    options = StudyOptions(epsilons=(), rounds=1, learning_rate=1e5, l2=0.0)
    results = run(options)
    cut = sum(r.get("values_cut", 0) for r in results["runs"])
    assert cut > 0
    assert any(f"{cut} values were cut, so its scores may" in c for c in results["caveats"])
    veil.report.loads(veil.report.dumps(results))


def test_without_secure_aggregation_when_not_wanted():
    results = run(StudyOptions(epsilons=(), rounds=1, secagg=False))
    assert [m["id"] for m in results["methods"]] == ["local", "pooled", "fedavg"]
    assert "FedAvg + SecAgg was left out, as asked." in results["caveats"]


def test_private_methods_spend_at_most_the_epsilon_they_name(quick):
    privacy = quick["privacy"]
    assert privacy["delta"] == pytest.approx(1 / (10 * privacy["population"]))
    for target, z in privacy["noise_multipliers"].items():
        event = Event.gaussian(
            sigma=z,
            sensitivity=1.0,
            sampling_probability=privacy["sampling_probability"],
            count=privacy["rounds"],
        )
        spent = epsilon(
            event, delta=privacy["delta"], relation="add-or-remove-one", accountant="pld"
        )
        assert 0.99 * float(target) < spent <= float(target)


def test_every_private_model_was_charged_before_it_was_trained(quick):
    private = {m["id"]: m["epsilon"] for m in quick["methods"] if m["kind"] == "dp"}
    rounds = quick["privacy"]["rounds"]
    for one in quick["runs"]:
        assert ("ledger" in one) == (one["method"] in private)
        if "ledger" in one:
            book, target = one["ledger"], private[one["method"]]
            assert book["budget"] == target
            assert 0.99 * target < book["spent"] <= target
            (charge,) = book["charges"]
            assert charge["label"] == f"{one['method']}, seed {one['seed']}"
            assert charge["rounds"] == book["drawn"] == rounds
            assert 0 < book["slack"] < 1e-20


def test_certificates_are_those_of_the_noise_that_was_drawn(quick):
    size = len(quick["dataset"]["features"]) + 1
    for said in quick["privacy"]["certificates"]:
        step = said["granularity"]
        assert math.frexp(step)[0] == 0.5
        widened = said["sensitivity"] + step * math.sqrt(size)
        assert said["sensitivity_widened"] == pytest.approx(widened, rel=1e-12)
        noise = math.sqrt((said["sigma"] / step) ** 2 - 3.5467) * step
        assert noise / widened == pytest.approx(said["noise_multiplier"], rel=1e-9)
        assert said["event"]["sigma"] / said["event"]["sensitivity"] == said["noise_multiplier"]
        assert said["together"] > said["epsilon"]


def test_quick_study_of_breast_cancer_is_good_and_privacy_costs_something(quick):
    assert mean(quick, "pooled") > 0.97
    assert abs(mean(quick, "fedavg") - mean(quick, "pooled")) < 0.01
    assert mean(quick, "dp-8") > 0.95
    assert mean(quick, "dp-8", "brier") > mean(quick, "pooled", "brier")
    assert mean(quick, "local", "brier") > mean(quick, "fedavg", "brier")


def test_little_privacy_budget_costs_more_than_a_large_one():
    results = run(StudyOptions(epsilons=(0.05, 8.0), rounds=1))
    assert mean(results, "dp-0.05", "brier") > mean(results, "dp-8", "brier") + 0.03
    assert mean(results, "dp-0.05", scope="mean") < mean(results, "dp-8", scope="mean")


def test_results_say_what_is_simulated_public_and_not_covered(small):
    assert small["simulated"] is True
    assert small["privacy"]["population_is"] == "public"
    told = " ".join(small["caveats"])
    for words in ("per released model and training patient", "test metrics", "all seeds together"):
        assert words in told
    assert "hyperparameters" in told
    assert "Student's t" in told
    assert "discrete Gaussian on a lattice" in small["privacy"]["noise_note"]
    public = " ".join(small["public"])
    for words in ("n = ", "q = ", "clipping norm", "schema", "took part"):
        assert words in public
    statement = " ".join(small["privacy"]["statement"])
    told = ("add-or-remove-one", "sensitivity", "charged", "slack", "Trusted", "Computational")
    for words in told:
        assert words in statement


def test_noise_from_the_operating_system_is_no_simulation(small):
    results = run(StudyOptions(**SMALL, noise="os"))
    assert results["simulated"] is False
    for record, seeded in zip(results["runs"], small["runs"], strict=True):
        same = record["sites"] == seeded["sites"]
        assert same == (record["method"] not in ("dp-4", "hybrid-4"))


def test_results_name_no_place_on_this_machine(tmp_path):
    results = run(StudyOptions(**SMALL, out=tmp_path / "secret-folder"))
    assert "secret-folder" not in veil.report.dumps(results)


def test_without_epsilons_nothing_private_runs():
    results = run(StudyOptions(epsilons=(), rounds=2))
    assert [m["id"] for m in results["methods"]] == ARMS[:-2]
    assert results["simulated"] is False
    assert not any("released model" in c for c in results["caveats"])
    veil.report.loads(veil.report.dumps(results))


def test_every_strategy_runs():
    names = ("fedavg", "fedprox", "fedadam", "fedyogi", "fedadagrad", "scaffold")
    results = run(StudyOptions(strategies=names, epsilons=(), rounds=5))
    assert [m["id"] for m in results["methods"][2:]] == ["fedavg", "fedavg-secagg", *names[1:]]
    assert all(mean(results, name) > 0.9 for name in names)


def test_delta_of_one_patient_or_more_is_refused():
    with pytest.raises(ValueError, match=r"delta: expected less than 1/n = 0\.0025.*got 0\.01"):
        run(StudyOptions(delta=0.01))


# --- interrupts, resume, output ------------------------------------------------------------------


def interrupt_at(label):
    def tell(progress):
        if progress.label == label:
            raise KeyboardInterrupt

    return tell


def test_interrupted_study_goes_on_and_gives_the_same_results(small, tmp_path):
    options = StudyOptions(**SMALL, out=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(options, on_progress=interrupt_at("FedAvg, seed 3"))
    assert [p.name for p in tmp_path.iterdir()] == [NAME]
    kept = json.loads((tmp_path / NAME).read_text())
    assert len(kept["runs"]) == 2 * len(ARMS) + 2
    told = []
    resumed = StudyOptions(**SMALL, out=tmp_path, resume=True)
    results = run(resumed, on_progress=told.append)
    assert comparable(results) == comparable(small)
    assert told[1].label == "FedAvg, seed 3"
    assert told[-1].label == "done"


def test_interrupt_before_secure_aggregation_goes_on_with_it(small, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(
            StudyOptions(**SMALL, out=tmp_path), on_progress=interrupt_at("FedAvg + SecAgg, seed 2")
        )
    assert comparable(run(StudyOptions(**SMALL, out=tmp_path, resume=True))) == comparable(small)


def test_start_without_resume_runs_everything_again(tmp_path):
    options = StudyOptions(**SMALL, out=tmp_path)
    run(options)
    told = []
    run(options, on_progress=told.append)
    assert told[-1].total == 1 + 5 * len(ARMS)


def test_checkpoint_of_another_study_is_refused(tmp_path):
    run(StudyOptions(**SMALL, out=tmp_path))
    for change in ({"rounds": 4}, {"secagg": False}):
        other = StudyOptions(**(SMALL | change), out=tmp_path, resume=True)
        with pytest.raises(DataError, match="resume: expected a checkpoint of the same options"):
            run(other)
    (tmp_path / NAME).write_text('{"format": "veil-st')
    with pytest.raises(DataError, match="resume: expected the checkpoint of a study"):
        run(StudyOptions(**SMALL, out=tmp_path, resume=True))


def test_resume_without_a_checkpoint_starts(tmp_path):
    options = StudyOptions(epsilons=(), rounds=1, out=tmp_path / "new", resume=True)
    assert len(run(options)["runs"]) == 5 * len(ARMS[:-2])


def test_output_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    told = []
    options = StudyOptions(**SMALL, out=tmp_path / "file" / "study")
    with pytest.raises(DataError, match="out: expected a directory that can be written"):
        run(options, on_progress=told.append)
    assert told == []


def test_bad_input_leaves_no_output_directory(tmp_path):
    options = StudyOptions(delta=0.5, out=tmp_path / "study")
    with pytest.raises(ValueError, match="delta"):
        run(options)
    assert not (tmp_path / "study").exists()


def test_signal_in_the_middle_leaves_whole_files_only(tmp_path):
    code = (
        "from veil.study import StudyOptions, run\n"
        f"run(StudyOptions(epsilons=(), rounds=60, seeds=tuple(range(60)), out={str(tmp_path)!r}))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (tmp_path / NAME).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGINT)
    _, told = child.communicate(timeout=60)
    assert b"KeyboardInterrupt" in told
    assert [p.name for p in tmp_path.iterdir()] == [NAME]
    assert json.loads((tmp_path / NAME).read_text())["runs"]


# --- a file of one's own -------------------------------------------------------------------------


@pytest.fixture
def ward(tmp_path):
    """200 patients with two visits each at two sites; age and sex tell the outcome in part."""
    rng = np.random.default_rng(5)
    lines = ["mrn,age,sex,crp,sick,ward"]
    for patient in range(200):
        age, sex = rng.integers(20, 90), "fm"[rng.integers(2)]
        sick = int(rng.random() < 1 / (1 + np.exp(-(age - 55) / 8)))
        for _ in range(2):
            crp = "" if rng.random() < 0.2 else f"{rng.gamma(2, 10 + 20 * sick):.1f}"
            shown = "" if rng.random() < 0.1 else sex
            lines.append(f"m{patient},{age},{shown},{crp},{sick},{'ab'[patient % 2]}")
    path = tmp_path / "ward.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def public_schema(**age):
    def column(name, **fields):
        return {"name": name, "may_be_missing": name != "age", "source": "code book", **fields}

    return {
        "format": "veil-schema",
        "version": 1,
        "status": "public",
        "note": "from the ward's code book",
        "columns": [
            column("age", kind="numeric", low=18, high=100, impute=55, **age),
            column("sex", kind="categorical", categories=["f", "m"], impute="f"),
            column("crp", kind="numeric", low=0, high=300, impute=5),
        ],
    }


def ward_options(ward, schema=None, **more):
    path = None
    if schema is not None:
        path = ward.parent / "schema.json"
        path.write_text(json.dumps(schema))
    names = {"target": "sick", "site": "ward", "patient": "mrn"}
    return StudyOptions(data=ward, schema=path, **names, **{**SMALL, **more})


def test_own_file_with_a_public_schema_runs_at_patient_level(ward):
    results = run(ward_options(ward, public_schema(), dp_rounds=20, rounds=20))
    veil.report.loads(veil.report.dumps(results))
    assert results["dataset"]["n_patients"] == 200
    assert results["dataset"]["n_rows"] == 400
    assert results["privacy"]["population"] == sum(
        s["n_train"] for s in results["dataset"]["sites"]
    )
    assert results["privacy"]["population"] <= 141
    assert results["dataset"]["features"] == ["age", "sex=m", "sex missing", "crp", "crp missing"]
    assert "of the schema: from the ward's code book" in results["public"]
    assert mean(results, "pooled") > 0.8
    assert mean(results, "dp-4") > 0.75


def test_own_file_without_a_schema_needs_to_leave_the_private_methods_out(ward):
    with pytest.raises(DataError, match=r"schema: expected a public schema.*no epsilons"):
        run(ward_options(ward))
    results = run(ward_options(ward, epsilons=()))
    assert [m["id"] for m in results["methods"]] == ["local", "pooled", "fedavg"]
    assert any("SecAgg was left out: it needs at least 3 sites" in c for c in results["caveats"])


def test_schema_that_is_still_a_draft_stops_the_study_before_any_training(ward):
    draft = public_schema(source="edit me: derived from data")
    told = []
    with pytest.raises(DataError, match="still marked 'edit me': age"):
        run(ward_options(ward, draft), on_progress=told.append)
    assert told == []


# --- data that the project does not ship ---------------------------------------------------------


def test_heart_disease_of_four_hospitals(data_file):
    for hospital in ("cleveland", "hungarian", "switzerland", "va"):
        path = data_file(f"heart_disease/processed.{hospital}.data")
    options = StudyOptions(dataset="heart-disease", data_dir=path.parent, epsilons=(4.0,))
    results = run(options)
    veil.report.loads(veil.report.dumps(results))
    sites = {s["id"]: s for s in results["dataset"]["sites"]}
    assert list(sites) == ["cleveland", "hungarian", "switzerland", "va"]
    assert sites["switzerland"]["positives_test"] == sites["switzerland"]["n_test"]
    assert mean(results, "fedavg", scope="site:switzerland") is None
    assert mean(results, "fedavg") > mean(results, "local") + 0.02
    assert mean(results, "dp-4") > 0.78


def test_diabetes_is_studied_by_patient(data_file):
    folder = data_file("diabetes130/dataset_diabetes.zip").parent.parent
    options = StudyOptions(
        dataset="diabetes130", data_dir=folder, quick=True, epsilons=(8.0,), dp_rounds=3, rounds=3
    )
    results = run(options)
    veil.report.loads(veil.report.dumps(results))
    assert results["dataset"]["n_patients"] == 4000
    assert results["dataset"]["n_rows"] > 5000
    assert results["privacy"]["population"] == sum(
        s["n_train"] for s in results["dataset"]["sites"]
    )
    assert mean(results, "pooled") > 0.55
