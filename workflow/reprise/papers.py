"""A paper is a folder: `paper.yaml` read, checked, and resolved into runs and exhibits.

Everything here is decided without PyTorch and without a network, because Snakemake asks it while the DAG is built.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from reprise.data.recipe import Recipe
from reprise.errors import RepriseError
from reprise.files import digest, read_yaml
from reprise.runs import MAIN, TUNED, Run, preset_name
from reprise.settings import Field, Settings, checked
from reprise.sourcecode import code_hash, options_of, trainer_of
from reprise.training.options import Training

__all__ = [
    "MAIN", "PAPERS", "TUNED", "Dataset", "Exhibit", "Grid", "Layer", "Method", "Paper", "Reading", "Run", "claim_ids",
    "data_code", "grid_of", "load_paper", "paper_names", "preset_name", "resolve", "spec_code", "variant_of",
]  # fmt: skip
Status = Literal["rebuilt", "recovered", "small-world"]
GroupKind = Literal["items", "users", "attributes", "drift", "ratings"]
PAPERS = Path(__file__).resolve().parent.parent / "papers"
LABEL = re.compile(r"(?P<row>[^\[\]]+?)(?:\[(?P<settings>[^\[\]]+)\])?")
BASE = re.compile(r"(?P<row>.+?)(?:@\+(?P<later>\d+))?")
SETTING = re.compile(r"\s*(?P<key>\w+)\s*=\s*(?P<value>[\w.+-]+)\s*")
# What makes a score comparable with another method's, so that no grid may vary it.
PROTOCOL = ("metric", "k", "ks", "fit_on", "select_on", "refit", "empty_users", "profile")


class Layer(Settings):
    """Settings by component; layers are laid over one another, the later one wins."""

    training: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    rerankers: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Grid(Settings):
    """What a search may vary: a `Layer` whose every leaf is a list of values; an empty list takes a setting out."""

    training: dict[str, list[Any]] = Field(default_factory=dict)
    models: dict[str, dict[str, list[Any]]] = Field(default_factory=dict)
    methods: dict[str, dict[str, list[Any]]] = Field(default_factory=dict)


class Reading(Layer):
    """One way to run the paper: a preset over every switch of its protocol."""

    about: str


class Dataset(Recipe):
    """One data set: where it comes from, how it is made (`Recipe`), what must come out."""

    label: str
    source: str | None = None
    reader: str | None = None
    expect: dict[str, int | float | tuple[int, int] | dict[int, int]] = Field(
        default_factory=dict,
        description="counts that must come out: of stats.json, a histogram as a mapping, a range as its two ends",
    )
    expect_if: dict[Status, dict[str, int]] = Field(
        default_factory=dict, description="counts that come out instead where the data are not the official ones"
    )
    lists: str | None = Field(None, description="split listed: the source of what is held out")
    lists_reader: str | None = None
    settings: Layer = Layer()
    stand_in: bool = Field(
        False,
        description="generated, or split in another way: runs only when selected by name, never beside printed values",
    )
    trend: str | None = Field(
        None, description="why it can be no more than like the paper's: numbers on it are judged as a trend"
    )
    not_run: str | None = Field(None, description="why nothing is run on it yet")

    @property
    def readers(self) -> dict[str, str]:
        """The sources that it is made from, and the reader of each."""
        pairs = {self.source: self.reader, self.lists: self.lists_reader}
        return {source: reader for source, reader in pairs.items() if source and reader}


class Method(Settings):
    """One row of the paper's tables; a variant, `<method> <name>`, is another row with settings of its own."""

    backbone: str
    model: str | None = None
    method: str = "plain"
    about: str = ""
    settings: Layer = Layer()
    readings: dict[str, Layer] = Field(default_factory=dict)
    datasets: dict[str, Layer] = Field(default_factory=dict)
    grid: Grid = Field(Grid(), description="laid over the paper's grid")
    variants: dict[str, dict[str, Any]] = Field({}, description="by name, the method's settings that make a variant")
    starts_from: str | dict[str, str] = Field(
        {},
        description="the method whose run, on the same data and with the same seed, leaves the first weights; or one "
        "for each of several parts of the model",
    )
    rerank: str | None = Field(None, description="a file of reprise/rerank, in place of model and method")
    reranks: str | tuple[str, ...] = Field(
        (),
        description="the row, or rows in the file's order, whose runs on the same data and with the same seed it ranks "
        "anew; `FM@+1000` is FM's with that seed + 1000",
    )
    not_run: str | None = Field(None, description="why it is not run yet")

    @property
    def component(self) -> str:
        """The part of a resolved spec that a row's own settings and variants are about."""
        return "rerank" if self.rerank else "method"

    @property
    def bases(self) -> dict[str, tuple[str, int]]:
        """The rows that it re-ranks, as written: the label of each, and how much larger its seed is."""
        written = (self.reranks,) if isinstance(self.reranks, str) else self.reranks
        return {name: (found["row"], int(found["later"] or 0)) for name in written if (found := BASE.fullmatch(name))}

    @property
    def starts(self) -> dict[str, str]:
        """By part of the model, "" for all of it, the method that it starts from; empty where it starts afresh."""
        return {"": self.starts_from} if isinstance(self.starts_from, str) else self.starts_from


