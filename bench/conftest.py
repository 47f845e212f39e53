"""The benchmark harness: one pytest-benchmark group per work item, Veil and its peers in one run.

How to write one (`bench/bench_<topic>.py`)::

    @pytest.mark.parametrize("who", ["veil", "flower", "openssl"])
    def bench_mask(who, contest):
        out, want = np.empty(N, np.uint32), ...
        contest(
            "mask_add, 1 M u32, one mask",
            who,
            {"veil": lambda: ..., "flower": lambda: peers.flower_mask(N), "openssl": lambda: ...},
            amount=4 * N, unit="B",        # shown as GB/s; any other unit as M units/s
            check=peers.equals(want),      # asserted on this contender's result before timing
            limit="openssl",               # the contender that no implementation can beat here
            must={"flower": 10}, aim={"flower": 20, "openssl": 0.75},
            rounds=3,                      # only for calls of seconds: this many pairs and runs
            wire={"veil": lambda: party},  # bytes per party: what has .sent and .received
            note="what the reader of the table must know",
        )

The first name in `calls` is ours. The test of every other contender measures it beside ours in
alternation and records the median of the pairwise ratios, so that a noisy machine disturbs both
alike; a ratio is the other's time over ours. Peers that are not installed skip their own test alone
(`peers.py`). `pytest bench --benchmark-disable` runs every check and times nothing; `make bench`
writes docs/benchmarks.md.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import veil

Call = Callable[[], Any]

SAMPLE_SECONDS = 2e-3  # calls shorter than this are repeated inside one timed sample
PAIRED_SECONDS = 3.0  # budget of one paired comparison
MAX_PAIRS = 25
MIN_PAIRS = 5


def seconds(call: Call, repeat: int) -> float:
    """Mean time of `repeat` calls in a row."""
    begin = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - begin) / repeat


def paired_ratio(ours: Call, other: Call, pairs: int | None = None) -> tuple[float, int]:
    """Median of other's time over our time in alternating pairs, and the number of pairs."""
    repeat = {ours: 1, other: 1}
    if pairs is None:
        ours(), other()
        estimate = {call: seconds(call, 1) for call in (ours, other)}
        repeat = {c: max(1, round(SAMPLE_SECONDS / max(t, 1e-7))) for c, t in estimate.items()}
        cost = sum(max(t, SAMPLE_SECONDS) for t in estimate.values())
        pairs = min(MAX_PAIRS, max(MIN_PAIRS, round(PAIRED_SECONDS / cost)))
    ratios = []
    for index in range(pairs):
        order = (ours, other) if index % 2 == 0 else (other, ours)
        took = {call: seconds(call, repeat[call]) for call in order}
        ratios.append(took[other] / took[ours])
    return statistics.median(ratios), pairs


@pytest.fixture
def contest(benchmark):
    """Check and time one contender of a work item; see the module's head for the arguments."""

    def run(
        title: str,
        who: str,
        calls: Mapping[str, Call],
        *,
        amount: float,
        unit: str,
        check: Callable[[Any], None],
        limit: str | None = None,
        must: Mapping[str, float] | None = None,
        aim: Mapping[str, float] | None = None,
        threads: int = 1,
        rounds: int | None = None,
        wire: Mapping[str, Callable[[], Any]] | None = None,
        note: str | None = None,
    ) -> None:
        ours = next(iter(calls))
        check(calls[ours]())
        if who != ours:
            check(calls[who]())
        if wire is not None:
            party = wire[who]()
            benchmark.extra_info.update(sent=party.sent, received=party.received)
        benchmark.group = title
        benchmark.extra_info.update(
            who=who, ours=ours, amount=amount, unit=unit, threads=threads, limit=who == limit,
            note=note,
        )  # fmt: skip
        if benchmark.disabled:
            benchmark(calls[who])
            return
        if who != ours:
            ratio, pairs = paired_ratio(calls[ours], calls[who], rounds)
            benchmark.extra_info.update(
                ratio=ratio, pairs=pairs, must=(must or {}).get(who), aim=(aim or {}).get(who)
            )
        if rounds is None:
            benchmark(calls[who])
        else:
            benchmark.pedantic(calls[who], rounds=rounds, iterations=1)

    return run


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["veil"] = veil.core_info()
    machine_info["cpus"] = len(os.sched_getaffinity(0))
    machine_info["system"] = system_name()
    machine_info["cpu_name"] = cpu_name()


def system_name() -> str:
    """The distribution, architecture and C library; no kernel build or host is named."""
    try:
        distribution = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        distribution = platform.system()
    return f"{distribution}, {platform.machine()}, {' '.join(platform.libc_ver())}"


def cpu_name() -> str:
    """The processor's name as Linux tells it."""
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
