"""Networks in PyTorch: gradients per row equal autograd's, training repeats bit for bit."""

import dataclasses

import numpy as np
import pytest

from veil.dp import Ledger
from veil.errors import DataError, UnsupportedLayer
from veil.fl import (
    MLP,
    CentralDP,
    FedAvg,
    FedProx,
    GradientCorrection,
    ImageCNN,
    Layout,
    Scaffold,
    Site,
    TorchTask,
    simulate,
)

torch = pytest.importorskip("torch", reason="torch: pip install 'veil[torch]'")

SETTINGS = {"learning_rate": 0.1, "epochs": 1, "batch_size": 8}
TASK = MLP(**SETTINGS, features=3, hidden=(5, 4), l2=0.01)
CNN = ImageCNN(**SETTINGS, channels=1, size=(8, 8))


def image_site(name, n=24):
    rng = np.random.default_rng([7, *name.encode()])
    y = rng.integers(0, 2, 2 * n)
    x = rng.normal(size=(2 * n, 8, 8)).astype(np.float32)
    x[:, :4] += y[:, None, None]
    return Site(id=name, x=x[:n], y=y[:n], x_test=x[n:], y_test=y[n:], patients=None)


def row_gradient(task, params, x, y):
    """Gradient of one row's loss by a plain backward pass."""
    module = task.build()
    module.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in params.items()})
    logit = module(task._rows(x[None])).squeeze(-1)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, torch.tensor([float(y)]))
    loss.backward()
    grads = {name: p.grad.numpy() for name, p in module.named_parameters()}
    return Layout.of(grads).flatten(grads)


@pytest.mark.parametrize("task", [TASK, CNN], ids=["MLP", "ImageCNN"])
def test_record_gradients_are_a_backward_pass_per_row(task, site, stream):
    data = image_site("a") if task is CNN else site
    params = task.init(stream())
    got = task.record_gradients(params, data.x[:6], data.y[:6])
    assert got.dtype == np.float32
    for i in range(6):
        expected = row_gradient(task, params, data.x[i], data.y[i])
        np.testing.assert_allclose(got[i], expected, rtol=1e-4, atol=1e-6)


def test_penalty_spares_biases(stream):
    params = TASK.init(stream())
    layout = Layout.of(params)
    got = layout.unflatten(TASK.penalty_gradient(params))
    np.testing.assert_allclose(got["0.weight"], 0.01 * params["0.weight"], rtol=1e-6)
    assert not got["0.bias"].any()


def test_a_local_step_is_sgd_with_the_correction(site, stream):
    task = dataclasses.replace(TASK, batch_size=None, epochs=2)
    params = task.init(stream())
    layout = Layout.of(params)
    start = layout.flatten(params)
    offset = np.linspace(-1, 1, layout.size).astype(np.float32)
    update = task.local_update(
        params, site, correction=GradientCorrection(proximal=0.5, offset=offset), rng=stream()
    )
    vector = start.copy()
    for _ in range(2):
        now = layout.unflatten(vector)
        gradient = task.record_gradients(now, site.x, site.y).mean(axis=0)
        gradient += task.penalty_gradient(now) + 0.5 * (vector - start) + offset
        vector = vector - np.float32(0.1) * gradient
    np.testing.assert_allclose(layout.flatten(update.params), vector, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(layout.flatten(params), start)
    assert (update.steps, update.examples) == (2, 40)


def test_initial_weights_are_he_normal(stream):
    wide = MLP(**SETTINGS, features=400, hidden=(500,))
    params = wide.init(stream())
    assert params["0.weight"].std() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert not params["0.bias"].any()
    norm = CNN.init(stream())
    assert (norm["1.weight"] == 1).all()


def test_training_repeats_whatever_torchs_state_and_threads(sites):
    before = torch.get_num_threads()
    runs = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(threads)
        runs.append(simulate(TASK, sites, FedAvg(), rounds=2, seed=9))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    for name, array in runs[0].params.items():
        np.testing.assert_array_equal(array, runs[1].params[name])


@pytest.mark.parametrize("strategy", [FedAvg(), FedProx(mu=0.1), Scaffold()])
def test_mlp_learns(sites, strategy):
    task = MLP(learning_rate=0.2, epochs=5, batch_size=8, features=3, hidden=(8,))
    run = simulate(task, sites, strategy, rounds=8, seed=1)
    assert np.mean([scores["auroc"] for scores in run.metrics.values()]) > 0.85


def test_cnn_learns_images():
    task = dataclasses.replace(CNN, epochs=4)
    run = simulate(task, [image_site("a"), image_site("b")], FedAvg(), rounds=6, seed=1)
    assert all(scores["auroc"] > 0.9 for scores in run.metrics.values())


def test_networks_train_privately(sites):
    dp = CentralDP(
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        sampling_probability=0.5,
        population=125,
        rounds=2,
        unit="record",
    )
    ledger = Ledger(
        epsilon=30.0, delta=1e-5, unit="record", relation="add-or-remove-one", mode="planned"
    )
    run = simulate(TASK, sites, FedAvg(), rounds=2, seed=1, privacy=dp, ledger=ledger)
    assert all(array.dtype == np.float32 for array in run.params.values())
    assert run.rounds[0].bytes_up == 3 * 8 * run.layout.size


def test_predictions_come_in_parts(stream, monkeypatch, site):
    from veil.fl.tasks import networks

    params = TASK.init(stream())
    whole = TASK.predict(params, site.x)
    monkeypatch.setattr(networks, "_PREDICT_ROWS", 7)
    np.testing.assert_allclose(TASK.predict(params, site.x), whole, rtol=1e-6)
    assert len(TASK.predict(params, site.x[:0])) == 0


def test_images_of_another_shape_are_refused(stream):
    with pytest.raises(DataError, match=r"x: expected shape \(n, 1, 8, 8\), got \(2, 9, 8\)"):
        CNN.predict(CNN.init(stream()), np.zeros((2, 9, 8), np.float32))
    with pytest.raises(DataError, match=r"x: expected shape \(n, 3\)"):
        TASK.predict(TASK.init(stream()), np.zeros((2, 4), np.float32))


def test_batch_norm_is_refused(stream):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Normed(TorchTask):
        def build(self):
            return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))

    with pytest.raises(UnsupportedLayer, match="replace BatchNorm by GroupNorm"):
        Normed(**SETTINGS).init(stream())


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: MLP(**SETTINGS, features=3, hidden=(0,)), "hidden"),
        (lambda: MLP(**SETTINGS, features=0, hidden=()), "features"),
        (lambda: ImageCNN(**SETTINGS, channels=1, size=(3, 8)), "size"),
        (lambda: MLP(**(SETTINGS | {"epochs": 0}), features=3, hidden=()), "epochs"),
    ],
)
def test_settings_out_of_range_are_refused(make, name):
    with pytest.raises(ValueError, match=name):
        make()
