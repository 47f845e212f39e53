"""Fuzzing of what a server may send a site (atheris): values within the format, against time.

    python tests/fuzz/fuzz_secagg_values.py -max_total_time=60

The first value chooses an invitation, a configuration, or a step of one of three sessions. Anything
but an answer or a typed error is a finding, and so is a message that takes 0.1 seconds of processor
time longer than an honest one. tests/protocol/test_hostile_values.py plays the same from a seed.
"""

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "protocol"))

with atheris.instrument_imports(
    include=["veil.secagg.proposal", "veil.secagg.policy", "veil.secagg.messages",
             "veil.secagg.client", "veil.integrations.flower.terms"]
):  # fmt: skip
    from hostile import CONTEXT, Forgetful
    from hostile_values import BEYOND, Door, Draw, check_message, lasting_policy, seconds, sites_of

    from conftest import make_session
    from veil import FixedPoint
    from veil.secagg import Config, Identity

SETTINGS = {
    "dropout": 0.2,
    "corrupt": 1,
    "min_survivors": None,
    "codec": FixedPoint(clip=4.0, bits=16, max_summands=2000, rounding="nearest"),
    "length": 20,
}
COHORTS = [
    Config.for_cohort(5, adversary="malicious", **SETTINGS),
    Config.for_cohort(1500, adversary="honest-but-curious", graph="k-regular", **SETTINGS),
    Config.for_cohort(1500, adversary="honest-but-curious", graph="full", **SETTINGS),
]
SESSIONS = [
    sites_of(make_session(5, config=config, policy={"replay": Forgetful()}), CONTEXT)
    for config in COHORTS
]
with tempfile.TemporaryDirectory() as folder:
    IDENTITY = Identity.new(Path(folder) / "site.key")
DOOR = Door(COHORTS[1], lasting_policy(COHORTS[1]), IDENTITY)


def read(values: dict) -> None:
    """Read a configuration without a policy."""
    try:
        Config.from_dict(values)
    except (ValueError, TypeError):
        return


def one_input(data: bytes) -> None:
    """Draw a message from the fuzzer's bytes, and play it."""
    provider = atheris.FuzzedDataProvider(data)
    draw = Draw(lambda most: provider.ConsumeIntInRange(0, most - 1))
    kind = draw.below(2 + len(SESSIONS))
    if kind == 0:
        DOOR.check(draw.terms(DOOR.honest))
    elif kind == 1:
        values = draw.terms(DOOR.honest)["config"]
        took, _ = seconds(lambda: read(values))
        assert took < BEYOND, f"{took:.3f} s: {values}"
    else:
        check_message(draw, SESSIONS[kind - 2])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
