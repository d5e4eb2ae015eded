"""The verdict on a claim: its comparisons, put together as its sentence says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from reprise.reporting.claims import ALL, COLUMN, OTHERS, Claim
from reprise.reporting.comparisons import (
    CONTRADICTED,
    HOLDS,
    NOT_RUN,
    UNDECIDED,
    ClaimVerdict,
    average_gain,
    compare_gains,
    compare_methods,
    compare_seeds,
    compare_slopes,
    judge_gain,
    judge_margin,
    judge_sweep,
    relative_gain,
    sign_of,
)
from reprise.reporting.lookup import TEST_SET, Cell, Lookup, Missing, OneSeed
from reprise.reporting.tidy import dataset_key


def judge_claims(claims: Sequence[Claim], lookup: Lookup) -> list[ClaimVerdict]:
    """Judge all claims, in order; rows that are cells of one quantified sentence are settled together.

    "Sometimes" holds if one cell holds and is contradicted if all are; "in most cases" holds if more than half of the
    cells hold and is contradicted once half of them are. A cell that was not run stays `not run`.
    """
    alone = [judge_claim(claim, lookup) for claim in claims]
    families: dict[str, list[str]] = {}
    for claim, verdict in zip(claims, alone, strict=True):
        families.setdefault(claim.family, []).append(verdict.verdict)
    return [_settled(claim, verdict, families[claim.family]) if claim.quantifier else verdict
            for claim, verdict in zip(claims, alone, strict=True)]


def judge_claim(claim: Claim, lookup: Lookup) -> ClaimVerdict:
    """Judge one row by itself; what cannot be computed is `not run` with the reason.

    Raises
    ------
    RepriseError
        If two methods were evaluated on different users.
    """
    if claim.form == "unsupported":
        return ClaimVerdict(NOT_RUN, reason=claim.reason)
    datasets = lookup.datasets() if ALL in claim.datasets else claim.datasets
    ks = claim.ks or lookup.cutoffs()
    if not (datasets and ks):
        return ClaimVerdict(NOT_RUN, reason="no data set or no cut-off to judge it on")
    if ALL in claim.datasets and claim.kind == "relative_improvement":
        return _every([_attempt(_average, claim, lookup, datasets, metric, k) for metric in claim.metrics for k in ks])
    judge = {"methods": _methods, "across": _across, "gains": _gains, "sweep": _sweep, "slopes": _slopes,
             "groups": _groups, "group_gains": _group_gains, "gain_trend": _gain_trend, "within": _within,
             "trend": _trend}[claim.form]
    datasets = datasets[:1] if claim.form == "across" else datasets  # its sides name both
    return _every([_attempt(judge, claim, lookup, dataset, metric, k)
                   for dataset in datasets for metric in claim.metrics for k in ks])


def _attempt(judge: Callable[..., ClaimVerdict], *arguments: object) -> ClaimVerdict:
    try:
        return judge(*arguments)
    except OneSeed as few:
        return ClaimVerdict(UNDECIDED, reason=str(few))
    except Missing as missing:
        return ClaimVerdict(NOT_RUN, reason=str(missing))


def _methods(claim: Claim, lookup: Lookup, dataset: str, metric: str, k: int) -> ClaimVerdict:
    """Compare the methods of both sides on one data set and metric, in every group of users that the claim names."""
    parts = [_compared(claim, lookup, dataset, metric, k, group) for group in claim.groups or ("",)]
    return parts[0] if len(parts) == 1 else _every([*map(_named, claim.groups, parts)])


def _compared(claim: Claim, lookup: Lookup, dataset: str, metric: str, k: int, group: str) -> ClaimVerdict:
    """Compare the methods of both sides over one group of users, or "" for all."""
    lefts = _expanded(claim.lhs, lookup, dataset)

    def cell(method: str) -> Cell:
        return Cell(dataset, method, metric, k, claim.backbone, group)

    def every(pairs: Iterable[tuple[str, str]]) -> ClaimVerdict:
        pairs = list(pairs)
        parts = [_attempt(_pair, claim, lookup, cell(left), cell(right)) for left, right in pairs]
        if len(pairs) > 1:
            parts = [replace(part, reason=f"{left} against {right}" + (f": {part.reason}" if part.reason else ""))
                     for part, (left, right) in zip(parts, pairs, strict=True)]
        return _most(parts) if claim.majority else _every(parts)

    if len(claim.lhs) == len(claim.rhs) > 1:
        return every(zip(claim.lhs, claim.rhs, strict=True))
    rights = {left: _opponents(claim, lookup, dataset, left, lefts) for left in lefts}
    if claim.alternatives or lefts != claim.lhs:
        return _some([every((left, right) for right in rights[left]) for left in lefts])
    return every((left, right) for left in lefts for right in rights[left])


def _expanded(names: tuple[str, ...], lookup: Lookup, dataset: str) -> tuple[str, ...]:
    """Replace a family `X_*` by the methods that the paper's table prints of it."""
    if not names[0].endswith("*"):
        return names
    family = tuple(name for name in lookup.methods(dataset) if name.startswith(names[0][:-1]))
    if not family:
        raise Missing(f"no method {names[0]} on {dataset}")
    return family


