"""Each strategy against its paper's equations, computed directly."""

import numpy as np
import pytest

from veil.errors import DataError
from veil.fl import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedProx,
    FedYogi,
    GradientCorrection,
    Layout,
    LocalUpdate,
    LogisticRegression,
    Scaffold,
    SiteRound,
    Sum,
    simulate,
)

TASK = LogisticRegression(features=3, learning_rate=0.5, epochs=3, batch_size=None)


def flat(params):
    return np.append(params["bias"], params["weights"])


def gradient(vector, site):
    params = {"bias": vector[:1], "weights": vector[1:]}
    return TASK.record_gradients(params, site.x, site.y).mean(axis=0)


def descend(vector, site, correct=lambda v: 0.0, steps=3):
    for _ in range(steps):
        vector = vector - 0.5 * (gradient(vector, site) + correct(vector))
    return vector


def sizes(sites):
    return np.array([site.n_train for site in sites])


def test_fedavg_of_one_site_is_local_training(site):
    run = simulate(TASK, [site], FedAvg(), rounds=4, seed=0)
    np.testing.assert_allclose(flat(run.params), descend(np.zeros(4), site, steps=12), rtol=1e-12)


def test_fedavg_weighs_by_training_rows(sites):
    run = simulate(TASK, sites, FedAvg(), rounds=2, seed=0)
    vector = np.zeros(4)
    for _ in range(2):
        local = [descend(vector, site) for site in sites]
        vector = np.average(local, axis=0, weights=sizes(sites))
    np.testing.assert_allclose(flat(run.params), vector, rtol=1e-12)


def test_fedavg_server_step(sites):
    run = simulate(TASK, sites, FedAvg(learning_rate=0.3), rounds=1, seed=0)
    whole = simulate(TASK, sites, FedAvg(), rounds=1, seed=0)
    np.testing.assert_allclose(flat(run.params), 0.3 * flat(whole.params), rtol=1e-12)


def test_fedprox_pulls_towards_the_round_model(sites):
    run = simulate(TASK, sites, FedProx(mu=0.7), rounds=2, seed=0)
    vector = np.zeros(4)
    for _ in range(2):
        local = [descend(vector, s, lambda v, x=vector: 0.7 * (v - x)) for s in sites]
        vector = np.average(local, axis=0, weights=sizes(sites))
    np.testing.assert_allclose(flat(run.params), vector, rtol=1e-12)


def test_fedprox_without_pull_is_fedavg(sites):
    minibatch = LogisticRegression(features=3, learning_rate=0.5, epochs=2, batch_size=8)
    ours = simulate(minibatch, sites, FedProx(mu=0.0), rounds=3, seed=5)
    plain = simulate(minibatch, sites, FedAvg(), rounds=3, seed=5)
    np.testing.assert_array_equal(flat(ours.params), flat(plain.params))


SECOND_MOMENTS = {
    FedAdagrad: lambda v, d: v + d**2,
    FedAdam: lambda v, d: 0.9 * v + 0.1 * d**2,
    FedYogi: lambda v, d: v - 0.1 * d**2 * np.sign(v - d**2),
}


@pytest.mark.parametrize("kind", SECOND_MOMENTS, ids=lambda kind: kind.__name__)
def test_adaptive_steps_follow_algorithm_2(kind, sites):
    settings = {"learning_rate": 0.2, "beta1": 0.6, "tau": 0.05}
    settings |= {} if kind is FedAdagrad else {"beta2": 0.9}
    run = simulate(TASK, sites, kind(**settings), rounds=5, seed=0)
    x, m, v = np.zeros(4), np.zeros(4), np.full(4, 0.05**2)
    for _ in range(5):
        delta = np.average([descend(x, s) - x for s in sites], axis=0, weights=sizes(sites))
        m = 0.6 * m + 0.4 * delta
        v = SECOND_MOMENTS[kind](v, delta)
        x = x + 0.2 * m / (np.sqrt(v) + 0.05)
    np.testing.assert_allclose(flat(run.params), x, rtol=1e-12)


def test_scaffold_follows_algorithm_1_option_2(sites):
    run = simulate(TASK, sites, Scaffold(learning_rate=0.8), rounds=5, seed=0)
    x, c, own = np.zeros(4), np.zeros(4), np.zeros((3, 4))
    for _ in range(5):
        y = np.array(
            [
                descend(x, site, lambda _, k=i, c=c, own=own: c - own[k])
                for i, site in enumerate(sites)
            ]
        )
        fresh = own - c + (x - y) / (3 * 0.5)
        x = x + 0.8 * (y - x).mean(axis=0)
        c, own = c + (fresh - own).mean(axis=0), fresh
    np.testing.assert_allclose(flat(run.params), x, rtol=1e-11)


