"""Every field of Policy refuses something, and accepts the neighbouring value."""

import dataclasses
import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from policies import pinned

from veil import FixedPoint
from veil.errors import MalformedMessage, PolicyRefused, TooFewSurvivors
from veil.secagg import Client, Config, FileReplayGuard, NoiseShare, Policy
from veil.secagg import config as configs


def join(config, **changes):
    """Propose a configuration to a client that pins it, but for the changes."""
    Client(config, 10, None, pinned(config, **changes), run_id="run", round_number=1)


def members(n, first=10):
    return {first + i: Ed25519PrivateKey.generate().public_key() for i in range(n)}


@pytest.fixture(scope="module")
def config(make_session):
    return make_session(5, corrupt=1).config


CONFIG_FIELDS = [
    ("max_corrupt", 1, 2, "corrupt"),
    ("kems", ("x25519-mlkem768",), ("x25519",), "kem"),
    ("ciphers", ("aes256-ctr",), ("chacha20",), "cipher"),
    ("graphs", ("full",), ("k-regular",), "graph"),
    ("length", 20, 19, "length"),
    ("length", 20, 21, "length"),
    ("weight_max", None, 5, "weight_max"),
    ("dropout_fraction", 0.4, 0.2, "dropout"),
    ("dropout_fraction", None, 0.2, "dropout"),
]


@pytest.mark.parametrize(("field", "accepted", "refused", "named"), CONFIG_FIELDS)
def test_a_configuration_outside_the_policy_is_refused(config, field, accepted, refused, named):
    join(config, **{field: accepted})
    with pytest.raises(PolicyRefused, match=named):
        join(config, **{field: refused})


def test_another_codec_is_refused(config, make_codec):
    join(config, codec=config.codec)
    coarser = dataclasses.replace(config.codec, clip=8.0)
    roomier = dataclasses.replace(config.codec, max_summands=6)
    for other in (make_codec(5, clip=8.0), coarser, roomier):
        with pytest.raises(PolicyRefused, match="codec"):
            join(config, codec=other)


def test_another_noise_is_refused(config):
    """Without this field a server could talk a site into a session that asks for no noise."""
    share = NoiseShare(distribution="discrete-gaussian", sigma=10.0)
    join(config)
    with pytest.raises(PolicyRefused, match="noise"):
        join(config, noise=share)
    codec = dataclasses.replace(config.codec, noise=share.headroom(5))
    noisy = dataclasses.replace(config, codec=codec, noise=share)
    join(noisy, noise=share)
    for other in (dataclasses.replace(share, sigma=9.0), None):
        with pytest.raises(PolicyRefused, match="noise"):
            join(noisy, noise=other)


def test_another_noise_or_none_is_refused(config):
    share, weaker = (NoiseShare(distribution="discrete-gaussian", sigma=s) for s in (50.0, 5.0))
    codec = dataclasses.replace(config.codec, noise=share.headroom(5))
    noisy = dataclasses.replace(config, codec=codec, noise=share)
    join(noisy, noise=share)
    for refused, wanted in ((config, share), (noisy, weaker)):
        with pytest.raises(PolicyRefused, match="noise"):
            join(refused, noise=wanted)


def test_a_roster_asks_for_a_malicious_session(config):
    with pytest.raises(PolicyRefused, match="adversary"):
        join(config, roster=members(5))


def test_a_malicious_session_asks_for_a_roster(make_session):
    malicious = make_session(5, adversary="malicious", dropout=1).config
    with pytest.raises(PolicyRefused, match="adversary"):
        join(malicious)


def test_a_malicious_session_asks_for_an_identity(make_session):
    session = make_session(5, adversary="malicious", dropout=1)
    policy = session.clients[10]._session.policy
    with pytest.raises(PolicyRefused, match="identity_key"):
        Client(session.config, 10, None, policy, run_id="run", round_number=1)


@pytest.mark.parametrize(
    ("field", "refused", "named"),
    [("min_cohort", 5, "participants"), ("min_survivors", 5, "min_survivors")],
)
def test_a_cohort_outside_the_policy_is_refused(make_session, field, refused, named):
    session = make_session(5, dropout=1, policy={field: refused})
    session.vanish(0, 14)
    with pytest.raises(PolicyRefused, match=named):
        session.to_shares()


