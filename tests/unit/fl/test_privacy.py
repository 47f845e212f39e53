"""CentralDP: what it clips, samples, adds and says; and everything it refuses."""

import dataclasses
import json
import math

import numpy as np
import pytest

from veil import FixedPoint
from veil.dp import Ledger
from veil.errors import DataError, ProtocolError
from veil.fl import (
    CentralDP,
    FedAdam,
    FedAvg,
    FedProx,
    History,
    LogisticRegression,
    PlainSum,
    PrivacyStatement,
    Scaffold,
    SecureSum,
    Site,
    SiteRound,
    Sum,
    simulate,
)
from veil.fl.layout import Layout
from veil.fl.privacy import central as mechanism
from veil.fl.privacy import sampled
from veil.fl.privacy._noise import LatticeGaussian
from veil.fl.privacy.clipping import clipped_sum

TASK = LogisticRegression(features=3, learning_rate=0.5, epochs=1, batch_size=None)
WHOLE = {
    "noise_multiplier": 4.0,
    "max_grad_norm": 1.0,
    "sampling_probability": 1.0,
    "population": 125,
    "rounds": 20,
    "unit": "record",
}


def flat(params):
    return np.append(params["bias"], params["weights"])


def central(**changes):
    rows = {"max_rows_per_patient": 40} if changes.get("unit") == "patient" else {}
    return CentralDP(**(WHOLE | rows | changes))


def roomy(unit="record"):
    return Ledger(
        epsilon=30.0, delta=1e-6, unit=unit, relation="add-or-remove-one", mode="adaptive"
    )


class Silent(LatticeGaussian):
    """No noise: for tests that need the sum itself."""

    def add(self, total, plan, rng):
        return total


@pytest.fixture
def no_noise(monkeypatch):
    monkeypatch.setattr(mechanism, "_NOISE", Silent())


def work(site, vector, rng, task=TASK):
    layout = Layout.of(task.init(None))
    return SiteRound(task, site, layout, vector, {}, {}, {}, rng)


@pytest.mark.usefixtures("no_noise")
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_without_noise_clipping_and_sampling_it_is_gradient_descent(sites, l2):
    task = dataclasses.replace(TASK, l2=l2)
    run = simulate(
        task, sites, FedAvg(), rounds=20, seed=0, privacy=central(max_grad_norm=1e9), ledger=roomy()
    )
    x, y = np.concatenate([s.x for s in sites]), np.concatenate([s.y for s in sites])
    params = task.init(None)
    for _ in range(20):
        step = task.record_gradients(params, x, y).mean(axis=0) + task.penalty_gradient(params)
        vector = flat(params) - 0.5 * step
        params = {"bias": vector[:1], "weights": vector[1:]}
    np.testing.assert_allclose(flat(run.params), flat(params), rtol=1e-12)


@pytest.mark.usefixtures("no_noise")
def test_the_denominator_is_public(sites):
    halves = [
        simulate(
            TASK, sites, FedAvg(), rounds=1, seed=0, privacy=central(population=n), ledger=roomy()
        )
        for n in (125, 250)
    ]
    np.testing.assert_allclose(flat(halves[0].params), 2 * flat(halves[1].params), rtol=1e-14)


@pytest.mark.usefixtures("no_noise")
def test_adaptive_server_steps_take_the_private_mean(sites):
    run = simulate(TASK, sites, FedAdam(), rounds=2, seed=0, privacy=central(), ledger=roomy())
    assert np.isfinite(flat(run.params)).all()


def test_a_site_sends_the_clipped_sum_and_no_count(site, stream):
    vector = np.array([0.1, 2.0, -1.0, 0.5])
    upload = central(max_grad_norm=0.3).contribute(FedAvg(), work(site, vector, stream()))
    each = TASK.record_gradients({"bias": vector[:1], "weights": vector[1:]}, site.x, site.y)
    norms = np.linalg.norm(each, axis=1)
    assert (norms > 0.3).any()
    assert (norms < 0.3).any()
    expected = (each * np.minimum(1, 0.3 / (norms * 1.0001))[:, None]).sum(axis=0)
    np.testing.assert_allclose(upload.vector, expected, rtol=1e-13)
    assert upload.weight is None
    assert not upload.keep


