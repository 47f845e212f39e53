"""Figures of docs/benchmarks.md, drawn from the points that a run recorded."""

from collections import defaultdict
from pathlib import Path
from typing import Any

Point = dict[str, Any]

# Legible on light and dark pages, and for readers who do not tell red from green.
COLOURS = {"client": "#2a7fb8", "server": "#d1762c", "sent": "#2a7fb8"}
STYLES = {"full": "-", "k-regular": "--"}


def scaling(points: list[Point], path: Path) -> str:
    """Draw seconds and bytes over n and d into an SVG file; give the Markdown that shows it."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": path.stem, "svg.fonttype": "path", "font.size": 9})
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    by_axis = {axis: [p for p in points if p["axis"] == axis] for axis in ("n", "d")}
    lengths = sorted({p["d"] for p in by_axis["n"]})
    clients = sorted({p["n"] for p in by_axis["d"]})
    over_n = f"clients n (d = {', '.join(f'{d:,}' for d in lengths)})"
    over_d = f"values d (n = {', '.join(map(str, clients))})"
    draw(panels[0], by_axis["n"], "n", ("client", "server"), over_n, "processor seconds in a round")
    draw(panels[1], by_axis["d"], "d", ("client", "server"), over_d, "processor seconds in a round")
    draw(panels[2], by_axis["n"], "n", ("sent",), over_n, "bytes that a client sends")
    panels[2].set_yscale("linear")
    panels[2].set_ylim(bottom=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, transparent=False)
    return f"![Seconds and bytes over clients and values](images/{path.name})"


def draw(
    panel: Any, points: list[Point], axis: str, values: tuple[str, ...], along: str, up: str
) -> None:
    """One panel: a line for each value and graph."""
    lines: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for point in points:
        for value in values:
            lines[value, point["graph"]].append((point[axis], point[value]))
    for (value, graph), line in sorted(lines.items()):
        label = f"{value}, {graph} graph" if len(values) > 1 else f"{graph} graph"
        panel.plot(*zip(*sorted(line), strict=True), STYLES[graph], marker="o", markersize=3,
                   color=COLOURS[value], label=label)  # fmt: skip
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel(along)
    panel.set_ylabel(up)
    panel.grid(alpha=0.3, linewidth=0.5)
    panel.legend(frameon=False, fontsize=7, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
