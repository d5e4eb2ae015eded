"""What Snakemake asks while it builds the DAG: input files and parameters. Free of PyTorch and of the network.

The rule files hold rules only; every function that they call is a method of `Dag`.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reprise import selection
from reprise.config import RECORD, STUDY, Config, load_config, make_config
from reprise.data.catalogue import load_catalogue
from reprise.data.download import is_web
from reprise.data.mirror import MANIFEST
from reprise.errors import RepriseError
from reprise.files import digest
from reprise.papers import (
    MAIN,
    PAPERS,
    TUNED,
    Paper,
    Run,
    data_code,
    load_paper,
    paper_names,
    preset_name,
    spec_code,
    variant_of,
)
from reprise.sourcecode import code_hash, reader_code
from reprise.targets import Exhibits, Targets
from reprise.training.devices import processes_of, visible_gpus
from reprise.tuning import search_of, spec_of

RUN_MB = 8000  # memory of one process of a run


def open_dag(values: Mapping[str, Any], workflow: Any) -> Dag:
    """Check configuration and papers; a mistake in them ends Snakemake with one message instead of a traceback."""
    try:
        return Dag(values, workflow)
    except RepriseError as error:
        sys.exit(f"snakemake: {error.text()}")


class Dag:
    """The answers for one configuration.

    Parameters
    ----------
    values : Mapping
        Snakemake's `config`, unchecked.
    workflow : snakemake.workflow.Workflow
        Asked for the targets of the command line, and told how many GPUs there are.

    Raises
    ------
    RepriseError
        A mistake in the configuration, in a `paper.yaml` or in the catalogue of sources.
    """

    def __init__(self, values: Mapping[str, Any], workflow: Any):
        self.config: Config = make_config(values)
        self.papers: dict[str, Paper] = {paper.name: paper for paper in selection.papers(self.config)}
        mirror = self.config.mirror
        if mirror and not is_web(mirror) and not Path(mirror, MANIFEST).is_file():  # before a download can fail of it
            raise RepriseError("config mirror", expected=f"a web address, or a folder with a {MANIFEST}", found=mirror)
        self.results, self.resources = Path(self.config.results), Path(self.config.resources)
        self.sources = load_catalogue()
        self.readers = _readers()
        self.targets = Targets(self.papers, self.results)
        self._workflow = workflow
        # A limit that a profile or the command line sets wins: a cluster's head node has no GPU of its own.
        limit = workflow.global_resources.setdefault("gpu", len(visible_gpus()))
        gpus = getattr(limit, "value", limit)  # Snakemake wraps it, and the wrapper of 0 is true
        self.device = "cpu" if self.config.device == "cpu" or (self.config.device == "auto" and not gpus) else "cuda"

    # Names and places

    @property
    def wildcards(self) -> dict[str, str]:
        """A regular expression for every wildcard: the names that exist, and nothing else."""
        every = [load_paper(name) for name in paper_names()]
        names = {
            "paper": [paper.name for paper in every],
            "source": self.sources,
            "dataset": [key for paper in every for key in paper.datasets],
            "method": [key for paper in every for key in paper.methods],
            "reading": [preset for paper in every for preset in _presets(paper)],
            "table": [key for paper in every for key in paper.tables],
            "figure": [key for paper in every for key in paper.figures],
        }
        return {key: "|".join(map(re.escape, dict.fromkeys(some))) for key, some in names.items()} | {"seed": "[0-9]+"}

    @property
    def pathvars(self) -> dict[str, str]:
        """Where `<results>`, `<resources>`, `<logs>` and `<benchmarks>` of the rules lie."""
        return {
            "results": str(self.results),
            "resources": str(self.resources),
            "logs": str(self.results / "logs"),
            "benchmarks": str(self.results / "benchmarks"),
        }

    @property
    def shell_prefix(self) -> str:
        """Give jobs this interpreter as `python`, unless Snakemake makes an environment for each kind of rule."""
        package = f"export PYTHONPATH={shlex.quote(str(PAPERS.parent))}; "
        if self._workflow.deployment_settings.deployment_method:
            return package
        return package + f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; "

    # Input files

    @functools.cached_property
    def requested(self) -> Exhibits:
        """The exhibits that the command line asks for.

        Read it only while the DAG is being built: Snakemake parses the rules before it says what its targets are. A job
        that Snakemake starts as a process of its own has none.
        """
        settings = self._workflow.dag_settings
        return self.targets.behind(settings.targets or ([] if settings.target_jobs else ["all"]))

    def placed_by_hand(self, wildcards: Any) -> list[str]:
        """The files of a source that a person places, so that replacing one is noticed."""
        source = self.sources[wildcards.source]
        return [str(self.resources / "raw" / source.key / file.path) for file in source.files] if source.gated else []

    def canonical(self, wildcards: Any) -> list[str]:
        """The canonical form of the sources of a paper's data set."""
        sources = load_paper(wildcards.paper).dataset(wildcards.dataset).readers
        return [str(self.resources / "canonical" / source / "canonical.json") for source in sources]

    def collected(self, wildcards: Any) -> list[str]:
        """What the requested exhibits of a paper show and can be had; without a request, what of it exists."""
        names = [name for paper, name in self.requested if paper == wildcards.paper]
        paper = self.papers[wildcards.paper]
        planned = selection.plan(paper, names or paper.exhibits, self.config)
        files = [self._receipt(one.run) for one in planned if one.reason is None]
        files += self._statistics(paper, names or list(paper.exhibits))
        files += self._times(paper, names or list(paper.exhibits), planned)
        return files if names else [file for file in files if Path(file).exists()]

    def _statistics(self, paper: Paper, names: list[str]) -> list[str]:
        shown = (paper.exhibits[name] for name in names if paper.exhibits[name].kind == "statistics")
        keys = dict.fromkeys(key for exhibit in shown for key in selection.datasets_of(paper, exhibit, self.config))
        return [
            str(self.results / paper.name / key / "data" / "stats.json")
            for key in keys
            if selection.not_prepared(paper, key, self.config) is None
        ]

    def _times(self, paper: Paper, names: list[str], planned: list[selection.Planned]) -> list[str]:
        """The response times of every table, data set and reading of which some run can be had."""
        places = dict.fromkeys((one.run.dataset, one.run.reading) for one in planned if one.reason is None)
        return [
            str(self.results / paper.name / dataset / "times" / name / f"{reading}.csv")
            for name in names
            if name in paper.timed
            for dataset, reading in places
            if dataset in selection.datasets_of(paper, paper.exhibits[name], self.config)
        ]

    def clocked(self, wildcards: Any) -> list[str]:
        """The runs whose response times a table shows, each of the first seed."""
        paper = load_paper(wildcards.paper)
        runs = selection.runs_of(paper, paper.exhibits[wildcards.table], self.config)
        here = (wildcards.dataset, wildcards.reading, self.config.seeds[0])
        wanted = (run for run in runs if (run.dataset, run.reading, run.seed) == here)
        return [self._receipt(run) for run in wanted if selection.planned(paper, run, self.config).reason is None]

    def facts(self, wildcards: Any) -> list[str]:
        """The files of a paper's folder: what ours is shown beside, and how it is drawn."""
        names = ("paper.yaml", "reported.csv", "claims.csv", "figures.py")
        files = [PAPERS / wildcards.paper / name for name in names]
        return [os.path.relpath(file) for file in files if file.exists()]

    def on_scorecard(self, _: Any) -> list[str]:
        """What of this request the scorecard shows, and the record that stands in for what is not at hand."""
        files = ("{}.runs.csv", "{}.spreads.csv")
        record = [RECORD / file.format(name) for name in self.papers for file in files]
        rendered = [file for file in self.targets.files(self.requested) if Path(file).stem != "scorecard"]
        return rendered + [str(file) for file in (*record, self.results / STUDY, RECORD / STUDY) if file.exists()]

    def of_record(self, _: Any) -> list[str]:
        """The runs that `regression` compares with the record; whether they are enough is for the stage to say."""
        from reprise.reporting.regression import recorded_runs  # pandas and scipy: a second that no other target needs

        return [self._receipt(run) for paper in self.papers.values() for run in recorded_runs(paper, self.config)]

    def choice(self, wildcards: Any) -> list[str]:
        """What a search chose for a tuned run; other runs have no such input."""
        paper = load_paper(wildcards.paper)
        run = Run.named(paper, wildcards.dataset, wildcards.method, wildcards.reading, 0)
        search = search_of(paper.name, run.dataset, run.method, run.reading, self.config)
        searched = run.variant == TUNED and not paper.methods[run.method].rerank
        return [str(self.results / search.folder / "choice.json")] if searched else []

    def behind(self, wildcards: Any) -> list[str]:
        """The runs and the released weights that a run is made of; most have no such input."""
        paper = load_paper(wildcards.paper)
        run = Run.named(paper, wildcards.dataset, wildcards.method, wildcards.reading, int(wildcards.seed))
        weights = map(str, selection.weights_of(paper, run, self.config))
        return [*(self._receipt(other) for other in selection.behind(paper, run)), *weights]

    def before_search(self, wildcards: Any) -> list[str]:
        """The runs whose weights the trials of a search start from; most have no such input."""
        names = wildcards.paper, wildcards.dataset, wildcards.method, wildcards.reading
        return [
            self._receipt(other)
            for other in selection.before_search(load_paper(wildcards.paper), search_of(*names, self.config))
        ]

    def _receipt(self, run: Run) -> str:
        return str(self.results / run.folder / "run.json")

    # What a run takes of the machine

    def processes(self, wildcards: Any) -> int:
        """The processes that share a run; part of its identity."""
        row = load_paper(wildcards.paper).methods[wildcards.method]
        return processes_of(None if row.rerank else row.method, self.config)

    def threads(self, wildcards: Any) -> int:
        """CPU threads of all its processes."""
        return self.config.threads * self.processes(wildcards)

    def gpus(self, wildcards: Any) -> int:
        """A GPU for each."""
        return self.processes(wildcards) if self.device == "cuda" else 0

    def memory(self, wildcards: Any) -> int:
        """Megabytes of all of them."""
        return RUN_MB * self.processes(wildcards)

    # Parameters: what re-runs a job when it changes

    def catalogued(self, wildcards: Any) -> str:
        """What the catalogue says of a source, as a hash; of a generated one also the code that writes it."""
        source = self.sources[wildcards.source]
        writer = code_hash("data.small_world") if source.generate else None
        return digest([source.model_dump(mode="json"), writer])

    def reader(self, wildcards: Any) -> str:
        """The reader of a source."""
        return self.readers[wildcards.source]

    def reader_code(self, wildcards: Any) -> str:
        """The code that turns a source into its canonical form, as a hash."""
        return reader_code(self.readers[wildcards.source])

    def data_code(self, wildcards: Any) -> str:
        """What decides how a data set comes out, as a hash: its entry in `paper.yaml` and the code."""
        return data_code(load_paper(wildcards.paper).dataset(wildcards.dataset))

    def stage_code(self, stage: str) -> str:
        """The code that a stage imports, as a hash."""
        return code_hash(f"stages.{stage}")

    def run_code(self, wildcards: Any) -> str:
        """The part of a run's fingerprint that is known before it starts: its settings and the code that it imports."""
        return _run_code(wildcards.paper, wildcards.dataset, wildcards.reading, wildcards.method, self.config)

    def search_code(self, wildcards: Any) -> str:
        """The trials of a search and the code that they import, as a hash."""
        return search_of(
            wildcards.paper, wildcards.dataset, wildcards.method, wildcards.reading, self.config
        ).code

    def groups_code(self, wildcards: Any) -> str:
        """What decides a run's means over groups, as a hash: a change measures again what the store holds."""
        edges = {kind: list(counts) for kind, counts in load_paper(wildcards.paper).groups.items()}
        return digest([edges, code_hash("training.measuring")])

    def settings(self, wildcards: Any, threads: int) -> str:
        """The configuration as a command line, on top of what `python -m reprise` reads by itself.

        It asks for `threads`, unused, because Snakemake then takes it for derived and leaves it out of the parameters
        that re-run a job: to ask for another seed would re-run everything else.
        """
        return self._changed

    @functools.cached_property
    def _changed(self) -> str:
        """What differs from the defaults, as a command line; the same for every job, and each of them asks."""
        base = load_config()
        changed = [f"{key}={_written(value)}" for key, value in self.config if value != getattr(base, key)]
        return shlex.join(["--config", *changed]) if changed else ""


