"""What a run of Reprise may be told: `config/*.yaml`, then `--config key=value`, normalised and checked.

Snakemake hands a command line's values over as whatever YAML makes of them (`seeds=3` an integer, `seeds=0,1,2` a text,
`max_epochs=1e2` a float), so every key accepts all the forms that a person would write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import field_validator

from reprise.errors import RepriseError
from reprise.files import read_yaml
from reprise.settings import Field, Settings, checked

DEFAULT_FILE = Path("config/config.yaml")
# The record belongs to the working directory, as the Snakefile does, wherever `results` of a configuration points.
RECORD = Path("results/record")
STUDY = "aa.json"  # what `python -m reprise aa` writes below `results`
Names = tuple[str, ...] | None


def _listed(value: Any) -> list[Any] | None:
    """Turn `a,b`, `[a, b]`, `a` or `all`/empty into a list, or None for everything."""
    if value is None or value in ("all", ""):
        return None
    if isinstance(value, str):
        return [part.strip() for part in value.strip("[]").split(",") if part.strip()]
    if isinstance(value, (list, tuple, set)):
        return list(value)
    return [value]


def _whole(value: Any) -> Any:
    """Turn `3`, `"3"` or `3.0` into 3; anything else is left for the check to refuse."""
    if isinstance(value, bool):
        raise ValueError("expected a whole number")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError("expected a whole number") from None
    if not number.is_integer():
        raise ValueError("expected a whole number")
    return int(number)


class Config(Settings):
    """The configuration of one invocation. `None` for a list of names means all there are."""

    mirror: str | None = Field(
        None, description="folder or URL laid out as the public sources are, with a MANIFEST.csv"
    )
    results: str = Field("results", description="where results go")
    resources: str = Field("resources", description="raw and canonical data, and the store of trained runs")
    papers: Names = Field(None, description="papers to run")
    datasets: Names = Field(None, description="data sets to run, by key (`adressa`)")
    methods: Names = Field(None, description="methods to run, by the name their table prints (`MACR_MF`)")
    readings: Names = Field(None, description="`printed`, `sound` or both")
    seeds: tuple[int, ...] = Field((1, 2, 3, 4, 5), description="n means seeds 1..n; a list is taken as is")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="`auto` takes a GPU where there is one")
    threads: int = Field(
        1, ge=1, description="CPU threads a run; part of its identity, sums differ between one and two"
    )
    processes: int = Field(
        1, ge=1, description="processes of a run that trains a model to write, each on a device of its own"
    )
    max_epochs: int | None = Field(None, ge=1, description="cap on every run's epochs, for a quick look")
    tuning: Literal["published", "search"] = Field(
        "published", description="`search` draws `trials` settings for every method and chooses on validation"
    )
    trials: int = Field(8, ge=1, description="settings tried for each method under `tuning=search`, published included")
    licences: tuple[str, ...] = Field((), description="licences that you have read and agree to (`movielens`)")
    regression_set: Literal["small-world", "real"] = Field("small-world", description="which record rows to re-run")
    retry: bool = Field(False, description="try again what failed before")

    @field_validator("results", "resources", mode="before")
    @classmethod
    def _folders(cls, value: Any) -> Any:
        return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    @field_validator("papers", "datasets", "methods", "readings", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if value == [] or value == "[]":
            raise ValueError("expected all, or at least one name")
        listed = _listed(value)
        return None if listed is None else tuple(str(name) for name in listed)

    @field_validator("licences", mode="before")
    @classmethod
    def _licences(cls, value: Any) -> Any:
        if value == "all":
            raise ValueError("expected the name of each licence that you agree to")
        return tuple(str(name) for name in _listed(value) or ())

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        plain = value.strip() if isinstance(value, str) else value
        if isinstance(plain, (list, tuple)) or (isinstance(plain, str) and ("," in plain or plain.startswith("["))):
            seeds = tuple(_whole(seed) for seed in _listed(plain) or ())
        else:
            seeds = tuple(range(1, _whole(plain) + 1))
        if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
            raise ValueError("expected a number of seeds >= 1, or a list of distinct seeds >= 0")
        return seeds

    @field_validator("threads", "processes", "max_epochs", "trials", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return None if value in (None, "", "null", "none") else _whole(value)

    @field_validator("mirror", mode="before")
    @classmethod
    def _mirror(cls, value: Any) -> Any:
        return None if value in (None, "", False, "none", "null") else str(value)

    @field_validator("retry", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        return words.get(str(value).lower(), value)

    def keeps(self, key: str, name: str) -> bool:
        """Say whether the selection `key` (`papers`, `datasets`, ...) includes `name`."""
        chosen: Names = getattr(self, key)
        return chosen is None or name.lower() in {one.lower() for one in chosen}


def make_config(values: Mapping[str, Any], where: str = "configuration") -> Config:
    """Check and normalise `values`; raise one `RepriseError` that names every unknown or wrong key."""
    return checked(Config, dict(values), where)


def load_config(files: Iterable[str | Path] = (), overrides: Iterable[str] = ()) -> Config:
    """Read `config/config.yaml`, then `files` and `key=value` texts on top, as Snakemake does.

    Raises
    ------
    RepriseError
        A key that is unknown, a value that is wrong, an override without `=`.
    """
    values: dict[str, Any] = {}
    files = [*([DEFAULT_FILE] if DEFAULT_FILE.exists() else []), *files]
    for file in files:
        values.update(read_yaml(file) or {})
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise RepriseError(f"--config {text}", expected="key=value", found=text)
        values[key.strip()] = yaml.safe_load(value)
    return make_config(
        values, " + ".join([str(file) for file in files] + (["--config"] if overrides else [])) or "configuration"
    )