def _opponents(claim: Claim, lookup: Lookup, dataset: str, left: str, lefts: tuple[str, ...]) -> tuple[str, ...]:
    if claim.rhs not in ((OTHERS,), (COLUMN,)):
        return claim.rhs
    printed = lookup.methods(dataset, beside=left) if claim.rhs == (COLUMN,) else lookup.methods(dataset)
    opponents = tuple(name for name in printed if name not in (*lefts, left))
    if not opponents:
        raise Missing(f"{left} stands alone on {dataset}")
    return opponents


def _pair(claim: Claim, lookup: Lookup, left: Cell, right: Cell) -> ClaimVerdict:
    if claim.within is not None:
        return judge_margin(relative_gain(lookup, left, right), claim.within)
    if claim.kind == "relative_improvement":
        return judge_gain(relative_gain(lookup, left, right), claim.value, claim.decimals)
    return compare_methods(lookup, left, right, better=claim.kind != "worse_than", factor=claim.factor)


def _average(claim: Claim, lookup: Lookup, datasets: tuple[str, ...], metric: str, k: int) -> ClaimVerdict:
    """Judge a relative gain averaged over data sets."""
    sides = claim.lhs[0], claim.rhs[0]
    pairs = [[Cell(dataset, name, metric, k, claim.backbone) for name in sides] for dataset in datasets]
    gains = [relative_gain(lookup, *pair) for pair in pairs]
    return judge_gain(average_gain(gains), claim.value, claim.decimals)


def _across(claim: Claim, lookup: Lookup, _: str, metric: str, k: int) -> ClaimVerdict:
    """Compare one method's mean on one data set with a method's on another, whose users are others."""
    a, b = (lookup.sample(Cell(dataset_key(place), method, metric, k, claim.backbone)).means
            for method, place in (claim.lhs, claim.rhs))
    return compare_seeds(a, b, _larger(claim, metric), with_p=not lookup.selects_on_test)


def _larger(claim: Claim, metric: str) -> bool:
    """Whether the claim wants the left side's number to be the larger one."""
    return (claim.kind != "worse_than") == (sign_of(metric) > 0)


def _gains(claim: Claim, lookup: Lookup, dataset: str, metric: str, k: int) -> ClaimVerdict:
    """Compare two relative gains, each on the data set that its side names, if it names one."""
    sides = [[Cell(dataset_key(place) or dataset, name, metric, k, claim.backbone) for name in names]
             for *names, place in (claim.lhs, claim.rhs)]
    printed = [[lookup.printed(cell) for cell in side] for side in sides]
    known = all(left is not None and right for left, right in printed)
    diff = sign_of(metric) * (printed[0][0] / printed[0][1] - printed[1][0] / printed[1][1]) if known else None
    return compare_gains(*(relative_gain(lookup, *side) for side in sides), claim.kind != "worse_than", diff)


