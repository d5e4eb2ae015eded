"""Results whose truth is known, for the tests of claims."""

import numpy as np
import pandas as pd
from reprise.evaluation.significance import Sample
from reprise.reporting.claims import Claim, parse_claim
from reprise.reporting.comparisons import ClaimVerdict
from reprise.reporting.judging import judge_claim
from reprise.reporting.lookup import Cell, Missing

USERS = 400
A_WINS = {("A", "hr"): 0.2, ("B", "hr"): 0.1}
EQUAL = {("A", "hr"): 0.1, ("B", "hr"): 0.1}
B_WINS = {("A", "hr"): 0.1, ("B", "hr"): 0.2}


def claim(kind: str = "better_than", lhs: str = "A", rhs: str = "B", **others: str) -> Claim:
    """Parse a row with these entries and plain ones elsewhere."""
    row = {"id": "C1", "text": "", "kind": kind, "dataset": "D", "backbone": "", "lhs": lhs, "rhs": rhs, "metric": "hr",
           "k": "20", "group": "", "value": "", "source": "", "printed_check": ""}
    return parse_claim(row | others)


class Known:
    """Results with known truth: `truth[dataset, method, metric]` is the mean of every user, seeds add a little."""

    def __init__(self, truth, seeds=3, selects_on_test=False, curves=None, printed=None, seed_sd=0.002, grouped=None):
        self.truth, self.seeds, self.selects_on_test = truth, seeds, selects_on_test
        self.curves, self.print, self.seed_sd = curves or {}, printed or {}, seed_sd
        self.grouped = grouped

    def sample(self, cell: Cell) -> Sample:
        return Sample.of(self.users(cell))

    def users(self, cell: Cell) -> pd.DataFrame:
        if (cell.dataset, cell.method, cell.metric) not in self.truth:
            raise Missing(f"{cell.method}: no implementation")
        random = np.random.default_rng(sorted(self.truth).index((cell.dataset, cell.method, cell.metric)))
        user = np.random.default_rng(99).normal(0, 0.05, (USERS, 1))
        noise = random.normal(0, 0.01, (USERS, self.seeds))
        # Seeds at -1, 0, 1 standard deviations: the means are exact, so a verdict does not hang on luck.
        seed = np.linspace(-1, 1, self.seeds) * self.seed_sd if self.seeds > 1 else np.zeros(1)
        mean = self.truth[cell.dataset, cell.method, cell.metric]
        return pd.DataFrame(user - user.mean() + noise - noise.mean(0) + seed + mean)

    def curve(self, cell: Cell, parameter: str) -> pd.DataFrame:
        if (cell.method, parameter) not in self.curves:
            raise Missing(f"no sweep of {parameter}")
        points = self.curves[cell.method, parameter]
        noise = np.random.default_rng(5).normal(0, 1e-4, (len(points), self.seeds))
        return pd.DataFrame(np.array(list(points.values()))[:, None] + noise, index=list(points))

    def groups(self, cell: Cell) -> pd.DataFrame:
        return self.grouped[cell.method]

    def printed(self, cell: Cell) -> float | None:
        return self.print.get(cell.method)

    def datasets(self) -> tuple[str, ...]:
        return tuple(sorted({dataset for dataset, _, _ in self.truth}))

    def methods(self, dataset: str, beside: str = "") -> tuple[str, ...]:
        names = ("MF", "X_MF", "LightGCN", "X_LightGCN")
        return tuple(name for name in names if name.removeprefix("X_") == beside.removeprefix("X_") or not beside)

    def cutoffs(self) -> tuple[int, ...]:
        return (1, 20)


def verdict(parsed: Claim, truth: dict | None = None, **others: object) -> ClaimVerdict:
    """Judge a claim on data set `d`, where `truth` maps (method, metric) to a mean."""
    return judge_claim(parsed, Known({("d", *key): value for key, value in (truth or {}).items()}, **others))
