"""WeChat's challenge of 2021: `user_action.csv`, a feed shown to a user a line, and `feed_info.csv`, who made which.

Of both only the columns that somebody reads are kept. `date_` is the number of a day, 1 to 15, of a calendar that is
not published: `time` is 86,400 times that, good for an order and for nothing else; within a day the order is that of
the file. What a user did with the feed, seven columns of 0 or 1, becomes one: `action` is `positive` where any is 1,
and `shown` elsewhere. In `feed_info.csv` quoted texts may hold commas, quotes and line ends.
"""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from reprise.data.json_lines import refused
from reprise.data.readers import Tables
from reprise.errors import RepriseError

ACTIONS, FEEDS = "wechat_algo_data1/user_action.csv", "wechat_algo_data1/feed_info.csv"
ACTIONS_HEADER = "userid,feedid,date_,device,read_comment,comment,like,play,stay,click_avatar,forward,follow,favorite"
FEEDS_HEADER = ("feedid,authorid,videoplayseconds,description,ocr,asr,bgm_song_id,bgm_singer_id,manual_keyword_list,"
                "machine_keyword_list,manual_tag_list,machine_tag_list,description_char,ocr_char,asr_char")
DONE = ("read_comment", "comment", "like", "click_avatar", "forward", "follow", "favorite")
DAYS, DAY = (1, 15), 86_400
LINE = f"{ACTIONS_HEADER} (whole numbers, the day 1 to 15, what was done 0 or 1)"
FEED = f"{FEEDS_HEADER} (the first two whole numbers, the author perhaps empty)"
WELL_FORMED = re.compile(r"\d{1,18},\d{1,18},(\d{1,9}),[^,]*,[01],[01],[01],[^,]*,[^,]*,[01],[01],[01],[01]")
BLOCK = 1 << 24  # bytes; a feed, texts and all, must fit into it


def read(folder: Path) -> Tables:
    """Read both files of a folder; `interactions`, in the file's order, adds `action`, and `items` `author`.

    `items` are all feeds of `feed_info.csv`, ascending; an author may be null. The facts count the rows beyond a pair's
    first (`repeated`), feeds that nobody was shown and feeds without an author.

    Raises
    ------
    RepriseError
        A missing or empty file; another header; a malformed line, an unknown code of an action or a day that is none,
        with the line's number; a feed with two authors; an action on a feed that has no line.
    """
    actions, feeds = Path(folder) / ACTIONS, Path(folder) / FEEDS
    rows = _actions(actions)
    items = _feeds(feeds)
    met = pc.unique(rows["item"])
    strange = met.filter(pc.invert(pc.is_in(met, pa.array(items["item"]))))
    if len(strange):
        raise RepriseError(str(actions), expected=f"actions on feeds that have a line in {feeds.name}", kind="data",
                           found=f"{len(strange)} others, e.g. feed {strange[0]}", fix="are both files of one round?")
    facts = {"repeated": len(rows) - rows.group_by(["user", "item"]).aggregate([]).num_rows,
             "feeds_without_action": len(items) - len(met), "feeds_without_author": int(items["author"].isna().sum())}
    return Tables(rows.to_reader(), items, None, facts, (ACTIONS, FEEDS))


def _actions(path: Path) -> pa.Table:
    """The rows of `user_action.csv`."""
    types = {"userid": pa.int64(), "feedid": pa.int64(), "date_": pa.int64()} | dict.fromkeys(DONE, pa.int8())
    try:
        table = _columns(path, ACTIONS_HEADER, LINE, types, pyarrow.csv.ParseOptions(
            quote_char=False, ignore_empty_lines=False))
        _check(table)
    except pa.ArrowInvalid as error:
        raise _malformed_action(path, str(error)) from None
    done = functools.reduce(pc.or_, (pc.equal(table[name], 1) for name in DONE))
    return pa.table({
        "user": table["userid"], "item": table["feedid"], "time": pc.multiply(table["date_"], DAY),
        "rating": pa.nulls(len(table), pa.float64()), "action": pc.if_else(done, "positive", "shown"),
    })