def _sweep(claim: Claim, lookup: Lookup, dataset: str, metric: str, k: int) -> ClaimVerdict:
    sweeps = list(zip(claim.lhs[::2], claim.lhs[1::2], strict=True))
    curves = [lookup.curve(Cell(dataset, method, metric, k, claim.backbone), name) for method, name in sweeps]
    parts = [judge_sweep(curve, claim.increasing, claim.low, claim.high) for curve in curves]
    names = [method for method, _ in sweeps]
    return parts[0] if len(parts) == 1 else _every([*map(_named, names, parts)])


def _slopes(claim: Claim, lookup: Lookup, dataset: str, metric: str, k: int) -> ClaimVerdict:
    curves = [
        sign_of(metric) * lookup.curve(Cell(dataset, method, metric, k, claim.backbone), parameter)
        for method, parameter in (claim.lhs, claim.rhs)
    ]
    return compare_slopes(*curves, better=claim.kind != "worse_than", with_p=not lookup.selects_on_test)


def _groups(claim: Claim, lookup: Lookup, dataset: str, metric: str, k: int) -> ClaimVerdict:
    """Compare the methods of both sides in every group that the claim names."""

    def means(method: str) -> pd.DataFrame:
        return lookup.groups(Cell(dataset, method, metric, k, claim.backbone))

    sides = [(left, right) for left in claim.lhs for right in claim.rhs]
    return _every([_named(f"{left} against {right}, {group}", compare_seeds(
                       group_of(means(left), group), group_of(means(right), group), _larger(claim, metric),
                       with_p=not lookup.selects_on_test, exact=right == TEST_SET))
                   for left, right in sides for group in claim.groups])


def _group_gains(claim: Claim, lookup: Lookup, dataset: str, metric: str, k: int) -> ClaimVerdict:
    """Compare the gain of one method over another in one group with that in each other group.

    The difference of two gains, (a - b) here minus (a - b) there, is that of a's contrast, here minus there, and b's.
    """
    a, b = (lookup.groups(Cell(dataset, method, metric, k, claim.backbone)) for method in claim.lhs)
    (here,) = claim.groups
    return _every([_named(f"{here} against {there}", compare_seeds(
                       group_of(a, here) - group_of(a, there), group_of(b, here) - group_of(b, there),
                       _larger(claim, metric), with_p=not lookup.selects_on_test))
                   for there in a.index if there != here])


def _gain_trend(claim: Claim, lookup: Lookup, dataset: str, metric: str, k: int) -> ClaimVerdict:
    """Judge a relative gain that rises from each group of users to the next, seed by seed."""
    curve = []
    for group in claim.groups:
        left, right = (lookup.sample(Cell(dataset, method, metric, k, claim.backbone, group)).by_seed
                       for method in (*claim.lhs, *claim.rhs))
        curve.append(sign_of(metric) * (left / right - 1))
    table = pd.DataFrame(curve).replace([math.inf, -math.inf], math.nan).dropna(axis=1)
    if table.empty:
        raise Missing(f"{claim.rhs[0]} is 0 in some group, or the methods share no seed")
    return judge_sweep(table.reset_index(drop=True), True, -math.inf, math.inf, claim.groups.__getitem__)


def _within(claim: Claim, lookup: Lookup, dataset: str, metric: str, k: int) -> ClaimVerdict:
    """Compare means of groups, each of the method that its side names, pair after pair."""

    def means(method: str, group: str) -> np.ndarray:
        return group_of(lookup.groups(Cell(dataset, method, metric, k, claim.backbone)), group)

    sides = (list(zip(side[::2], side[1::2], strict=True)) for side in (claim.lhs, claim.rhs))
    return _every([_named(f"{left[1]} against {right[1]}", compare_seeds(
                       means(*left), means(*right), _larger(claim, metric), with_p=not lookup.selects_on_test))
                   for left, right in zip(*sides, strict=True)])


