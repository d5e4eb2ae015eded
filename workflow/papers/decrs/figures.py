"""The figures of DecRS."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from reprise.evaluation.groups import SIDES
from reprise.reporting.plots import Canvas, line, nothing_to_draw, one_legend
from reprise.reporting.wording import metric_label

ITEMS = dict(zip(SIDES, ("items of the user's largest group", "other items"), strict=True))


def figure1(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """Mean predicted click against the true rating: a panel a data set and reading, a line the items' side."""
    groups = canvas.groups
    if groups.empty:
        return nothing_to_draw(canvas), groups
    parts = groups["group"].str.extract(r"(?P<side>[a-z]+)(?P<rating>\d+)")
    groups = groups.assign(side=parts["side"], rating=parts["rating"].astype(float))
    panels = list(groups.groupby(["dataset", "reading"], sort=False))
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    for axes, ((dataset, reading), part) in zip(
        figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels, strict=True
    ):
        for style, side in enumerate(SIDES):
            points = part[part["side"] == side].sort_values("rating")
            if len(points):
                line(axes, points, "rating", style, ITEMS[side])
        axes.set_title(f"FM, {reading} reading\n{canvas.label(dataset, part)}")
        axes.set_xlabel("true rating")
        axes.set_ylabel("mean predicted s(score)")
        axes.set_xticks(sorted(groups["rating"].unique()))
    one_legend(figure)
    return figure, groups


def figure4(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """C_KL over groups of users."""
    return _over_drift(canvas)


def figure5(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """Accuracy over groups of users."""
    return _over_drift(canvas)


def _over_drift(canvas: Canvas) -> tuple[Figure, pd.DataFrame]:
    """A row a data set, reading and metric, a column a backbone, a line a method; below each group its users."""
    groups, methods = canvas.groups, canvas.exhibit.methods
    if groups.empty:
        return nothing_to_draw(canvas), groups
    backbones = list(dict.fromkeys(canvas.paper.method(method).backbone for method in methods))
    ours = groups[groups["method"] != ""]
    rows = list(ours.groupby(["dataset", "reading", "metric"], sort=False))
    figure = Figure(figsize=(4.4 * len(backbones), 2.8 * len(rows) + 0.4), layout="constrained")
    panels = figure.subplots(len(rows), len(backbones), squeeze=False, sharey="row")
    for row, ((dataset, reading, metric), part) in zip(panels, rows, strict=True):
        sizes = groups[(groups["method"] == "") & (groups["dataset"] == dataset)].sort_values("place")
        for axes, backbone in zip(row, backbones, strict=True):
            shown = [method for method in methods if canvas.paper.method(method).backbone == backbone]
            for style, method in enumerate(shown):
                points = part[part["method"] == method].sort_values("place")
                if len(points):
                    line(axes, points, "place", style, method.replace(f"_{backbone}", "").replace(backbone, "plain"))
            mine = part[part["method"].isin(shown)]
            about = canvas.label(dataset, mine) if len(mine) else "nothing to draw"
            axes.set_title(f"{backbone}, {reading} reading\n{about}")
            ticks = [f"{name.removeprefix('eta')}\n({count:,.0f})" for name, count in
                     sizes[["group", "mean"]].to_numpy(object).tolist()]
            axes.set_xticks(sizes["place"], ticks)
            axes.set_xlim(sizes["place"].min() - 0.3, sizes["place"].max() + 0.3)  # of an empty panel, too
            axes.set_xlabel("drift eta (users)")
        row[0].set_ylabel(metric_label(metric, 20))
    one_legend(figure)
    return figure, groups
