"""One side of `paired.py`: runs work items of one checkout as it is told, line by line."""

import importlib.util
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

ANSWERS = os.fdopen(os.dup(1), "w")  # the platform's own output goes to standard error
os.dup2(2, 1)
del sys.path[0]  # this folder: helpers come from the checkout that is measured

import veil  # noqa: E402


def work_items(quick: bool) -> dict[str, Any]:
    """The harness's own scenarios, whatever the checkout has under that name."""
    path = Path(__file__).resolve().with_name("paired_scenarios.py")
    spec = importlib.util.spec_from_file_location("paired_scenarios", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.scenarios(quick)
    return found


def seconds(item: Any, repeat: int) -> dict[str, float]:
    """Mean processor and wall time of calls, each set up anew before the clocks start."""
    processor = wall = 0.0
    for _ in range(repeat):
        call = item.ready()
        began = time.perf_counter(), time.process_time()
        call()
        wall += time.perf_counter() - began[0]
        processor += time.process_time() - began[1]
    return {"processor": processor / repeat, "wall": wall / repeat}


def prepare(make: Any) -> tuple[Any, dict[str, Any]]:
    """Build a work item, check its result, and say how long it takes when warm."""
    item = make()
    digest = item.check(item.ready()())
    took = min(seconds(item, 1)["wall"] for _ in range(2))
    return item, {"digest": digest, "seconds": took, "clock": item.clock}


def main() -> None:
    checkout, quick = Path(sys.argv[1]), "--quick" in sys.argv
    if checkout not in Path(veil.__file__).resolve().parents:
        raise SystemExit(f"veil: expected the package of {checkout}, got {veil.__file__}")
    veil.set_num_threads(1)
    known, items = work_items(quick), {}
    for line in sys.stdin:
        asked = json.loads(line)
        order, name = asked["order"], asked.get("name")
        answer: dict[str, Any] = {}
        try:
            if order == "names":
                answer = {"names": list(known)}
            elif order == "prepare":
                items[name], answer = prepare(known[name])
            elif order == "time":
                answer = seconds(items[name], asked["repeat"])
            elif order == "forget":
                items.pop(name).close()
        except ModuleNotFoundError as error:
            answer = {"skip": str(error)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()
