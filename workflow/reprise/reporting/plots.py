"""What all figures share: one style that survives black and white, files without dates, the drawing code of a paper."""

from __future__ import annotations

import functools
import importlib.util
import io
import itertools
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reprise.errors import RepriseError
from reprise.evaluation.groups import group_names
from reprise.papers import TUNED, Exhibit, Paper
from reprise.reporting.printed import claims_of, printed_numbers
from reprise.reporting.results import LEFT_OUT, Results, under_labels
from reprise.reporting.shortcuts import Taken
from reprise.reporting.sweeps import is_swept, points
from reprise.reporting.tidy import cells
from reprise.reporting.wording import searched_text, seeds_text
from reprise.selection import datasets_of

# Okabe and Ito's colours, dark ones first; a line style and a marker go with each, so that no colour is needed.
COLOURS = ("#0072b2", "#d55e00", "#000000", "#009e73", "#cc79a7", "#56b4e9")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "x")
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "figure.dpi": 150,
    "savefig.facecolor": "white",
    "svg.hashsalt": "reprise",
}
FEW_POINTS = 10
LETTERS = 15  # of small type in an inch
COLUMNS = 4  # of a legend, at most
METADATA = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Canvas:
    """What a drawing function gets: our cells, what the paper printed and claimed, and the exhibit it draws.

    `cells` has `dataset, reading, method, metric, k, mean, sd, seeds, data` of the exhibit's methods; `sweep` the same
    with `setting, point, curve, split` of sweeps; `groups` those of an exhibit over groups, with `place` the group's
    number from 0, and among them, without method, the data set's own shares. `reason` is why there is nothing,
    `undrawn` what is missing beside the rest, and why; `taken` says what made runs cheaper.
    """

    paper: Paper
    exhibit: Exhibit
    cells: pd.DataFrame
    sweep: pd.DataFrame
    groups: pd.DataFrame
    printed: pd.DataFrame
    claims: pd.DataFrame
    reason: str
    undrawn: str
    taken: Taken

    def label(self, dataset: str, part: pd.DataFrame) -> str:
        """Name a data set with its status and the seeds behind `part`."""
        data = [f"{status} data" for status in sorted(set(part["data"]) - {"", dataset})]
        recorded = bool((part["origin"] != "").any())  # device and date would not fit a title
        origin = ["of record"] if recorded else []
        shortcuts = {self.taken.text(dataset, *row) for row in _rows(part)} - {""}
        searched = ["settings searched"] if (part["variant"] == TUNED).any() else []
        cheaper = ["shortcuts"] if shortcuts else []  # the caption says which
        about = ", ".join([*data, seeds_text(part["seeds"]), *searched, *cheaper, *origin])
        return f"{self.paper.datasets[dataset].label} ({about})"


@dataclass(frozen=True)
class Drawing:
    """A figure, the frame that it plots, and what stands below it. Its panels are laid out once, for every format."""

    figure: Figure
    plotted: pd.DataFrame
    caption: str
    _rendered: dict[str, bytes] = field(default_factory=dict, repr=False)

    def rendered(self, kind: str) -> bytes:
        """The figure as a file of `kind`: pdf, svg or png; equal input gives equal bytes."""
        if kind not in self._rendered:
            with matplotlib.rc_context(STYLE), io.BytesIO() as buffer:
                self.figure.savefig(buffer, format=kind, metadata=METADATA[kind])
                self._rendered[kind] = buffer.getvalue()
        return self._rendered[kind]


def canvas(name: str, results: Results) -> Canvas:
    """Gather what the figure `name` is drawn from."""
    paper, exhibit, results = results.paper, results.paper.exhibits[name], results.under(name)
    datasets = datasets_of(paper, exhibit, results.config)
    frame = under_labels(results, results.frame, exhibit.methods)
    frame = frame[frame["dataset"].isin(datasets)]
    groups = _in_order(_groups(paper, exhibit, frame), datasets, paper, exhibit)
    frame = frame[
        (frame["method"] != "")
        & frame["metric"].isin(exhibit.metrics)
        & frame["k"].isin(exhibit.ks)
    ]
    reason = "; ".join(
        dict.fromkeys(
            results.reason(dataset, reading, method)
            for dataset in exhibit.datasets
            for reading in paper.readings
            for method in exhibit.methods
        )
    )
    single, swept = (_in_order(cells(rows), datasets, paper, exhibit)
                     for rows in (frame[frame["group"] == ""], frame[is_swept(frame)]))
    return Canvas(
        paper,
        exhibit,
        single,
        points(swept),
        groups,
        printed_numbers(paper),
        claims_of(paper, exhibit),
        reason,
        _undrawn(results, exhibit, datasets, _places(groups if exhibit.groups else single)),
        Taken(results, exhibit.methods),
    )


