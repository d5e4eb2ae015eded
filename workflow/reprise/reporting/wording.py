"""How a value is written, in every table, figure and page alike."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from reprise.papers import TUNED

LABELS = {
    "hr": "HR",
    "ndcg": "NDCG",
    "mrr": "MRR",
    "ckl": "CKL",
    "ild": "ILD",
    "next_id": "Hits on the next id",
    "empty": "Outputs without digits",
    "unknown": "Outputs of no item",
    "duplicate": "Repeated outputs",
    "met": "Outputs met before",
    "response_time": "1e-4 s a list",
    "response_ratio": "times the first row's",
    "provider_interactions": "Interactions with providers",
    "features_unprefixed": "Features by value alone",
    "train_sequences": "Training sequences",
    "test_sequences": "Test sequences",
    "avg_sequence_length": "Average length",
    "avg_items_per_user": "Items per user",
    "avg_users_per_item": "Users per item",
}
SYMBOLS = {
    "reproduced": "✓",
    "close": "≈",
    "off (high)": "▲",
    "off (low)": "▼",
    "trend": "~",
    "unresolved": "?",
    "not run": "–",
    "holds": "✓",
    "contradicted": "✗",
    "undecided": "?",
}


def metric_label(metric: str, k: object = None) -> str:
    """Name a metric as the field does: `HR@20`, `Recall@20`, `Users`."""
    name = LABELS.get(metric, metric[:1].upper() + metric[1:])
    return name if missing(k) else f"{name}@{int(k)}"


def missing(value: object) -> bool:
    """Say whether a frame's cell holds nothing (None, NaN or NA)."""
    return bool(pd.isna(value))


def number(value: float, decimals: int = 4) -> str:
    """Write a number with `decimals` digits after the point, thousands apart; nothing for nothing."""
    return "" if missing(value) else f"{value:,.{decimals}f}"


def mean_sd(mean: float, sd: float, decimals: int = 4) -> str:
    """Write `mean ± sd`, or the mean alone where one seed leaves no spread."""
    return number(mean, decimals) + ("" if missing(sd) else f" ± {number(sd, decimals)}")


def ours_decimals(decimals: int) -> int:
    """Digits for our own number: one more than printed where there are any, so that rounding is not the difference."""
    return decimals + 1 if 0 < decimals < 6 else decimals


def percent(share: float) -> str:
    """Write a share as a signed percentage; an infinite one as a sign alone."""
    if missing(share):
        return ""
    return f"{share:+.1%}" if math.isfinite(share) else ("+∞" if share > 0 else "-∞")


def interval(low: float, high: float, decimals: int = 4) -> str:
    """Write an interval as `[low, high]`; nothing where there is none."""
    return "" if missing(low) or missing(high) else f"[{number(low, decimals)}, {number(high, decimals)}]"


def p_value(p: float) -> str:
    """Write a p-value with two digits, a tiny one as a bound."""
    return "" if missing(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


def duration(seconds: float) -> str:
    """Write seconds as `45 s`, `12 min` or `3.4 h`."""
    if missing(seconds):
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Write bytes as MB or GB (powers of ten)."""
    if missing(count):
        return ""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def seeds_text(counts: Iterable[int]) -> str:
    """Write how many seeds stand behind several cells: `3 seeds`, `1 to 5 seeds`."""
    counts = [int(count) for count in counts]
    low, high = min(counts), max(counts)
    return f"{high} seed{'s' if high > 1 else ''}" if low == high else f"{low} to {high} seeds"


def searched_text(rows: pd.DataFrame, trials: int) -> str:
    """Say of which readings of `rows` (`reading`, `variant`) the settings were searched, and how; else nothing."""
    readings = rows.loc[rows["variant"] == TUNED, "reading"].unique()
    if not len(readings):
        return ""
    return (
        f"Settings under {', '.join(readings)} were searched: at most {trials} trials for each method, the published "
        "setting among them, chosen on validation."
    )
