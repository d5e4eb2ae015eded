"""Tidy frames, a row a number: their columns, their types, and the CSV files that hold them to the last bit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reprise.errors import RepriseError
from reprise.files import replacing

RUN = ["dataset", "reading", "backbone", "method", "variant", "seed"]
ROW = ["dataset", "reading", "method", "variant"]  # what a table's row is in the runs behind it
MEASURED = ["metric", "k", "group"]
COLUMNS = [*RUN, *MEASURED, "value"]
PROVENANCE = ["device", "threads", "data", "fingerprint", "commit", "date"]
SHOWN = [*COLUMNS, *PROVENANCE, "origin"]  # the record's device and date, of a row that no run here gave
CELL = [*(name for name in RUN if name != "seed"), *MEASURED]
PAIR = ["exhibit", "dataset", "reading", "metric", "k", "lhs", "rhs"]  # two methods, compared for an exhibit
STATISTICS = (
    "users",
    "items",
    "interactions",
    "providers",
    "provider_interactions",
    "sparsity",
    "avg_items_per_user",
    "avg_users_per_item",
    "train_sequences",
    "test_sequences",
    "attributes",
    "avg_sequence_length",
    "features",
    "features_unprefixed",
)
TIMES = ("response_time", "response_ratio")  # in 1e-4 s a list; over that of the table's first row
PASS = "pass="  # a group of response times: those of one pass, of which a table shows the median
SHORTCUTS, SHORTCUT = "shortcuts", "shortcut: "  # metrics of a run: how many it took, and which
COSTS = ("wall_s", "epochs", "steps", "peak_bytes")
OF_USERS = ("hr", "recall", "ndcg", "mrr", "precision", "ckl", "ild")  # what `evaluate` measures of every user
WHOLE = ("seed", "k", "threads", "seeds")
REAL = ("value", "mean", "sd", "atol", "diff", "low", "high", "p", "p_adjusted", "effect", "effect_ratio")


def dataset_key(name: str) -> str:
    """The key in `paper.yaml` of a data set that the paper's tables call `name`."""
    return name.lower().replace(" ", "-")


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise over seeds: per cell `mean`, `sd` (ddof 1), `seeds` (how many), `which` (their numbers, in order),
    `values` (one each) and provenance."""
    named = {name: (name, "last") for name in (*PROVENANCE, "origin")}
    grouped = frame.sort_values(["seed", "date"], kind="stable").groupby(CELL, dropna=False, sort=False)
    return grouped.agg(
        mean=("value", "mean"), sd=("value", "std"), seeds=("value", "size"), values=("value", tuple),
        which=("seed", tuple), **named,
    ).reset_index()


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Give the columns of a tidy frame their types: whole numbers nullable, text never NaN."""
    frame = frame.copy()
    for name in frame.columns:
        if name in WHOLE:
            frame[name] = pd.to_numeric(frame[name]).astype("Int64")
        elif name in REAL:
            frame[name] = frame[name].astype(float)  # Python's float: pandas' own parser may be off by one bit
        else:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
    return frame


def empty(columns: list[str] = SHOWN) -> pd.DataFrame:
    """A tidy frame without rows."""
    return typed(pd.DataFrame(columns=columns))


def read_tidy(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a CSV written by `write_csv` that must have exactly `columns`; no file is no rows."""
    if not path.exists():
        return empty(columns)
    frame = read_text(path)
    if list(frame.columns) != columns:
        raise RepriseError(str(path), expected=",".join(columns), found=",".join(frame.columns))
    return typed(frame)


def read_text(path: Path) -> pd.DataFrame:
    """Read a CSV with every cell as text, empty ones as NaN; `typed` makes numbers of them, to the last bit."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise RepriseError(
            str(path), expected="a CSV file", found="no such file", fix="delete the run's folder and run it again"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RepriseError(str(path), expected="a CSV file", found=str(error)) from None


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame atomically; numbers so that reading them gives the same bits."""
    with replacing(path) as beside:
        frame.to_csv(beside, index=False, lineterminator="\n")
