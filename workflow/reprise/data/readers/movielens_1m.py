"""MovieLens-1M: `ratings.dat` as `movielens` reads it, and what `movies.dat` and `users.dat` know, all in Latin-1.

`movies.dat` has a line a movie, `id::title::genre|genre`, also for movies that nobody rated; a title may hold `::`.
`users.dat` has a line a user, `id::gender::age::occupation::zip`: age and occupation are code numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa

from reprise.data.readers import Tables
from reprise.data.readers.movielens import ratings
from reprise.errors import RepriseError

# In the order of the archive's own README, which numbers them from 0 here.
GENRES = ("Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
          "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western")
MOVIE = re.compile(r"(\d{1,9})::(.+)::([^:]+)")
USER = re.compile(r"(\d{1,9})::([FM])::(\d{1,2})::(\d{1,2})::([^:]+)")
UNPRINTABLE = re.compile(r"[\x00-\x1f]")


def read(folder: Path) -> Tables:
    """Read the three files of the folder that holds the one `ratings.dat`; movies and users in the files' order.

    `items` adds `title` and `genres` (a list of int64, places in the fact `genres`), `users` adds `gender` and `zip`
    (categories) and the codes `age` and `occupation`.

    Raises
    ------
    RepriseError
        As `movielens.ratings`; a missing or empty file; a malformed line, an unknown genre, an id that comes twice,
        with the line's number; a rating of a movie or by a user that has no line.
    """
    path, interactions = ratings(Path(folder))
    movies, users = path.with_name("movies.dat"), path.with_name("users.dat")
    of_movies = pd.DataFrame(_rows(movies, _movie, "id::title::genre|genre ..."), columns=["item", "title", "genres"])
    of_movies["genres"] = pd.array(of_movies["genres"], pd.ArrowDtype(pa.list_(pa.int64())))
    of_users = pd.DataFrame(_rows(users, _user, "id::F or M::age::occupation::zip"),
                            columns=["user", "gender", "age", "occupation", "zip"])
    of_users = of_users.astype({"gender": "category", "zip": "category"})
    for column, known, file in (("item", of_movies, movies), ("user", of_users, users)):
        if len(strange := interactions[column][~interactions[column].isin(known[column])]):
            raise RepriseError(str(path), expected=f"ratings with {column}s that have a line in {file.name}",
                               kind="data", found=f"{len(strange)} others, e.g. {column} {strange.iloc[0]}",
                               fix="are the files of one release?")
    facts = {"movies_without_rating": len(of_movies) - interactions["item"].nunique(), "genres": GENRES}
    return Tables(interactions, of_movies, of_users, facts,
                  tuple(one.relative_to(folder).as_posix() for one in (path, movies, users)))


def _rows(path: Path, row: Callable[[str], tuple], expected: str) -> Iterator[tuple]:
    """The rows of a file, made by `row` line after line; it raises a ValueError that says what is wrong."""
    try:
        lines = path.read_bytes().decode("latin-1").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise RepriseError(str(path), expected=f"lines of {expected}", found="no such file",
                           fix="fetch the source again") from None
    if lines == [""]:
        raise RepriseError(str(path), expected=f"lines of {expected}", found="an empty file")
    seen = set()
    for number, line in enumerate(lines, start=1):
        try:
            made = row(line.removesuffix("\r"))
            if made[0] in seen:
                raise ValueError(f"id {made[0]} for a second time")
        except ValueError as error:
            raise RepriseError(f"{path}, line {number}", expected=expected, found=str(error),
                               fix="fetch the source again; if the file is your own, mend the line") from None
        seen.add(made[0])
        yield made


def _movie(line: str) -> tuple[int, str, list[int]]:
    item, title, names = _fields(MOVIE, line)
    genres = names.split("|")
    if unknown := [name for name in genres if name not in GENRES]:
        raise ValueError(f"genre {unknown[0]!r}, none of {', '.join(GENRES)}")
    if len(set(genres)) < len(genres):
        raise ValueError(f"a genre twice: {names!r}")
    return int(item), title, [GENRES.index(name) for name in genres]


def _user(line: str) -> tuple[int, str, int, int, str]:
    user, gender, age, occupation, code = _fields(USER, line)
    return int(user), gender, int(age), int(occupation), code


def _fields(form: re.Pattern[str], line: str) -> tuple[str, ...]:
    found = form.fullmatch(line)
    if not found or UNPRINTABLE.search(line):
        raise ValueError(repr(line[:60]) if line else "an empty line")
    return found.groups()
