"""A table or a figure, laid out and written in every format."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reprise.files import replacing, write_text
from reprise.reporting import rendering
from reprise.reporting.plots import METADATA, Drawing, draw
from reprise.reporting.results import Results
from reprise.reporting.tables import Sheet, lay_out, table_frame
from reprise.reporting.tidy import write_csv


def write_table(name: str, results: Results, pairs: pd.DataFrame, place: Path) -> tuple[pd.DataFrame, Sheet]:
    """Write `<place>.{csv,md,html,tex}` of table `name` and its significance; return its cells and its sheet."""
    cells = table_frame(name, results, pairs)
    sheet = lay_out(name, results.paper, cells)
    write_csv(place.with_suffix(".csv"), cells.drop(columns=["decimals", "searched", "sizes"]))
    for suffix, render in ((".md", rendering.markdown), (".html", rendering.html), (".tex", rendering.tex)):
        write_text(place.with_suffix(suffix), render(sheet))
    return cells, sheet


def write_figure(name: str, results: Results, place: Path) -> Drawing:
    """Write `<place>.{pdf,svg,png,csv}` of figure `name`; return it."""
    drawing = draw(name, results)
    for kind in METADATA:
        with replacing(place.with_suffix(f".{kind}")) as beside:
            beside.write_bytes(drawing.rendered(kind))
    write_csv(place.with_suffix(".csv"), drawing.plotted)
    return drawing
