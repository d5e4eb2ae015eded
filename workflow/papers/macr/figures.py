"""The figures of MACR."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure
from reprise.reporting.comparisons import CONTRADICTED, HOLDS, UNDECIDED, judge_sweep
from reprise.reporting.plots import MARKERS, Canvas, line, nothing_to_draw, one_legend
from reprise.reporting.wording import metric_label, seeds_text

CURVES = {"own_epoch": "each c at its own best epoch", "fixed_epoch": "epoch of the selected run, c alone varies"}
SPLITS = {"test": "test", "valid": "validation"}


SHARES = {"items": "share of items", "users": "share of users"}
AXES = {
    "frequency": "share of list places per item",
    "test_user_frequency": "share of test users' places per item",
    "item_recall": "item recall@20",
    "user_gate": "mean s(y_u)",
    "user_gate_ego": "mean s(y_u), layer 0",
    "item_gate": "mean s(y_i)",
    "item_gate_ego": "mean s(y_i), layer 0",
}
FALLS = "falls"
WORDS = {HOLDS: "rises", CONTRADICTED: "does not rise throughout", UNDECIDED: "undecided"}


def figure1(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """How often MF and LightGCN recommend an item of each group, and how often the test set holds it."""
    return _grouped(canvas, [list(canvas.exhibit.methods)], beside="test_frequency")


def figure7(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """HR@20 against c: a column a method, a row a data set and reading, a line a way to choose the epoch.

    The paper shows test numbers only. A search on validation has an `own_epoch` curve there and nowhere else, so a line
    names the part of the data that it was measured on.
    """
    sweep, methods = canvas.sweep, canvas.exhibit.methods
    if sweep.empty:
        return nothing_to_draw(canvas), sweep
    rows = list(sweep.groupby(["dataset", "reading"], sort=False))
    figure = Figure(figsize=(3.6 * len(methods), 2.6 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(methods), squeeze=False, sharex=True, sharey="row")
    for row, ((dataset, reading), part) in zip(panels, rows, strict=True):
        for axes, method in zip(row, methods, strict=True):
            _sweep_panel(axes, canvas, part[part["method"] == method], dataset, method)
            axes.set_title(f"{method}, {reading} reading\n{canvas.label(dataset, part)}")
        row[0].set_ylabel(metric_label("hr", 20))
    for axes in panels[-1]:
        axes.set_xlabel("reference value c (no unit)")
    one_legend(figure)
    return figure, sweep


def _sweep_panel(axes, canvas: Canvas, part: pd.DataFrame, dataset: str, method: str) -> None:
    for (curve, split), points in part.groupby(["curve", "split"], sort=True):
        style = 2 * list(SPLITS).index(split) + list(CURVES).index(curve)
        line(axes, points, "point", style, f"{CURVES[curve]} ({SPLITS[split]})", markevery=5)
    printed = canvas.printed.query("dataset == @dataset and method == @method and metric == 'hr' and k == 20")[
        "printed"
    ]
    for value in printed.unique():
        axes.axhline(value, color="#555555", linestyle=(0, (1, 2)), linewidth=1.1, label="paper, Table 2")
    best = canvas.claims.query("lhs == @method + '[c]' and kind == 'monotone'")["value"] if not printed.empty else ()
    for value in dict.fromkeys(best):
        axes.axvline(
            float(value),
            color="#555555",
            linestyle=(0, (6, 3)),
            linewidth=0.9,
            label=f"paper, best c of {method} = {value}",
        )


def figure8(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """As Figure 1, with and without MACR: a column a backbone."""
    return _grouped(canvas, _by_backbone(canvas))


def figure9(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """Item recall with and without MACR: a column a backbone."""
    return _grouped(canvas, _by_backbone(canvas))


def figure10(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """Mean user gate of each group of users: a column a backbone."""
    return _grouped(canvas, _by_backbone(canvas), from_zero=False)


def figure11(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """Mean item gate of each group of items: a column a backbone."""
    return _grouped(canvas, _by_backbone(canvas), from_zero=False)


def figure10_found(canvas: Canvas) -> str:
    """What our numbers say of the rise that the paper's picture shows."""
    return _trends(canvas)


def figure11_found(canvas: Canvas) -> str:
    """What our numbers say of the rise that the paper's picture shows."""
    return _trends(canvas)


def _by_backbone(canvas: Canvas) -> list[list[str]]:
    """The figure's methods, those of one backbone together."""
    columns: dict[str, list[str]] = {}
    for method in canvas.exhibit.methods:
        columns.setdefault(canvas.paper.method(method).backbone, []).append(method)
    return list(columns.values())


