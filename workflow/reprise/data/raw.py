"""What lies in `resources/raw/<source>/`: each file of a source, from the first place that has it, and a receipt."""

from __future__ import annotations

import datetime
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from reprise.data.archives import unpack
from reprise.data.catalogue import STATUSES, Source, SourceFile
from reprise.data.disk import disk_errors
from reprise.data.download import Place, download
from reprise.data.mirror import Mirror
from reprise.errors import RepriseError
from reprise.files import read_json, sha256, write_json

logger = logging.getLogger("reprise")

# Sums of files without a published one live apart from the receipt, which Snakemake deletes before it fetches again.
TRUSTED = "trusted.json"

Entry = dict[str, Any]


def obtain(source: Source, folder: Path, mirror: str | None = None) -> dict[str, Any]:
    """Make the files of `source` stand in `folder`, verified and unpacked, and return the receipt.

    Files already there with the right sum are kept. Raises `RepriseError` (`network`, `checksum`, `archive`, `disk`,
    `input`); what stood there before is then still there.
    """
    if source.generate:
        entries = _generated(source, folder)
    else:
        offers = Mirror(mirror) if mirror and not source.gated else None
        entries = [entry for file in source.files for entry in _standing(source, file, folder, offers)]
    return {
        "source": source.key,
        "title": source.title,
        "status": max((entry["status"] for entry in entries), key=STATUSES.index),
        "licence": source.licence.model_dump(),
        "fetched": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "files": entries,
    }


def _standing(source: Source, file: SourceFile, folder: Path, mirror: Mirror | None) -> list[Entry]:
    """The receipt's entries of one file: its own and, of an archive, its members'."""
    offers = mirror.offers(file) if mirror else {}
    if file.path not in offers and file.members and set(file.members) <= set(offers):
        return [_first(source, path, file.urls[0], [offers[path]], folder) for path in file.members]
    mirrored = [offers[file.path]] if file.path in offers else []
    url = file.urls[0] if file.urls else source.page
    entry = _first(source, file.path, url, [*mirrored, *_published(source, file, folder)], folder)
    if file.unpack is None:
        return [entry]
    paths = unpack(folder / file.path, folder, file.unpack, file.members)
    return [entry, *(_entry(path, folder, entry["url"], entry["status"]) for path in paths)]


def _published(source: Source, file: SourceFile, folder: Path) -> list[Place]:
    """The public addresses of a file; where no sum is published, the sum of the first bytes ever seen stands in."""
    known = file.sha256
    if known is None and file.md5 is None and (folder / TRUSTED).exists():
        known = read_json(folder / TRUSTED).get(file.path)
    return [Place(address, file.bytes, known, file.md5) for address in file.urls or (source.page,)]


def _first(source: Source, path: str, url: str, places: list[Place], folder: Path) -> Entry:
    """Keep the file at `path` if one of `places` promises its bytes; else bring it from the first that can."""
    target = folder / path
    if target.exists():
        found = sha256(target)
        for place in places:
            problem = place.fault(target, found)
            # Bytes that nothing proves count as their owner's only where a person has put them.
            if not problem and (place.has_sum or source.gated):
                return _accepted(target, folder, url, place, found)
    if source.gated:
        expected = "the published file, or the one first put here"
        fix = f"put the right file there and set retry=true; if it is the right one, remove {folder / TRUSTED}"
        raise RepriseError(str(target), expected=expected, found=problem, fix=fix)
    problems: list[RepriseError] = []
    for place in places:
        try:
            return _accepted(target, folder, url, place, download(place, target))
        except RepriseError as error:
            if error.kind not in ("network", "checksum"):
                raise
            problems.append(error)
    raise _nowhere(f"{source.key}/{path}", problems, folder)


def _nowhere(what: str, problems: list[RepriseError], folder: Path) -> RepriseError:
    found = "; ".join(f"{error.where}: {error.found}" for error in problems)
    if any(error.kind == "checksum" for error in problems):
        fix = f"report it; if the new bytes are right and the sum stands in {folder / TRUSTED}, remove it there"
        return RepriseError(what, expected="the bytes of the catalogue", found=found, fix=fix, kind="checksum")
    fix = "run again (what has arrived is kept), or set mirror="
    return RepriseError(what, expected="a file that can be fetched", found=found, fix=fix, kind="network")


def _accepted(target: Path, folder: Path, url: str, place: Place, found: str) -> Entry:
    if not place.has_sum:
        path = target.relative_to(folder).as_posix()
        trusted = read_json(folder / TRUSTED) if (folder / TRUSTED).exists() else {}
        write_json(folder / TRUSTED, {**trusted, path: found})
        logger.warning("%s: no published sum; trusted on first use: sha256 %s", target, found)
    return _entry(target, folder, url, place.status, found)


def _entry(target: Path, folder: Path, url: str, status: str, found: str | None = None) -> Entry:
    return {
        "path": target.relative_to(folder).as_posix(),
        "url": url,
        "bytes": target.stat().st_size,
        "sha256": found or sha256(target),
        "status": status,
    }


def _generated(source: Source, folder: Path) -> list[Entry]:
    from reprise.data.small_world import write

    with disk_errors(folder), tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as beside:
        write(source.generate, Path(beside))
        for file in source.files:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(beside) / file.path, folder / file.path)
    return [_entry(folder / file.path, folder, f"generated:{source.generate}", "small-world") for file in source.files]