class Exhibit(Settings):
    """One table or figure of the paper."""

    title: str
    caption: str = ""
    kind: Literal["statistics", "metrics", "times", "figure"] = Field(
        description="times: how long each row takes to make a list of the largest of `ks`, and over the first row's"
    )
    datasets: tuple[str, ...]
    printed_as: tuple[str, ...] = Field(
        (), description="tables of reported.csv that hold its printed numbers, the first that has one; none: its own"
    )
    methods: tuple[str, ...] = Field(
        (), description="rows: a method, a variant `<method> <name>`, or settings `<method>[alpha=1e-2;beta=1e-3]`"
    )
    groups: GroupKind | None = Field(
        None, description="its numbers are means over groups of these"
    )
    stand_ins: bool = Field(True, description="shown on generated data too, where those are selected")
    floor: tuple[str, ...] = Field((), description="rows that the paper lacks: what no method may fall below")
    metrics: tuple[str, ...] = ()
    ks: tuple[int, ...] = (20,)
    one_by_one: tuple[str, ...] = Field((), description="rows of a table of times that get one user at a time")
    claims: tuple[str, ...] = Field(
        (), description="ids of claims.csv that it answers, ranges `C001-C322`, families `T2-*`"
    )
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
    grid: Grid = Field(Grid(), description="what `tuning=search` may vary, of every method that reads the setting")
    readings: dict[str, Reading]
    datasets: dict[str, Dataset]
    methods: dict[str, Method]
    groups: dict[GroupKind, tuple[int | float, ...]] = Field(
        {},
        description="last training count of each group of items and users but the last group; the ranks of attributes, "
        "1 for the one that a history has most of, that are shown of the most one-sided histories; what a user's drift "
        "must lie above; the ratings of which predictions are shown",
    )
    restated: dict[str, dict[str, str]] = Field(
        {}, description="by id, columns of claims.csv for a claim whose sides are prose, so that it can be computed"
    )
    tables: dict[str, Exhibit]
    figures: dict[str, Exhibit]

    @property
    def folder(self) -> Path:
        return PAPERS / self.name

    @property
    def timed(self) -> dict[str, Exhibit]:
        """The tables of response times."""
        return {name: table for name, table in self.tables.items() if table.kind == "times"}

    @property
    def exhibits(self) -> dict[str, Exhibit]:
        """Tables and figures by name (`table2`, `figure7`)."""
        return {**self.tables, **self.figures}

    def dataset(self, key: str) -> Dataset:
        """Return a data set by key, or say which there are."""
        return _known(self.datasets, key, f"data set of {self.name}")

    def method(self, label: str) -> Method:
        """Return the method of a row, or say which there are."""
        return self.methods[self.row(label)[0]]

    def row(self, label: str) -> tuple[str, dict[str, Any]]:
        """Take a row's label apart into its method and the settings that make it another row than the method's own.

        `MACR_MF` has none; `MACR_MF w/o L_I` has those of the variant that the method declares; `MACR_MF[alpha=1e-2]`
        has those that it names.

        Raises
        ------
        RepriseError
            No such method or variant; brackets that hold something else than `key=value` joined by `;` or `,` (in a
            run's own name by `~`).
        """
        where = f"method of {self.name} {label!r}"
        found = LABEL.fullmatch(label)
        known = {name: (name, {}) for name in self.methods} | {
            f"{name} {variant}": (name, settings)
            for name, method in self.methods.items()
            for variant, settings in method.variants.items()
        }
        name, settings = _known(known, found["row"] if found else label, where)
        pairs = [SETTING.fullmatch(text) for text in re.split("[;,~]", found["settings"] or "")] if found else []
        if found["settings"] and not all(pairs):
            raise RepriseError(where, expected="[key=value;key=value]", found=found["settings"])
        return name, settings | {pair["key"]: _value(pair["value"]) for pair in pairs if pair}

    def has_row(self, label: str) -> bool:
        """Say whether `label` names a method, a variant or a method's settings."""
        try:
            self.row(label)
        except RepriseError:
            return False
        return True

    @property
    def labels(self) -> list[str]:
        """Every row that some table or figure shows."""
        exhibits = self.exhibits.values()
        return list(dict.fromkeys(label for shown in exhibits for label in (*shown.methods, *shown.floor)))