def _trend(claim: Claim, lookup: Lookup, dataset: str, metric: str, k: int) -> ClaimVerdict:
    """Judge a metric that rises (falls) from each group to the next."""
    (method,) = claim.lhs
    curve = lookup.groups(Cell(dataset, method, metric, k, claim.backbone))
    names = list(curve.index)
    return judge_sweep(curve.reset_index(drop=True), claim.increasing, -math.inf, math.inf, names.__getitem__)


def group_of(means: pd.DataFrame, group: str) -> np.ndarray:
    """The seeds' means in one group, [S]; raises Missing where it has none."""
    if group not in means.index:
        raise Missing(f"no group {group}, only {', '.join(means.index)}")
    return means.loc[group].to_numpy(float)


def _named(what: str, verdict: ClaimVerdict) -> ClaimVerdict:
    return replace(verdict, reason=": ".join(filter(None, (what, verdict.reason))))


def _every(parts: Sequence[ClaimVerdict]) -> ClaimVerdict:
    """Join comparisons that must all hold.

    Numbers and reason are those of the part that decides: the clearest contradiction, else the first that was not run
    or is undecided, else the weakest of all; where all hold, p is the largest of them (intersection-union test).
    """
    verdicts = {part.verdict for part in parts}
    word = next(word for word in (CONTRADICTED, NOT_RUN, UNDECIDED, HOLDS) if word in verdicts)
    chosen = [part for part in parts if part.verdict == word]
    clearest = {CONTRADICTED: max, HOLDS: min}.get(word)
    part = clearest(chosen, key=_clarity) if clearest else chosen[0]
    if len(parts) == 1:
        return part
    if word == HOLDS:
        worst = max((other.p for other in parts if not math.isnan(other.p)), default=math.nan)
        return replace(part, p=worst, reason=f"weakest of {len(parts)}" + (f": {part.reason}" if part.reason else ""))
    return replace(part, reason=f"{len(chosen)} of {len(parts)} {word}: {part.reason}".removesuffix(": "))


def _most(parts: Sequence[ClaimVerdict]) -> ClaimVerdict:
    """Join comparisons of which more than half must hold; the weakest of those that do speaks for them."""
    words = [part.verdict for part in parts]
    if 2 * words.count(HOLDS) > len(parts):
        word = HOLDS
    elif 2 * words.count(CONTRADICTED) >= len(parts):
        word = CONTRADICTED
    else:
        word = NOT_RUN if NOT_RUN in words else UNDECIDED
    part = (min if word == HOLDS else max)((one for one in parts if one.verdict == word), key=_clarity)
    return replace(part, reason=f"{words.count(word)} of {len(parts)} {word}: {part.reason}".removesuffix(": "))


def _some(parts: Sequence[ClaimVerdict]) -> ClaimVerdict:
    """Join alternatives of which one must hold; the clearest one that does speaks for them."""
    holding = [part for part in parts if part.verdict == HOLDS]
    if holding:
        return max(holding, key=_clarity)
    return next(part for word in (NOT_RUN, UNDECIDED, CONTRADICTED) for part in parts if part.verdict == word)


def _clarity(part: ClaimVerdict) -> float:
    """Count the half widths of its interval between an effect and 0."""
    half = (part.high - part.low) / 2
    return abs(part.effect) / half if half else math.inf


def _settled(claim: Claim, alone: ClaimVerdict, family: list[str]) -> ClaimVerdict:
    """Give one cell the verdict of its quantified sentence."""
    if alone.verdict == NOT_RUN:
        return alone
    hold, against, size = family.count(HOLDS), family.count(CONTRADICTED), len(family)
    some = claim.quantifier == "some"
    held, refuted = (hold > 0, against == size) if some else (2 * hold > size, 2 * against >= size)
    word = HOLDS if held else CONTRADICTED if refuted else NOT_RUN if NOT_RUN in family else UNDECIDED
    counts = ", ".join(f"{family.count(v)} {v}" for v in (HOLDS, CONTRADICTED, UNDECIDED, NOT_RUN) if v in family)
    reason = f"{claim.quantifier} of {size} cells: {counts}; this one {alone.verdict}"
    return replace(alone, verdict=word, reason=reason)
