"""Claims of a paper: what a row of `claims.csv` says, in a form that can be computed.

A side of a claim names methods as the paper's tables do: `MACR_MF`, a variant (`MACR_MF w/o L_I`), a point of a sweep
(`MACR_MF[alpha=1e-3]`) or a whole sweep (`MACR_MF[alpha]`). Several are joined by `|`, `;` or `,`:

* left, `|`: at least one of them ("a MACR variant has the highest ..."); left, `;` or `,`: every one;
* right: every one of them (ties in the print for the best of the others);
* as many left as right: one to one; "over most of" a range: more than half of these pairs.

Sides `SASRec on ML-1M` compare one method on two data sets, by the means of their seeds.

A claim on users whose interest drifts (groups `eta>0`, `eta>1`, or several at once, `eta>0,0.5,1`) compares methods
over these users alone, and must hold in every group; `monotone` claims that the gain of the left method over the right
one rises from each group to the next. A side `FM in majority1` is one method's mean in a group of its own.

A claim on groups (column `group`) compares means over groups of items or users: `items>500` on both sides, or all that
several names joined by `;` say. A side `MACR_MF - MF in items>500` is a gain there, `other groups` the gain everywhere
else; `the test set` is what the data hold. `increasing` on the right is a trend over all groups.

Several metrics, cut-offs or data sets must all hold; `ALL` data sets of a relative gain are averaged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from reprise.errors import RepriseError
from reprise.papers import Paper
from reprise.reporting.lookup import TEST_SET
from reprise.reporting.printed import printed_claims, restated
from reprise.reporting.tidy import dataset_key

KINDS = ("better_than", "worse_than", "monotone", "relative_improvement", "significant")
COLUMNS = ("id", "text", "kind", "dataset", "backbone", "lhs", "rhs", "metric", "k", "group", "value", "printed_check")

OTHERS, COLUMN, ALL = "all other methods", "every other method in its column", "ALL"
OTHER_GROUPS = "other groups"

METHOD = r"[\w.+()/-]+(?: w/o [\w ]+?)?(?:\[[^\]]+\])?"
DRIFT = re.compile(r"eta>(\d+(?:\.\d+)?(?:,\d+(?:\.\d+)?)*)")
MARGINAL = "about 0 (marginal)"
GROUP = r"(items|users)(<=\d+|\d+-\d+|>\d+)"
NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
# A comma or semicolon inside brackets belongs to the point of a sweep: MACR_MF[alpha=1e-2;beta=1e-3].
SEPARATOR = re.compile(r"\s*[|;,]\s*(?![^\[]*\])")

# "Slightly" and "not worse" are a matter of degree; the rows that say so write it as lhs <= 1.05 * rhs.
SLIGHTLY = 0.05


@dataclass(frozen=True)
class Claim:
    """One row of `claims.csv`.

    `form` is `methods`, `across`, `gains`, `sweep`, `slopes`, `groups`, `group_gains`, `gain_trend`, `within`, `trend`,
    or `unsupported` with a `reason`. `lhs` and `rhs` are method labels; in `across` each is (method, data set), in
    `gains` (method, reference, data set, "" for that of the claim), in `sweep` lhs is (method, parameter), or several
    of these one after the other, and so is (method, group) on both sides of `within`. `increasing`, `low` and `high`
    bound a sweep. `factor` multiplies the right side before it is compared.
    `quantifier` (`some`, `most`) says how many rows of its `family` must hold; empty means this one. `decimals` are
    those of `value`, as a fraction. `within` bounds a gain that is said to be marginal.
    """

    id: str
    text: str
    kind: str
    form: str
    datasets: tuple[str, ...]
    backbone: str
    lhs: tuple[str, ...]
    rhs: tuple[str, ...]
    metrics: tuple[str, ...]
    ks: tuple[int, ...]
    groups: tuple[str, ...] = ()
    alternatives: bool = False
    majority: bool = False
    increasing: bool = True
    low: float = float("-inf")
    high: float = float("inf")
    factor: float = 1.0
    within: float | None = None
    value: float | None = None
    decimals: int = 0
    quantifier: str = ""
    family: str = ""
    reason: str = ""


def claims_in(paper: Paper) -> tuple[Claim, ...]:
    """All claims of a paper, as `paper.yaml` restates them."""
    return parse_claims(restated(paper, printed_claims(paper)))


def parse_claims(rows: pd.DataFrame) -> tuple[Claim, ...]:
    """Parse all rows of `claims.csv` (read as text). Raises RepriseError for a missing column or an unknown kind."""
    missing = set(COLUMNS) - set(rows.columns)
    if missing:
        raise RepriseError("claims.csv", expected=", ".join(COLUMNS), found=f"no column {', '.join(sorted(missing))}")
    return tuple(parse_claim(row) for row in rows.fillna("").astype(str).to_dict("records"))


def parse_claim(row: Mapping[str, str]) -> Claim:
    """Parse one row; what no rule reads becomes an `unsupported` claim that says so.

    Raises RepriseError for an unknown kind.
    """
    if row["kind"] not in KINDS:
        raise RepriseError(f"claims.csv, {row['id']}, kind", expected=" or ".join(KINDS), found=repr(row["kind"]))
    text, check = row["text"], row["printed_check"]
    metrics = _split(row["metric"])
    shared = {
        "id": row["id"], "text": text, "kind": row["kind"], "backbone": row["backbone"],
        # `hr@k` with no k stands for every cut-off that was evaluated.
        "metrics": tuple(metric.removesuffix("@k") for metric in metrics),
        "ks": tuple(int(k) for k in _split(row["k"])),
        "datasets": tuple(name if name == ALL else dataset_key(name) for name in _split(row["dataset"])),
    }
    shared |= _quantifier(row) | _value(row["value"])
    shared |= _factor(text, check, row["kind"]) | {"within": SLIGHTLY if row["value"] == MARGINAL else None}
    grouped = _grouped_sides(row)
    sides = grouped or _sides(row)
    reason = _unread(row, bool(grouped), sides is not None, shared)
    if reason:
        return Claim(form="unsupported", lhs=(row["lhs"],), rhs=(row["rhs"],), reason=reason, **shared)
    return Claim(**shared, **sides)


def _unread(row: Mapping[str, str], grouped: bool, sided: bool, shared: Mapping) -> str:
    """Why a row cannot be computed; "" if it can."""
    if row.get("reason"):  # as paper.yaml says
        return row["reason"]
    if row["printed_check"] == "absence":
        return "nothing to compute: it says what the paper leaves out"
    if not sided:
        figure = re.search(r"figure_only Figure (\d+)", row["printed_check"])
        return f"figure{figure[1]} not built" if figure else f"no rule reads {row['lhs']!r} against {row['rhs']!r}"
    metrics = _split(row["metric"])
    if not metrics or not all(re.fullmatch(r"[a-z_]+(@k)?", metric) for metric in metrics):
        return f"no rule reads metric {row['metric']!r}"
    if row["group"] not in ("", "all") and not grouped:
        return f"no rule reads group {row['group']!r}"
    if row["kind"] == "relative_improvement" and shared["value"] is None and shared["within"] is None:
        return f"no rule reads value {row['value']!r}"
    return ""


def _sides(row: Mapping[str, str]) -> dict | None:
    """Read both sides; None if no form fits."""
    lhs, rhs = row["lhs"], row["rhs"]
    if row["kind"] == "monotone":
        sweeps = [re.fullmatch(rf"({METHOD})\[(\w+)\]", side) for side in _split(lhs)]
        bounds = _bounds(rhs)
        if not sweeps or not all(sweeps) or not bounds:
            return None
        return {"form": "sweep", "lhs": tuple(name for sweep in sweeps for name in sweep.groups()), "rhs": (), **bounds}
    for form, pattern in (("across", rf"({METHOD}) on (\S+)"),
                          ("gains", rf"gain\(({METHOD})/({METHOD})\)(?:@(\S+))?"),
                          ("slopes", rf"slope after optimum of ({METHOD})\[(\w+)\]")):
        left, right = re.fullmatch(pattern, lhs), re.fullmatch(pattern, rhs)
        if left and right:
            return {"form": form, "lhs": left.groups(""), "rhs": right.groups("")}
    left, right = _split(lhs), (rhs,) if rhs in (OTHERS, COLUMN) else _split(rhs)
    names = [name for name in left + right if name not in (OTHERS, COLUMN)]
    if not left or not right or not all(re.fullmatch(METHOD, name) for name in names):
        return None
    return {"form": "methods", "lhs": _family_of_methods(row["text"]) or left, "rhs": right, "alternatives": "|" in lhs,
            "majority": "over most of" in row["text"]}


def _grouped_sides(row: Mapping[str, str]) -> dict | None:
    """Read the sides of a claim on groups; None if it is on none."""
    lhs, rhs, group = row["lhs"], row["rhs"], row["group"]
    if drift := DRIFT.fullmatch(group):
        return _drifting(row, tuple(f"eta>{edge}" for edge in drift[1].split(",")))
    within = [[re.fullmatch(rf"({METHOD}) in (\S+)", side) for side in _split(both)] for both in (lhs, rhs)]
    if all(map(all, within)) and len(within[0]) == len(within[1]) > 0:
        left, right = (tuple(part for side in both for part in side.groups()) for both in within)
        return {"form": "within", "lhs": left, "rhs": right}
    if row["kind"] == "monotone" and rhs in ("increasing", "decreasing") and re.fullmatch(METHOD, lhs):
        return {"form": "trend", "lhs": (lhs,), "rhs": (), "increasing": rhs == "increasing"}
    gain = re.fullmatch(rf"({METHOD}) - ({METHOD}) in (\S+)", lhs)
    if gain and rhs == OTHER_GROUPS:
        return {"form": "group_gains", "lhs": gain.groups()[:2], "rhs": (), "groups": (gain[3],)}
    left, right = _split(lhs), _split(rhs)
    known = all(re.fullmatch(GROUP, name) for name in _split(group))
    if not group or not known or not all(name == TEST_SET or re.fullmatch(METHOD, name) for name in left + right):
        return None
    return {"form": "groups", "lhs": left, "rhs": right, "groups": _split(group)}


def _drifting(row: Mapping[str, str], groups: tuple[str, ...]) -> dict | None:
    """Read the sides of a claim on users whose interest drifts; None if no form fits."""
    if row["kind"] == "monotone" and all(re.fullmatch(METHOD, row[side]) for side in ("lhs", "rhs")):
        return {"form": "gain_trend", "lhs": (row["lhs"],), "rhs": (row["rhs"],), "groups": groups}
    sides = _sides(row)
    return {**sides, "groups": groups} if sides and sides["form"] == "methods" else None


def _family_of_methods(text: str) -> tuple[str, ...]:
    # The row names the variant that won in print; the sentence claims it of "a MACR variant", whichever.
    family = re.match(r"An? (\w+) variant ", text)
    return (f"{family[1]}_*",) if family else ()


def _bounds(text: str) -> dict | None:
    """Read `increasing on 1e-5..1e-3` or `decreasing on c>29`; the step away from 29 is the first one claimed."""
    between = re.fullmatch(rf"(increasing|decreasing) on ({NUMBER})\.\.({NUMBER})", text)
    if between:
        return {"increasing": between[1] == "increasing", "low": float(between[2]), "high": float(between[3])}
    beyond = re.fullmatch(rf"(increasing|decreasing) on \w+>({NUMBER})", text)
    return {"increasing": beyond[1] == "increasing", "low": float(beyond[2])} if beyond else None


def _factor(text: str, check: str, kind: str) -> dict:
    margin = re.search(rf"operationalised as lhs <= ({NUMBER})\*rhs", check)
    if margin:
        return {"factor": float(margin[1])}
    return {"factor": 1 - SLIGHTLY} if kind == "better_than" and "not worse than" in text else {}


def _quantifier(row: Mapping[str, str]) -> dict:
    """Tell the rows that are cells of one quantified sentence, and which cells they belong to."""
    if "existential claim" in row["printed_check"]:
        word = "some"
    elif "[paper says: in most cases]" in row["text"]:
        word = "most"
    else:
        return {}
    return {"quantifier": word, "family": f"{word}: {row['lhs']} {row['kind']} {row['rhs']}"}


def _value(text: str) -> dict:
    """Read `1.5313` or `8.37%` as a fraction, with the digits that were printed of it; else None."""
    number = re.fullmatch(r"([-+]?\d+(?:\.(\d+))?)(%?)", text)
    if not number:
        return {"value": None}
    shift = 2 if number[3] else 0
    return {"value": float(number[1]) / 10**shift, "decimals": len(number[2] or "") + shift}


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in SEPARATOR.split(text.strip()) if part)
