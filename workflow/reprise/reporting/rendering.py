"""A sheet as Markdown, LaTeX or HTML."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import jinja2

from reprise.reporting import wording
from reprise.reporting.tables import Block, Entry, Sheet

TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "–": "--",
    "<": "$<$",
    ">": "$>$",
}


def tex_escape(text: str) -> str:
    """Escape what LaTeX would read as a command."""
    return "".join(TEX.get(letter, letter) for letter in text)


def markdown(sheet: Sheet) -> str:
    """Render a sheet as Markdown tables, one a block, metric names repeated in the column heads."""
    lines = [f"### {sheet.title}", ""]
    for block in sheet.blocks:
        lines += [f"**{block.title}**", ""] if block.title else []
        lines += [block.remark, ""] if block.remark else []
        if block.rows:
            lines += [
                *markdown_table(
                    ["", *_flat_heads(block)],
                    [[label, *map(_markdown_entry, entries)] for label, entries in block.rows],
                ),
                "",
            ]
    lines += [f"[{number}] {note}  " for number, note in enumerate(sheet.notes, 1)]
    lines += ["", *(f"{remark}  " for remark in sheet.remarks)]
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of one Markdown table; the first column left, the others right."""

    def line(parts: Sequence[str]) -> str:
        return "| " + " | ".join(str(part).replace("|", "\\|").replace("\n", " ") for part in parts) + " |"

    return [line(heads), line([":---", *["---:"] * (len(heads) - 1)]), *map(line, rows)]


def _markdown_entry(entry: Entry) -> str:
    text = f"**{entry.text}**" if entry.bold else entry.text
    mark = "\\*" if entry.mark == "*" else entry.mark
    return text + mark + (f" [{entry.note}]" if entry.note else "")


def _flat_heads(block: Block) -> list[str]:
    width = block.heads[0][1]
    return [f"{block.heads[place // width][0]}, {column}" for place, column in enumerate(block.columns)]


def tex(sheet: Sheet) -> str:
    """Render a sheet as a `table*` with one booktabs tabular a block; `\\usepackage{booktabs}` is all it needs."""
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}",
        r"\centering",
        r"\small",
        rf"\caption{{{tex_escape(sheet.title)}}}",
        rf"\label{{tab:{sheet.name}}}",
    ]
    for block in sheet.blocks:
        said = ": ".join(filter(None, (block.title, block.remark)))
        lines += [rf"\par\medskip\textbf{{{tex_escape(said)}}}\par"] if said else []
        lines += _tex_block(block) if block.rows else []
    notes = [f"[{number}] {note}" for number, note in enumerate(sheet.notes, 1)]
    lines += [rf"\par\footnotesize {tex_escape(line)}" for line in (*notes, *sheet.remarks)]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _tex_block(block: Block) -> list[str]:
    heads = "".join(rf" & \multicolumn{{{width}}}{{c}}{{{tex_escape(text)}}}" for text, width in block.heads)
    columns = "".join(f" & {tex_escape(text)}" for text in block.columns)
    rows = [
        tex_escape(label) + "".join(f" & {_tex_entry(entry)}" for entry in entries) + r" \\"
        for label, entries in block.rows
    ]
    return [
        rf"\begin{{tabular}}{{l{'r' * len(block.columns)}}}",
        r"\toprule",
        heads.strip() + r" \\",
        columns.strip() + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _tex_entry(entry: Entry) -> str:
    text = rf"\textbf{{{tex_escape(entry.text)}}}" if entry.bold else tex_escape(entry.text)
    raised = tex_escape(entry.mark) + (str(entry.note) if entry.note else "")
    return text + (rf"\textsuperscript{{{raised}}}" if raised else "")


@functools.cache
def templates() -> jinja2.Environment:
    """The Jinja environment of the pages: autoescape on, an undefined name is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "interval", "p_value", "duration", "size"):
        environment.filters[name] = getattr(wording, name)
    environment.globals["symbols"] = wording.SYMBOLS
    return environment


def html(sheet: Sheet) -> str:
    """Render a sheet as one self-contained page."""
    return templates().get_template("table.html.j2").render(sheet=sheet)
