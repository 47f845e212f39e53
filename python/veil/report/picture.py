"""``tradeoff.png``: the trade-off curve as a bitmap for slides and read-me files."""

import io
from typing import Any

from veil._optional import require
from veil.report.model import Estimate, Model
from veil.report.results import Results
from veil.report.text import plain
from veil.report.tradeoff import Places, tradeoff_axis

__all__ = ["picture"]

_COLOURS = {"local": "#b4540a", "pooled": "#66707c", "federated": "#1d5fb4", "dp": "#00755c"}
_DASHES = {"local": (0, (5, 3)), "pooled": (0, (1, 2)), "federated": "solid"}
_TITLES = {"worst": "Worst site", "mean": "Mean over sites"}


def picture(results: Results) -> bytes:
    """Draw AUROC against ε, for the worst site and the mean over sites.

    Parameters
    ----------
    results : dict
        A valid study.

    Returns
    -------
    bytes
        A PNG of 1500 × 660 pixels.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message names the extra.
    """
    figure = require("matplotlib.figure", "study").Figure(
        figsize=(10, 4.4), dpi=150, layout="constrained"
    )
    model = Model(results)
    for axes, scope in zip(figure.subplots(1, 2, sharey=True), _TITLES, strict=True):
        _panel(axes, model, scope)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _panel(axes, model: Model, scope: str) -> None:  # type: ignore[no-untyped-def]
    places, axis = Places(model), tradeoff_axis(model)
    for method in model.references():
        value = model.estimate(method, "auroc", scope)
        if value.mean is not None:
            look = {"color": _COLOURS[method.kind], "linestyle": _DASHES[method.kind]}
            axes.axhline(value.mean, linewidth=1.3, alpha=0.8, **look)
            _dots(axes, [(places.of(method), value)], marker="o", label=method.label, **look)
    for curve in model.curves():
        points = [(places.of(m), model.estimate(m, "auroc", scope)) for m in curve]
        look = {"color": _COLOURS["dp"], "label": "with differential privacy"}
        _dots(axes, points, marker="o", markerfacecolor="white", linestyle="solid", **look)
    private = {m.epsilon: m for m in model.of_kind("dp")}
    if private:
        axes.axvline(places.divider, color="#dcdfe3", linewidth=1)
        axes.set_xlabel("ε (smaller is more private)")
        ticks = {places.of(m): plain(m.epsilon) for m in private.values()} | {places.strip: "no ε"}
    else:
        ticks = {places.of(m): m.label for m in model.references()}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlim(0, 1)
    axes.set_ylim(axis.low, axis.high)
    axes.set_yticks(axis.ticks)
    axes.set_title(_TITLES[scope], loc="left", fontweight="bold")
    axes.grid(axis="y", color="#e6e8eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    if scope == "worst":
        axes.set_ylabel("AUROC, mean and 95 % interval")


def _dots(axes, points: list[tuple[float, Estimate]], **look: Any) -> None:  # type: ignore[no-untyped-def]
    drawn = [  # without an interval the whisker has length zero
        (x, v.mean, v.mean if v.low is None else v.low, v.mean if v.high is None else v.high)
        for x, v in points
        if v.mean is not None
    ]
    if not drawn:
        return
    axes.errorbar(
        [x for x, _, _, _ in drawn],
        [mean for _, mean, _, _ in drawn],
        yerr=[[m - low for _, m, low, _ in drawn], [high - m for _, m, _, high in drawn]],
        markeredgewidth=1.8,
        linewidth=2,
        elinewidth=1.4,
        capsize=3.5,
        clip_on=False,
        **look,
    )
