"""A paper is a folder: `paper.yaml` read, checked, and resolved into runs and exhibits.

Everything here is decided without PyTorch and without a network, because Snakemake asks it while the DAG is built.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reprise.errors import RepriseError
from reprise.files import digest, read_yaml
from reprise.settings import Field, Settings, checked
from reprise.sourcecode import code_hash, options_of
from reprise.training.options import Training

PAPERS = Path(__file__).resolve().parent.parent / "papers"


class Layer(Settings):
    """Settings by component; layers are laid over one another, the later one wins."""

    training: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Reading(Layer):
    """One way to run the paper: a preset over every switch of its protocol."""

    about: str


class Dataset(Settings):
    """One data set: where it comes from, how it is split, what must come out."""

    label: str
    source: str | None = None
    reader: str | None = None
    split: Literal["released"] | None = None
    valid_k: int = 5
    valid_seed: int = 20210814
    expect: dict[str, float | int] = Field(default_factory=dict)
    settings: Layer = Layer()
    stand_in: bool = Field(False, description="generated: runs only when selected by name, never beside printed values")
    not_run: str | None = Field(None, description="why nothing is run on it yet")


class Method(Settings):
    """One row of the paper's tables."""

    backbone: str
    model: str | None = None
    method: str = "plain"
    about: str = ""
    settings: Layer = Layer()
    readings: dict[str, Layer] = Field(default_factory=dict)
    not_run: str | None = Field(None, description="why it is not run yet")


class Exhibit(Settings):
    """One table or figure of the paper."""

    title: str
    caption: str = ""
    kind: Literal["statistics", "metrics", "figure"]
    datasets: tuple[str, ...]
    methods: tuple[str, ...] = ()
    floor: tuple[str, ...] = Field((), description="rows that the paper lacks: what no method may fall below")
    metrics: tuple[str, ...] = ()
    ks: tuple[int, ...] = (20,)
    claims: tuple[str, ...] = Field((), description="ids or ranges `C001-C322` of claims.csv that it answers")
    family: int = Field(0, description="number of tests that Holm's correction counts, in each reading")


class Paper(Settings):
    """One paper, as its `paper.yaml` says."""

    name: str
    title: str
    authors: str
    venue: str
    url: str
    code: str
    reference: dict[str, str] = Field(description="by backbone, the method that a method must be told apart from")
    defaults: Layer
    readings: dict[str, Reading]
    datasets: dict[str, Dataset]
    methods: dict[str, Method]
    tables: dict[str, Exhibit]
    figures: dict[str, Exhibit]

    @property
    def folder(self) -> Path:
        return PAPERS / self.name

    @property
    def exhibits(self) -> dict[str, Exhibit]:
        """Tables and figures by name (`table2`, `figure7`)."""
        return {**self.tables, **self.figures}

    def dataset(self, key: str) -> Dataset:
        """Return a data set by key, or say which there are."""
        return _known(self.datasets, key, f"data set of {self.name}")

    def method(self, name: str) -> Method:
        """Return a method by name, or say which there are."""
        return _known(self.methods, name, f"method of {self.name}")


def _known(table: Mapping[str, Any], key: str, what: str) -> Any:
    if key not in table:
        raise RepriseError(f"{what} {key!r}", expected="one of " + ", ".join(table), found=key)
    return table[key]


@dataclass(frozen=True)
class Run:
    """One training run: a method on a data set, in a reading, with a seed."""

    paper: str
    dataset: str
    reading: str
    backbone: str
    method: str
    variant: str
    seed: int

    @property
    def folder(self) -> str:
        """Where it lies below `results`: `<paper>/<dataset>/runs/<method>/<reading>/seed<n>`."""
        reading = self.reading if self.variant == "main" else f"{self.reading}-{self.variant}"
        return f"{self.paper}/{self.dataset}/runs/{self.method}/{reading}/seed{self.seed}"


def paper_names() -> list[str]:
    """Name the papers there are: the folders with a `paper.yaml`."""
    return sorted(path.parent.name for path in PAPERS.glob("*/paper.yaml"))


@functools.cache
def load_paper(name: str) -> Paper:
    """Read and check `papers/<name>/paper.yaml`.

    Raises
    ------
    RepriseError
        No such paper; unknown or unused keys; a reference to a data set, method or reading that is not declared.
    """
    path = PAPERS / name / "paper.yaml"
    if not path.exists():
        raise RepriseError(f"paper {name!r}", expected="one of " + ", ".join(paper_names()), found=name)
    values = read_yaml(path)
    paper: Paper = checked(Paper, values, f"papers/{name}/paper.yaml")
    _check(paper, f"papers/{name}/paper.yaml")
    return paper