def _known(table: Mapping[str, Any], key: str, what: str) -> Any:
    if key not in table:
        raise RepriseError(f"{what} {key!r}", expected="one of " + ", ".join(table), found=key)
    return table[key]


def variant_of(paper: Paper, label: str, dataset: str, reading: str) -> tuple[str, str]:
    """The method and variant behind a row; settings that the data set's run of the method has anyway do not count."""
    name, settings = paper.row(label)
    row = paper.methods[name]
    own = resolve(paper, dataset, reading, name)[row.component] if settings and not row.not_run else {}
    other = {key: value for key, value in sorted(settings.items()) if own.get(key) != value}
    # Snakemake parts a job's wildcards at commas when it starts one as a process of its own.
    return name, "~".join(f"{key}={_text(value)}" for key, value in other.items()) or MAIN


def _value(text: str) -> Any:
    """A number or truth value as JSON writes it, or else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _text(value: Any) -> str:
    """A setting in a variant's name: equal values look alike, and no letter needs quoting in a file's name."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value)


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
        for label in (*exhibit.methods, *exhibit.floor):
            row, settings = paper.row(label)
            for reading in paper.readings if settings and not paper.methods[row].not_run else ():
                for key in exhibit.datasets:
                    resolve(paper, key, reading, label)
        if exhibit.groups and exhibit.groups not in paper.groups:
            raise RepriseError(f"{where}, {name}", expected=f"groups: {exhibit.groups}: edges", found="none")
        if exhibit.claims and not exhibit.family:
            raise RepriseError(
                f"{where}, {name}", expected="family: the number of tests among its claims", found="none"
            )
    for reading in paper.readings:
        if "-" in reading:  # which parts a reading from a variant in a folder's name
            raise RepriseError(f"{where}, readings", expected="a name without '-'", found=reading)
    for kind, edges in paper.groups.items():
        if list(edges) != sorted(set(edges)) or not edges:
            raise RepriseError(f"{where}, groups.{kind}", expected="rising numbers", found=str(list(edges)))
    used_models = {method.model for method in paper.methods.values()}
    used_methods = {method.method for method in paper.methods.values() if method.model}
    used_rerankers = {method.rerank for method in paper.methods.values()}
    for layer in (paper.defaults, paper.grid, *paper.readings.values(), *(d.settings for d in paper.datasets.values())):
        kinds = [("models", layer.models, used_models), ("methods", layer.methods, used_methods)]
        if isinstance(layer, Layer):
            kinds.append(("rerankers", layer.rerankers, used_rerankers))
        for kind, names, used in kinds:
            for unused in set(names) - used:
                raise RepriseError(
                    f"{where}, {kind}.{unused}", expected=f"a {kind[:-1]} that some row uses", found=unused
                )
    for name, method in paper.methods.items():
        for reading in set(method.readings) - set(paper.readings):
            raise RepriseError(
                f"{where}, methods.{name}.readings", expected="one of " + ", ".join(paper.readings), found=reading
            )
        _check_starts(paper, name, where)
        _check_bases(paper, name, where)
        for key in method.datasets:
            _known(paper.datasets, key, f"{where}, methods.{name}.datasets: data set")
        if not method.not_run:
            for reading in paper.readings:
                for key, dataset in paper.datasets.items():
                    if not dataset.not_run:
                        resolve(paper, key, reading, name)
            _check_grid(paper, name, where)


