"""Settings that are searched instead of published: which rows, which trials, and what was chosen.

Free of PyTorch: Snakemake asks while it builds the DAG. A trial itself is `reprise.training.trial`.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.files import digest, read_json
from reprise.papers import TUNED, Exhibit, Paper, Run, grid_of, load_paper, resolve, spec_code, variant_of
from reprise.sourcecode import code_hash

Point = dict[str, Any]  # settings by their place in a resolved spec: {"training.l2": 1e-4, "method.alpha": 1e-2}


@dataclass(frozen=True)
class Search:
    """The search for a method's settings on the validation part of a data set, in one reading.

    `trials` is the budget: the same for every method, so that none wins by having been tried more often.
    """

    paper: str
    dataset: str
    method: str
    reading: str
    trials: int
    max_epochs: int | None

    @property
    def folder(self) -> str:
        """Where it lies below `results`."""
        return f"{self.paper}/{self.dataset}/tuning/{self.method}/{self.reading}"

    @functools.cached_property
    def specs(self) -> list[dict[str, Any]]:
        """The resolved spec of every trial, the published one first: at most `trials`, fewer if the grid has fewer."""
        grid = grid_of(load_paper(self.paper), self.method)
        # The same for every data set and reading: the published setting differs, the draw does not.
        drawn = draw(grid, random.Random(f"{self.paper}/{self.method}"))
        published = self._resolved({})
        others = (spec for spec in map(self._resolved, drawn) if spec != published)
        return [published, *itertools.islice(others, self.trials - 1)]

    @property
    def points(self) -> list[Point]:
        """What each trial gives the settings of the grid."""
        return [point_of(spec, grid_of(load_paper(self.paper), self.method)) for spec in self.specs]

    @functools.cached_property
    def code(self) -> str:
        """What decides the search but for the data, as a hash: the grid, the trials, and the code that they import."""
        return digest([grid_of(load_paper(self.paper), self.method), self.specs, trial_code(self.specs[0])])

    def chosen(self, config: Config) -> Point | None:
        """The settings that the search chose; None where it is still to be made, or to be made again."""
        path = Path(config.results, self.folder, "choice.json")
        choice = read_json(path) if path.exists() else {"code": None}
        return choice["settings"] if choice["code"] == self.code else None

    def _resolved(self, point: Point) -> dict[str, Any]:
        spec = resolve(load_paper(self.paper), self.dataset, self.reading, self.method, self.max_epochs, point)
        return spec | {"training": spec["training"] | {"refit": False}}  # a trial ends with the search for its epoch


@functools.cache
def _search(*names: Any) -> Search:
    return Search(*names)


def search_of(paper: str, dataset: str, method: str, reading: str, config: Config) -> Search:
    """The search that `config` asks for."""
    return _search(paper, dataset, method, reading, config.trials, config.max_epochs)


def draw(grid: Mapping[str, list[Any]], generator: random.Random) -> Iterator[Point]:
    """All points of the grid, each once, in random order: the first n are a draw of n without replacement."""
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    generator.shuffle(points)
    yield from points


def point_of(spec: Mapping[str, Any], names: Mapping[str, Any]) -> Point:
    """The settings `names` as a resolved spec has them."""
    return {name: spec[part][key] for name in names for part, _, key in [name.partition(".")]}


def trial_code(spec: Mapping[str, Any]) -> str:
    """The part of a trial's fingerprint that is known before it starts: its settings and the code that it imports."""
    return digest([spec_code(spec), code_hash("training.trial")])


def is_searched(paper: Paper, dataset: str, method: str, reading: str) -> bool:
    """Say whether a search could choose a method's settings honestly: it has a grid, and validation selects its epoch.

    A reading that selects on the test set keeps its published settings: to search there would be worse than the paper.
    """
    name, settings = paper.row(method)
    if settings or not grid_of(paper, name):
        return False
    training = resolve(paper, dataset, reading, method)["training"]
    return (training["fit_on"], training["select_on"]) == ("train", "valid")


def is_tuned(paper: Paper, dataset: str, method: str, reading: str) -> bool:
    """Say whether a search chooses a row's settings, or, of a re-ranker, those of a row that it re-ranks."""
    name, settings = paper.row(method)
    bases = paper.methods[name].bases.values()
    if bases and not settings:
        return any(is_tuned(paper, dataset, label, reading) for label, _ in bases)
    return is_searched(paper, dataset, method, reading)


def shown_under(paper: Paper, exhibit: Exhibit, config: Config) -> Config:
    """The configuration that an exhibit shows runs of.

    One with rows that change a setting of a method (ablations, sweeps) keeps the published settings in all its rows:
    only beside those do its rows say what the paper's say.
    """
    relative = any(paper.row(label)[1] for label in exhibit.methods)
    return config.model_copy(update={"tuning": "published"}) if relative else config


def row_of(paper: Paper, label: str, dataset: str, reading: str, config: Config) -> tuple[str, str]:
    """The method and variant behind a row: under `tuning=search` a method's own row is its tuned run."""
    method, settings = paper.row(label)
    if config.tuning == "search" and not settings and is_tuned(paper, dataset, method, reading):
        return method, TUNED
    return variant_of(paper, label, dataset, reading)


def spec_of(run: Run, config: Config) -> dict[str, Any]:
    """Resolve every setting of a run (`papers.resolve`), a tuned one's with what its search chose.

    Raises
    ------
    RepriseError
        A tuned run whose search was not made yet, or was made with another grid, budget or code.
    """
    paper, chosen = load_paper(run.paper), None
    if run.variant == TUNED:
        bases = paper.methods[run.method].bases
        chosen = {
            base: _chosen(run, label, config)
            for base, (label, _) in bases.items()
            if is_tuned(paper, run.dataset, label, run.reading)
        } if bases else _chosen(run, run.method, config)
    return resolve(paper, run.dataset, run.reading, run.label, config.max_epochs, chosen)


def _chosen(run: Run, method: str, config: Config) -> Point:
    """What the search of a method chose where `run` is made."""
    chosen = search_of(run.paper, run.dataset, method, run.reading, config).chosen(config)
    if chosen is None:
        raise RepriseError(
            f"{run.method} {run.dataset} {run.reading}-{TUNED}",
            expected="settings chosen with this grid, budget and code",
            found="none",
            fix=f"python -m reprise tune {run.paper} {run.dataset} {method} {run.reading}, with the same configuration",
        )
    return chosen
