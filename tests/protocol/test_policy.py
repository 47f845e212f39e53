"""Every field of Policy refuses something, and accepts the neighbouring value."""

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from veil.errors import PolicyRefused
from veil.secagg import Client, NoiseShare, Policy

LIMITS = {"min_cohort": 3, "min_survivors": 3, "max_corrupt": 1}


def join(config, **changes):
    key = Ed25519PrivateKey.generate() if config.adversary == "malicious" else None
    Client(config, 10, key, Policy(**{**LIMITS, **changes}), run_id="run", round_number=1)


@pytest.fixture(scope="module")
def config(make_session):
    return make_session(5, corrupt=1).config


CONFIG_FIELDS = [
    ("max_corrupt", 1, 2, "corrupt"),
    ("kems", ("x25519-mlkem768",), ("x25519",), "kem"),
    ("ciphers", ("aes256-ctr",), ("chacha20",), "cipher"),
    ("graphs", ("full",), ("k-regular",), "graph"),
    ("max_length", 20, 19, "length"),
]


@pytest.mark.parametrize(("field", "accepted", "refused", "named"), CONFIG_FIELDS)
def test_a_configuration_outside_the_policy_is_refused(config, field, accepted, refused, named):
    join(config, **{field: accepted})
    with pytest.raises(PolicyRefused, match=named):
        join(config, **{field: refused})


def test_another_codec_is_refused(config, make_codec):
    join(config, codec=config.codec)
    with pytest.raises(PolicyRefused, match="codec"):
        join(config, codec=make_codec(5, clip=8.0))


def test_another_noise_is_refused(config):
    """Without this field a server could talk a site into a session that asks for no noise."""
    share = NoiseShare(distribution="discrete-gaussian", sigma=10.0)
    join(config)
    with pytest.raises(PolicyRefused, match="noise"):
        join(config, noise=share)
    codec = dataclasses.replace(config.codec, noise=share.headroom(5))
    noisy = dataclasses.replace(config, codec=codec, noise=share)
    join(noisy, noise=share)
    with pytest.raises(PolicyRefused, match="noise"):
        join(noisy, noise=dataclasses.replace(share, sigma=9.0))


def test_another_noise_or_none_is_refused(config):
    share, weaker = (NoiseShare(distribution="discrete-gaussian", sigma=s) for s in (50.0, 5.0))
    codec = dataclasses.replace(config.codec, noise=share.headroom(5))
    noisy = dataclasses.replace(config, codec=codec, noise=share)
    join(noisy, noise=share)
    for refused, wanted in ((config, share), (noisy, weaker)):
        with pytest.raises(PolicyRefused, match="noise"):
            join(refused, noise=wanted)


def test_a_roster_asks_for_a_malicious_session(config):
    roster = {10: Ed25519PrivateKey.generate().public_key()}
    with pytest.raises(PolicyRefused, match="adversary"):
        join(config, roster=roster)


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
    policy = Policy(**LIMITS)
    Client(config, 10, None, policy, run_id="run", round_number=4).advertise()
    again = Client(config, 10, None, policy, run_id="run", round_number=4)
    with pytest.raises(RuntimeError, match="above 4"):
        again.advertise()


def test_every_field_is_refused_somewhere_above():
    above = {field for field, *_ in CONFIG_FIELDS}
    above |= {"codec", "noise", "roster", "min_cohort", "min_survivors", "replay"}
    assert above == {field.name for field in dataclasses.fields(Policy)}