def _check_starts(paper: Paper, name: str, where: str, behind: tuple[str, ...] = ()) -> None:
    """Refuse a method that starts from an unknown one or, at some remove, from itself."""
    for start in paper.methods[name].starts.values():
        place = f"{where}, methods.{name}.starts_from"
        _known(paper.methods, start, f"{place}: method")
        if start in (*behind, name):
            raise RepriseError(place, expected="methods that in the end start afresh", found=start)
        _check_starts(paper, start, where, (*behind, name))


def _check_bases(paper: Paper, name: str, where: str) -> None:
    """Refuse a re-ranker of no rows, of unknown ones or of other re-rankers, and rows that name half of one."""
    row, where = paper.methods[name], f"{where}, methods.{name}"
    if bool(row.rerank) != bool(row.bases) or (row.rerank and (row.model or row.starts)):
        given = [key for key in ("model", "starts_from", "rerank", "reranks") if getattr(row, key)]
        raise RepriseError(where, expected="rerank and reranks, without model and starts_from; or neither of the two",
                           found=", ".join(given))
    for label, _ in row.bases.values():
        base = paper.method(label)
        if base.rerank or (base.not_run and not row.not_run):
            raise RepriseError(f"{where}.reranks", expected="rows that are trained", found=label)


def grid_of(paper: Paper, method: str) -> dict[str, list[Any]]:
    """The values that a search may give a method, by setting as a resolved spec has it (`training.l2`, `method.alpha`).

    Empty for a method with nothing to search, and for a re-ranker, which chooses its setting by itself.
    """
    row = paper.methods[method]
    if row.rerank:
        return {}
    found: dict[str, list[Any]] = {}
    for grid in (paper.grid, row.grid):
        parts = {"training": grid.training, "model": grid.models.get(str(row.model), {}),
                 "method": grid.methods.get(row.method, {})}  # fmt: skip
        found |= {f"{part}.{key}": values for part, lists in parts.items() for key, values in lists.items()}
    return {name: values for name, values in sorted(found.items()) if values}


def _check_grid(paper: Paper, method: str, where: str) -> None:
    """Refuse a grid that some run could not take: unknown settings, wrong or repeated values, what is protocol."""
    row, where = paper.methods[method], f"{where}, grid of {method}"
    for own, used in ((row.grid.models, row.model), (row.grid.methods, row.method)):
        for unread in set(own) - {used}:
            raise RepriseError(where, expected=f"settings of {used}", found=unread)
    place = next(((key, reading) for key in paper.datasets for reading in paper.readings), None)
    for name, values in grid_of(paper, method).items():
        part, _, key = name.partition(".")
        if part == "training" and key in PROTOCOL:
            raise RepriseError(where, expected="settings that are no part of the protocol", found=name)
        # One value at a time, in one place, says all: the settings of a component are checked one by one.
        taken = [resolve(paper, *place, method, chosen={name: value})[part][key] for value in values] if place else []
        if len({digest(value) for value in taken}) < len(taken):
            raise RepriseError(where, expected=f"{name}: distinct values", found=f"{values}")