def _grouped(
    canvas: Canvas, columns: list[list[str]], beside: str = "", from_zero: bool = True
) -> tuple[Figure, pd.DataFrame]:
    """Lines over groups on the right axis, bars of the groups' shares behind them on the left one.

    A row is a data set and reading, a column the methods that it names; `beside` is a metric of the data set itself.
    """
    groups, kind = canvas.groups, canvas.exhibit.groups
    if groups.empty:
        return nothing_to_draw(canvas), groups
    (metric,) = canvas.exhibit.metrics
    rows = list(groups[groups["method"] != ""].groupby(["dataset", "reading"], sort=False))
    figure = Figure(figsize=(4.7 * len(columns), 3.0 * len(rows) + 0.4), layout="constrained")
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    for row, ((dataset, reading), part) in zip(panels, rows, strict=True):
        own = groups[(groups["dataset"] == dataset) & (groups["method"] == "")].sort_values("place")
        for axes, methods in zip(row, columns, strict=True):
            right = _bars(axes, own[own["metric"] == f"{kind.removesuffix('s')}_share"], kind)
            shown = part[part["method"].isin(methods)]
            for method in methods:
                points = shown[shown["method"] == method].sort_values("place")
                if len(points):
                    line(right, points, "place", canvas.exhibit.methods.index(method), method)
            test = own[own["metric"] == beside]
            if len(test):
                line(right, test, "place", len(canvas.exhibit.methods), "test set")
            if from_zero:
                right.set_ylim(bottom=0)
            right.set_ylabel(AXES[metric])
            about = canvas.label(dataset, shown) if len(shown) else "nothing to draw"
            axes.set_title(f"{' and '.join(methods)}, {reading} reading\n{about}")
            axes.set_xlabel(f"{'interactions of the item' if kind == 'items' else 'items of the user'} in training")
    one_legend(figure)
    return figure, groups


def _bars(axes, shares: pd.DataFrame, kind: str):
    """Bars of the groups' shares on the left axis; return an axis on the right, above them, for the lines."""
    label = f"{SHARES[kind]} (left axis)"
    axes.bar(shares["place"], shares["mean"], width=0.7, color="#e3e3e3", edgecolor="#a0a0a0", label=label)
    names = [name.removeprefix(kind).replace("<=", "≤ ").replace(">", "> ") for name in shares["group"]]
    axes.set_xticks(shares["place"], names, fontsize="small")
    axes.set_ylabel(SHARES[kind])
    axes.grid(False)
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    right.grid(False)
    return right


def _trends(canvas: Canvas) -> str:
    """Say of every method and reading whether the mean rises from group to group, by the seeds' intervals."""
    said = []
    ours = canvas.groups[canvas.groups["method"] != ""].sort_values("place")
    for (dataset, reading, method), part in ours.groupby(["dataset", "reading", "method"], sort=False):
        curve = pd.DataFrame(part["values"].tolist(), index=part["place"])
        rising, falling = (judge_sweep(curve, up, -math.inf, math.inf).verdict for up in (True, False))
        word = FALLS if falling == HOLDS else WORDS[rising]
        means = ", ".join(f"{mean:.3f}" for mean in part["mean"])
        label = canvas.paper.datasets[dataset].label
        said.append(f"{method}, {label}, {reading}: {word} ({means}; {seeds_text(part['seeds'])}).")
    return "Found, from the first group to the last: " + " ".join(said) if said else ""


def figure12(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """HR, NDCG and Recall at K: a column a metric, a row a data set and reading, a line a method."""
    cells, exhibit = canvas.cells, canvas.exhibit
    if cells.empty:
        return nothing_to_draw(canvas), cells
    rows = list(cells.groupby(["dataset", "reading"], sort=False))
    figure = Figure(figsize=(2.7 * len(exhibit.metrics), 2.6 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(exhibit.metrics), squeeze=False, sharex=True)
    for row, ((dataset, reading), part) in zip(panels, rows, strict=True):
        for axes, metric in zip(row, exhibit.metrics, strict=True):
            for style, method in enumerate(exhibit.methods):
                points = part[(part["method"] == method) & (part["metric"] == metric)].sort_values("k")
                if len(points):
                    line(axes, points, "k", style, method)
                    _printed_point(axes, canvas, dataset, method, metric, style)
            axes.set_ylabel(f"{metric_label(metric)}@K")
            axes.set_xticks(exhibit.ks)
        row[1].set_title(f"{reading} reading, {canvas.label(dataset, part)}")
    for axes in panels[-1]:
        axes.set_xlabel("K (length of the list)")
    one_legend(figure)
    return figure, cells


def _printed_point(axes, canvas: Canvas, dataset: str, method: str, metric: str, style: int) -> None:
    """The paper gives Figure 12 as curves only, but its points at K = 20 are in Table 2."""
    printed = canvas.printed.query("dataset == @dataset and method == @method and metric == @metric and k == 20")[
        "printed"
    ]
    if len(printed):
        axes.plot(
            [20],
            [printed.iloc[0]],
            color="#555555",
            linestyle="",
            marker=MARKERS[style],
            markersize=9,
            fillstyle="none",
            label="hollow: paper, Table 2" if not style else None,
        )
