"""A verdict for every claim of a paper in every reading."""

from __future__ import annotations

import math

import pandas as pd

from reprise.evaluation.significance import holm
from reprise.papers import claim_ids
from reprise.reporting.answers import Answers
from reprise.reporting.claims import parse_claims
from reprise.reporting.judging import judge_claims
from reprise.reporting.printed import printed_claims, restated
from reprise.reporting.results import Results

COLUMNS = ["id", "reading", "kind", "verdict", "effect", "low", "high", "p", "p_adjusted", "effect_ratio", "reason"]


def judged_claims(results: Results) -> pd.DataFrame:
    """Judge all claims, with `COLUMNS`; `p_adjusted` is Holm's over the claims of one exhibit and reading.

    The size of that family is the exhibit's `family` in `paper.yaml`, however many of its claims could be computed.
    """
    claims = parse_claims(restated(results.paper, printed_claims(results.paper)))
    parts = []
    for reading in results.paper.readings:
        verdicts = [verdict.__dict__ for verdict in judge_claims(claims, Answers(results, reading))]
        part = pd.DataFrame(verdicts).assign(
            id=[claim.id for claim in claims], kind=[claim.kind for claim in claims], reading=reading
        )
        part["p_adjusted"] = math.nan
        for exhibit in results.paper.exhibits.values():
            family = part["id"].isin(set(claim_ids(exhibit.claims)))
            if family.any():
                part.loc[family, "p_adjusted"] = holm(part.loc[family, "p"].to_numpy(float), exhibit.family)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)[COLUMNS]
