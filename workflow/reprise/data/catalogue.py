"""The catalogue of raw sources: what exists, where, under which terms. Reading it needs no network."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import field_validator, model_validator

from reprise.errors import RepriseError
from reprise.files import read_yaml
from reprise.settings import Field, Settings, checked

CATALOGUE = Path(__file__).resolve().parents[2] / "sources.yaml"
RECEIPT = "source.json"
STATUSES = ("official", "rebuilt", "recovered", "small-world")  # from best to furthest


class Licence(Settings):
    """The terms of a source: name, who may pass the files on, and the key by which a person agrees, if one must."""

    name: str
    redistribute: str
    agree: str | None = None


class Gated(Settings):
    """Why only a person can get the files, and how."""

    why: str
    steps: str


class SourceFile(Settings):
    """One file of a source, at `path` below `resources/raw/<source>/`.

    `bytes`, `sha256` and `md5` are the published ones; `md5` counts only where no `sha256` is published. Without
    either, the first bytes ever fetched are trusted and later ones compared with them. `members` limits what an archive
    gives.
    """

    path: str
    urls: tuple[str, ...] = ()
    bytes: int | None = Field(default=None, ge=0)
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    md5: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    unpack: Literal["zip", "tar", "gz"] | None = None
    members: tuple[str, ...] = ()

    @field_validator("path")
    @classmethod
    def _stays_below_its_folder(cls, path: str) -> str:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError("must be a relative path without '..'")
        return path


class Source(Settings):
    """A raw source: downloaded (`urls`), placed by a person (`gated`) or written by Reprise itself (`generate`)."""

    key: str = Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str
    page: str | None = None
    licence: Licence
    files: tuple[SourceFile, ...] = Field(min_length=1)
    gated: Gated | None = None
    generate: str | None = None
    rows: int | None = Field(None, ge=1, description="interactions that the source is known to hold, if it is")
    note: str = ""

    @model_validator(mode="after")
    def _comes_one_way(self) -> Source:
        downloaded = [bool(file.urls) for file in self.files]
        by_hand = [self.gated is not None, self.generate is not None]
        if sum([any(downloaded), *by_hand]) != 1 or (not any(by_hand) and not all(downloaded)):
            raise ValueError("needs exactly one of: urls for every file, gated, generate")
        if self.page is None and self.generate is None:
            raise ValueError("needs the page that describes it")
        return self


@functools.cache
def load_catalogue(path: str | Path = CATALOGUE) -> dict[str, Source]:
    """Read and check the catalogue; one `RepriseError` names the source and every key at fault."""
    entries = read_yaml(path)
    if not isinstance(entries, dict):
        raise RepriseError(str(path), expected="a mapping from source to its record", found=type(entries).__name__)
    sources = {}
    for key, record in entries.items():
        where = f"{path}: {key}"
        if not isinstance(record, dict):
            raise RepriseError(where, expected="a record (title, page, licence, files)", found=f"{record!r}")
        sources[key] = checked(Source, {"key": key, **record}, where)
    return sources


def blocked(source: Source, licences: Collection[str], raw_folder: str | Path) -> str | None:
    """Say why `source` cannot be had, or None. Looks at the agreed `licences` and at files below `raw_folder` only.

    `raw_folder` is `resources/raw/<source>`. The answer begins with `licence: `.
    """
    agree = source.licence.agree
    if agree is not None and agree not in licences:
        return f"licence: {source.licence.name} ({source.page}), agree with licences={agree}"
    if source.gated is not None:
        absent = [path for file in source.files if not (path := Path(raw_folder) / file.path).is_file()]
        if absent:
            return f"licence: {source.gated.why} ({source.page}), put {', '.join(map(str, absent))}"
    return None
