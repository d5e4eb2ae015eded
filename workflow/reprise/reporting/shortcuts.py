"""What made runs cheaper than what the paper did, as it was measured and recorded with them."""

from __future__ import annotations

import re

from reprise.papers import Paper, resolve
from reprise.papers.specs import only_lists, starts_of
from reprise.reporting.results import Results, under_labels
from reprise.reporting.tidy import SHORTCUT, SHORTCUTS

# Settings that make a run cheaper than what the paper did: what is said beside every number made with them.
CHEAPER = {
    "long_history": {"strided": "trained on long histories in windows that overlap by half (strided)"},   # in one pass
    "weights": {"random": "from random weights, not the released ones"},
}
CAP = re.compile(r"\bmax_epochs=(\d+) for ")  # as `_cap` says it


class Taken:
    """The shortcuts behind the rows `labels`."""

    def __init__(self, results: Results, labels: tuple[str, ...]):
        frame = results.frame
        known = under_labels(results, frame[frame["metric"].str.startswith((SHORTCUT, SHORTCUTS))], labels)
        self._results, self._said = results, {}
        for *place, metric in known[["dataset", "reading", "method", "metric"]].itertuples(index=False, name=None):
            said = self._said.setdefault(tuple(place), {})  # a set in order
            if metric != SHORTCUTS:
                said[metric.removeprefix(SHORTCUT)] = None

    def text(self, dataset: str, reading: str, label: str) -> str:
        """What is said beside a number. Of runs recorded before this was: what their settings come to today."""
        said = self._said.get((dataset, reading, label))
        return "; ".join(shortcuts_of(self._results.paper, dataset, reading, label) if said is None else said)

    def cap(self, dataset: str, reading: str, label: str) -> int | None:
        """The `max_epochs` that the runs behind a row were made with, where it cut them short."""
        capped = CAP.search(self.text(dataset, reading, label))
        return int(capped[1]) if capped else None


def shortcuts_of(paper: Paper, dataset: str, reading: str, label: str, most: int | None = None) -> list[str]:
    """The shortcuts that the runs of a row take, or those that it ranks anew, with `most` as cap of their epochs."""
    rows = (label, *(base for base, _ in paper.method(label).bases.values()))
    specs = [resolve(paper, dataset, reading, row) for row in rows]
    parts = [spec.get(part, {}) for spec in specs for part in ("model", "method")]
    chosen = [(key, value) for part in parts for key, value in part.items()
              if not (key == "long_history" and part["samples"] != "one_pass")]
    read = [(key, value) for key, value in chosen if isinstance(value, str)]
    said = [CHEAPER[key][value] for key, value in read if value in CHEAPER.get(key, ())]
    return list(dict.fromkeys([*said, *filter(None, (_cap(paper, dataset, reading, row, most) for row in rows))]))


def _cap(paper: Paper, dataset: str, reading: str, label: str, most: int | None) -> str:
    """Say that a run's epochs were capped; nothing where they were not."""
    if most is None:
        return ""
    while only_lists(paper, label):  # whose weights are another row's
        (label,) = starts_of(paper, label).values()
    epochs = resolve(paper, dataset, reading, label)["training"]["max_epochs"]
    return f"max_epochs={most} for {epochs}" if most < epochs else ""
