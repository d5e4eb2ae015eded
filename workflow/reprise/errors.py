"""The one error a user sees."""

from __future__ import annotations


class RepriseError(Exception):
    """A failure that a person can act on: where, what was expected, what was found, what to do.

    Parameters
    ----------
    where : str
        File, line, row or setting at fault.
    expected, found : str
        What should have been there, and what was.
    fix : str
        What the reader can do about it.
    kind : str
        One word for `failure.json` and for the scorecard (`input`, `diverged`, `memory`, `network`, ...).
    """

    def __init__(self, where: str, *, expected: str = "", found: str = "", fix: str = "", kind: str = "input"):
        self.where, self.expected, self.found, self.fix, self.kind = str(where), expected, found, fix, kind
        super().__init__(self.text())

    def text(self) -> str:
        lines = [self.where]
        for name in ("expected", "found", "fix"):
            value = getattr(self, name)
            if value:
                lines.append(f"  {name + ':':<10}{value}")
        return "\n".join(lines)

    def reason(self) -> str:
        """The error in one line, for a table cell."""
        return f"{self.kind}: {self.where}" + (f" ({self.found})" if self.found else "")
