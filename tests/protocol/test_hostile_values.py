"""No message keeps a site busy: values within the format, drawn from a seed, each against time.

The same draws run for minutes, guided by coverage, in tests/fuzz/fuzz_secagg_values.py.
"""

import json
import random
import signal

import pytest
from hostile import CONTEXT, Forgetful
from hostile_values import BEYOND, Door, Draw, check_message, lasting_policy, seconds, sites_of
from reference import every_degree, headroom_by_one

from veil import FixedPoint
from veil.errors import PolicyRefused
from veil.integrations.flower.participant import Participant
from veil.integrations.flower.terms import Terms
from veil.secagg import Config, Identity, NoiseShare, Policy, Roster, config, graph, noise, proposal

CODEC = FixedPoint(clip=4.0, bits=16, max_summands=2000, rounding="nearest")


def draw(seed):
    return Draw(random.Random(seed).randrange)


def many(n=5, **more):
    """A cohort that may be large, so that lists may be long."""
    settings = {"dropout": 0.2, "corrupt": 1, "adversary": "honest-but-curious",
                "min_survivors": None, "codec": CODEC, "length": 20}  # fmt: skip
    return Config.for_cohort(n, **settings | more)


@pytest.fixture
def door(tmp_path):
    """An honest site: a function from its configuration to where invitations arrive."""

    def make(agreed, **policy):
        identity = Identity.new(tmp_path / "site.key")
        return Door(agreed, lasting_policy(agreed, **policy), identity)

    return make


@pytest.mark.parametrize("graph_kind", ["full", "k-regular"])
def test_no_invitation_keeps_a_site_busy(door, graph_kind):
    site, source = door(many(1500, graph=graph_kind)), draw(1)
    for _ in range(2000):
        site.check(source.terms(site.honest))


def test_no_configuration_takes_long_even_if_nothing_is_compared():
    """What follows from the fields is bounded itself, for whoever reads without a policy."""
    source, honest = draw(2), {"config": many().to_dict(), "metrics": {}}
    for _ in range(4000):
        values = source.terms(honest)["config"]
        took, _ = seconds(lambda values=values: read(values))
        assert took < BEYOND, values


def read(values):
    try:
        Config.from_dict(values)
    except (ValueError, TypeError):
        return


@pytest.mark.parametrize(
    "settings",
    [{"adversary": "malicious", "n": 5}, {"graph": "k-regular", "n": 1500}, {"n": 1500}],
    ids=["malicious", "k-regular", "full"],
)
def test_no_message_of_the_protocol_keeps_a_site_busy(make_session, settings):
    agreed = many(**settings)
    session = make_session(5, config=agreed, codec=CODEC, policy={"replay": Forgetful()})
    steps, source = sites_of(session, CONTEXT), draw(3)
    for _ in range(1000):
        check_message(source, steps)


# --- the review's own messages: 400 bytes, past a policy that refuses them ----------------------


BUSY = {
    "a cohort of 65535 on a sparse graph": {
        "n": 65535,
        "graph": "k-regular",
        "corrupt": 32000,
        "dropout": 0.5,
        "codec": CODEC.to_dict() | {"max_summands": 65535},
    },
    "a Skellam share of 1e9": {
        "noise": {"distribution": "skellam", "sigma": 1e9},
        "codec": CODEC.to_dict() | {"noise": 2**40, "max_summands": 5},
    },
}


def busy_site(tmp_path):
    names = [f"site{i}" for i in range(5)]
    identities = {name: Identity.new(tmp_path / f"{name}.key") for name in names}
    roster = Roster({name: identity.public for name, identity in identities.items()})
    agreed = many(adversary="malicious")
    policy = Policy.for_config(agreed, min_cohort=3, min_survivors=3, roster=roster.keys)
    return Door(agreed, policy, identities["site0"])


def busy_for(site, name, limit):
    """Seconds that the message takes, at most `limit`."""
    values = {**site.honest, "metrics": {"loss": 2.0}}
    values["config"] = values["config"] | BUSY[name]
    payload = json.dumps(values).encode()
    assert len(payload) < 700

    def alarm(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        return site.answers(payload)
    except TimeoutError:
        return limit
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", BUSY)
def test_a_short_invitation_does_not_keep_a_site_busy(tmp_path, name):
    site = busy_site(tmp_path)
    assert busy_for(site, name, 5.0) < site.usual + BEYOND


@pytest.mark.parametrize("name", BUSY)
def test_a_short_invitation_keeps_a_site_busy_without_the_checks(tmp_path, name, monkeypatch):
    """Fields compared after they were computed with, as they were; σ without a bound."""
    site = busy_site(tmp_path)
    monkeypatch.setattr(Participant, "_check_terms", lambda *_: None)
    monkeypatch.setattr(graph, "_choose", every_degree)
    monkeypatch.setitem(noise._RANGES, "skellam", (0.5, float("inf")))
    monkeypatch.setattr(NoiseShare, "headroom", headroom_by_one)
    assert busy_for(site, name, 3.0) == 3.0


def test_the_policy_alone_refuses_them(tmp_path, monkeypatch):
    """Also with nothing made faster: fields are compared before anything is derived from them."""
    site = busy_site(tmp_path)
    monkeypatch.setattr(graph, "_choose", every_degree)
    name = "a cohort of 65535 on a sparse graph"
    assert busy_for(site, name, 5.0) < site.usual + BEYOND
    values = site.honest["config"] | BUSY[name]
    with pytest.raises(PolicyRefused, match="n: this client's policy expects at most 5"):
        site._site._check_terms(
            Terms("run", None, proposal.Proposal.from_dict(values), {"loss": 2.0}, None),
            site._store().policy,
        )
    assert config.MAX_CLIENTS == 65535
