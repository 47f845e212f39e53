"""Write docs/benchmarks.md and its figures from the JSON of one pytest-benchmark run.

Usage: python bench/report.py build/bench.json docs/benchmarks.md
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import figures

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


def size(count: int) -> str:
    for factor, unit in ((1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} B"


def row(bench: Bench, columns: list[str]) -> str:
    info = bench["extra_info"]
    name, ratio = info["who"], ""
    if info["who"] == info["ours"]:
        name = f"**{name}**"
    else:
        ratio = f"{info['ratio']:.2f}×"
    if info["limit"]:
        name += " (limit)"
        ratio += f" = {min(1.0, info['ratio']):.0%} of it"
    sizes = [size(info[column]) for column in columns]
    cells = (name, duration(bench["stats"]["median"]), rate(bench), *sizes, ratio, target(info))
    return "| " + " | ".join(cells) + " |"


def table(title: str, benches: list[Bench]) -> str:
    ours = [b for b in benches if b["extra_info"]["who"] == b["extra_info"]["ours"]]
    rest = [b for b in benches if b not in ours]
    threads = {b["extra_info"]["threads"] for b in benches}
    columns = [name for name in ("sent", "received") if name in benches[0]["extra_info"]]
    names = ["contender", "time", "rate", *columns, "ratio", "target"]
    note = benches[0]["extra_info"].get("note")
    lines = [
        f"### {title}",
        "",
        f"Threads: {', '.join(str(t) for t in sorted(threads))}." + (f" {note}" if note else ""),
        "",
        f"| {' | '.join(names)} |",
        "|---" * len(names) + "|",
        *(row(bench, columns) for bench in ours + rest),
        "",
    ]
    return "\n".join(lines)


def points(name: str, found: list[dict[str, Any]], images: Path) -> str:
    """A figure, and its numbers as a table."""
    lines = [
        figures.scaling(found, images / f"{name}.svg"),
        "",
        "One whole round in one process, one thread, 5 % of the clients dropped after they shared "
        "their seeds. Times are processor time; a client's numbers are medians over those that "
        "stayed.",
        "",
        "| n | d | graph | client | server | client sends |",
        "|---|---|---|---|---|---|",
    ]
    for at in sorted(found, key=lambda p: (p["axis"] == "d", p["n"], p["d"], p["graph"])):
        cells = (str(at["n"]), f"{at['d']:,}", at["graph"], duration(at["client"]),
                 duration(at["server"]), size(at["sent"]))  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def header(info: dict[str, Any], when: str) -> str:
    core = info["veil"]
    return (
        f"Machine: {info['cpu_name']}, {info['cpus']} CPUs, {info['system']}; "
        f"CPython {info['python_version']}. Veil {core['version']} on `{core['isa']}`; "
        f"{when[:10]}.\n"
    )


def render(report: dict[str, Any], images: Path) -> str:
    topics: dict[str, dict[str, list[Bench]]] = defaultdict(lambda: defaultdict(list))
    drawn: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for bench in report["benchmarks"]:
        if "figure" in bench["extra_info"]:
            drawn[bench["extra_info"]["figure"]].append(bench["extra_info"])
            continue
        topic = Path(bench["fullname"].partition("::")[0]).stem.removeprefix("bench_")
        topics[topic][bench["group"]].append(bench)
    parts = [INTRODUCTION, header(report["machine_info"], report["datetime"])]
    for topic, groups in topics.items():
        parts.append(f"## {topic.replace('_', ' ')}\n")
        parts.extend(table(title, benches) for title, benches in groups.items())
    for name, found in drawn.items():
        parts += [f"## {name.replace('-', ' ')}\n", points(name, found, images)]
    return "\n".join(parts).rstrip() + "\n"


def main(source: str, destination: str) -> None:
    report = json.loads(Path(source).read_text(encoding="utf-8"))
    page = Path(destination)
    page.write_text(render(report, page.parent / "images"), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
