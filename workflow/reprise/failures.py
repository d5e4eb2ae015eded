"""`failure.json`: why something could not be made, kept in its folder until it is."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reprise.errors import RepriseError
from reprise.files import read_json, write_json

FILE = "failure.json"


@contextlib.contextmanager
def noting(folder: Path, code: str | None = None) -> Iterator[dict[str, Any]]:
    """Leave the file in `folder` if the block fails, and remove it if it ends well.

    `code` says what is tried, with other code the failure is forgotten; a block that knows it later sets it in what it
    is given.
    """
    noted: dict[str, Any] = {"code": code}
    try:
        yield noted
    except Exception as error:
        said = error.reason() if isinstance(error, RepriseError) else f"{type(error).__name__}: {error}".splitlines()[0]
        if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
            said = f"memory: {said}"
        with contextlib.suppress(OSError):  # a full disk may have no room for it; the error itself must come through
            write_json(folder / FILE, {"reason": said, **noted, "date": datetime.date.today().isoformat()})
        raise
    (folder / FILE).unlink(missing_ok=True)


def reason(folder: Path, code: str | None = None) -> str | None:
    """What is noted in `folder`, unless the code has changed since; None if nothing."""
    if not (folder / FILE).exists():
        return None
    failure = read_json(folder / FILE)
    if code is not None and failure.get("code") != code:
        return None
    return f"{failure['reason']} (set retry=true to try again)"
