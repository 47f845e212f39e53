"""SecureGenerator across fork, spawn, threads and DataLoader workers: no stream twice."""

import multiprocessing
import os
import threading

import pytest

from veil.random import SecureGenerator

PROCESS = SecureGenerator()  # inherited by forked children


def in_forked_child(work):
    """Run `work` in a child of os.fork and return the bytes or the text of its error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = work()
        except Exception as error:
            answer = f"{type(error).__name__}: {error}".encode()
        os.write(writer, answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def test_a_forked_child_never_repeats_its_parent_or_siblings():
    rng = SecureGenerator()
    drawn = [in_forked_child(lambda: rng.bytes(32)) for _ in range(4)] + [rng.bytes(32)]
    assert len(set(drawn)) == 5
    assert all(len(one) == 32 for one in drawn)


def test_a_grandchild_does_not_repeat_either():
    rng = SecureGenerator()

    def work():
        return rng.bytes(16) + in_forked_child(lambda: rng.bytes(16))

    both = in_forked_child(work)
    assert len({both[:16], both[16:], rng.bytes(16)}) == 3


def test_a_seeded_generator_raises_in_a_forked_child():
    rng = SecureGenerator.from_seed(bytes(32))
    answer = in_forked_child(lambda: rng.bytes(32)).decode()
    assert answer.startswith("RuntimeError: a seeded SecureGenerator was carried into a forked")
    assert rng.bytes(4) == SecureGenerator.from_seed(bytes(32)).bytes(4)  # the parent goes on


def test_fork_while_other_threads_draw_does_not_hang():
    rng = SecureGenerator()
    stop = threading.Event()

    def draw():
        while not stop.is_set():
            rng.bytes(64)

    threads = [threading.Thread(target=draw) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        drawn = [in_forked_child(lambda: rng.bytes(32)) for _ in range(20)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(set(drawn)) == 20


def test_threads_share_a_generator_without_repeats():
    rng = SecureGenerator()
    drawn, lock = [], threading.Lock()

    def draw():
        own = [rng.bytes(16) for _ in range(500)]
        with lock:
            drawn.extend(own)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == 2000


def draw_in_worker(_):
    return PROCESS.bytes(32)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pool_workers_do_not_repeat(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        drawn = pool.map(draw_in_worker, range(8), chunksize=1)
    assert len({*drawn, PROCESS.bytes(32)}) == 9


class Draws:
    """A dataset of draws, each worker process with a generator of its own or its parent's."""

    def __init__(self, rng=None):
        self.rng = rng

    def __len__(self):
        return 8

    def __getitem__(self, index):
        self.rng = self.rng or SecureGenerator()
        return list(self.rng.bytes(32))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_dataloader_workers_do_not_repeat(method):
    data = pytest.importorskip("torch.utils.data")
    draws = Draws(SecureGenerator() if method == "fork" else None)
    loader = data.DataLoader(draws, batch_size=None, num_workers=2, multiprocessing_context=method)
    assert len({bytes(draw) for draw in loader}) == 8
