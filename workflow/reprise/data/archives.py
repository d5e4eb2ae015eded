"""Unpack archives from strangers: all of it or nothing, and never outside its folder."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from reprise.data.disk import disk_errors, megabytes
from reprise.errors import RepriseError

# Logs and reviews shrink to a tenth; a deflate bomb reaches 1,000. Small archives may hold runs of zeros.
RATIO, FLOOR = 200, 64 << 20
MOST_MEMBERS = 1_000_000
CHUNK = 1 << 20
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError,
    FileExistsError, NotADirectoryError,
)  # fmt: skip

Members = Iterator[tuple[str, IO[bytes]]]


def unpack(
    archive: Path, folder: Path, kind: str, members: Collection[str] = (), limit: int | None = None
) -> list[Path]:
    """Unpack `archive` (`zip`, `tar` compressed or not, `gz`) into `folder` and return the files written.

    Only `members` are taken when given. Everything is unpacked beside `folder`'s files and moved in at the end, so that
    a bad archive leaves nothing. Raises `RepriseError`: a member that would leave the folder, a link or device, more
    than `limit` bytes (default: 200 times the archive, at least 64 MiB), a truncated archive, an absent member.
    """
    archive, folder = Path(archive), Path(folder)
    limit = limit if limit is not None else max(FLOOR, RATIO * archive.stat().st_size)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as beside:
            try:
                names = _extract(READERS[kind](archive), archive, Path(beside), members, limit)
            except BROKEN as error:
                raise _refused(archive, f"a complete {kind} archive", f"{type(error).__name__}: {error}") from None
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(beside) / name, folder / name)
    return [folder / name for name in names]


def _extract(entries: Members, archive: Path, folder: Path, wanted: Collection[str], limit: int) -> list[str]:
    names: dict[str, None] = {}
    total = 0
    for name, stream in entries:
        if wanted and name not in wanted:
            continue
        if name in names or len(names) == MOST_MEMBERS:
            expected = f"at most {MOST_MEMBERS:,} members of different names"
            raise _refused(archive, expected, f"{name!r} after {len(names):,}")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with open(folder / name, "xb") as out:
            # The size in a member's header is a claim; only the bytes that come out can be counted.
            while block := stream.read(CHUNK):
                total += len(block)
                if total > limit:
                    raise _refused(archive, f"at most {megabytes(limit)} unpacked", f"more, in {name!r}")
                out.write(block)
        names[name] = None
    if absent := set(wanted) - names.keys():
        raise _refused(archive, f"members {', '.join(wanted)}", f"no {', '.join(sorted(absent))}")
    return list(names)


def _zip_members(archive: Path) -> Members:
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            name = safe_name(info.filename, archive)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise _refused(archive, "plain files only", f"a link or device: {name!r}")
            if info.flag_bits & 1:
                raise _refused(archive, "an archive without a password", f"{name!r} is encrypted")
            with bundle.open(info) as stream:
                yield name, stream


def _tar_members(archive: Path) -> Members:
    with tarfile.open(archive, "r:*") as bundle:
        for info in bundle:
            name = safe_name(info.name, archive)
            if info.isdir():
                continue
            if not info.isreg():
                raise _refused(archive, "plain files only", f"a link or device: {name!r}")
            yield name, bundle.extractfile(info)
        # tarfile takes a file cut between two members for a whole one; a whole one ends with a block of zeros.
        bundle.fileobj.seek(bundle.offset)
        if bundle.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end-of-archive mark")


def _gz_members(archive: Path) -> Members:
    if archive.stat().st_size == 0:  # gzip reads no bytes at all as no members at all
        raise EOFError("an empty file")
    with gzip.open(archive) as stream:
        yield archive.name.removesuffix(".gz"), stream


READERS = {"zip": _zip_members, "tar": _tar_members, "gz": _gz_members}


def safe_name(name: str, where: str | Path) -> str:
    """Return `name` normalised, or raise `RepriseError` if it is absolute, climbs with `..`, or is no plain path."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise _refused(where, "names that stay below their folder", f"{name!r}")
    return str(path)


def _refused(where: str | Path, expected: str, found: str) -> RepriseError:
    return RepriseError(str(where), expected=expected, found=found, fix="delete it and get it again", kind="archive")
