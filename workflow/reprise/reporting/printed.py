"""What the paper printed and claimed: `reported.csv` and `claims.csv` of its folder."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reprise.errors import RepriseError
from reprise.papers import Exhibit, Paper, claim_ids
from reprise.reporting.tidy import dataset_key, read_tidy

PRINTED = ["table", "dataset", "backbone", "method", "metric", "k", "group", "printed", "decimals", "source"]
SLOT = ["table", "dataset", "metric", "k", "group"]


def printed_numbers(paper: Paper) -> pd.DataFrame:
    """Every printed number, with its data set by key and `gap`, the distance to the reference method of its backbone.

    `gap` is NaN for the reference itself and where the table does not print it. Numbers that a table takes over from
    another paper's tables (`printed_as`) count as its own.
    """
    numbers = _taken_over(paper, read_tidy(paper.folder / "reported.csv", PRINTED))
    numbers = numbers.assign(
        dataset=numbers["dataset"].map(dataset_key),
        printed=numbers["printed"].astype(float),
        decimals=numbers["decimals"].astype(int),
    )
    reference = numbers[SLOT + ["method", "printed"]].rename(
        columns={"method": "reference", "printed": "reference_printed"}
    )
    wanted = numbers.assign(reference=[paper.reference.get(name, "") for name in numbers["backbone"]])
    merged = wanted.merge(reference, how="left", on=[*SLOT, "reference"])
    merged["gap"] = (
        (merged["printed"] - merged["reference_printed"]).abs().where(merged["method"] != merged["reference"], np.nan)
    )
    return merged[[*PRINTED, "gap"]]


def _taken_over(paper: Paper, numbers: pd.DataFrame) -> pd.DataFrame:
    """Put the numbers of every `printed_as` under the table that shows them, and leave what no table shows."""
    taken = {name.removeprefix("table"): exhibit.printed_as for name, exhibit in paper.tables.items()}
    if not any(taken.values()):
        return numbers
    parts = [numbers[numbers["table"].isin([name for name, others in taken.items() if not others])]]
    for name, others in taken.items():
        rank = numbers["table"].map({other: place for place, other in enumerate(others)})
        # An empty frame would take on the whole index of a longer column.
        found = numbers[rank.notna()].assign(rank=rank.dropna(), table=name).sort_values("rank", kind="stable")
        parts.append(found.drop_duplicates([*SLOT, "method"]).drop(columns="rank"))
    return pd.concat(parts, ignore_index=True)


def printed_claims(paper: Paper) -> pd.DataFrame:
    """Every claim of the paper, as text."""
    return pd.read_csv(paper.folder / "claims.csv", dtype=str, keep_default_na=False)


def restated(paper: Paper, claims: pd.DataFrame) -> pd.DataFrame:
    """The claims with the columns that `paper.yaml` restates, so that a claim written in prose can be computed.

    A `reason` says instead why it cannot be. Raises RepriseError for an id or a column that claims.csv does not have.
    """
    claims = claims.set_index("id", drop=False).assign(reason="")
    for name, columns in paper.restated.items():
        if name not in claims.index or set(columns) - set(claims.columns):
            raise RepriseError(f"{paper.name}, restated.{name}", expected="an id and columns of claims.csv",
                               found=", ".join([name, *columns]))
        claims.loc[name, list(columns)] = list(columns.values())
    return claims.reset_index(drop=True)


def claims_of(paper: Paper, exhibit: Exhibit) -> pd.DataFrame:
    """The claims that one table or figure answers."""
    claims = printed_claims(paper)
    named = set(claim_ids(exhibit.claims))
    families = tuple(one.removesuffix("*") for one in named if one.endswith("*"))
    return claims[claims["id"].isin(named) | claims["id"].str.startswith(families)]
