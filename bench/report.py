"""Write docs/benchmarks.md from the JSON of one pytest-benchmark run.

Usage: python bench/report.py build/bench.json docs/benchmarks.md
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

Bench = dict[str, Any]

INTRODUCTION = """\
# Benchmarks

Written by `make bench`; every table is one work item. Before anything is timed, each contender's
result is checked against the expected one. *ratio* is the contender's time over Veil's: the median
of alternating pairs measured in the same seconds, so that a busy machine disturbs both alike; above
1, Veil is faster. *target* is the least ratio that the project must reach, and the one it aims for;
where the contender is marked as the limit, nothing on this machine can be faster at this work, and
Veil's share of it is given. Times and rates are medians of separate runs and move with the machine.
"""


def rate(bench: Bench) -> str:
    info = bench["extra_info"]
    per_second = info["amount"] / bench["stats"]["median"]
    if info["unit"] == "B":
        return f"{per_second / 1e9:.3g} GB/s"
    return f"{per_second / 1e6:.3g} M {info['unit']}/s"


def duration(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def target(info: dict[str, Any]) -> str:
    ratio = info.get("ratio")
    parts = []
    for word in ("must", "aim"):
        wanted = info.get(word)
        if wanted is not None:
            verdict = "reached" if ratio >= wanted else "missed"
            parts.append(f"{word} {wanted:g}×: {verdict}")
    return "; ".join(parts)


def row(bench: Bench) -> str:
    info = bench["extra_info"]
    name, ratio = info["who"], ""
    if info["who"] == info["ours"]:
        name = f"**{name}**"
    else:
        ratio = f"{info['ratio']:.2f}×"
    if info["limit"]:
        name += " (limit)"
        ratio += f" = {min(1.0, info['ratio']):.0%} of it"
    cells = (name, duration(bench["stats"]["median"]), rate(bench), ratio, target(info))
    return "| " + " | ".join(cells) + " |"


def table(title: str, benches: list[Bench]) -> str:
    ours = [b for b in benches if b["extra_info"]["who"] == b["extra_info"]["ours"]]
    rest = [b for b in benches if b not in ours]
    threads = {b["extra_info"]["threads"] for b in benches}
    lines = [
        f"### {title}",
        "",
        f"Threads: {', '.join(str(t) for t in sorted(threads))}.",
        "",
        "| contender | time | rate | ratio | target |",
        "|---|---|---|---|---|",
        *(row(bench) for bench in ours + rest),
        "",
    ]
    return "\n".join(lines)


def header(info: dict[str, Any], when: str) -> str:
    core = info["veil"]
    return (
        f"Machine: {info['cpu_name']}, {info['cpus']} CPUs, {info['system']}; "
        f"CPython {info['python_version']}. Veil {core['version']} on `{core['isa']}`; "
        f"{when[:10]}.\n"
    )


def render(report: dict[str, Any]) -> str:
    topics: dict[str, dict[str, list[Bench]]] = defaultdict(lambda: defaultdict(list))
    for bench in report["benchmarks"]:
        topic = Path(bench["fullname"].partition("::")[0]).stem.removeprefix("bench_")
        topics[topic][bench["group"]].append(bench)
    parts = [INTRODUCTION, header(report["machine_info"], report["datetime"])]
    for topic, groups in topics.items():
        parts.append(f"## {topic.replace('_', ' ')}\n")
        parts.extend(table(title, benches) for title, benches in groups.items())
    return "\n".join(parts).rstrip() + "\n"


def main(source: str, destination: str) -> None:
    report = json.loads(Path(source).read_text(encoding="utf-8"))
    Path(destination).write_text(render(report), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
