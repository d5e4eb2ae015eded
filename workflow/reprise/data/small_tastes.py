"""A generated world of short sequences in which users are loyal to categories, written in S3-Rec's format.

What is planted, so that a test can ask for it back:

- categories: every item has one; some are much larger in clicks than others;
- loyalty: a user comes back to few categories, so that the share of each in a history tells that of what comes next,
  while what is popular with everybody says something else. With `loyalty` 0 all users are alike;
- order: within a category items stand on a circle, and a user who comes back to the category often takes the item after
  the last one met there. That is what a sequence model can learn beyond the shares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reprise.data.small_sequences import write_lists


@dataclass(frozen=True)
class Tastes:
    """The truth, and what was observed of it. U users, I items that somebody met, G categories.

    Attributes
    ----------
    histories : list of int array
        The items of every user, oldest first, numbered from 0 in a random order.
    category : int array [I]
    taste : float array [U, G]
        Chances that a user's next item is of a category; each row sums to 1.
    """

    histories: list[np.ndarray]
    category: np.ndarray
    taste: np.ndarray


def make(*, seed: int = 2022, users: int = 600, items: int = 240, categories: int = 12, length: float = 10,
         loyalty: float = 0.9, follow: float = 0.5) -> Tastes:
    """Generate a world.

    Parameters
    ----------
    items : int
        A multiple of `categories`.
    length : float
        Mean length of a history, above 5 (geometric beyond 5).
    loyalty : float
        Share of a user's own taste in what it takes; the rest is what everybody takes.
    follow : float
        Chance that an item follows on the circle the last one met of its category; else any of the category comes next.
    """
    rng = np.random.default_rng(seed)
    common = 1.0 / np.arange(1, categories + 1)
    common /= common.sum()
    own = rng.dirichlet(2 * common, users)
    taste = (1 - loyalty) * common + loyalty * own
    lengths = 4 + rng.geometric(1 / (length - 4), users)
    size = items // categories
    place = rng.integers(size, size=(users, categories))  # on each circle, where a user comes in
    histories, met = walk(rng, taste, lengths, place, size, follow, lambda count: rng.integers(size, size=count))
    return Tastes(histories, met // size, taste)


def walk(
    rng: np.random.Generator, taste: np.ndarray, lengths: np.ndarray, place: np.ndarray, size: int, follow: float,
    anew: Callable[[int], np.ndarray],
) -> tuple[list[np.ndarray], np.ndarray]:
    """Histories of users who draw a circle of `size` items by their `taste` [U, G], and walk or jump on it.

    `place` [U, G] is where each user stands on each circle, and moves on with it: with the chance `follow` to the next
    item, else to one that `anew` draws for so many users.

    Returns
    -------
    histories : list of int array, of `lengths` [U]
        Items numbered from 0 in a random order, those alone that somebody met.
    met : int array [I]
        Of each, its circle times `size` plus its place there.
    """
    walks = np.full((len(taste), lengths.max()), -1)
    for step in range(walks.shape[1]):
        there = np.flatnonzero(lengths > step)
        drawn = (rng.random((len(there), 1)) > taste[there].cumsum(axis=1)[:, :-1]).sum(axis=1)
        following = rng.random(len(there)) < follow
        place[there, drawn] = np.where(following, place[there, drawn] + 1, anew(len(there))) % size
        walks[there, step] = drawn * size + place[there, drawn]
    met = rng.permutation(np.unique(walks[walks >= 0]))
    number = np.empty(taste.shape[1] * size, dtype=np.int64)
    number[met] = np.arange(len(met))
    return [number[steps[:stop]] for steps, stop in zip(walks, lengths, strict=True)], met


def write(world: Tastes, folder: Path) -> None:
    """Write the two files of S3-Rec's format into `folder`, with the category as the one attribute of an item."""
    write_lists(world.histories, world.category[:, None] + 1, folder)
