"""What a stage says, and where."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

logger = logging.getLogger("reprise")


def start_logging(log: Path | None) -> None:
    """Say INFO lines on standard error, and in `log` with the time."""
    logger.setLevel(logging.INFO)
    logger.handlers.clear()
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(console)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(log, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(file)