def resolve(
    paper: Paper,
    dataset: str,
    reading: str,
    method: str,
    max_epochs: int | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Resolve every setting of a run but its seed: each laid over those before it.

    Defaults < data set < reading < method < method in that reading < method on that data set.

    `method` is a row's label; what makes it a variant comes after all these, and last what a search has `chosen`
    (`{"training.l2": 1e-4, "method.alpha": 1e-2}`; for a re-ranker by row that it re-ranks). No layer raises
    `max_epochs` above the one given.

    Returns
    -------
    dict
        `{"model": {"name", ...}, "method": {"name", ...}, "training": {...}}`, each part checked by its own schema; of
        a run that starts from others' weights also `"starts_from": {part of the model: {"method", "code"}}`. Of a
        re-ranker `{"rerank": {"name", ...}, "reranks": {row: {"method", "seed", "code"}}, "training": {...}}`, `seed`
        what is added to its own.
    """
    name, settings = paper.row(method)
    row = paper.methods[name]
    preset: Reading = _known(paper.readings, reading, f"reading of {paper.name}")
    own = (row.settings, row.readings.get(reading, Layer()), row.datasets.get(dataset, Layer()))
    layers = [paper.defaults, paper.dataset(dataset).settings, preset, *own]
    where = f"papers/{paper.name}/paper.yaml, {method} on {dataset}, {reading}"
    if row.model is None and row.rerank is None:
        raise RepriseError(where, expected="model: a file of reprise/models", found="none")

    def laid(pick: Any, *last: Mapping[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for one in (*map(pick, layers), *last):
            merged.update(one)
        return merged

    def searched(part: str) -> dict[str, Any]:
        named = ((*key.partition("."), value) for key, value in (chosen or {}).items())
        return {key: value for owner, _, key, value in named if owner == part}

    def component(kind: str, part: str, name: str, *last: Mapping[str, Any]) -> dict[str, Any]:
        """One component, its settings checked; `kind` is the layers' key, `part` the spec's."""
        options = laid(lambda layer: getattr(layer, kind).get(name, {}), *last)
        folder = "rerank" if part == "rerank" else kind
        return {part: {"name": name, **checked(options_of(folder, name), options, where).model_dump(mode="json")}}

    if row.rerank:
        return {
            "reranks": {
                base: {"method": label, "seed": later, "code": spec_code(
                    resolve(paper, dataset, reading, label, max_epochs, (chosen or {}).get(base)))}
                for base, (label, later) in row.bases.items()
            },
            **component("rerankers", "rerank", row.rerank, settings),
            "training": _about(checked(Training, laid(lambda layer: layer.training), where), where),
        }

    training = laid(lambda layer: layer.training, searched("training"))
    if max_epochs is not None:
        training["max_epochs"] = min(max_epochs, training.get("max_epochs", max_epochs))
    starts = {
        part: {"method": start, "code": spec_code(resolve(paper, dataset, reading, start, max_epochs))}
        for part, start in row.starts.items()
    }
    origin = {"starts_from": starts} if starts else {}
    return {
        **origin,
        **component("models", "model", row.model, searched("model")),
        **component("methods", "method", row.method, settings, searched("method")),
        "training": checked(Training, training, where).model_dump(mode="json"),
    }


def _about(training: Training, where: str) -> dict[str, Any]:
    """The training settings of a re-ranker, which reads what items are about."""
    if training.profile is None:
        raise RepriseError(where, expected="training.profile: the feature that says what items are about", found="none")
    return training.model_dump(mode="json")


def spec_code(spec: Mapping[str, Any]) -> str:
    """The part of a run's fingerprint that is known while the DAG is built: its settings and the code it imports."""
    if "rerank" in spec:
        modules = ("training.reranking", f"rerank.{spec['rerank']['name']}")
    else:
        model, method = (spec[part]["name"] for part in ("model", "method"))
        modules = ("training.run", f"models.{model}", f"methods.{method}", f"training.{trainer_of(method)}")
    return digest({"spec": spec, "code": code_hash("evaluation.lists", *modules)})


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
