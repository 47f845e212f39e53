"""Whatever numbers come in, accounting answers or raises Veil's errors, ValueError or TypeError."""

import math

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from veil import dp
from veil.errors import VeilError

# Powers across the whole range of doubles, subnormal and infinite ones too, and a few plain ones.
SIZES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-330.0, 309.0).map(lambda power: 10.0**power if power < 308.2 else math.inf),
    st.sampled_from([0.5, 1.0, 2.0, 30.0, 5e-324, 1e308, 1.7976931348623157e308]),
)
COUNTS = st.one_of(
    st.integers(1, 3), st.sampled_from([10**3, 10**6, 2**53, 2**63 - 1, 2**63, 10**400])
)
PROBABILITIES = st.one_of(
    st.just(1.0),
    st.floats(0.0, 1.0),
    st.floats(-330.0, 0.0).map(lambda power: 10.0**power),
    st.sampled_from([5e-324, 1e-300, 0.1, 1.0 - 2.0**-53]),
)
DELTAS = st.one_of(
    st.sampled_from([1e-300, 5e-324, 1e-30, 1e-12, 1e-6, 0.5, 1.0 - 2.0**-53]), SIZES
)
RELATIONS = st.sampled_from(dp.RELATIONS)


def allowed(call):
    """Return what a call returns, or None if it raises what it may."""
    try:
        return call()
    except (VeilError, ValueError, TypeError):
        return None


def made(kind, sigma, sensitivity, q, count, l1, clipped):
    clip = sensitivity / 2.0 if clipped else None
    return {
        "gaussian": lambda: dp.Event.gaussian(
            sigma=sigma, sensitivity=sensitivity, sampling_probability=q, count=count, clip=clip
        ),
        "discrete-gaussian": lambda: dp.Event.discrete_gaussian(
            sigma=sigma, sensitivity=sensitivity, count=count
        ),
        "discrete-laplace": lambda: dp.Event.discrete_laplace(
            scale=sigma, sensitivity=sensitivity // 1, count=count
        ),
        "skellam": lambda: dp.Event.skellam(
            variance=sigma, sensitivity=sensitivity, l1_sensitivity=l1, count=count
        ),
        "pure": lambda: dp.Event.pure(epsilon=sensitivity, count=count),
    }[kind]()


EVENTS = st.tuples(
    st.sampled_from(["gaussian", "discrete-gaussian", "discrete-laplace", "skellam", "pure"]),
    SIZES,
    SIZES,
    PROBABILITIES,
    COUNTS,
    SIZES,
    st.booleans(),
).map(lambda fields: allowed(lambda: made(*fields)))

slow = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@slow
@given(event=EVENTS, other=EVENTS, relation=RELATIONS, delta=DELTAS, slack=DELTAS)
@example(
    event=None, other=allowed(lambda: dp.Event.pure(epsilon=1e308)), relation="zero-out",
    delta=1e-6, slack=0.0,
)  # fmt: skip
def test_epsilon_of_any_event_is_a_number_or_a_typed_refusal(event, other, relation, delta, slack):
    events = [e for e in (event, other) if e is not None]
    spent = allowed(lambda: dp.epsilon(events, delta=delta, relation=relation))
    assert spent is None or spent >= 0.0
    with_slack = allowed(lambda: dp.epsilon(events, delta=delta, relation=relation, slack=slack))
    assert with_slack is None or spent is None or with_slack >= spent * (1.0 - 1e-9)
    allowed(lambda: dp.privacy_profile(events, epsilons=[0.0, 1.0, 1e300], relation=relation))


@slow
@given(event=EVENTS, relation=RELATIONS, epsilon=SIZES, delta=DELTAS, slack=DELTAS,
       mode=st.sampled_from(["adaptive", "planned"]))  # fmt: skip
def test_a_ledger_charges_any_event_or_refuses_it_by_name(
    event, relation, epsilon, delta, slack, mode
):
    ledger = allowed(
        lambda: dp.Ledger(
            epsilon=epsilon, delta=delta, unit="patient", relation=relation, mode=mode
        )
    )
    if ledger is None or event is None:
        return
    if mode == "planned":
        allowed(lambda: ledger.reserve([dp.Charge("any", event, slack)]))
    before = allowed(lambda: ledger.spent())
    allowed(lambda: ledger.charge(event, slack=slack, label="any"))
    allowed(lambda: ledger.remaining(event))
    after = allowed(lambda: ledger.spent())
    assert before is None or after is not None
    assert after is None or mode == "planned" or after.epsilon <= ledger.settings.epsilon * 1.0001


@slow
@given(epsilon=SIZES, delta=DELTAS, size=SIZES)
def test_a_mechanism_is_calibrated_within_its_target_or_refused(epsilon, delta, size):
    mechanism = allowed(
        lambda: dp.GaussianMechanism.calibrate(epsilon=epsilon, delta=delta, l2_sensitivity=size)
    )
    if mechanism is not None:
        assert mechanism.epsilon(delta) <= epsilon


@slow
@given(
    epsilon=SIZES,
    delta=DELTAS,
    q=PROBABILITIES,
    steps=COUNTS,
    accountant=st.sampled_from(["rdp", "gaussian"]),
    relation=RELATIONS,
)
def test_a_multiplier_is_calibrated_within_its_target_or_refused(
    epsilon, delta, q, steps, accountant, relation
):
    z = allowed(
        lambda: dp.calibrate_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sampling_probability=q,
            steps=steps,
            accountant=accountant,
            relation=relation,
        )
    )
    if z is None:
        return
    clip = 0.5 if relation == "replace-one" else None
    event = dp.Event.gaussian(
        sigma=z, sensitivity=1.0, sampling_probability=q, count=steps, clip=clip
    )
    assert dp.epsilon(event, delta=delta, relation=relation, accountant=accountant) <= epsilon


@pytest.mark.parametrize(
    "call",
    [
        lambda: dp.Event.pure(epsilon=10**400),
        lambda: dp.Event.gaussian(sigma="wide", sensitivity=1.0),
        lambda: dp.Event.gaussian(sigma=1e300, sensitivity=1e-300),
        lambda: dp.Event.gaussian(sigma=1e-300, sensitivity=1e300),
        lambda: dp.Event.pure(epsilon=1e308),
        lambda: dp.Event.pure(epsilon=1.0, count=10**400),
        lambda: dp.epsilon(dp.Event.pure(epsilon=1.0), delta=10**400, relation="zero-out"),
        lambda: dp.Event.from_dict({"kind": ["pure"]}),
    ],
)
def test_what_no_double_holds_is_refused_by_name(call):
    with pytest.raises((ValueError, TypeError), match=r"^\w+: expected"):
        call()
