"""A client holds its message and one block, the server one total and one message, at any length."""

import subprocess
import sys

import pytest

LENGTH = 4_000_000
MARGIN = 1 << 20

# Each measurement is a process of its own: the peak of its resident size tells what was ever held,
# and that peak is reset (Linux: 5 to clear_refs) once everything that stays has been made.
CODE = """
import sys
import numpy as np
import veil
from veil.secagg import Client, Config, Policy, Server

length, side, weighted, spoil = int(sys.argv[1]), *sys.argv[2:5]
veil.set_num_threads(2)

def session(length):
    codec = veil.FixedPoint(clip=1.0, bits=29, max_summands=5, rounding="nearest")
    config = Config.for_cohort(3, dropout=0, corrupt=1, adversary="honest-but-curious",
                               min_survivors=None, codec=codec, length=length,
                               weight_max=7 if weighted == "weighted" else None)
    policy = lambda: Policy.for_config(config, min_cohort=3, min_survivors=3, roster=None)
    clients = {i: Client(config, i, None, policy()) for i in range(3)}
    server = Server(config)
    roster = server.collect_keys({i: c.advertise() for i, c in clients.items()})
    relay = server.relay_shares({i: c.share(roster[i]) for i, c in clients.items()})
    return clients, server, relay, {"context": b"m", "weight": 7 if config.weight_max else None}

def resident(name):
    with open("/proc/self/status") as lines:
        return 1024 * next(int(l.split()[1]) for l in lines if l.startswith(name))

def measured(call):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = resident("VmRSS")
    kept = call()
    return kept, resident("VmHWM") - before

def play(length):
    clients, server, relay, how = session(length)
    vector = np.full(length, 0.5, np.float32)
    spare = []
    extra = {"client": 0, "server": 0}
    for i, client in clients.items():
        message, more = measured(lambda: client.mask(relay[i], vector, **how))
        extra["client"] = max(extra["client"], more - len(message))
        clients[i]._last = (b"", b"")  # its copy for redelivery is the message itself
        size = len(message)
        _, more = measured(lambda: server.add_vector(i, message))
        extra["server"] += more
        del message
    replies = server.collect_vectors({})
    opened = {i: c.unmask(replies[i]) for i, c in clients.items()}
    result, more = measured(lambda: server.finish(opened))
    extra["server"] += more
    expected = 0.5 if weighted == "weighted" else 1.5
    assert result.total[0] == result.total[-1] == expected
    return extra[side], size

if spoil == "payload twice":
    from veil.secagg.wire import Room
    Room.message = lambda self, whole=Room.message: bytes(bytearray(whole(self)))
if spoil == "total twice":
    from veil.secagg.server.total import RingTotal
    RingTotal.decode = lambda self, *args, decode=RingTotal.decode: decode(self, *args).copy()

play(70_000)  # loads and warms every code path
print(*play(length))
"""


def extra_bytes(side, weighted, spoil="nothing", length=LENGTH):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(length), side, weighted, spoil],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return map(int, done.stdout.split())


@pytest.mark.parametrize("weighted", ["weighted", "unweighted"])
def test_a_client_holds_its_message_and_less_than_a_megabyte(weighted):
    extra, message = extra_bytes("client", weighted)
    assert message <= 4 * LENGTH + 100
    assert extra <= MARGIN, f"expected {message} bytes and at most {MARGIN}, got {extra} more"


@pytest.mark.parametrize("weighted", ["weighted", "unweighted"])
def test_a_server_holds_two_vectors_of_32_bit_words(weighted):
    extra, _ = extra_bytes("server", weighted)
    assert extra <= 8 * LENGTH + MARGIN, f"expected at most {8 * LENGTH} bytes, got {extra}"


@pytest.mark.parametrize(
    ("side", "spoil", "limit"),
    [("client", "payload twice", MARGIN), ("server", "total twice", 8 * LENGTH + MARGIN)],
)
def test_a_second_copy_is_seen(side, spoil, limit):
    extra, _ = extra_bytes(side, "unweighted", spoil)
    assert extra > limit


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("side", "words"), [("client", 0), ("server", 2)])
def test_a_hundred_million_values(side, words):
    length = 100_000_000
    extra, message = extra_bytes(side, "unweighted", length=length)
    assert message <= 4 * length + 100
    assert extra <= 4 * words * length + MARGIN
