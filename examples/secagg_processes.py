"""Secure aggregation between processes: one server, five clients, plain sockets on loop-back.

    python examples/secagg_processes.py

Client 3 is killed with SIGKILL after it has shared its seeds and before it sends its vector. The
server still opens the sum of the other four, exactly. Every message is bytes made by
`veil.secagg`; this file only carries them, as a framework of yours would. A real deployment adds
TLS, a roster of identity keys (``adversary="malicious"``) and saved states.
"""

import json
import multiprocessing
import os
import selectors
import signal
import socket
import struct
import time

import numpy as np

import veil
from veil import FixedPoint
from veil.secagg import Client, Config, Policy, Server

CLIENTS = [1, 2, 3, 4, 5]
KILLED = 3
LENGTH = 1000
ROUND_SECONDS = 20.0

MODEL = {"weights": np.zeros(LENGTH, np.float32)}  # what all start from
INSTRUCTIONS = {"learning_rate": 0.1, "epochs": 1}  # the server sends them


def agreed_config() -> Config:
    """Build what all parties know beforehand."""
    return Config.for_cohort(
        len(CLIENTS),
        dropout=1,
        corrupt=1,
        adversary="honest-but-curious",
        min_survivors=4,
        codec=FixedPoint(clip=1.0, bits=20, max_summands=len(CLIENTS), rounding="nearest"),
        length=LENGTH,
    )


def vector_of(client: int) -> np.ndarray:
    """Make a client's private vector, on the lattice, so that sums compare exactly."""
    lattice = agreed_config().codec.granularity
    return (np.arange(LENGTH, dtype=np.float32) % 97 - 48) * np.float32(lattice * client)


def bound_to(model: dict[str, np.ndarray], instructions: dict) -> bytes:
    """Hash all that this client trains with: masks of clients told otherwise do not cancel."""
    return veil.secagg.context(
        model=model,
        round=1,
        instructions=instructions,
        shared={},
        settings={"algorithm": "fedavg"},
        terms={"run": "demo", "config": agreed_config().to_dict()},
    )


# --- carrying bytes ---------------------------------------------------------------------------


def send(connection: socket.socket, data: bytes) -> None:
    """Send one frame: its length, then the bytes."""
    connection.sendall(struct.pack("<Q", len(data)) + data)


def receive(connection: socket.socket) -> bytes:
    """Receive one frame; an ended connection is a ConnectionError."""
    (size,) = struct.unpack("<Q", receive_exactly(connection, 8))
    if size > 1 << 26:
        raise ConnectionError(f"a frame of {size} bytes is more than any message here")
    return receive_exactly(connection, size)


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """Receive that many bytes."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 16))
        if not part:
            raise ConnectionError("the other side has gone")
        parts += part
    return bytes(parts)


# --- a client ---------------------------------------------------------------------------------


def run_client(client_id: int, port: int) -> None:
    """Five steps: each reads a request and answers with the message that the client makes."""
    config = agreed_config()
    policy = Policy.for_config(config, min_cohort=4, min_survivors=4, roster=None)
    client = Client(config, client_id, None, policy, run_id="demo", round_number=1)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        send(connection, struct.pack("<I", client_id))
        told = json.loads(receive(connection))
        send(connection, client.advertise())
        send(connection, client.share(receive(connection)))
        request = receive(connection)
        if client_id == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        context = bound_to(MODEL, told)
        send(connection, client.mask(request, vector_of(client_id), context=context))
        send(connection, client.unmask(receive(connection)))


# --- the server -------------------------------------------------------------------------------


def accept_all(listener: socket.socket) -> dict[int, socket.socket]:
    """Wait for every client to connect and say its id."""
    connections = {}
    while len(connections) < len(CLIENTS):
        connection, _ = listener.accept()
        connection.settimeout(ROUND_SECONDS)
        (client_id,) = struct.unpack("<I", receive(connection))
        connections[client_id] = connection
    return connections


def gather(connections: dict[int, socket.socket]) -> dict[int, bytes]:
    """One message from each client that is still there; the others are left out."""
    messages: dict[int, bytes] = {}
    deadline = time.monotonic() + ROUND_SECONDS
    with selectors.DefaultSelector() as waiting:
        for client_id, connection in connections.items():
            waiting.register(connection, selectors.EVENT_READ, client_id)
        while waiting.get_map() and time.monotonic() < deadline:
            for key, _ in waiting.select(timeout=0.1):
                waiting.unregister(key.fileobj)
                try:
                    messages[key.data] = receive(connections[key.data])
                except OSError:
                    print(f"server: client {key.data} has gone")
    return messages


def scatter(connections: dict[int, socket.socket], replies: dict[int, bytes]) -> None:
    """Send each client its reply; one that has gone is noticed when its answer does not come."""
    for client_id, reply in replies.items():
        try:
            send(connections[client_id], reply)
        except OSError:
            print(f"server: client {client_id} has gone")


def run_server(listener: socket.socket) -> tuple[tuple[int, ...], np.ndarray]:
    """Drive the rounds and return who survived and the sum."""
    server = Server(agreed_config(), run_id="demo", round_number=1)
    connections = accept_all(listener)
    scatter(connections, dict.fromkeys(connections, json.dumps(INSTRUCTIONS).encode()))
    for step in (server.collect_keys, server.relay_shares, server.collect_vectors):
        scatter(connections, step(gather(connections)))
    result = server.finish(gather(connections))
    for connection in connections.values():
        connection.close()
    return result.survivors, result.total


def main() -> int:
    """Start everything and compare the sum with what the survivors hold."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(ROUND_SECONDS)
        port = listener.getsockname()[1]
        context = multiprocessing.get_context("spawn")
        processes = {i: context.Process(target=run_client, args=(i, port)) for i in CLIENTS}
        for process in processes.values():
            process.start()
        survivors, total = run_server(listener)
    for process in processes.values():
        process.join(ROUND_SECONDS)
    expected = sum(vector_of(i).astype(np.float64) for i in survivors)
    exact = bool(np.array_equal(total, expected))
    print(f"client {KILLED} ended with exit code {processes[KILLED].exitcode} (-9 is SIGKILL)")
    print(f"survivors {survivors}: the sum of their {LENGTH} values is exact: {exact}")
    return 0 if exact and KILLED not in survivors and len(survivors) == 4 else 1


if __name__ == "__main__":
    raise SystemExit(main())
