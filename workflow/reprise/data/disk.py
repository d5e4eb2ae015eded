"""What a disk can refuse: room, permission, and two writers at once."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from reprise.errors import RepriseError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def megabytes(count: int) -> str:
    """Format a number of bytes."""
    return f"{count / 1e6:,.1f} MB"


def room_for(count: int, folder: Path) -> None:
    """Raise `RepriseError` (kind `disk`) unless `count` more bytes fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if count > free:
        raise RepriseError(
            str(folder), expected=f"room for {megabytes(count)}", found=f"{megabytes(free)} free",
            fix="free some space, or set resources= to a larger disk", kind="disk",
        )  # fmt: skip


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into one `RepriseError` (kind `disk`) about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL | FORBIDDEN:
            raise
        fix = "free some space and run again: what has arrived is kept" if error.errno in FULL else "make it writable"
        expected = "a file that can be written"
        raise RepriseError(str(path), expected=expected, found=error.strerror, fix=fix, kind="disk") from None


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; another that asks waits. The lock falls with the process, however it ends."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    # The lock file stays: were it removed, a third process could lock a new one while the second waits on the old.
    with open(folder / ".lock") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
