"""Every pair of methods of an exhibit: is one better (another seed, another user), and do these lists differ?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, product
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from reprise.evaluation.significance import holm, paired_users, two_level_interval, welch
from reprise.papers import Exhibit, variant_of
from reprise.reporting.claims import ALL, Claim, claims_in
from reprise.reporting.printed import claims_of
from reprise.reporting.results import Results
from reprise.reporting.tidy import OF_USERS, PAIR, read_tidy
from reprise.selection import datasets_of

COLUMNS = [
    *PAIR,
    "diff",
    "low",
    "high",
    "p",
    "p_adjusted",
    "g",
    "seeds_lhs",
    "seeds_rhs",
    "paired_seed",
    "paired_diff",
    "paired_t_p",
    "paired_wilcoxon_p",
    "note",
]
SELECTS_ON_TEST = "selects on the test set: no p"
FEW_SEEDS = "fewer than two seeds on a side"


def compare_pairs(results: Results) -> pd.DataFrame:
    """Compare every pair of methods of every exhibit on its metrics, with `COLUMNS`; only methods that ran, here or, if
    `results` hold them, on record. Lists are paired where their users are at hand.

    `p_adjusted` is Holm's over the pairs that a claim of the exhibit names, its family's size fixed by `paper.yaml`
    whether or not they all ran; other pairs are for information and have none. A stand-in, of which no claim speaks,
    is a family of its own: the pairs that are named on any data set.
    """
    known: dict[tuple, dict] = {}
    parts = []
    claims = claims_in(results.paper)
    claimed = {name: _claimed(results, exhibit, claims) for name, exhibit in results.paper.exhibits.items()}
    pairs = [pair for name, named in claimed.items() for pair in _pairs(name, results, named)]
    for pair in tqdm(pairs, desc="compare methods", unit="pair", mininterval=2, disable=len(pairs) < 50):
        view = results.under(pair[0])
        key = (view.config.tuning, *pair[1:])
        if key not in known:
            known[key] = _compared(view, *pair[1:])
        parts.append(dict(zip(PAIR, pair, strict=True)) | known[key])
    frame = pd.DataFrame(parts, columns=COLUMNS).astype(
        {name: float for name in ("diff", "low", "high", "p", "p_adjusted")}
    )
    stand_in = frame["dataset"].map({key: entry.stand_in for key, entry in results.paper.datasets.items()})
    for (name, _, generated), rows in frame.groupby(["exhibit", "reading", stand_in], sort=False):
        exhibit = results.paper.exhibits[name]
        named = _stood_in(results, claimed[name]) if generated else claimed[name]
        mine = rows.index[
            [tuple(pair) in named for pair in rows[["dataset", "metric", "k", "lhs", "rhs"]].to_numpy(object)]
        ]
        frame.loc[mine, "p_adjusted"] = holm(frame.loc[mine, "p"].to_numpy(), max(exhibit.family, len(named)))
    return frame


def read_pairs(folder: Path) -> pd.DataFrame:
    """The `significance.csv` that `collect` wrote into a paper's folder of results; no file is no rows."""
    return read_tidy(folder / "significance.csv", COLUMNS)


def _pairs(name: str, results: Results, claimed: set[tuple]) -> Iterator[tuple]:
    """The pairs of an exhibit that have runs on both sides, the left side of those `claimed` first."""
    exhibit, results = results.paper.exhibits[name], results.under(name)
    if exhibit.groups or exhibit.kind == "times":  # no user has a mean over groups, or a response time
        return
    named = claimed | _stood_in(results, claimed)
    sweep = exhibit.kind == "figure" and any("[" in label for label in exhibit.methods)  # its points are not rivals
    for dataset in datasets_of(results.paper, exhibit, results.config):
        for reading in results.paper.readings:
            ran = [method for method in (*exhibit.methods, *exhibit.floor) if results.ran(dataset, reading, method)]
            columns = [(metric, k) for metric, k in product(exhibit.metrics, exhibit.ks)
                       if metric in OF_USERS]  # not a share of all outputs, say
            measured = {one: [column for column in columns if results.sample(dataset, reading, one, *column)]
                        for one in ran}
            for a, b in combinations(ran, 2):
                for metric, k in (column for column in measured[a] if column in measured[b]):
                    turned = (dataset, metric, k, b, a) in named
                    if turned or not sweep or (dataset, metric, k, a, b) in named:
                        yield (name, dataset, reading, metric, k, *((b, a) if turned else (a, b)))