def _places(frame: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Of which data set, reading and row there is something."""
    rows = frame[frame["method"] != ""]
    return set(zip(rows["dataset"], rows["reading"], rows["method"], strict=True))


def _undrawn(results: Results, exhibit: Exhibit, datasets: Iterable[str], drawn: set) -> str:
    """The rows that a figure lacks, with the reason; what the session itself left out, and an empty figure, apart."""
    lacking: dict[tuple[str, str, str], list[str]] = {}
    for dataset, reading, method in itertools.product(datasets, results.paper.readings, exhibit.methods):
        place = (dataset, reading, method)
        if drawn and place not in drawn:
            reason = results.reason(*place)
            if not reason.startswith(LEFT_OUT):
                lacking.setdefault((dataset, reading, reason), []).append(method)
    readings: dict[tuple[str, str, str], list[str]] = {}
    for (dataset, reading, reason), methods in lacking.items():
        what = "everything" if len(methods) == len(exhibit.methods) else _condensed(methods)
        readings.setdefault((what, dataset, reason), []).append(reading)
    parts = [
        f"{what} ({results.paper.datasets[dataset].label}, {' and '.join(these)}): {reason}"
        for (what, dataset, reason), these in readings.items()
    ]
    return f"Not drawn: {'; '.join(parts)}." if parts else ""


def _condensed(labels: Iterable[str]) -> str:
    """Rows by name; the points of a sweep by their number."""
    points = Counter(label.partition("[")[0] if "[" in label else label for label in labels)
    return ", ".join(name if count == 1 else f"{count} points of {name}" for name, count in points.items())


def _in_order(rows: pd.DataFrame, datasets: Iterable[str], paper: Paper, exhibit: Exhibit) -> pd.DataFrame:
    """Cells by data set, reading and row, each in the order in which the paper is written down, not of their dates."""
    named = {"dataset": datasets, "reading": paper.readings, "method": exhibit.methods}
    places = {column: {name: place for place, name in enumerate(names)} for column, names in named.items()}
    return rows.sort_values(list(places), kind="stable", key=lambda column: column.map(places[column.name]))


def _groups(paper: Paper, exhibit: Exhibit, frame: pd.DataFrame) -> pd.DataFrame:
    """The cells of an exhibit over groups, and the shares of the data set that they stand on; none without a run."""
    names = group_names(exhibit.groups, paper.groups[exhibit.groups]) if exhibit.groups else []
    wanted = frame["metric"].isin(exhibit.metrics) & (frame["k"].isna() | frame["k"].isin(exhibit.ks))
    rows = cells(frame[frame["group"].isin(names) & (wanted | (frame["method"] == ""))])
    rows = rows if (rows["method"] != "").any() else rows[:0]
    return rows.assign(place=rows["group"].map({name: place for place, name in enumerate(names)}))


def _caption(name: str, results: Results, drawn: Canvas) -> str:
    """What stands below figure `name`: its caption, how settings were searched if they were, and what `<name>_found` of
    the paper's figures.py reads off it."""
    shown = pd.concat([part for part in (drawn.cells, drawn.groups) if len(part)] or [drawn.cells])
    found = getattr(_module(results.paper.folder / "figures.py"), f"{name}_found", None)
    searched = searched_text(shown, results.config.trials)
    taken = (drawn.taken.text(dataset, *row)
             for dataset, part in shown.groupby("dataset") for row in _rows(part))
    shortcuts = [f"Shortcuts: {text}." for text in dict.fromkeys(taken) if text]
    parts = [drawn.exhibit.caption, searched, *shortcuts, found(drawn) if found else "", drawn.undrawn]
    return " ".join(filter(None, parts))


def _rows(part: pd.DataFrame) -> list[list[str]]:
    """The readings and rows that stand behind some cells; those of a data set itself apart."""
    return part.loc[part["method"] != "", ["reading", "method"]].drop_duplicates().to_numpy(object).tolist()


def drawing(paper: Paper, name: str) -> Callable[[Canvas], tuple[Figure, pd.DataFrame]]:
    """The paper's own function that draws figure `name` and returns it with the frame it plots."""
    function = getattr(_module(paper.folder / "figures.py"), name, None)
    if function is None:
        raise RepriseError(str(paper.folder / "figures.py"), expected=f"a function {name}(canvas)", found="none")
    return function


@functools.cache
def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"figures_of_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(name: str, results: Results) -> Drawing:
    """Draw figure `name` in the house style; what has no run stands above, with the reason."""
    with matplotlib.rc_context(STYLE):
        drawn = canvas(name, results)
        figure, plotted = drawing(results.paper, name)(drawn)
        if drawn.undrawn:
            letters = int(figure.get_figwidth() * LETTERS)
            figure.suptitle(textwrap.fill(drawn.undrawn, letters), fontsize="small", x=0.01, ha="left")
        if engine := figure.get_layout_engine():  # half of what drawing costs, and each file would do it anew
            engine.execute(figure)
            figure.set_layout_engine("none")
        plotted = plotted.drop(columns=["values", "which"], errors="ignore")
        return Drawing(figure, plotted, _caption(name, results, drawn))


def nothing_to_draw(canvas: Canvas) -> Figure:
    """A figure that says why it is empty."""
    figure = Figure(figsize=(6, 1.2))
    figure.text(0.5, 0.5, f"not run: {canvas.reason}", ha="center", va="center", wrap=True)
    return figure


def one_legend(figure: Figure) -> None:
    """Name every line once, below all panels, in as many columns as the figure is wide enough for."""
    named = {label: handle for axes in figure.axes
             for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    for columns in range(COLUMNS, 0, -1):
        legend = figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns)
        if legend.get_window_extent().width <= figure.bbox.width or columns == 1:
            return
        legend.remove()


def line(axes: Axes, part: pd.DataFrame, x: str, style: int, label: str, **options: object) -> None:
    """Draw mean over `x` as line number `style`, with one standard deviation to either side where there is one.

    It is a bar at a few points and a band at many.
    """
    look = {"color": COLOURS[style], "linestyle": LINES[style], "marker": MARKERS[style], "label": label} | options
    axes.plot(part[x], part["mean"], **look)
    if part["sd"].isna().all():
        return
    if len(part) <= FEW_POINTS:
        axes.errorbar(
            part[x], part["mean"], yerr=part["sd"], color=COLOURS[style], linestyle="", capsize=2, elinewidth=0.8
        )
    else:
        axes.fill_between(
            part[x].astype(float),
            part["mean"] - part["sd"],
            part["mean"] + part["sd"],
            color=COLOURS[style],
            alpha=0.13,
            linewidth=0,
        )
