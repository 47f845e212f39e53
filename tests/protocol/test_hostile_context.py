"""A server that tells sites different things: their masks do not cancel, whatever it was.

Each attack runs twice: against what `veil.secagg.context` hashes, and with the part that the
attack uses taken out of the hash, as it was when masks were bound to the model alone.
"""

import importlib

import numpy as np
import pytest
from hostile import TARGET, context_of

from veil.errors import ProtocolError
from veil.fl import Layout, LogisticRegression, Scaffold, Site, SiteRound
from veil.fl.binding import round_context
from veil.random import SecureGenerator
from veil.secagg.client import unmask as unmask_round
from veil.secagg.server.vectors import VectorRound

module = importlib.import_module("veil.secagg.context")

TOLD = {
    "model": {"w": np.zeros(3)},
    "round": 2,
    "instructions": {"config": {"lr": 0.0}},
    "shared": {"variate": np.ones(3)},
    "settings": {"strategy": "fedprox", "mu": 1e6},
    "terms": {"privacy": None, "metrics": {"loss": 10.0}},
}


def opened_under(session, contexts, monkeypatch):
    """What a server that hides the mismatch opens of vectors masked under these contexts."""
    monkeypatch.setattr(VectorRound, "_agreed_context", lambda self, _: contexts[11])
    relay = session.to_relay()
    for client in session.clients:
        message = session.clients[client].mask(
            relay[client], session.vectors[client], context=contexts[client]
        )
        session.server.add_vector(client, message)
    replies = session.confirm(session.server.collect_vectors({}))
    return session.server.finish(session.unmask(replies)).total


def told_apart(session, told, monkeypatch):
    """Tell all but the target something else, of one kind."""
    contexts = {c: context_of("m", **({} if c == TARGET else told)) for c in session.clients}
    return opened_under(session, contexts, monkeypatch)


def forget(monkeypatch, field):
    """Take one field out of what is hashed."""
    original = module._hash_of
    monkeypatch.setattr(
        module, "_hash_of", lambda name, v: bytes(32) if name == field else original(name, v)
    )


@pytest.mark.parametrize("field", TOLD)
def test_masks_of_sites_that_were_told_other_things_do_not_cancel(make_session, monkeypatch, field):
    session = make_session(5, length=200)
    with pytest.raises(ProtocolError, match="masks did not cancel"):
        told_apart(session, {field: TOLD[field]}, monkeypatch)


@pytest.mark.parametrize("field", TOLD)
def test_they_cancel_if_the_field_is_not_in_the_hash(make_session, monkeypatch, field):
    forget(monkeypatch, field)
    session = make_session(5, length=200)
    total = told_apart(session, {field: TOLD[field]}, monkeypatch)
    np.testing.assert_array_equal(total, session.expected(session.clients))


@pytest.mark.parametrize("field", TOLD)
def test_sites_that_were_told_other_things_sign_other_statements(make_session, monkeypatch, field):
    session = make_session(5, length=200, adversary="malicious", dropout=1)
    with pytest.raises(ProtocolError, match="signature"):
        told_apart(session, {field: TOLD[field]}, monkeypatch)


def test_the_masks_alone_stop_it_too(make_session, monkeypatch):
    monkeypatch.setattr(unmask_round, "verify_signature", lambda *_: None)
    session = make_session(5, length=200, adversary="malicious", dropout=1)
    with pytest.raises(ProtocolError, match="masks did not cancel"):
        told_apart(session, {"instructions": {"lr": 0.0}}, monkeypatch)


def test_it_works_against_a_malicious_session_too_without_the_field(make_session, monkeypatch):
    forget(monkeypatch, "instructions")
    session = make_session(5, length=200, adversary="malicious", dropout=1)
    total = told_apart(session, {"instructions": {"lr": 0.0}}, monkeypatch)
    np.testing.assert_array_equal(total, session.expected(session.clients))


# --- what a strategy sends down beside the model --------------------------------------------------

TASK = LogisticRegression(features=3, learning_rate=1.0, epochs=3, batch_size=None)
START = {"bias": np.zeros(1), "weights": np.zeros(3)}
LAYOUT = Layout.of(START)
FAR = 1e6  # a control variate that moves every value beyond the codec's clip


def data_of(client):
    rng = np.random.default_rng(client)
    x = rng.normal(size=(30, 3))
    y = (x[:, 0] > 0).astype(int)
    return Site(id=str(client), x=x, y=y, x_test=x, y_test=y, patients=None)


def trained(client, variate):
    """One site's part of a round of SCAFFOLD: what it uploads, and what it binds its mask to."""
    strategy = Scaffold()
    shared = {"variate": np.full(LAYOUT.size, variate)}
    work = SiteRound(
        task=TASK,
        site=data_of(client),
        layout=LAYOUT,
        vector=LAYOUT.flatten(START),
        buffers={},
        shared=shared,
        own=strategy.site_state(LAYOUT),
        rng=SecureGenerator(),
    )
    bound = round_context(
        params=work.params,
        number=1,
        shared=work.shared,
        task=TASK,
        strategy=strategy,
        privacy=None,
        upload=strategy.upload_layout(LAYOUT),
    )
    return strategy.train(work).vector, bound


def variate_attack(make_session, monkeypatch):
    """Drive all but the target into the clip by SCAFFOLD's variate: their part is known then."""
    session = make_session(5, length=2 * LAYOUT.size)
    uploads = {c: trained(c, 0.0 if c == TARGET else FAR) for c in session.clients}
    session.vectors = {c: vector for c, (vector, _) in uploads.items()}
    contexts = {c: bound for c, (_, bound) in uploads.items()}
    total = opened_under(session, contexts, monkeypatch)
    return total[: LAYOUT.size] + 4 * session.config.codec.clip


def test_another_variate_for_one_site_reads_nothing(make_session, monkeypatch):
    try:
        read = variate_attack(make_session, monkeypatch)
    except ProtocolError:
        return  # some word of the masks that are left lies outside the codec's range
    assert np.abs(read - trained(TARGET, 0.0)[0][: LAYOUT.size]).max() > 0.01


def test_another_variate_reads_one_site_if_shared_arrays_are_not_in_the_hash(
    make_session, monkeypatch
):
    forget(monkeypatch, "shared")
    read = variate_attack(make_session, monkeypatch)
    true = trained(TARGET, 0.0)[0][: LAYOUT.size]
    granularity = make_session(5).config.codec.granularity
    np.testing.assert_allclose(read, true, atol=5 * granularity)
    assert np.abs(true).max() > 100 * granularity
