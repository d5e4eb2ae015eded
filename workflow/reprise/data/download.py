"""Bring one file from one place, over HTTP or from a folder: resumed, retried, hashed as it comes, renamed when right.

A download that is cut off leaves `<file>.part`, which the next one continues, in this process or in a later one.
That is why the transfer is written on requests and not on pooch, which starts again from the first byte.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from reprise.data.disk import disk_errors, room_for
from reprise.errors import RepriseError

logger = logging.getLogger("reprise")

CHUNK = 1 << 18
TRIES = 5  # in a row without one new byte
BACK_OFF = 0.5  # seconds before the second try; doubled each time
TIMEOUT = (10, 60)  # seconds to connect, and between two bytes
BUSY = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Place:
    """An address (URL or path) of a file, the size and sums its bytes must have, and the data status they bring."""

    address: str
    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    status: str = "official"

    @property
    def has_sum(self) -> bool:
        """Whether wrong bytes could be told from right ones."""
        return bool(self.sha256 or self.md5)

    def fault(self, path: Path, sha256: str) -> str:
        """Say how the file at `path`, whose sum is `sha256`, breaks this place's promise; empty if it does not."""
        size = path.stat().st_size
        if self.bytes is not None and size != self.bytes:
            return f"{size:,} bytes instead of {self.bytes:,}"
        if self.sha256 and sha256 != self.sha256:
            return f"sha256 {sha256} instead of {self.sha256}"
        if self.md5 and not self.sha256:
            with open(path, "rb") as handle:
                found = hashlib.file_digest(handle, "md5").hexdigest()
            if found != self.md5:
                return f"md5 {found} instead of {self.md5}"
        return ""


class Part:
    """The bytes of `target` that have arrived so far, in `<target>.part`, and their SHA-256."""

    def __init__(self, target: Path):
        self.path = target.with_name(f"{target.name}.part")
        self.tag = target.with_name(f"{target.name}.part.tag")
        self.path.touch()
        self.size, self.digest, self.resumed = 0, hashlib.sha256(), False
        with open(self.path, "rb") as handle:
            while block := handle.read(CHUNK):
                self._count(block)

    def _count(self, block: bytes) -> None:
        self.digest.update(block)
        self.size += len(block)

    def clear(self) -> None:
        """Forget all bytes."""
        os.truncate(self.path, 0)
        self.tag.unlink(missing_ok=True)
        self.size, self.digest, self.resumed = 0, hashlib.sha256(), False

    def append(self, blocks: Iterable[bytes], total: int | None) -> None:
        """Add `blocks`, up to `total` bytes in all, with a progress bar when that takes seconds."""
        with open(self.path, "ab") as out, _bar(self.path.stem, self.size, total) as bar:
            for block in blocks:
                out.write(block)
                out.flush()  # so that the count never runs ahead of the file when the disk is full
                self._count(block)
                bar.update(len(block))
                if total is not None and self.size > total:
                    return

    def keep(self, target: Path) -> None:
        """Put the finished file in its place."""
        with open(self.path, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(self.path, target)
        self.tag.unlink(missing_ok=True)

    def drop(self) -> None:
        """Remove the file from the disk."""
        self.path.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)


def _bar(label: str, done: int, total: int | None) -> tqdm:
    return tqdm(desc=label, initial=done, total=total, unit="B", unit_scale=True, delay=2, leave=False)


def is_web(address: str) -> bool:
    """Whether `address` is a URL rather than a path."""
    return address.startswith(("http://", "https://"))


def download(place: Place, target: Path) -> str:
    """Bring the bytes of `place` to `target` and return their SHA-256.

    What stood at `target` stays until the new bytes are complete and right. Raises `RepriseError` of kind `network`
    (cannot be had), `checksum` (other bytes) or `disk` (no room).
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Part(target)
        problem = _bring(place, part)
        if problem and part.resumed:
            logger.info("%s: a resumed transfer gave %s; starting again", target.name, problem)
            part.clear()
            problem = _bring(place, part)
        if problem:
            part.drop()
            raise RepriseError(place.address, expected="the published bytes", found=problem, kind="checksum")
        part.keep(target)
    return part.digest.hexdigest()


def _bring(place: Place, part: Part) -> str:
    """Fill `part` and say what is wrong with its bytes; empty if nothing is."""
    try:
        (_transfer if is_web(place.address) else _copy)(place, part)
    except RepriseError:
        if part.size == 0:
            part.drop()
        raise
    return place.fault(part.path, part.digest.hexdigest())


def _copy(place: Place, part: Part) -> None:
    part.clear()
    if not os.access(place.address, os.R_OK):
        raise _unreachable(place, "no such file, or not readable")
    room_for(os.path.getsize(place.address), part.path.parent)
    with open(place.address, "rb") as handle:
        part.append(iter(lambda: handle.read(CHUNK), b""), place.bytes)


def _transfer(place: Place, part: Part) -> None:
    if part.size == place.bytes:
        part.resumed = True
        return
    tries, most, problem = 0, part.size, ""
    while tries < TRIES:
        if tries:
            logger.info("%s: %s; trying again [%d left]", place.address, problem, TRIES - tries)
            time.sleep(BACK_OFF * 2 ** (tries - 1))
        try:
            problem = _request(place, part)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            cause = getattr(error.args[0], "reason", error) if error.args else error
            problem = f"{type(cause).__name__}: {cause}"
        if not problem:
            return
        tries = 1 if part.size > most else tries + 1
        most = max(most, part.size)
    raise _unreachable(place, problem)


def _request(place: Place, part: Part) -> str:
    """Ask once for the bytes still missing; return a problem worth another try, or an empty text when all have come."""
    with requests.get(place.address, headers=_wanted(place, part), stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:
            part.clear()
            return "the server knows no such range"
        if response.status_code in BUSY:
            return f"HTTP {response.status_code}"
        if response.status_code not in (200, 206):
            raise _unreachable(place, f"HTTP {response.status_code} {response.reason}")
        if "text/html" in response.headers.get("Content-Type", ""):
            raise _unreachable(place, "a web page, not the file")
        if response.status_code == 200:
            part.clear()
            # Weak tags promise the same meaning, not the same bytes.
            tag = response.headers.get("ETag", "")
            part.tag.write_text("" if tag.startswith("W/") else tag)
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {part.size}-"):
            part.clear()
            return "the server sent another range than asked for"
        else:
            part.resumed = True
        length = response.headers.get("Content-Length")
        total = part.size + int(length) if length and length.isdigit() else place.bytes
        room_for((total or 0) - part.size, part.path.parent)
        part.append(_raw(response), place.bytes or total)
        # Without a stated length the end of the connection looks like the end of the file.
        return f"cut off at {part.size:,} bytes" if length is None and part.size < (place.bytes or 0) else ""


def _wanted(place: Place, part: Part) -> dict[str, str]:
    """Headers that ask for the rest of `part`, where a mixture of two versions of the file would be noticed."""
    headers = {"Accept-Encoding": "identity"}
    tag = part.tag.read_text() if part.tag.exists() else ""
    if part.size and (place.has_sum or tag):
        headers["Range"] = f"bytes={part.size}-"
        if tag:
            headers["If-Range"] = tag
    return headers


def _raw(response: requests.Response) -> Iterator[bytes]:
    # Some servers label a .gz file as an encoding of its content; its bytes as sent are what the sums are of.
    return response.raw.stream(CHUNK, decode_content=False)


def _unreachable(place: Place, problem: str) -> RepriseError:
    return RepriseError(place.address, expected="the file", found=problem, kind="network")
