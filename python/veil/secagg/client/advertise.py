"""Round 0: draw the seeds, publish the keys."""

from __future__ import annotations

from dataclasses import replace

from veil.secagg.client.session import Session
from veil.secagg.client.share import AwaitRoster
from veil.secagg.keys import masking_keys, transport_keys
from veil.secagg.messages import Advert
from veil.secagg.transcript import advert_digest, leaf_of

__all__ = ["Start"]


class Start:
    """Before round 0."""

    def advertise(self, session: Session) -> tuple[bytes, AwaitRoster]:
        """Make the key pairs of this round and sign them.

        Raises
        ------
        StateReplayed
            If this client has used a label of this run that is not below this one.
        PolicyRefused
            If the replay guard has no room for another run.
        """
        kem = session.config.kem
        mu = session.random_bytes(32)
        transport = session.random_bytes(32), session.random_bytes(64)
        unsigned = Advert(
            client=session.client_id,
            label=session.label,
            config_digest=session.config.digest(),
            masking=masking_keys(mu, kem).public,
            transport=transport_keys(*transport, kem).public,
            signature=b"",
        )
        advert = replace(unsigned, signature=session.sign(advert_digest(unsigned)))
        leaf = leaf_of(advert)
        session.policy.replay.begin(session.run_name, session.round_number, leaf)
        return advert.encode(), AwaitRoster(mu, transport, leaf)