def test_a_clipped_row_never_exceeds_the_norm():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 5)) * 10.0 ** rng.integers(-3, 200, size=(200, 1))
    for row in rows:
        norm = np.linalg.norm(clipped_sum(row[None], 0.7)[0])
        assert norm <= 0.7
    zero, left_out = clipped_sum(np.zeros((3, 5)), 0.7)
    assert left_out == 0
    np.testing.assert_array_equal(zero, 0)


def test_a_norm_whose_square_is_no_double_is_refused():
    """The squares of what exceeds it vanish, so that it would not be clipped."""
    assert clipped_sum(np.full((1, 4), 1e-165), 1e-170)[0].max() > 1e4 * 1e-170
    for norm in (1e-170, 1e170):
        with pytest.raises(ValueError, match="max_grad_norm: expected 2\\^-500 to 2\\^500"):
            central(max_grad_norm=norm)


def test_removing_a_patient_moves_the_sum_by_at_most_the_norm(site, stream):
    """Patient 3 has ten rows; without them the site's sum is within C."""
    patients = np.where(np.arange(40) < 10, 3, np.arange(40))
    whole = dataclasses.replace(site, patients=patients)
    less = dataclasses.replace(site, x=site.x[10:], y=site.y[10:], patients=patients[10:])
    vector = np.array([5.0, 2.0, -1.0, 0.5])

    def total(which, unit):
        dp = central(unit=unit, max_grad_norm=0.1)
        return dp.contribute(FedAvg(), work(which, vector, stream())).vector

    assert np.linalg.norm(total(whole, "patient") - total(less, "patient")) <= 0.1
    rows_alone = dataclasses.replace(whole, patients=None), dataclasses.replace(less, patients=None)
    assert np.linalg.norm(np.subtract(*[total(s, "record") for s in rows_alone])) > 0.1


def test_rows_of_a_patient_are_summed_before_clipping(site, stream):
    patients = np.array(["p", "q"])[np.arange(40) % 2]
    by_patient = dataclasses.replace(site, patients=patients)
    vector = np.zeros(4)
    dp = central(unit="patient", max_grad_norm=0.5)
    got = dp.contribute(FedAvg(), work(by_patient, vector, stream())).vector
    each = TASK.record_gradients(TASK.init(None), site.x, site.y)
    sums = np.stack([each[::2].sum(axis=0), each[1::2].sum(axis=0)])
    np.testing.assert_allclose(got, clipped_sum(sums, 0.5)[0], rtol=1e-13)


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_chunks_of_any_size_give_the_same_sum(site, stream, monkeypatch, limit):
    patients = np.sort(np.arange(40) % 13)
    many = dataclasses.replace(site, patients=patients[::-1].copy())
    dp = central(unit="patient", sampling_probability=0.7)
    vector = np.array([0.1, 2.0, -1.0, 0.5])
    expected = dp.contribute(FedAvg(), work(many, vector, stream())).vector
    monkeypatch.setattr(sampled, "_CHUNK_BYTES", limit * 8 * 4)
    got = dp.contribute(FedAvg(), work(many, vector, stream())).vector
    np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_nobody_drawn_is_a_zero_sum(site, stream):
    dp = central(sampling_probability=1e-9)
    upload = dp.contribute(FedAvg(), work(site, np.zeros(4), stream()))
    np.testing.assert_array_equal(upload.vector, np.zeros(4))


def test_a_total_that_is_not_finite_is_refused_before_noise(monkeypatch):
    class Loud(LatticeGaussian):
        def add(self, total, plan, rng):
            pytest.fail("noise was drawn for a refused total")

    monkeypatch.setattr(mechanism, "_NOISE", Loud())
    with pytest.raises(DataError, match="nothing was released"):
        central().release(
            Sum(np.full(4, np.inf), None, ("a",)), task=TASK, params=TASK.init(None), rng=None
        )


def test_a_count_that_left_a_site_is_refused():
    with pytest.raises(ProtocolError, match="weight: expected None"):
        central().release(
            Sum(np.zeros(4), 40.0, ("a",)), task=TASK, params=TASK.init(None), rng=None
        )


