"""What it takes to read logs of full length: writes one of random rows and brings it into the common form. No test.

    .venv/bin/python tests/full_length.py ijcai16            # as many rows as the public file has, or a number of them
    .venv/bin/python tests/full_length.py yelp_reviews 100000

Prints the file's size and, of the stage `canonicalise` in a process of its own, processor seconds and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv
from reprise.data.readers import ijcai16, twitch_100k, wechat_2021, yelp_reviews

BLOCK = 1_000_000  # rows made at a time


def purchases(folder: Path, rows: int) -> None:
    """Tmall's log, with its numbers of users and items; an item has one seller and one category."""

    def block(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        item = rng.integers(1, 1_144_125, count)
        return {"user": rng.integers(1, 963_924, count), "seller": item % 9_997, "item": item, "category": item % 72,
                "action": (rng.random(count) < 0.21).astype(int), "day": 20150700 + rng.integers(1, 31, count)}

    _table(folder / ijcai16.FILE, rows, block, ijcai16.HEADER)


def stays(folder: Path, rows: int) -> None:
    """Twitch's log."""

    def block(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        item, start = rng.integers(1, 739_992, count), rng.integers(0, 6_000, count)
        streamer = np.char.add("streamer", (item % 162_625).astype(str))
        return {"user": rng.integers(1, 100_001, count), "item": item, "streamer": streamer, "start": start,
                "stop": start + 1}

    _table(folder / twitch_100k.FILE, rows, block)


def actions(folder: Path, rows: int) -> None:
    """WeChat's log, and its feeds, whose texts are long and hold line ends."""
    feeds = 96_564

    def block(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        done = {name: rng.integers(0, 2, count) for name in wechat_2021.ACTIONS_HEADER.split(",")[4:]}
        return {"userid": rng.integers(1, 20_001, count), "feedid": rng.integers(1, feeds + 1, count),
                "date_": rng.integers(1, 15, count), "device": rng.integers(1, 3, count), **done}

    for file in (wechat_2021.ACTIONS, wechat_2021.FEEDS):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    _table(folder / wechat_2021.ACTIONS, rows, block, wechat_2021.ACTIONS_HEADER)
    text = '10,"' + "a, b\nand c " * 350 + '",ocr,asr,,,"1;2",3,7,8,1 2,3,4'
    with open(folder / wechat_2021.FEEDS, "w", encoding="utf-8", newline="") as file:
        file.write(wechat_2021.FEEDS_HEADER + "\n")
        file.writelines(f"{feed},{feed % 18_429},{text}\n" for feed in range(1, feeds + 1))


def reviews(folder: Path, rows: int) -> None:
    """Yelp's reviews, some 840 bytes each."""
    rng, line = np.random.default_rng(0), {"review_id": "r" * 22, "stars": 4.0, "text": "x" * 700}
    with open(folder / yelp_reviews.FILE, "w", encoding="utf-8") as file:
        for user, item in zip(rng.integers(1_637_138, size=rows), rng.integers(192_609, size=rows), strict=True):
            who = {"user_id": f"{user:022}", "business_id": f"{item:022}", "date": "2019-01-02 00:00:07"}
            file.write(json.dumps(line | who) + "\n")


def _table(path: Path, rows: int, block: Callable, header: str | None = None) -> None:
    """Write random rows, a block at a time."""
    rng, plain = np.random.default_rng(0), csv.WriteOptions(include_header=False, quoting_style="none")
    with open(path, "wb") as file:
        if header:
            file.write(header.encode() + b"\n")
        for start in range(0, rows, BLOCK):
            csv.write_csv(pa.table(block(rng, min(BLOCK, rows - start))), file, plain)


LOGS = {"ijcai16": (purchases, 45_000_000), "twitch_100k": (stays, 3_051_733), "wechat_2021": (actions, 7_317_882),
        "yelp_reviews": (reviews, 6_302_346)}


def main() -> None:
    """Write, read, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reader", choices=LOGS)
    parser.add_argument("rows", nargs="?", type=int, help="default: as many as the public file has")
    args = parser.parse_args()
    write, rows = LOGS[args.reader]
    with tempfile.TemporaryDirectory() as place:
        raw = Path(place, "raw", "generated")
        raw.mkdir(parents=True)
        (raw / "source.json").write_text('{"status": "small-world"}')
        write(raw, args.rows or rows)
        size = sum(path.stat().st_size for path in raw.rglob("*") if path.is_file())
        stage = subprocess.Popen([sys.executable, "-m", "reprise", "canonicalise", "generated", "--reader", args.reader,
                                  "--config", f"resources={place}"])
        _, status, used = os.wait4(stage.pid, 0)
        if status:
            sys.exit(f"canonicalise ended with status {os.waitstatus_to_exitcode(status)}")
        seconds, peak = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
        print(f"{args.reader}: {args.rows or rows:,} rows, {size / 1e9:.2f} GB; "
              f"{seconds:.0f} s of processor time, peak {peak / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
