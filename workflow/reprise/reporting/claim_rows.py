"""A verdict for every claim of a paper in every reading."""

from __future__ import annotations

import math

import pandas as pd

from reprise.evaluation.significance import holm
from reprise.reporting.answers import Answers
from reprise.reporting.claims import Claim, parse_claims
from reprise.reporting.comparisons import ClaimVerdict
from reprise.reporting.judging import judge_claims
from reprise.reporting.printed import claims_of, printed_claims, restated
from reprise.reporting.results import Results

COLUMNS = ["id", "reading", "kind", "verdict", "effect", "low", "high", "p", "p_adjusted", "effect_ratio", "reason"]


def judged_claims(results: Results) -> pd.DataFrame:
    """Judge all claims, with `COLUMNS`; `p_adjusted` is Holm's over the claims of one exhibit and reading.

    The size of that family is the exhibit's `family` in `paper.yaml`, however many of its claims could be computed.
    """
    claims = parse_claims(restated(results.paper, printed_claims(results.paper)))
    parts = []
    for reading in results.paper.readings:
        part = pd.DataFrame([verdict.__dict__ for verdict in _judged(results, claims, reading)]).assign(
            id=[claim.id for claim in claims], kind=[claim.kind for claim in claims], reading=reading
        )
        part["p_adjusted"] = math.nan
        for exhibit in results.paper.exhibits.values():
            family = part["id"].isin(claims_of(results.paper, exhibit)["id"])
            if family.any():
                part.loc[family, "p_adjusted"] = holm(part.loc[family, "p"].to_numpy(float), exhibit.family)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _judged(results: Results, claims: list[Claim], reading: str) -> list[ClaimVerdict]:
    """Judge claims, in order, each by the runs that its exhibit shows: published settings or searched ones."""
    paper = results.paper
    exhibits = {claim: name for name, one in paper.exhibits.items() for claim in claims_of(paper, one)["id"]}
    views = [results.under(exhibits.get(claim.id, "")) for claim in claims]
    verdicts: dict[int, ClaimVerdict] = {}
    for tuning in dict.fromkeys(view.config.tuning for view in views):
        places = [place for place, view in enumerate(views) if view.config.tuning == tuning]
        answers = Answers(views[places[0]], reading)
        verdicts |= zip(places, judge_claims([claims[place] for place in places], answers), strict=True)
    return [verdicts[place] for place in range(len(claims))]
