"""A verdict for every claim of a paper in every reading."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from reprise.evaluation.significance import holm
from reprise.reporting.answers import Answers
from reprise.reporting.claims import ALL, Claim, claims_in
from reprise.reporting.comparisons import NOT_RUN, ClaimVerdict
from reprise.reporting.judging import judge_claims
from reprise.reporting.printed import claims_of
from reprise.reporting.results import Results, under_labels
from reprise.reporting.shortcuts import Taken
from reprise.reporting.tidy import ROW

COLUMNS = ["id", "reading", "kind", "verdict", "effect", "low", "high", "p", "p_adjusted", "effect_ratio", "reason"]


def judged_claims(results: Results) -> pd.DataFrame:
    """Judge all claims, with `COLUMNS`; `p_adjusted` is Holm's over the claims of one exhibit and reading.

    The size of that family is the exhibit's `family` in `paper.yaml`, however many of its claims could be computed.
    """
    claims = claims_in(results.paper)
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
        view, some = views[places[0]], [claims[place] for place in places]
        judged = judge_claims(some, Answers(view, reading))
        cheaper = _cheaper(view, reading)
        verdicts |= {place: _told(verdict, claim, cheaper)
                     for place, claim, verdict in zip(places, some, judged, strict=True)}
    return [verdicts[place] for place in range(len(claims))]


def _cheaper(results: Results, reading: str) -> dict[tuple[str, str], str]:
    """What made the runs of a data set's row cheaper, "" if nothing did; of the rows that have run."""
    labels = tuple(results.paper.labels)
    taken, frame = Taken(results, labels), results.frame[results.frame["reading"] == reading].drop_duplicates(ROW)
    ran = under_labels(results, frame, labels)[["dataset", "method"]].itertuples(index=False, name=None)
    return {row: taken.text(row[0], reading, row[1]) for row in ran}


def _told(verdict: ClaimVerdict, claim: Claim, cheaper: dict[tuple[str, str], str]) -> ClaimVerdict:
    """The verdict with what made the runs behind it cheaper: those of the rows that the claim names, or else of all."""
    if verdict.verdict == NOT_RUN:
        return verdict
    there = {row: text for row, text in cheaper.items() if row[0] in claim.datasets or ALL in claim.datasets}
    named = {row: text for row, text in there.items() if row[1] in (*claim.lhs, *claim.rhs)}
    return replace(verdict, reason="; ".join(dict.fromkeys(filter(None, [verdict.reason, *(named or there).values()]))))