def test_fewer_survivors_than_the_policy_asks_for_are_refused(make_session):
    session = make_session(5, dropout=2, min_survivors=3)
    session.vanish(2, 13, 14)
    replies = session.to_survivors()
    strict = dataclasses.replace(session.clients[10]._session.policy, min_survivors=4)
    object.__setattr__(session.clients[10]._session, "policy", strict)
    with pytest.raises(RuntimeError, match="at least 4 survivors"):
        session.clients[10].unmask(replies[10])


def test_a_used_label_is_refused_by_the_policy_guard(config):
    policy = pinned(config)
    Client(config, 10, None, policy, run_id="run", round_number=4).advertise()
    again = Client(config, 10, None, policy, run_id="run", round_number=4)
    with pytest.raises(RuntimeError, match="above 4"):
        again.advertise()


# --- by whom a client is known -----------------------------------------------------------------


def malicious(make_session, **more):
    session = make_session(5, adversary="malicious", dropout=1, **more)
    return session, session.clients[10]._session.policy


def test_more_clients_than_members_are_refused(make_session, make_codec):
    """A server that may invite strangers could fill the sum with its own."""
    session, policy = malicious(make_session, codec=make_codec(9))
    policy.check_config(dataclasses.replace(session.config, n=5))
    with pytest.raises(PolicyRefused, match="n: this client's policy expects at most 5"):
        policy.check_config(dataclasses.replace(session.config, n=6))


@pytest.mark.parametrize("client", [11, 99])
def test_a_client_whose_key_the_roster_has_not_under_its_id_is_refused(make_session, client):
    session, policy = malicious(make_session)
    key = session.identities[10]
    Client(session.config, 10, key, policy, run_id="run", round_number=2)
    with pytest.raises(PolicyRefused, match="roster: expected this client's own key"):
        Client(session.config, client, key, policy, run_id="run", round_number=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_cohort": 5, "min_survivors": 6}, "min_survivors: expected at most 5"),
        ({"max_corrupt": 4}, "max_corrupt: expected at most 3"),
        ({"min_set_difference": 2}, "at least max_corrupt [+] 2 = 3"),
        ({"roster": None, "min_set_difference": 3}, "min_set_difference: expected None without"),
        ({"roster": dict.fromkeys(range(5), Ed25519PrivateKey.generate().public_key())},
         "got one under two ids"),
        ({"weight_max": 7, "noise": NoiseShare(distribution="skellam", sigma=9.0)}, "weight_max"),
    ],
)  # fmt: skip
def test_a_policy_that_contradicts_itself_or_its_roster_is_refused(config, change, message):
    pinned(config, roster=members(5))
    with pytest.raises(ValueError, match=message):
        pinned(config, **{"roster": members(5), **change})


def test_fewer_clients_than_the_policy_s_cohort_are_refused(make_session, make_codec):
    config = make_session(5, codec=make_codec(9)).config
    join(config, min_cohort=5)
    with pytest.raises(PolicyRefused, match=r"^n: this client's policy expects at least 6, got 5"):
        join(config, min_cohort=6)


def test_a_cohort_larger_than_the_roster_is_refused(make_session, make_codec):
    config = make_session(5, codec=make_codec(9)).config
    with pytest.raises(ValueError, match="min_cohort: expected at most 5, the members of the ros"):
        pinned(config, min_cohort=6, roster=members(5))


def test_a_cohort_above_the_codec_s_summands_is_refused(config):
    with pytest.raises(ValueError, match="min_cohort: expected at most the codec's max_summands"):
        pinned(config, min_cohort=6)


@pytest.mark.parametrize("change", [{"codec": None}, {"length": 20.0}, {"length": True}])
def test_what_shapes_a_vector_is_not_left_to_the_server(config, change):
    with pytest.raises(TypeError, match=next(iter(change))):
        pinned(config, **change)
    with pytest.raises(TypeError, match="codec"):
        Policy(min_cohort=3, min_survivors=3, max_corrupt=1)


def test_sets_are_compared_under_a_guard_that_lasts(make_session, tmp_path):
    session, policy = malicious(make_session)
    strict = dataclasses.replace(policy, min_set_difference=3)
    key = session.identities[10]
    with pytest.raises(PolicyRefused, match="replay: expected a FileReplayGuard"):
        Client(session.config, 10, key, strict, run_id="run", round_number=2)
    lasting = dataclasses.replace(strict, replay=FileReplayGuard(tmp_path / "guard"))
    Client(session.config, 10, key, lasting, run_id="run", round_number=2)


# --- a policy from a configuration, a configuration under a policy ------------------------------