def test_scaffold_variates_average_to_the_servers(sites):
    states = []
    simulate(TASK, sites, Scaffold(), rounds=6, seed=0, on_round=states.append)
    for state in states:
        mean = np.mean([own["variate"] for own in state.sites.values()], axis=0)
        np.testing.assert_allclose(state.server["variate"], mean, atol=1e-15)
    assert np.abs(states[-1].server["variate"]).max() > 1e-3


def test_scaffold_reaches_the_pooled_optimum_where_fedavg_drifts(sites):
    long = LogisticRegression(features=3, learning_rate=0.5, epochs=20, batch_size=None, l2=0.1)
    x, y = np.concatenate([s.x for s in sites]), np.concatenate([s.y for s in sites])
    # Sites count equally in SCAFFOLD, so the optimum is of the mean of the sites' losses.
    weight = np.concatenate([np.full(s.n_train, 1 / (3 * s.n_train)) for s in sites])
    optimum = {"bias": np.zeros(1), "weights": np.zeros(3)}
    for _ in range(3000):
        each = long.record_gradients(optimum, x, y)
        step = weight @ each + long.penalty_gradient(optimum)
        optimum = {"bias": optimum["bias"] - step[:1], "weights": optimum["weights"] - step[1:]}

    def gap(strategy):
        run = simulate(long, sites, strategy, rounds=150, seed=0)
        return np.abs(flat(run.params) - flat(optimum)).max()

    assert gap(Scaffold()) < 1e-5
    assert gap(FedAvg()) > 1e-3


def test_scaffold_keeps_the_variate_of_a_site_that_dropped_out(sites):
    class Drops:
        """A PlainSum that never hears of one site."""

        sees_individual_updates = True

        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def add(self, site, vector, weight):
            if site != "b":
                self.inner.add(site, vector, weight)

    from veil.fl import PlainSum

    states = []
    simulate(
        TASK,
        sites,
        Scaffold(),
        rounds=3,
        seed=0,
        aggregator=Drops(PlainSum()),
        on_round=states.append,
    )
    last = states[-1]
    assert last.rounds[-1].survivors == ("a", "c")
    assert not last.sites["b"]["variate"].any()
    mean = np.mean([own["variate"] for own in last.sites.values()], axis=0)
    np.testing.assert_allclose(last.server["variate"], mean, atol=1e-15)


@pytest.mark.parametrize(
    ("trained", "message"),
    [
        ({"bias": np.zeros(1), "weights": np.zeros(2)}, r"params\['weights'\]: .*shape \(2,\)"),
        ({"bias": np.zeros(1), "weights": np.zeros(3, np.float32)}, "got float32"),
        ({"bias": np.zeros(1)}, "expected an array 'weights'"),
        ({"bias": np.zeros(1), "weights": np.zeros(3), "extra": np.zeros(1)}, "has 'extra'"),
        ({"bias": np.zeros(1), "weights": [0.0, 0.0, 0.0]}, "expected an ndarray or tensor"),
    ],
)
def test_a_trained_model_that_differs_names_the_site(site, trained, message):
    class Broken:
        def local_update(self, params, site, *, correction, rng):
            return LocalUpdate(trained, 1, 1, 0.1)

    params = TASK.init(None)
    layout = Layout.of(params)
    work = SiteRound(Broken(), site, layout, layout.flatten(params), {}, {}, {}, None)
    with pytest.raises(DataError, match=f"site 'a': trained model: .*{message}"):
        FedAvg().train(work)


def test_steps_leave_their_arguments_alone():
    layout = Layout.of(TASK.init(None))
    total = Sum(np.ones(4), 2.0, ("a",))
    vector = np.zeros(4)
    state = FedAdam().server_state(layout, ["a"])
    before = {name: array.copy() for name, array in state.items()}
    FedAdam().step(vector, state, total)
    assert not vector.any()
    assert all(np.array_equal(state[name], before[name]) for name in before)


def test_narrow_models_stay_narrow():
    vector = np.ones(4, np.float32)
    after, _ = FedAvg().step(vector, {}, Sum(np.full(4, 1e-3), 1.0, ("a",)))
    assert after.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: FedAvg(learning_rate=0.0), "learning_rate"),
        (lambda: FedProx(mu=-1.0), "mu"),
        (lambda: FedAdam(beta1=1.0), "beta1"),
        (lambda: FedYogi(beta2=-0.1), "beta2"),
        (lambda: FedAdagrad(tau=0.0), "tau"),
        (lambda: Scaffold(learning_rate=float("nan")), "learning_rate"),
    ],
)
def test_settings_out_of_range_are_refused(make, name):
    with pytest.raises(ValueError, match=name):
        make()


def test_corrections_default_to_nothing():
    assert GradientCorrection().proximal == 0.0
    assert GradientCorrection().offset is None