@pytest.fixture
def released(monkeypatch):
    """The noisy totals of a run, as the server gets them."""
    totals = []

    class Recorded(LatticeGaussian):
        def add(self, total, plan, rng):
            totals.append((super().add(total, plan, rng), plan))
            return totals[-1][0]

    monkeypatch.setattr(mechanism, "_NOISE", Recorded())
    return totals


def test_released_totals_lie_on_the_lattice_to_the_last_bit(sites, released):
    simulate(TASK, sites, FedAvg(), rounds=3, seed=0, privacy=central(), ledger=roomy())
    assert len(released) == 3
    for total, plan in released:
        points = total / plan.granularity
        assert math.frexp(plan.granularity)[0] == 0.5
        np.testing.assert_array_equal(points, np.rint(points))
        assert np.abs(points).max() > 100


def test_what_is_charged_is_what_was_drawn(sites, released):
    """The event follows from the sampler's own σ, granularity and dimension."""
    dp = central(noise_multiplier=3.3, max_grad_norm=0.7, sampling_probability=0.25)
    run = simulate(TASK, sites, FedAvg(), rounds=1, seed=0, privacy=dp, ledger=roomy())
    _, plan = released[0]
    sensitivity = 0.7 / plan.granularity + math.sqrt(4)
    multiplier = math.sqrt(plan.noise.sigma**2 - 3.5467) / sensitivity
    assert multiplier >= 3.3
    assert multiplier == pytest.approx(3.3, rel=1e-12)
    assert plan.noise.sigma >= 8
    assert run.privacy.event["sigma"] / run.privacy.event["sensitivity"] == 3.3
    assert plan.slack >= 4 * (plan.noise.tv_bound + 2.0**-99)


@pytest.mark.parametrize("size", [1, 31, 10**7])
@pytest.mark.parametrize("multiplier", [0.01, 0.3, 1.0, 500.0])
@pytest.mark.parametrize("clip", [1e-9, 1.0, 3e7])
def test_the_lattice_gives_the_event_its_multiplier(size, multiplier, clip):
    plan = mechanism._NOISE.plan(noise_multiplier=multiplier, sensitivity=clip, size=size)
    assert plan.granularity <= min(clip / (1000 * math.sqrt(size)), multiplier * clip / 64)
    lattice = plan.lattice
    assert math.sqrt(lattice.sigma**2 - 3.5467) / lattice.sensitivity >= multiplier
    assert plan.sensitivity_widened == pytest.approx(clip, rel=1.1e-3)
    assert plan.sigma == pytest.approx(multiplier * clip, rel=2e-3)


def test_seeded_noise_is_called_a_simulation(sites):
    seeded = simulate(TASK, sites, FedAvg(), rounds=2, seed=0, privacy=central(), ledger=roomy())
    again = simulate(TASK, sites, FedAvg(), rounds=2, seed=0, privacy=central(), ledger=roomy())
    fresh = simulate(TASK, sites, FedAvg(), rounds=2, seed=None, privacy=central(), ledger=roomy())
    np.testing.assert_array_equal(flat(seeded.params), flat(again.params))
    assert not np.array_equal(flat(seeded.params), flat(fresh.params))
    assert seeded.simulated
    assert seeded.privacy.seeded
    assert not fresh.simulated
    assert not fresh.privacy.seeded
    assert not simulate(TASK, sites, FedAvg(), rounds=1, seed=0).simulated


def test_the_statement_says_everything(sites):
    dp = central(noise_multiplier=2.0, max_grad_norm=0.5, sampling_probability=0.25)
    run = simulate(TASK, sites, FedAvg(), rounds=1, seed=0, privacy=dp, ledger=roomy())
    said = run.privacy
    assert (said.unit, said.relation) == ("record", "add-or-remove-one")
    assert said.sensitivity == 0.5
    assert said.granularity == 2.0**-12
    assert said.sensitivity_widened == 0.5 + 2.0 * said.granularity
    assert said.sigma == pytest.approx(2.0 * said.sensitivity_widened, rel=1e-6)
    assert said.event == dp.event().to_dict()
    assert 0.0 < said.slack < 20 * 4 * 2.0**-96
    assert said.exact_from == "sum"
    assert any("exact from the rounded sum" in line for line in said.caveats)
    assert not any("floating-point noise" in line for line in said.caveats)
    assert any("computational" in line for line in said.caveats)
    assert any("server" in line for line in said.trusted)
    for word in ("population N = 125", "q = 0.25", "schema", "which sites"):
        assert any(word in line for line in said.public), word
    assert PrivacyStatement.from_dict(json.loads(json.dumps(said.to_dict()))) == said
    assert History.from_dict(run.to_dict()).privacy == said