def _written(value: Any) -> str:
    """A setting as `--config key=value` takes it: lists in brackets, `null` for None."""
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return "null" if value is None else str(value)


def _readers() -> dict[str, str]:
    """The reader of every source that a data set of some paper uses; two readers of one source are an error."""
    readers: dict[str, str] = {}
    for name in paper_names():
        for key, dataset in load_paper(name).datasets.items():
            for source, reader in dataset.readers.items():
                if readers.setdefault(source, reader) != reader:
                    raise RepriseError(
                        f"papers/{name}/paper.yaml, datasets.{key}",
                        found=f"reader: {reader}",
                        expected=f"reader: {readers[source]}, as elsewhere for {source}",
                    )
    return readers


@functools.cache
def _run_code(paper: str, dataset: str, preset: str, method: str, config: Config) -> str:
    run = Run.named(load_paper(paper), dataset, method, preset, 0)
    if run.variant != TUNED:
        return spec_code(spec_of(run, config))
    # Its settings may not be chosen yet: they follow from the search, and from the choice, which is an input.
    published = spec_code(spec_of(replace(run, variant=MAIN), config))
    if load_paper(paper).methods[method].rerank:
        others = selection.behind(load_paper(paper), run)
        codes = [
            _run_code(paper, dataset, preset_name(one.reading, one.variant), one.method, config) for one in others
        ]
        return digest([codes, published])
    return digest([search_of(paper, dataset, method, run.reading, config).code, published])


def _presets(paper: Paper) -> list[str]:
    """The readings of a paper, tuned or not, and each with every variant that some row comes to on some data set."""
    variants = (
        preset_name(reading, variant_of(paper, label, dataset, reading)[1])
        for label in paper.labels
        if paper.row(label)[1]
        for dataset in paper.datasets
        for reading in paper.readings
    )
    return list(dict.fromkeys([*paper.readings, *(preset_name(one, TUNED) for one in paper.readings), *variants]))