def _check(table: pa.Table) -> None:
    """Raise an error of Arrow's if some row cannot be."""
    if any(column.null_count for column in table.columns):
        raise pa.ArrowInvalid("a field without a value")
    limits = {"userid": (0, None), "feedid": (0, None), "date_": DAYS} | dict.fromkeys(DONE, (0, 1))
    for name, (least, most) in limits.items():
        found = pc.min_max(table[name])
        if found["min"].as_py() < least or (most is not None and found["max"].as_py() > most):
            raise pa.ArrowInvalid(f"a {name} that is none")


def _feeds(path: Path) -> pd.DataFrame:
    """Feeds, ascending, with their author."""
    try:
        table = _columns(path, FEEDS_HEADER, FEED, {"feedid": pa.int64(), "authorid": pa.int64()},
                         pyarrow.csv.ParseOptions(newlines_in_values=True))
        if table["feedid"].null_count or any(pc.any(pc.less(column, 0)).as_py() for column in table.columns):
            raise pa.ArrowInvalid("a number that is none")
    except pa.ArrowInvalid as error:
        raise _malformed_feed(path, str(error)) from None
    items = pd.DataFrame({"item": table["feedid"].to_numpy(),
                          "author": table["authorid"].to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)})
    items = items.drop_duplicates().sort_values("item", ignore_index=True)
    if (twice := items["item"].duplicated()).any():
        item = items.loc[twice, "item"].iloc[0]
        authors = " and ".join(map(str, items.loc[items["item"] == item, "author"]))
        raise RepriseError(str(path), expected="one author a feed", kind="data", fix="fetch the source again",
                           found=f"{twice.sum()} more, e.g. {authors} of feed {item}")
    return items


def _columns(path: Path, header: str, line: str, types: dict[str, pa.DataType],
             how: pyarrow.csv.ParseOptions) -> pa.Table:
    """Some columns of a file with this header; ArrowInvalid where a line is malformed."""
    try:
        with open(path, "rb") as file:
            first = file.readline().rstrip(b"\r\n")
    except FileNotFoundError:
        raise RepriseError(str(path), expected=f"lines of {line}", found="no such file") from None
    if first != header.encode():
        raise RepriseError(f"{path}, line 1", expected=header, fix="is it another edition?",
                           found=repr(first[:60].decode("utf-8", "backslashreplace")) if first else "an empty file")
    convert = pyarrow.csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[""])
    table = pyarrow.csv.read_csv(path, pyarrow.csv.ReadOptions(block_size=BLOCK), how, convert)
    if not len(table):
        raise RepriseError(str(path), expected=f"lines of {line}", found="no line after the first")
    return table


def _malformed_action(path: Path, problem: str) -> RepriseError:
    """Find the first malformed line: only a file that is refused is read line by line."""
    with open(path, "rb") as lines:
        next(lines)
        for number, line in enumerate(lines, start=2):
            found = WELL_FORMED.fullmatch(line.rstrip(b"\r\n").decode("latin-1"))
            if not found:
                return refused(path, number, line, LINE, "no such line" if line.strip() else "an empty line")
            if not DAYS[0] <= int(found[1]) <= DAYS[1]:
                return refused(path, number, line, LINE, f"day {found[1]}")
    return RepriseError(str(path), expected=f"lines of {LINE}", found=problem)


def _malformed_feed(path: Path, problem: str) -> RepriseError:
    """Find the first malformed feed, and the line on which it begins."""
    columns, number = FEEDS_HEADER.count(",") + 1, 1
    with open(path, encoding="utf-8", errors="backslashreplace", newline="") as file:
        feeds = csv.reader(file)
        try:
            next(feeds)
            for fields in feeds:
                number, begins = feeds.line_num, number + 1
                good = len(fields) == columns and re.fullmatch(r"\d{1,18},\d{0,18}", ",".join(fields[:2]))
                if fields and not good:
                    return refused(path, begins, ",".join(fields).encode(), FEED, f"{len(fields)} fields")
        except csv.Error as error:
            problem = f"{error} after line {number}"
    return RepriseError(str(path), expected=f"lines of {FEED}", found=problem)