def test_the_event_is_the_sampled_gaussian_once_per_round():
    event = central(noise_multiplier=1.5, sampling_probability=0.04, rounds=2250).event()
    assert (event.kind, event.ratio, event.sampling_probability, event.count) == (
        "gaussian",
        1 / 1.5,
        0.04,
        2250,
    )


def test_epsilon_is_dp_accountings():
    dp = central(noise_multiplier=1.5, sampling_probability=0.04, rounds=2250)
    assert dp.epsilon(1e-5, size=4) == pytest.approx(6.76879, rel=1e-4)


def test_calibration_meets_its_target():
    dp = CentralDP.calibrate(
        target_epsilon=3.0,
        target_delta=1e-4,
        max_grad_norm=1.0,
        sampling_probability=0.2,
        population=500,
        rounds=50,
        unit="record",
    )
    assert 2.9 < dp.epsilon(1e-4, size=4) <= 3.0
    assert (
        dataclasses.replace(dp, noise_multiplier=0.98 * dp.noise_multiplier).epsilon(1e-4, size=4)
        > 3.0
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"target_epsilon": 0.0}, "target_epsilon"),
        ({"target_epsilon": -1.0}, "target_epsilon"),
        ({"target_epsilon": float("nan")}, "target_epsilon"),
        ({"target_delta": 1 / 500}, "target_delta"),
        ({"target_delta": 0.0}, "target_delta"),
        ({"sampling_probability": 0.0}, "sampling_probability"),
        ({"sampling_probability": 1.5}, "sampling_probability"),
        ({"population": 0}, "population"),
        ({"rounds": 0}, "rounds|steps"),
        ({"unit": "hospital"}, "unit"),
    ],
)
def test_calibration_refuses_what_is_out_of_range(changes, name):
    settings = {
        "target_epsilon": 3.0,
        "target_delta": 1e-4,
        "max_grad_norm": 1.0,
        "sampling_probability": 0.2,
        "population": 500,
        "rounds": 5,
        "unit": "record",
    }
    with pytest.raises(ValueError, match=name):
        CentralDP.calibrate(**(settings | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"noise_multiplier": 0.0},
        {"noise_multiplier": float("inf")},
        {"max_grad_norm": 0.0},
        {"sampling_probability": 0.0},
        {"sampling_probability": 1.01},
        {"population": 1.5},
        {"rounds": 0},
        {"unit": "row"},
    ],
)
def test_parameters_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        central(**changes)


def test_no_parameter_has_a_default_but_one_that_is_refused_where_it_matters():
    given = [f.name for f in dataclasses.fields(CentralDP) if f.default is not dataclasses.MISSING]
    assert given == ["max_rows_per_patient"]
    with pytest.raises(ValueError, match="max_rows_per_patient: expected a public number"):
        central(unit="patient", max_rows_per_patient=None)


@pytest.mark.parametrize("strategy", [FedProx(mu=0.1), Scaffold()], ids=["FedProx", "Scaffold"])
def test_a_strategy_with_a_client_part_is_refused(sites, strategy):
    with pytest.raises(ValueError, match=r"strategy: .* needs more than the mean"):
        simulate(TASK, sites, strategy, rounds=1, seed=0, privacy=central(), ledger=roomy())


def test_a_task_without_record_gradients_is_refused(sites):
    class Opaque:
        def init(self, rng): ...
        def local_update(self, params, site, *, correction, rng): ...
        def predict(self, params, x): ...
        def evaluate(self, params, site): ...

    with pytest.raises(TypeError, match="task: expected per-record gradients, but Opaque"):
        simulate(Opaque(), sites, FedAvg(), rounds=1, seed=0, privacy=central(), ledger=roomy())


def test_more_rounds_than_accounted_are_refused(sites):
    with pytest.raises(ValueError, match="rounds: the plan accounts for 20 rounds, got 21"):
        simulate(TASK, sites, FedAvg(), rounds=21, seed=0, privacy=central(), ledger=roomy())


