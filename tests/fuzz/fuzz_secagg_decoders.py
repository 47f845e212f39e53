"""Coverage-guided fuzzing of every decoder of secure aggregation (atheris).

    python tests/fuzz/fuzz_secagg_decoders.py -max_total_time=60

The first byte chooses the decoder. Anything but a typed error is a finding.
"""

import sys

import atheris

with atheris.instrument_imports(include=["veil.secagg"]):
    from veil import FixedPoint
    from veil.errors import MalformedMessage
    from veil.secagg import Config
    from veil.secagg import messages as m

CONFIG = Config.for_cohort(
    5,
    dropout=1,
    corrupt=1,
    adversary="honest-but-curious",
    min_survivors=None,
    codec=FixedPoint(clip=1.0, bits=16, max_summands=5, rounding="nearest"),
    length=13,
)
SID = bytes(32)
DECODERS = [
    m.Advert.decode,
    lambda data: m.Roster.decode(data, CONFIG),
    lambda data: m.Shares.decode(data, CONFIG, SID),
    lambda data: m.Relay.decode(data, CONFIG, SID),
    lambda data: m.Masked.decode(data, CONFIG, SID),
    lambda data: m.Survivors.decode(data, CONFIG, SID),
    lambda data: m.Confirm.decode(data, SID),
    lambda data: m.Quorum.decode(data, CONFIG, SID),
    lambda data: m.Unmask.decode(data, CONFIG, SID),
]


def one_input(data: bytes) -> None:
    """Decode; what decodes must encode to the same bytes."""
    if not data:
        return
    body = data[1:]
    # A valid header lets the fuzzer reach the bodies from its first inputs on.
    kind = data[0] % len(DECODERS)
    sender = m.SERVER if kind in (1, 3, 5, 7) else 3
    header = b"VEIL\1\0" + bytes([kind + 1, 0]) + sender.to_bytes(4, "little") + SID
    message = header + len(body).to_bytes(8, "little") + body
    for candidate in (message, body):
        try:
            decoded = DECODERS[kind](candidate)
        except MalformedMessage:
            continue
        assert decoded.encode() == candidate


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