def _check(paper: Paper, where: str) -> None:
    """Refuse what the schema cannot: dangling names and settings that no component would read."""
    if paper.name != Path(where).parent.name:
        raise RepriseError(where, expected=f"name: {Path(where).parent.name}", found=f"name: {paper.name}")
    for key, dataset in paper.datasets.items():
        if key != dataset.label.lower().replace(" ", "-"):
            raise RepriseError(f"{where}, datasets.{key}", expected="the lower-cased label as key", found=dataset.label)
        missing = [field for field in ("source", "reader", "split") if getattr(dataset, field) is None]
        if missing and not dataset.not_run:
            raise RepriseError(
                f"{where}, datasets.{key}",
                expected="source, reader and split, or not_run with a reason",
                found="no " + ", ".join(missing),
            )
    for name, exhibit in paper.exhibits.items():
        for key in exhibit.datasets:
            _known(paper.datasets, key, f"{where}, {name}: data set")
        for method in (*exhibit.methods, *exhibit.floor):
            _known(paper.methods, method, f"{where}, {name}: method")
        if exhibit.claims and not exhibit.family:
            raise RepriseError(
                f"{where}, {name}", expected="family: the number of tests among its claims", found="none"
            )
    used_models = {method.model for method in paper.methods.values()}
    used_methods = {method.method for method in paper.methods.values() if method.model}
    for layer in (paper.defaults, *paper.readings.values(), *(d.settings for d in paper.datasets.values())):
        for kind, names, used in (("models", layer.models, used_models), ("methods", layer.methods, used_methods)):
            for unused in set(names) - used:
                raise RepriseError(
                    f"{where}, {kind}.{unused}", expected=f"a {kind[:-1]} that some row uses", found=unused
                )
    for name, method in paper.methods.items():
        for reading in set(method.readings) - set(paper.readings):
            raise RepriseError(
                f"{where}, methods.{name}.readings", expected="one of " + ", ".join(paper.readings), found=reading
            )
        if not method.not_run:
            for reading in paper.readings:
                for key, dataset in paper.datasets.items():
                    if not dataset.not_run:
                        resolve(paper, key, reading, name)


def resolve(paper: Paper, dataset: str, reading: str, method: str, max_epochs: int | None = None) -> dict[str, Any]:
    """Resolve every setting of a run but its seed: defaults < data set < reading < method < method in that reading.

    Returns
    -------
    dict
        `{"model": {"name", ...}, "method": {"name", ...}, "training": {...}}`, each part checked by its own schema.
    """
    row = paper.method(method)
    preset: Reading = _known(paper.readings, reading, f"reading of {paper.name}")
    layers = [paper.defaults, paper.dataset(dataset).settings, preset, row.settings, row.readings.get(reading, Layer())]
    where = f"papers/{paper.name}/paper.yaml, {method} on {dataset}, {reading}"
    if row.model is None:
        raise RepriseError(where, expected="model: a file of reprise/models", found="none")

    def laid(pick: Any) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for layer in layers:
            merged.update(pick(layer))
        return merged

    training = laid(lambda layer: layer.training)
    if max_epochs is not None:
        training["max_epochs"] = min(max_epochs, training.get("max_epochs", max_epochs))
    return {
        "model": {
            "name": row.model,
            **checked(
                options_of("models", row.model), laid(lambda layer: layer.models.get(row.model, {})), where
            ).model_dump(mode="json"),
        },
        "method": {
            "name": row.method,
            **checked(
                options_of("methods", row.method), laid(lambda layer: layer.methods.get(row.method, {})), where
            ).model_dump(mode="json"),
        },
        "training": checked(Training, training, where).model_dump(mode="json"),
    }


def spec_code(spec: Mapping[str, Any]) -> str:
    """The part of a run's fingerprint that is known while the DAG is built: its settings and the code it imports."""
    return digest(
        {
            "spec": spec,
            "code": code_hash(
                "training.run",
                "evaluation.lists",
                f"models.{spec['model']['name']}",
                f"methods.{spec['method']['name']}",
            ),
        }
    )


def data_code(dataset: Dataset) -> str:
    """What decides how a data set comes out: its entry in `paper.yaml`, settings of training apart, and the code."""
    spec = dataset.model_dump(mode="json", exclude={"settings"})
    return digest({"spec": spec, "code": code_hash("stages.prepare", "stages.check")})


def claim_ids(patterns: tuple[str, ...]) -> Iterator[str]:
    """Spell out claim ids: `C001-C003` gives C001, C002, C003; anything else is itself."""
    for pattern in patterns:
        first, dash, last = pattern.partition("-")
        prefix = first.rstrip("0123456789")
        if dash and first[len(prefix) :] and last.startswith(prefix) and last[len(prefix) :].isdigit():
            width = len(first) - len(prefix)
            for number in range(int(first[len(prefix) :]), int(last[len(prefix) :]) + 1):
                yield f"{prefix}{number:0{width}d}"
        else:
            yield pattern
