"""What made runs cheaper than what the paper did, as it was measured and recorded with them."""

from __future__ import annotations

from reprise.reporting.results import Results, under_labels
from reprise.reporting.tidy import SHORTCUT, SHORTCUTS
from reprise.reporting.wording import shortcuts_of


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