def _claimed(results: Results, exhibit: Exhibit, claims: Iterable[Claim]) -> set[tuple]:
    """What those of the paper's `claims` that the exhibit answers compare, of the rows that a claim names one by one:
    (data set, metric, k, lhs, rhs)."""
    answered = set(claims_of(results.paper, exhibit)["id"])
    compared = set()
    for claim in (one for one in claims if one.id in answered and one.form == "methods"):
        one_to_one = len(claim.lhs) == len(claim.rhs)
        sides = list(zip(claim.lhs, claim.rhs, strict=True) if one_to_one else product(claim.lhs, claim.rhs))
        for dataset in exhibit.datasets if ALL in claim.datasets else claim.datasets:
            rows = [[_shown(results, exhibit, dataset, label) for label in pair] for pair in sides]
            compared |= {(dataset, metric, k, *pair) for pair in rows if all(pair) and len(set(pair)) == 2
                         for metric in claim.metrics for k in claim.ks}
    return compared


def _shown(results: Results, exhibit: Exhibit, dataset: str, label: str) -> str | None:
    """The row of an exhibit that a claim's side means: `MACR_MF[alpha=1e-2]` is `MACR_MF[alpha=1e-2;beta=1e-3]`."""
    paper = results.paper
    if label in exhibit.methods:
        return label
    if dataset not in exhibit.datasets or not paper.has_row(label):
        return None
    reading = next(iter(paper.readings))
    rows = {variant_of(paper, row, dataset, reading): row for row in exhibit.methods}
    return rows.get(variant_of(paper, label, dataset, reading))


def _stood_in(results: Results, claimed: set[tuple]) -> set[tuple]:
    """The comparisons that are `claimed`, on every stand-in."""
    stand_ins = [key for key, entry in results.paper.datasets.items() if entry.stand_in]
    return {(key, *compared) for _, *compared in claimed for key in stand_ins}


def _compared(results: Results, dataset: str, reading: str, metric: str, k: int, lhs: str, rhs: str) -> dict:
    """One pair: difference of means, the tests that apply, and a note where one does not."""
    a, b = (results.sample(dataset, reading, method, metric, k) for method in (lhs, rhs))
    row = {"diff": a.means.mean() - b.means.mean(), "seeds_lhs": len(a.seeds), "seeds_rhs": len(b.seeds)}
    notes = []
    if min(len(a.seeds), len(b.seeds)) > 1:
        interval, test = two_level_interval(a, b), welch(a.means, b.means)
        row |= {"low": interval.low, "high": interval.high, "g": test.g, "p": test.p}
        notes.append(interval.note)
    else:
        notes.append(FEW_SEEDS)
    row |= _paired(*(results.users(dataset, reading, method, metric, k) for method in (lhs, rhs)))
    if results.selects_on_test(dataset, reading, lhs) or results.selects_on_test(dataset, reading, rhs):
        row |= {"p": None, "paired_t_p": None, "paired_wilcoxon_p": None}
        notes.append(SELECTS_ON_TEST)
    return row | {"note": "; ".join(filter(None, notes))}


def _paired(left: pd.DataFrame, right: pd.DataFrame) -> dict:
    """The lists of the first seed that both sides [users x seeds] have, compared user by user; {} if there is none."""
    shared = left.columns.intersection(right.columns)
    if not len(shared):
        return {}
    lists = paired_users(left[shared[0]].to_numpy(), right[shared[0]].reindex(left.index).to_numpy())
    return {"paired_seed": int(shared[0]), "paired_diff": lists.diff, "paired_t_p": lists.t_p,
            "paired_wilcoxon_p": lists.wilcoxon_p}
