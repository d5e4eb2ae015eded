"""A mirror: a folder or a web address with files and a `MANIFEST.csv` that vouches for their bytes."""

from __future__ import annotations

import csv
import re
import tempfile
from collections import defaultdict
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from reprise.data.archives import safe_name
from reprise.data.catalogue import SourceFile
from reprise.data.download import Place, download, is_web
from reprise.errors import RepriseError

MANIFEST = "MANIFEST.csv"
COLUMNS = ("file", "bytes", "sha256", "status", "public_address")
# `rebuilt, byte-exact` bytes are the official ones, whoever put them together.
WORDS = {
    r"official bytes\b": "official",
    r"(rebuilt, )?byte-exact\b": "official",
    r"rebuilt\b": "rebuilt",
    r"recovered\b": "recovered",
}


class Mirror:
    """What a mirror offers, by public address."""

    def __init__(self, address: str):
        self.address = str(address).rstrip("/")
        self.manifest = f"{self.address}/{MANIFEST}"
        self.rows: dict[str, list[dict[str, str]]] = defaultdict(list)
        for number, row in enumerate(csv.DictReader(self._text().splitlines()), start=2):
            if None in row.values() or any(column not in row for column in COLUMNS):
                raise RepriseError(f"{self.manifest}, line {number}", expected=",".join(COLUMNS), found=str(row))
            self.rows[row["public_address"]].append({**row, "line": str(number)})

    def _text(self) -> str:
        if is_web(self.address):
            with tempfile.TemporaryDirectory() as folder:
                download(Place(self.manifest), Path(folder, MANIFEST))
                return Path(folder, MANIFEST).read_text(encoding="utf-8")
        try:
            return Path(self.manifest).read_text(encoding="utf-8")
        except OSError as error:
            expected, fix = "the manifest of a mirror", "point mirror= at a folder that has one"
            raise RepriseError(self.manifest, expected=expected, found=error.strerror, fix=fix) from None

    def offers(self, file: SourceFile) -> dict[str, Place]:
        """Places of `file`, by the path they stand for: its own, or a member's where the mirror holds only that."""
        members = {PurePosixPath(member).name: member for member in file.members}
        found = {}
        for row in (row for url in file.urls for row in self.rows.get(url, [])):
            name = safe_name(row["file"], self.manifest)
            path = members.get(PurePosixPath(name).name, file.path)
            found[path] = self._place(row, name, file if path == file.path else None)
        return found

    def _place(self, row: dict[str, str], name: str, file: SourceFile | None) -> Place:
        where = f"{self.manifest}, line {row['line']}"
        status = next((status for text, status in WORDS.items() if re.match(text, row["status"])), None)
        if status is None or not row["bytes"].isdigit() or not re.fullmatch("[0-9a-f]{64}", row["sha256"]):
            raise RepriseError(where, expected="bytes, a sha256 and a known status", found=str(row))
        if file and file.sha256 and (status == "official") != (row["sha256"] == file.sha256):
            raise RepriseError(
                where, expected=f"status official exactly where the sha256 is the published {file.sha256}",
                found=f"status {row['status']!r} with sha256 {row['sha256']}", fix="mend the manifest", kind="checksum",
            )  # fmt: skip
        path = quote(name) if is_web(self.address) else name
        return Place(f"{self.address}/{path}", int(row["bytes"]), row["sha256"], status=status)