def test_the_unit_must_fit_the_sites(site):
    with pytest.raises(DataError, match="site 'a': patients: expected patient ids"):
        simulate(
            TASK,
            [site],
            FedAvg(),
            rounds=1,
            seed=0,
            privacy=central(unit="patient"),
            ledger=roomy("patient"),
        )
    twice = dataclasses.replace(site, patients=np.arange(40) // 2)
    with pytest.raises(DataError, match="site 'a': patients: some patients have several rows"):
        simulate(TASK, [twice], FedAvg(), rounds=1, seed=0, privacy=central(), ledger=roomy())


def test_a_patient_at_two_sites_is_refused(sites):
    shared = [dataclasses.replace(s, patients=np.arange(s.n_train)) for s in sites]
    with pytest.raises(DataError, match="sites 'a' and 'b' declare one patient") as refused:
        simulate(
            TASK,
            shared,
            FedAvg(),
            rounds=1,
            seed=0,
            privacy=central(unit="patient"),
            ledger=roomy("patient"),
        )
    assert "0" not in str(refused.value)


@pytest.mark.parametrize("unit", ["record", "patient"])
@pytest.mark.parametrize("dtype", [np.int64, np.str_, np.bytes_])
def test_a_patient_at_two_sites_is_refused_however_it_is_written(sites, unit, dtype):
    first, second, third = sites
    second = dataclasses.replace(second, patients=np.arange(second.n_train))
    third = dataclasses.replace(
        third, patients=(second.n_train - 1 + np.arange(third.n_train)).astype(str).astype(dtype)
    )
    first = dataclasses.replace(first, patients=10_000 + np.arange(first.n_train))
    with pytest.raises(DataError, match="sites 'b' and 'c' declare one patient"):
        central(unit=unit).check(TASK, FedAvg(), PlainSum(), [first, second, third], rounds=1)


def test_an_aggregator_that_rounds_each_sum_is_refused(sites, stream):
    """One record may carry each value of a site's sum over an edge of the codec's lattice."""
    codec = FixedPoint(clip=127.0, bits=8, max_summands=3, rounding="nearest")
    size, edge = 1000, 0.5
    record = np.full(size, 1.0 / math.sqrt(size))
    others = np.full(size, edge - 0.5 * record[0])
    moved = codec.decode_sum(codec.encode(others + record), 1) - codec.decode_sum(
        codec.encode(others), 1
    )
    assert np.linalg.norm(moved) > 30 * np.linalg.norm(record)
    rounding = SecureSum(
        codec=codec, dropout=0, corrupt=1, adversary="honest-but-curious", min_survivors=3,
        weight_max=None,
    )  # fmt: skip
    with pytest.raises(ProtocolError, match="aggregator: SecureSum rounds each site's sum"):
        simulate(
            TASK, sites, FedAvg(), rounds=1, seed=0, privacy=central(), ledger=roomy(),
            aggregator=rounding,
        )  # fmt: skip


def test_resumed_private_run_has_the_same_bits(sites):
    states = []
    settings = {"seed": 2, "privacy": central(sampling_probability=0.5), "ledger": roomy()}
    whole = simulate(TASK, sites, FedAvg(), rounds=4, **settings, on_round=states.append)
    resumed = simulate(TASK, sites, FedAvg(), rounds=4, **settings, resume=states[1])
    np.testing.assert_array_equal(flat(resumed.params), flat(whole.params))


def test_what_reaches_the_aggregator_is_float64_sums(sites):
    seen = []

    class Spy(PlainSum):
        def add(self, site, vector, weight):
            seen.append((site, vector.dtype, weight))
            super().add(site, vector, weight)

    simulate(
        TASK, sites, FedAvg(), rounds=1, seed=0, privacy=central(), ledger=roomy(), aggregator=Spy()
    )
    assert seen == [(name, np.float64, None) for name in "abc"]


def test_site_refuses_two_dimensional_ids(site):
    with pytest.raises(DataError, match="patients"):
        Site(
            id="a",
            x=site.x,
            y=site.y,
            x_test=site.x_test,
            y_test=site.y_test,
            patients=np.zeros((40, 1), int),
        )
