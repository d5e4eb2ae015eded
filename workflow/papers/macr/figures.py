"""The figures of MACR."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from reprise.reporting.plots import MARKERS, Canvas, line, nothing_to_draw
from reprise.reporting.wording import metric_label

CURVES = {"own_epoch": "each c at its own best epoch", "fixed_epoch": "epoch of the selected run, c alone varies"}
SPLITS = {"test": "test", "valid": "validation"}


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
    _one_legend(figure, panels)
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
    _one_legend(figure, panels)
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


def _one_legend(figure: Figure, panels) -> None:
    """Name every line once, below all panels."""
    named = {
        label: handle
        for axes in panels.ravel()
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=2)
