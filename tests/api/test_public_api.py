"""The names of design.md section 5 exist and take what it says; privacy has no defaults."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import veil

REPOSITORY = Path(__file__).resolve().parents[2]

# `name` is required, `name?` has a default, what stands after `*` is keyword-only. Signatures may
# have further keyword arguments with defaults.
SIGNATURES = """
veil.core_info()
veil.set_num_threads(n)
veil.random.Keystream(key, *, nonce?, cipher?)
veil.random.Keystream.bytes(self, n)
veil.random.Keystream.uint32(self, n?, *, out?)
veil.random.Keystream.uint64(self, n?, *, out?)
veil.random.Keystream.seek(self, byte_offset)
veil.random.SecureGenerator()
veil.random.SecureGenerator.from_seed
veil.random.SecureGenerator.normal(self, shape, *, dtype, scale, out?, threads?)
veil.random.SecureGenerator.integers(self, high, shape)
veil.random.SecureGenerator.permutation(self, n)
veil.ring.pack_bits(values, bits, *, out?)
veil.ring.unpack_bits(packed, bits, count, *, dtype, out?)
veil.FixedPoint(*, clip, bits, max_summands, rounding)
veil.FixedPoint.encode(self, x, rng?, *, out?, threads?)
veil.FixedPoint.decode_sum(self, total, count)
veil.FixedPoint.l2_sensitivity(self, l2_clip, dim, unit)
veil.noise.DiscreteGaussian(sigma)
veil.noise.DiscreteGaussian.sample(self, n, rng, *, out?, threads?)
veil.noise.RoundedGaussian(sigma)
veil.noise.DiscreteLaplace(scale)
veil.noise.Skellam(variance)
veil.dp.GaussianMechanism(*, l2_sensitivity, sigma)
veil.dp.GaussianMechanism.calibrate(*, epsilon, delta, l2_sensitivity)
veil.dp.GaussianMechanism.release(self, x, *, ledger, rng?, out?)
veil.dp.LaplaceMechanism(*, l1_sensitivity, epsilon)
veil.dp.Ledger(*, epsilon, delta, unit, relation, mode, path?)
veil.dp.Ledger.charge(self, event, *, count?, slack?, label)
veil.dp.count(values, *, bounds, epsilon, delta, patient_ids, ledger)
veil.dp.mean(values, *, bounds, epsilon, delta, patient_ids, ledger)
veil.dp.histogram(values, *, bounds, epsilon, delta, patient_ids, ledger)
veil.dp.quantiles(values, *, bounds, epsilon, delta, patient_ids, ledger)
veil.secagg.Config.for_cohort(n, *, dropout, corrupt, adversary, min_survivors, codec, length)
veil.secagg.Policy(*, min_cohort, min_survivors, max_corrupt, codec, length)
veil.secagg.Policy.for_config(config, *, min_cohort, min_survivors, roster)
veil.secagg.Policy.accept(self, values)
veil.secagg.Client(config, client_id, identity_key, policy)
veil.secagg.Server(config)
veil.secagg.context(*, model, round, instructions, shared, settings, terms)
veil.secagg.choose_graph(n, *, corrupt, dropout, adversary)
veil.fl.weighted_mean(updates, weights, *, out?, threads?)
veil.fl.Accumulator(shape, *, bound?)
veil.fl.SecureSum
veil.ring.mask_add(vector, keys, signs, *, offset?, cipher, out?, threads?)
veil.ring.add(a, b, *, out?)
veil.secagg.split_secret
veil.secagg.combine_shares
veil.fl.Layout.of(params)
veil.fl.Layout.flatten(self, params, *, out?)
veil.fl.Layout.unflatten(self, vector)
veil.fl.Layout.digest(self, params)
veil.fl.FedAvg
veil.fl.FedProx
veil.fl.FedAdam
veil.fl.FedYogi
veil.fl.FedAdagrad
veil.fl.Scaffold
veil.fl.PlainSum
veil.fl.CentralDP
veil.fl.DistributedDP
veil.fl.simulate(task, sites, strategy, *, rounds, seed, aggregator?, privacy?, on_round?)
"""

# A caller must choose these: they change what is protected, or from whom.
PRIVATE = {
    "bounds",
    "clip",
    "context",
    "corrupt",
    "delta",
    "dropout",
    "epsilon",
    "instructions",
    "l1_sensitivity",
    "l2_clip",
    "l2_sensitivity",
    "ledger",
    "max_grad_norm",
    "max_summands",
    "mode",
    "noise_multiplier",
    "patient_ids",
    "relation",
    "rounding",
    "sigma",
    "target_delta",
    "target_epsilon",
    "terms",
    "unit",
}

# Defaults that only ever overstate the loss, or that design.md's own signature implies.
IMPLIED = {
    # The relation of DP-SGD's accounting in the literature and in every peer.
    "calibrate_noise_multiplier(relation)",
    # None is refused when the run is private, and the only value that a plain run may have.
    "simulate(ledger)",
    "SecureStrategy(ledger)",
    # None reads the node's configuration, and is refused where a mechanism needs a ledger.
    "secagg_mod(ledger)",
    "task_app(ledger)",
    # Of a session's steps only masking has one; `Client.mask` has no default.
    "advance(context)",
    # Sampled events under replace-one need it; all others state nothing by it.
    "Event(clip)",
    "gaussian(clip)",
    # Skellam's events need it and all others refuse it.
    "Event(l1_sensitivity)",
}


def lines() -> list[str]:
    return [line for line in SIGNATURES.splitlines() if line]


def resolve(path: str) -> object:
    value: object = veil
    for name in path.split(".")[1:]:
        value = getattr(value, name)
    return value


def expected_parameters(text: str) -> Iterator[tuple[str, bool, bool]]:
    """Name, whether it has a default, whether it is keyword-only."""
    keyword_only = False
    for part in filter(None, (p.strip() for p in text.split(","))):
        if part == "*":
            keyword_only = True
            continue
        yield part.rstrip("?"), part.endswith("?"), keyword_only


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.partition("(")[0])
def test_name_exists_with_its_signature(line):
    path, parenthesis, rest = line.partition("(")
    target = resolve(path)
    if not parenthesis:
        return
    actual = inspect.signature(target).parameters
    expected = list(expected_parameters(rest.removesuffix(")")))
    positional = [name for name, _, keyword_only in expected if not keyword_only]
    in_place = [
        name for name, p in actual.items() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    assert in_place == positional
    for name, has_default, keyword_only in expected:
        assert name in actual, f"{path} lacks {name}"
        assert (actual[name].default is not inspect.Parameter.empty) == has_default, name
        assert (actual[name].kind is inspect.Parameter.KEYWORD_ONLY) == keyword_only, name
    named = {name for name, _, _ in expected}
    more = [p for name, p in actual.items() if name not in named]
    assert all(p.default is not inspect.Parameter.empty or p.kind > 3 for p in more), more


def public_callables() -> Iterator[tuple[str, object]]:
    for found in pkgutil.walk_packages(veil.__path__, "veil."):
        if any(part.startswith("_") for part in found.name.split(".")) or ".cli" in found.name:
            continue
        module = importlib.import_module(found.name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            yield f"{found.name}.{name}", value
            if inspect.isclass(value):
                for attribute, member in inspect.getmembers(value, callable):
                    if not attribute.startswith("_"):
                        yield f"{found.name}.{name}.{attribute}", member


def defaults_of(value: object) -> Iterator[str]:
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return
    yield from (p.name for p in parameters if p.default is not inspect.Parameter.empty)


def test_nothing_that_affects_privacy_has_a_default():
    # A study compares a grid of privacy levels that it shows; its options are no library calls.
    faults = [
        f"{path}({name})"
        for path, value in public_callables()
        if not path.startswith("veil.study.")
        for name in defaults_of(value)
        if name in PRIVATE and f"{path.rpartition('.')[2]}({name})" not in IMPLIED
    ]
    assert faults == []


def test_every_public_name_is_documented():
    faults = [
        path
        for path, value in public_callables()
        # On CPython 3.10 an alias such as Callable[...] passes for a class.
        if (inspect.isfunction(value) or issubclass(type(value), type))
        and not inspect.getdoc(value)
    ]
    assert faults == []


def test_modules_name_what_they_offer():
    faults = [
        found.name
        for found in pkgutil.walk_packages(veil.__path__, "veil.")
        if not any(part.startswith("_") for part in found.name.split("."))
        and not hasattr(importlib.import_module(found.name), "__all__")
    ]
    assert faults == []


def test_version_is_the_distribution_s():
    assert veil.__version__ == version("veil")


def test_every_public_room_has_a_reference_page():
    pages = REPOSITORY / "docs" / "reference"
    rooms = {*veil._SUBMODULES, *(m.rpartition(".")[2] for m in veil._ATTRIBUTES.values())}
    rooms -= {"cli"}  # `veil --help` is its page
    assert sorted(r for r in rooms if not (pages / f"{r}.md").exists()) == []