def test_a_policy_for_a_configuration_accepts_it_and_no_neighbour(make_session):
    config = make_session(5, weight_max=100).config
    policy = Policy.for_config(config, min_cohort=3, min_survivors=3, roster=None)
    assert policy.accept(config.to_dict()) == config
    for change in (
        {"length": 21},
        {"weight_max": 101},
        {"weight_max": None},
        {"dropout": 0.2},
        {"corrupt": 0},
        {"cipher": "chacha20"},
        {"kem": "x25519"},
        {"graph": "k-regular"},
        {"codec": {**config.codec.to_dict(), "rounding": "stochastic"}},
        {"noise": {"distribution": "skellam", "sigma": 5.0}, "weight_max": None},
        {"adversary": "malicious"},
    ):
        with pytest.raises(PolicyRefused):
            policy.accept(config.to_dict() | change)


def test_a_policy_for_a_configuration_needs_the_roster_that_it_implies(make_session):
    session, policy = malicious(make_session)
    limits = {"min_cohort": 3, "min_survivors": 3}
    Policy.for_config(session.config, roster=policy.roster, **limits)
    with pytest.raises(PolicyRefused, match="adversary"):
        Policy.for_config(session.config, roster=None, **limits)
    with pytest.raises(PolicyRefused, match="n: "):
        Policy.for_config(session.config, roster=members(4), **limits)


@pytest.mark.parametrize(
    "change",
    [
        {"n": 10**4000},
        {"corrupt": 9},
        {"length": 0},
        {"length": 2**31 + 1},
        {"weight_max": 2**15},
        {"weight_max": 10**4000},
        {"codec": 3},
        {"codec": {}},
        {"noise": []},
        {"noise": {"distribution": "skellam", "sigma": 10**400}},
        {"noise": {"distribution": ["skellam"], "sigma": 3}},
        {"dropout": float("nan")},
        {"more": 1},
        *(
            {"codec": {"clip": 4.0, "bits": 16, "max_summands": 5, "rounding": "nearest"} | codec}
            for codec in (
                {"clip": 10**400},
                {"clip": float("inf")},
                {"bits": 16.0},
                {"max_summands": float("inf")},
                {"max_summands": 10**4000},
                {"noise": True},
            )
        ),
    ],
)
def test_a_proposal_that_is_no_configuration_is_malformed(config, change):
    with pytest.raises(MalformedMessage, match="config: "):
        pinned(config).accept(config.to_dict() | change)
    with pytest.raises(MalformedMessage, match="config: "):
        pinned(config).accept([])


def test_a_weight_of_one_must_count(make_session):
    """With a greater weight_max the sum would show the heaviest client's vector alone."""
    assert make_session(5, weight_max=2**15 - 1).config.weight_limbs == 1
    with pytest.raises(ValueError, match="a weight of 1 would round to nothing"):
        make_session(5, weight_max=2**15)


def test_fields_are_compared_before_anything_is_derived(config, monkeypatch):
    values = config.to_dict() | {"n": 50, "graph": "k-regular"}
    values["codec"] = values["codec"] | {"max_summands": 50}
    derived = []
    monkeypatch.setattr(configs, "choose_graph", lambda *a, **k: derived.append(a))
    with pytest.raises(PolicyRefused):
        pinned(config).accept(values)
    assert not derived


def test_no_fraction_of_dropouts_lowers_a_threshold_below_the_policy():
    """Why `Policy.dropout_fraction` may be left out."""
    for n, corrupt, fraction in itertools.product((3, 5, 10, 40), (0, 1, 3), range(0, 10)):
        for graph, adversary in itertools.product(
            ("full", "k-regular"), ("honest-but-curious", "malicious")
        ):
            try:
                thresholds = Config.for_cohort(
                    n, dropout=fraction / 10, corrupt=corrupt, adversary=adversary, graph=graph,
                    min_survivors=None, length=1,
                    codec=FixedPoint(clip=1.0, bits=8, max_summands=n, rounding="nearest"),
                ).thresholds(n)  # fmt: skip
            except (ValueError, TooFewSurvivors):
                continue
            assert thresholds.min_survivors >= corrupt + 2
            colluding = corrupt if adversary == "honest-but-curious" else (n + corrupt) // 2
            assert thresholds.t > colluding or thresholds.k < n - 1  # else see test_graph


def test_every_field_is_refused_somewhere_above():
    above = {field for field, *_ in CONFIG_FIELDS}
    above |= {
        "codec",
        "noise",
        "roster",
        "min_cohort",
        "min_survivors",
        "min_set_difference",
        "replay",
    }
    assert above == {field.name for field in dataclasses.fields(Policy)}
