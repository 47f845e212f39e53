"""``tradeoff.png``: the trade-off curve as a bitmap for slides and read-me files."""

import io

from veil._optional import require
from veil.report.figures import tradeoff_axis, tradeoff_positions
from veil.report.model import Model
from veil.report.results import Results
from veil.report.text import plain

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
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _panel(axes, model: Model, scope: str) -> None:  # type: ignore[no-untyped-def]
    for method in model.references():
        value = model.estimate(method, "auroc", scope)
        if value.mean is None:
            continue
        look = {"color": _COLOURS[method.kind], "linestyle": _DASHES[method.kind]}
        axes.axhline(value.mean, label=method.label, linewidth=1.8, **look)
        if value.low is not None:
            axes.axhspan(value.low, value.high, color=_COLOURS[method.kind], alpha=0.1, linewidth=0)
    for curve in model.curves():
        _curve(axes, model, curve, scope)
    axes.set_xlim(0, 1)
    axis = tradeoff_axis(model)
    axes.set_ylim(axis.low, axis.high)
    axes.set_yticks(axis.ticks)
    axes.set_title(_TITLES[scope], loc="left", fontweight="bold")
    axes.set_xlabel("ε (smaller is more private)")
    axes.grid(axis="y", color="#e6e8eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    if scope == "worst":
        axes.set_ylabel("AUROC, mean and 95 % interval")


def _curve(axes, model: Model, curve, scope: str) -> None:  # type: ignore[no-untyped-def]
    places = tradeoff_positions(curve)
    values = [model.estimate(method, "auroc", scope) for method in curve]
    points = [(x, v.mean, v.low, v.high) for x, v in zip(places, values, strict=True)]
    drawn = [  # without an interval the whisker has length zero
        (x, mean, mean if low is None else low, mean if high is None else high)
        for x, mean, low, high in points
        if mean is not None
    ]
    axes.errorbar(
        [x for x, _, _, _ in drawn],
        [mean for _, mean, _, _ in drawn],
        yerr=[[m - low for _, m, low, _ in drawn], [high - m for _, m, _, high in drawn]],
        color=_COLOURS["dp"],
        marker="o",
        markerfacecolor="white",
        markeredgewidth=1.8,
        linewidth=2,
        capsize=4,
        label="with differential privacy",
    )
    axes.set_xticks(places, [plain(method.epsilon) for method in curve])
