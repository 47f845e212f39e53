"""Two checkouts of Veil in turns: no work item of the new one may be slower than the old one's.

Usage: python bench/paired.py BASE NEW [--only TEXT] [--seconds 30] [--processes 3] [--must 1.03]

Each checkout has a compiled `_core` and is run by its own `.venv/bin/python`, or by this Python
where it has none. Two processes take turns, so that a busy machine disturbs both alike: new then
base, base then new, and so on; then two fresh ones, since where its memory lies makes a process
faster or slower by a few percent. The ratio is the new one's time over the base's, the median of
all pairs, by processor time or, where the work waits for a disk, by the clock.

Before anything is timed each side checks its own results, and results that do not depend on chance
are compared between both; name an intended difference by `--changed TEXT`. Exits with 1 if a ratio
is above --must or results differ. `paired_scenarios.py` holds the work items.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SAMPLE_SECONDS = 0.05  # shorter calls are repeated inside one timed sample
MIN_PAIRS, MAX_PAIRS = 5, 201  # of one pair of processes


class Side:
    """One checkout, in a process of its own that answers one line of JSON per line."""

    def __init__(self, checkout: Path, quick: bool) -> None:
        self.checkout = checkout.resolve()
        own = self.checkout / ".venv" / "bin" / "python"
        python = str(own) if own.exists() else sys.executable
        paths = [self.checkout / "python", self.checkout / "bench", self.checkout]
        self._process = subprocess.Popen(
            [python, str(HERE / "paired_worker.py"), str(self.checkout), *["--quick"] * quick],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, order: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"order": order, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.checkout}: the worker ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SystemExit(f"{self.checkout}: {arguments}: {answer['error']}")
        return answer

    def close(self) -> None:
        self._process.communicate(timeout=60)


@dataclass
class Found:
    """What one work item gave, over all processes."""

    clock: str = ""
    same: bool | None = None
    skip: str = ""
    pairs: list[tuple[dict[str, float], dict[str, float]]] = field(default_factory=list)

    def ratios(self, clock: str) -> list[float]:
        return sorted(after[clock] / before[clock] for before, after in self.pairs)

    def ratio(self) -> float:
        return statistics.median(self.ratios(self.clock))


def compare(base: Side, new: Side, name: str, found: Found, seconds: float) -> None:
    """Prepare one work item on both sides, compare what they give, and time them in pairs."""
    ready = [side.ask("prepare", name=name) for side in (base, new)]
    found.skip = next((answer["skip"] for answer in ready if "skip" in answer), "")
    if found.skip:
        return
    digests = [answer["digest"] for answer in ready]
    same = None if digests[0] is None else digests[0] == digests[1]
    found.clock, found.same = ready[0]["clock"], found.same is not False and same
    slowest = max(answer["seconds"] for answer in ready)
    repeat = max(1, round(SAMPLE_SECONDS / max(slowest, 1e-6)))
    wanted = round(seconds / (2 * repeat * slowest))
    for at in range(min(MAX_PAIRS, max(MIN_PAIRS, wanted)) if seconds else 1):
        order = (new, base) if at % 2 == 0 else (base, new)
        took = {side: side.ask("time", name=name, repeat=repeat) for side in order}
        found.pairs.append((took[base], took[new]))
    for side in (base, new):
        side.ask("forget", name=name)


def row(name: str, found: Found, must: float) -> str:
    if found.skip:
        return f"| {name} | skipped: {found.skip} | | | | | | |"
    cells = [name, str(len(found.pairs))]
    for clock in ("processor", "wall"):
        ratios = found.ratios(clock)
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        base = statistics.median(before[clock] for before, _ in found.pairs)
        ratio = f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})"
        cells += [f"{base * 1e3:.4g} ms", ratio]
    same = {None: "by chance", True: "the same", False: "DIFFERENT"}[found.same]
    verdict = "reached" if found.ratio() <= must else "MISSED"
    return "| " + " | ".join([*cells, same, f"{verdict} by {found.clock}"]) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("base", type=Path, help="checkout to compare with")
    parser.add_argument("new", type=Path, help="checkout that must not be slower")
    parser.add_argument("--only", default="", help="work items whose name holds this text")
    parser.add_argument("--changed", action="append", default=[], help="items meant to differ")
    parser.add_argument("--seconds", type=float, default=30.0, help="time for each work item")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes for each side")
    parser.add_argument("--must", type=float, default=1.03, help="largest ratio allowed")
    parser.add_argument("--quick", action="store_true", help="small sizes, one pair: a check only")
    arguments = parser.parse_args()
    processes = 1 if arguments.quick else arguments.processes
    seconds = 0.0 if arguments.quick else arguments.seconds / processes
    results: dict[str, Found] = {}
    for _ in range(processes):
        base, new = (Side(path, arguments.quick) for path in (arguments.base, arguments.new))
        for name in new.ask("names")["names"]:
            if arguments.only in name:
                compare(base, new, name, results.setdefault(name, Found()), seconds)
        base.close(), new.close()
    print("| work item | pairs | base, processor | ratio (middle half) | base, wall | "
          "ratio (middle half) | results | must |")  # fmt: skip
    print("|---" * 8 + "|")
    failed = not results
    for name, found in results.items():
        print(row(name, found, arguments.must))
        intended = any(text in name for text in arguments.changed)
        failed |= found.same is False and not intended
        failed |= not (arguments.quick or found.skip) and found.ratio() > arguments.must
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
