"""What a configuration selects, and why the rest is not run: decided from files and settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from reprise import failures
from reprise.config import Config
from reprise.data.catalogue import blocked, load_catalogue
from reprise.errors import RepriseError
from reprise.papers import (
    MAIN,
    TUNED,
    Dataset,
    Exhibit,
    Paper,
    Run,
    data_code,
    load_paper,
    paper_names,
    spec_code,
    variant_of,
)
from reprise.papers.schema import entry
from reprise.papers.specs import phases_of, starts_of
from reprise.sourcecode import options_of, reader_code
from reprise.training.behind import released
from reprise.training.options import TRIAL_SEED
from reprise.tuning import Search, is_tuned, row_of, search_of, shown_under, spec_of


def check_names(config: Config) -> None:
    """Raise RepriseError where `config` selects a paper, data set, method, reading or licence that nobody has."""
    every = [load_paper(name) for name in paper_names()]
    known = {
        "papers": {paper.name for paper in every},
        "datasets": {key for paper in every for key in paper.datasets},
        "methods": {name for paper in every for name in paper.methods},
        "readings": {name for paper in every for name in paper.readings},
    }
    for key, names in known.items():
        for wanted in getattr(config, key) or ():
            if wanted.lower() not in {name.lower() for name in names}:
                raise RepriseError(
                    f"config {key}={wanted}", expected="one of " + ", ".join(sorted(names)), found=wanted
                )
    licences = {source.licence.agree for source in load_catalogue().values()} - {None}
    for agreed in set(config.licences) - licences:
        raise RepriseError(f"config licences={agreed}", expected="some of " + ", ".join(sorted(licences)), found=agreed)


def papers(config: Config) -> list[Paper]:
    """The papers that `config` selects, whose names are checked."""
    check_names(config)
    return [paper for paper in map(load_paper, paper_names()) if config.keeps("papers", paper.name)]


def datasets_of(paper: Paper, exhibit: Exhibit | None, config: Config) -> list[str]:
    """The data sets of an exhibit (or paper) that `config` selects; stand-ins only where they are selected by name.

    An exhibit takes any stand-in, or only those it names.
    """
    return [
        key
        for key, dataset in paper.datasets.items()
        if (
            config.datasets is not None
            and config.keeps("datasets", key)
            and (exhibit is None or exhibit.stand_ins or key in exhibit.datasets)
            if dataset.stand_in
            else config.keeps("datasets", key) and (exhibit is None or key in exhibit.datasets)
        )
    ]


def runs_of(paper: Paper, exhibit: Exhibit, config: Config) -> Iterator[Run]:
    """Every run that an exhibit shows and `config` selects, whether or not it can be run."""
    config = shown_under(paper, exhibit, config)
    for dataset in datasets_of(paper, exhibit, config):
        for label in (*exhibit.methods, *exhibit.floor):
            for reading in paper.readings:
                for seed in config.seeds:
                    if run := run_of(paper, label, dataset, reading, seed, config):
                        yield run


def run_of(paper: Paper, label: str, dataset: str, reading: str, seed: int, config: Config) -> Run | None:
    """The run behind a row of an exhibit, `config` that which it is shown under; None if it is not selected."""
    name, variant = row_of(paper, label, dataset, reading, config)
    if not config.keeps("methods", name) or not config.keeps("readings", reading):
        return None
    return Run(paper.name, dataset, reading, paper.methods[name].backbone, name, variant, seed)


@dataclass(frozen=True)
class Planned:
    """A selected run, what of its fingerprint is known already, and why it is not run (None: it can be).

    Of a tuned run nothing is known before its search has chosen.
    """

    run: Run
    code: str | None
    reason: str | None


def plan(paper: Paper, exhibits: Iterable[str], config: Config) -> list[Planned]:
    """Decide, for every run that the named exhibits need, whether it can be run."""
    shown = dict.fromkeys(run for name in exhibits for run in runs_of(paper, paper.exhibits[name], config))
    wanted = dict.fromkeys(run for one in shown for run in _after_those_behind(paper, one))
    return [planned(paper, run, config) for run in wanted]


def behind(paper: Paper, run: Run) -> list[Run]:
    """The runs that a run is made of: whose weights it starts from, whose updates it counts, which it re-ranks."""
    row = paper.methods[run.method]
    starts = [*starts_of(paper, run.label).values(), *(phases_of(paper, row.updates_of) if row.updates_of else ())]
    places = [(*variant_of(paper, start, run.dataset, run.reading), run.seed) for start in starts]
    for label, later in row.bases.values():
        method, variant = variant_of(paper, label, run.dataset, run.reading)
        if run.variant == TUNED and is_tuned(paper, run.dataset, label, run.reading):
            variant = TUNED
        places.append((method, variant, run.seed + later))
    return [
        replace(run, method=method, backbone=paper.methods[method].backbone, variant=variant, seed=seed)
        for method, variant, seed in dict.fromkeys(places)
    ]


def before_search(paper: Paper, search: Search) -> list[Run]:
    """The runs whose weights the trials of a search start from."""
    backbone = paper.methods[search.method].backbone
    trial = Run(search.paper, search.dataset, search.reading, backbone, search.method, MAIN, TRIAL_SEED)
    return behind(paper, trial)


def _after_those_behind(paper: Paper, run: Run) -> Iterator[Run]:
    """A run after all runs that it is made of, at any remove."""
    for other in behind(paper, run):
        yield from _after_those_behind(paper, other)
    yield run


def planned(paper: Paper, run: Run, config: Config) -> Planned:
    """Decide whether one run can be run."""
    reason = not_prepared(paper, run.dataset, config) or no_weights(paper, run, config)
    if reason:
        return Planned(run, None, reason)
    others = [planned(paper, other, config) for other in behind(paper, run)]
    if reasons := [f"it is made of {one.run.label}, not run: {one.reason}" for one in others if one.reason]:
        return Planned(run, None, reasons[0])
    if any(one.code is None for one in others):  # a search is still to choose
        return Planned(run, None, None)
    if run.variant == TUNED and not paper.methods[run.method].rerank:
        search = search_of(run.paper, run.dataset, run.method, run.reading, config)
        reason = failures.reason(Path(config.results, search.folder), search.code)
        if search.chosen(config) is None:
            return Planned(run, None, None if config.retry else reason)
    code = spec_code(spec_of(run, config))
    return Planned(run, code, None if config.retry else failures.reason(Path(config.results, run.folder), code))


def not_prepared(paper: Paper, dataset: str, config: Config) -> str | None:
    """Say why a data set cannot be had (a licence, an account, a failure before), or None."""
    data = paper.dataset(dataset)
    places = {source: Path(config.resources, "raw", source) for source in data.readers}
    reasons = (blocked(load_catalogue()[source], config.licences, raw) for source, raw in places.items())
    if (reason := next(filter(None, reasons), None)) or config.retry:
        return reason
    tried = [(place, None) for place in places.values()]
    tried += [(Path(config.resources, "canonical", source), reader_code(name)) for source, name in data.readers.items()]
    tried.append((Path(config.results, paper.name, dataset), data_code(data)))
    return next(filter(None, (failures.reason(*one) for one in tried)), None)


def licences_of(dataset: Dataset) -> set[str]:
    """The licences that a person must agree to before a data set is fetched."""
    return {load_catalogue()[source].licence.agree for source in dataset.readers} - {None}


def weights_of(paper: Paper, run: Run, config: Config) -> list[Path]:
    """The files of released weights that a run starts from; none for most."""
    row = paper.methods[run.method]
    if row.model is None or "weights" not in options_of("models", row.model).model_fields:
        return []
    key = released(spec_of(replace(run, variant=MAIN) if run.variant == TUNED else run, config))
    if key is None:
        return []
    source = entry(load_catalogue(), key, f"weights of {run.method}: source")
    return [Path(config.resources, "raw", key, file.path) for file in source.files]


def no_weights(paper: Paper, run: Run, config: Config) -> str | None:
    """Say which released weights are not at hand, and how to get them, or None."""
    absent = [path for path in weights_of(paper, run, config) if not path.is_file()]
    if not absent:
        return None
    return f"weights: `python -m reprise fetch {absent[0].parent.name}` gets them, or put {', '.join(map(str, absent))}"
