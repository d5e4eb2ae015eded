"""What a paper.yaml may say, as classes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from reprise.data.recipe import Recipe
from reprise.errors import RepriseError
from reprise.settings import Field, Settings

PAPERS = Path(__file__).resolve().parents[2] / "papers"
Status = Literal["rebuilt", "recovered", "small-world"]
GroupKind = Literal["items", "users", "attributes", "drift", "ratings"]
LABEL = re.compile(r"(?P<row>[^\[\]]+?)(?:\[(?P<settings>[^\[\]]+)\])?")
BASE = re.compile(r"(?P<row>.+?)(?:@\+(?P<later>\d+))?")
SETTING = re.compile(r"\s*(?P<key>\w+)\s*=\s*(?P<value>[\w.+-]+)\s*")


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
    source: str
    reader: str
    expect: dict[str, int | float | tuple[int, int] | dict[int, int]] = Field(
        default_factory=dict,
        description="counts that must come out: of stats.json, a histogram as a mapping, a range as its two ends",
    )
    expect_if: dict[Status, dict[str, int]] = Field(
        default_factory=dict, description="counts that come out instead where the data are not the official ones"
    )
    lists: str | None = Field(None, description="split listed: the source of what is held out")
    lists_reader: str | None = None
    known: str | None = Field(None, description="another source, whose table of items says more of the same items")
    known_reader: str | None = None
    settings: Layer = Layer()
    stand_in: bool = Field(
        False,
        description="generated, or split in another way: runs only when selected by name, never beside printed values",
    )
    trend: str | None = Field(
        None, description="why it can be no more than like the paper's: numbers on it are judged as a trend"
    )
    misprints: dict[str, str] = Field({}, description="by statistic that the paper prints wrongly, what it does to it")

    @property
    def readers(self) -> dict[str, str]:
        """The sources that it is made from, and the reader of each."""
        pairs = {self.source: self.reader, self.lists: self.lists_reader, self.known: self.known_reader}
        return {source: reader for source, reader in pairs.items() if source and reader}  # most have the first alone


class OnDataset(Layer):
    """What a row sets on one data set; `readings`, what it does so in one reading alone."""

    readings: dict[str, Layer] = Field(default_factory=dict)


class Method(Settings):
    """One row of the paper's tables; a variant, `<method> <name>`, is another row with settings of its own."""

    backbone: str
    model: str | None = None
    method: str = "plain"
    about: str = ""
    settings: Layer = Layer()
    readings: dict[str, Layer] = Field(default_factory=dict)
    datasets: dict[str, OnDataset] = Field(default_factory=dict)
    grid: Grid = Field(Grid(), description="laid over the paper's grid")
    variants: dict[str, dict[str, Any]] = Field(
        {}, description="by name, the settings of the method, or else of the model, that make a variant"
    )
    starts_from: str | dict[str, str] = Field(
        {},
        description="the method whose run, on the same data and with the same seed, leaves the first weights; or one "
        "for each of several parts of the model. Of a variant's settings it has those that it knows, but "
        "for those of its method that it sets itself",
    )
    updates_of: str | None = Field(
        None,
        description="the method whose run, on the same data and with the same seed, says how many updates this one "
        "takes: its own and those of all that it starts from. No patience and no cap of epochs ends it then",
    )
    rerank: str | None = Field(None, description="a file of reprise/rerank, in place of model and method")
    reranks: str | tuple[str, ...] = Field(
        (),
        description="the row, or rows in the file's order, whose runs on the same data and with the same seed it ranks "
        "anew; `FM@+1000` is FM's with that seed + 1000",
    )

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


class Gain(Settings):
    """A row of a table that says by how much one method's numbers exceed another's, as a share of the latter."""

    of: str
    over: tuple[str, ...] = Field(min_length=1, description="a method; or several, of which the best counts")


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
    stand_ins: bool = Field(
        True, description="shown on any stand-in, too, where one is selected; or on those of `datasets` alone"
    )
    floor: tuple[str, ...] = Field((), description="rows that the paper lacks: what no method may fall below")
    gains: tuple[Gain, ...] = Field((), description="rows below the methods': relative gains, printed and ours")
    metrics: tuple[str, ...] = ()
    ks: tuple[int, ...] = (20,)
    one_by_one: tuple[str, ...] = Field((), description="rows of a table of times that get one user at a time")
    kept: tuple[str, ...] = Field(
        (), description="rows of a table of times that make what depends on no user once, not in every batch"
    )
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
        {}, description="by id, columns of claims.csv for a claim whose sides are prose, so that it can be "
        "computed; or the `reason` why it cannot be"
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
        return entry(self.datasets, key, f"data set of {self.name}")

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
        name, settings = found["row"] if found else label, {}
        if name not in self.methods:
            variants = {
                f"{method} {variant}": (method, own)
                for method, one in self.methods.items()
                for variant, own in one.variants.items()
            }
            name, settings = entry({one: (one, {}) for one in self.methods} | variants, name, where)
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


def entry(table: Mapping[str, Any], key: str, what: str) -> Any:
    """The entry `key` of a table, or one error that lists what there is instead; `what` says what was asked for."""
    if key not in table:
        raise RepriseError(f"{what} {key!r}", expected="one of " + ", ".join(table), found=key)
    return table[key]


def _value(text: str) -> Any:
    """A number or truth value as JSON writes it, or else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


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
