"""The figures of DACSR."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from reprise.reporting.plots import COLOURS, MARKERS, Canvas, line, nothing_to_draw, one_legend
from reprise.reporting.wording import metric_label

AXES = {"weight": "λ, weight of calibration", "temperature": "τ, temperature"}
SIDES = ("left axis", "right axis")
HATCHES = ("", "///", "...", "xxx", "\\\\\\")


def figure3(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """Recall, MRR and CKL at 20 against lambda: a column a metric, a row a data set and reading, a line a method."""
    cells = _swept(canvas, "weight")
    if cells.empty:
        return nothing_to_draw(canvas), cells
    metrics, rows = canvas.exhibit.metrics, list(cells.groupby(["dataset", "reading"], sort=False))
    styles = {name: style for style, name in enumerate(dict.fromkeys(  # the same in every panel, whatever has run there
        canvas.paper.row(label)[0] for label in canvas.exhibit.methods))}
    figure = Figure(figsize=(3.1 * len(metrics), 2.6 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(metrics), squeeze=False, sharex=True)
    for row, ((dataset, reading), part) in zip(panels, rows, strict=True):
        for axes, metric in zip(row, metrics, strict=True):
            for method, points in part[part["metric"] == metric].groupby("row", sort=False):
                style = styles[method]
                line(axes, points, "point", style, method)
                _printed_points(axes, canvas, dataset, method, metric, style)
            axes.set_ylabel(metric_label(metric, 20))
        row[len(metrics) // 2].set_title(f"{canvas.label(dataset, part)}, {reading} reading")
    for axes in panels[-1]:
        axes.set_xlabel(AXES["weight"])
    one_legend(figure)
    return figure, cells.drop(columns=["row"])


def figure4(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """CKL at 20 on the left axis and MRR at 20 on the right against tau: a panel a data set and reading."""
    cells = _swept(canvas, "temperature")
    if cells.empty:
        return nothing_to_draw(canvas), cells
    places = list(cells.groupby(["dataset", "reading"], sort=False))
    figure = Figure(figsize=(4.4 * len(places), 3.0), layout="constrained")
    for axes, ((dataset, reading), part) in zip(figure.subplots(1, len(places), squeeze=False)[0], places, strict=True):
        right = axes.twinx()
        right.spines["right"].set_visible(True)
        right.grid(False)
        for style, (side, metric) in enumerate(zip((axes, right), canvas.exhibit.metrics, strict=True)):
            points = part[part["metric"] == metric]
            if len(points):
                line(side, points, "point", style, f"{metric_label(metric, 20)} ({SIDES[style]})")
            side.set_ylabel(metric_label(metric, 20), color=COLOURS[style])
        axes.set_title(f"{canvas.label(dataset, part)}\n{reading} reading")
        axes.set_xlabel(AXES["temperature"])
    one_legend(figure)
    return figure, cells.drop(columns=["row"])


def figure5(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """What the most one-sided histories are about, and what the lists are: bars by the attribute's rank in a history.

    The paper shows one user. Here stand means over many, from which nobody's history can be read.
    """
    groups = canvas.groups[canvas.groups["method"] != ""].sort_values("place")
    if groups.empty:
        return nothing_to_draw(canvas), groups
    places = list(groups.groupby(["dataset", "reading"], sort=False))
    figure = Figure(figsize=(4.4 * len(places), 3.0), layout="constrained")
    panels = figure.subplots(1, len(places), squeeze=False, sharey=True)[0]
    for axes, ((dataset, reading), part) in zip(panels, places, strict=True):
        history = part[part["metric"] == "history_share"].drop_duplicates("place")
        bars = [("histories", history)]
        bars += [(f"lists of {method}", part[(part["metric"] == "list_share") & (part["method"] == method)])
                 for method in canvas.exhibit.methods]
        bars = [(name, one) for name, one in bars if len(one)]
        width = 0.8 / len(bars)
        for number, (name, one) in enumerate(bars):
            axes.bar(one["place"] + 1 + (number - (len(bars) - 1) / 2) * width, one["mean"], width, label=name,
                     color="#bbbbbb" if number == 0 else COLOURS[number - 1], hatch=HATCHES[number % len(HATCHES)],
                     edgecolor="white", yerr=one["sd"].fillna(0) if number else None, error_kw={"elinewidth": 0.8})
        axes.set_xticks(sorted({int(place) + 1 for place in part["place"]}))
        axes.set_xlabel("attribute, by its rank in a user's history")
        axes.set_title(f"{canvas.label(dataset, part)}\n{reading} reading")
    panels[0].set_ylabel("mean share")
    one_legend(figure)
    return figure, groups


def _swept(canvas: Canvas, setting: str) -> pd.DataFrame:
    """The cells of a sweep with `row`, the method's name, and `point`, the value of the `setting` in its label."""
    rows = [canvas.paper.row(label) for label in canvas.cells["method"]]
    names, points = [name for name, _ in rows], [float(settings[setting]) for _, settings in rows]
    return canvas.cells.assign(row=names, point=points).sort_values("point", kind="stable")


def _printed_points(axes, canvas: Canvas, dataset: str, method: str, metric: str, style: int) -> None:
    """The paper gives its curves as pictures only, but their points at 0.5 are in Table 2."""
    printed = canvas.printed.query(
        "dataset == @dataset and method == @method and metric == @metric and k == 20 and table == '2'"
    )["printed"]
    for value in printed:
        axes.plot([0.5], [value], color="#555555", linestyle="", marker=MARKERS[style], markersize=9, fillstyle="none",
                  label=f"paper, Table 2: {method}")
