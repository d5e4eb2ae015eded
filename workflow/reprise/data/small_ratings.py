"""A generated world of ratings whose users' tastes change, written in the format of MovieLens-1M.

What is planted, so that a test can ask for it back:

- groups: every movie has one to three genres, and some genres have many more movies than others;
- taste: users prefer some genres, by their age and occupation and by a share of their own, and rate those higher;
- drift: half of the users change their taste in the middle of their history, the others keep it;
- the catalogue: some movies were never rated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reprise.files import write_text

GENRES = ("Action", "Comedy", "Drama", "Horror", "Sci-Fi", "War")
AGES, OCCUPATIONS = (1, 18, 25, 35), 5
START = 960_000_000  # unix seconds


@dataclass(frozen=True)
class Tastes:
    """The truth, and what was observed of it. U users, I movies, R ratings.

    Attributes
    ----------
    ratings : int array [R, 4]
        User, movie (both from 0), rating (1 to 5) and time; user after user, in order of time.
    genres : list of int array
        The genres of every movie, places in `GENRES`.
    drifts : bool array [U]
        Whether the user's taste changed.
    known : int array [U, 4]
        Gender (0 or 1), age code, occupation code and zip code.
    """

    ratings: np.ndarray
    genres: list[np.ndarray]
    drifts: np.ndarray
    known: np.ndarray


def make(*, seed: int = 2021, users: int = 300, movies: int = 150, unrated: int = 6, length: float = 60,
         taste: float = 2.5) -> Tastes:
    """Generate a world.

    Parameters
    ----------
    unrated : int
        How many of the movies nobody rates.
    length : float
        Mean number of ratings of a user beyond 20.
    taste : float
        Weight of taste in what is watched and how it is rated; 0: none.
    """
    rng = np.random.default_rng(seed)
    frequent = np.array([0.3, 0.28, 0.2, 0.08, 0.08, 0.06])
    genres = [rng.choice(len(GENRES), size, replace=False, p=frequent) for size in rng.integers(1, 4, movies)]
    shares = np.stack([np.bincount(some, minlength=len(GENRES)) / len(some) for some in genres])
    quality = rng.standard_normal(movies)
    watched = np.exp(quality)
    watched[rng.choice(movies, unrated, replace=False)] = 0
    known = np.stack([rng.integers(0, 2, users), rng.choice(AGES, users), rng.integers(0, OCCUPATIONS, users),
                      rng.integers(10_000, 10_040, users)], axis=1)
    of_kind = rng.dirichlet(np.full(len(GENRES), 0.5), (len(AGES), OCCUPATIONS))
    kind = of_kind[np.searchsorted(AGES, known[:, 1]), known[:, 2]]
    early, late = (0.4 * kind + 0.6 * rng.dirichlet(np.full(len(GENRES), 0.3), users) for _ in range(2))
    drifts = rng.random(users) < 0.5
    late[~drifts] = early[~drifts]
    rows = []
    for user, n in enumerate(np.minimum(20 + rng.poisson(length, users), movies - unrated)):
        liked = np.stack([shares @ one[user] for one in (early, late)])
        liked = taste * (liked - liked.mean(1, keepdims=True)) / liked.std(1, keepdims=True)
        seen = np.zeros(movies, dtype=bool)
        for step in range(n):
            now = liked[int(step >= n // 2)]
            weight = np.log(np.maximum(watched, 1e-9)) + 0.6 * now + rng.gumbel(size=movies)
            weight[seen | (watched == 0)] = -np.inf
            movie = int(weight.argmax())
            seen[movie] = True
            rating = np.clip(np.rint(3.6 + 0.3 * now[movie] + 0.2 * quality[movie] + 0.6 * rng.standard_normal()), 1, 5)
            rows.append((user, movie, rating, START + 86_400 * user + 60 * step))
    return Tastes(np.array(rows, dtype=np.int64), genres, drifts, known)


def write(world: Tastes, folder: Path) -> None:
    """Write `ratings.dat`, `movies.dat` and `users.dat` below `folder`/ml-1m, with ids from 1; one title holds `::`."""
    lines = [f"{user + 1}::{movie + 1}::{rating}::{time}" for user, movie, rating, time in world.ratings.tolist()]
    movies = [
        f"{movie}::{'A :: title' if movie == 1 else f'Movie {movie}'} (2000)::{'|'.join(GENRES[one] for one in some)}"
        for movie, some in enumerate(world.genres, start=1)
    ]
    users = [f"{user}::{'FM'[gender]}::{age}::{job}::{place}"
             for user, (gender, age, job, place) in enumerate(world.known.tolist(), start=1)]
    for name, rows in (("ratings", lines), ("movies", movies), ("users", users)):
        write_text(folder / "ml-1m" / f"{name}.dat", "\n".join(rows) + "\n")
