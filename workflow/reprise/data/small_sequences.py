"""A generated world of sequences whose truth is known, written in the format of S3-Rec's prepared data.

What is planted, so that a test can ask for it back:

- transitions: every item has one successor, of the next category in a fixed circle, and most steps follow it;
- arrivals: users come one after the other and the catalogue grows with them, a run of new items at a time. Some runs
  end with their user's history, so that the last item is new there;
- the leak: items are numbered as they first appear, held-out ones included. Where a history ends in a run of new items
  the answer is the largest number seen, plus one. Numbers from training alone give nothing away;
- repeats: some steps go back to an item of the user's own history;
- attributes: the category of every item, and which half of the circle it lies in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reprise.files import write_text

NAME = "Small"


@dataclass(frozen=True)
class Sequences:
    """The truth, and what was observed of it. U users, I items.

    Attributes
    ----------
    histories : list of int array
        The items of every user, oldest first, numbered from 0 in the order of first appearance.
    successor : int array [I]
        The item that most often comes next.
    category : int array [I]
    categories : int
    """

    histories: list[np.ndarray]
    successor: np.ndarray
    category: np.ndarray
    categories: int


def make(*, seed: int = 2024, users: int = 500, items: int = 990, categories: int = 10, length: float = 9,
         follow: float = 0.6, repeat: float = 0.05, run: int = 12, first: int = 30, end: float = 0.6) -> Sequences:
    """Generate a world.

    Parameters
    ----------
    items : int
        A multiple of `categories`.
    length : float
        Mean length of a history, at least 5 (geometric beyond that).
    follow, repeat : float
        Chances that a step goes to the last item's successor, or back to an earlier item; else any item comes next.
    run : int
        How many items arrive at once.
    first : int
        How many items there are from the start.
    end : float
        Chance that a run of new items ends its user's history, instead of starting it.
    """
    rng = np.random.default_rng(seed)
    category = np.arange(items) % categories
    # Items of one category in a random order, each followed by the one at the same place of the next category; a lap
    # around the circle ends at the next place, so that all items lie on one long circle.
    circle = np.stack([rng.permutation(np.flatnonzero(category == one)) for one in range(categories)], axis=1).ravel()
    successor = np.empty(items, dtype=np.int64)
    successor[circle] = np.roll(circle, -1)
    lengths = 4 + rng.geometric(1 / (length - 4), users)
    arrival = rng.permutation(items)
    # The last fifth of the users finds the whole catalogue there.
    runs = np.linspace(0, users * 0.8, -(-(items - first) // run), endpoint=False).astype(int)
    new = dict(zip(runs.tolist(), np.split(arrival[first:], np.arange(run, items - first, run)), strict=True))
    available, histories = first, []
    for user, wanted in enumerate(lengths.tolist()):
        arrived = new.get(user, arrival[:0])
        at_end = len(arrived) > 0 and rng.random() < end
        history = [] if at_end else arrived.tolist()
        there = arrival[:available]
        while len(history) < wanted - at_end * len(arrived):
            history.append(_step(rng, history, there, successor, follow, repeat))
        histories.append(np.array(history + arrived.tolist() * at_end))
        available += len(arrived)
    walked, place = np.unique(np.concatenate(histories), return_index=True)
    number = np.empty(items, dtype=np.int64)
    old = walked[np.argsort(place)]
    number[old] = np.arange(items)
    return Sequences([number[history] for history in histories], number[successor[old]], category[old], categories)


def _step(rng: np.random.Generator, history: list[int], there: np.ndarray, successor: np.ndarray, follow: float,
          repeat: float) -> int:
    """The item that comes next, among those that are `there`."""
    drawn = rng.random()
    if history and drawn < follow and successor[history[-1]] in there:
        return int(successor[history[-1]])
    return int(rng.choice(history if history and drawn > 1 - repeat else there))


def write(world: Sequences, folder: Path) -> None:
    """Write the two files of S3-Rec's format into `folder`; an item's attributes are its category and its half."""
    half = world.categories + 1 + (world.category >= world.categories // 2)
    write_lists(world.histories, np.stack([world.category + 1, half], axis=1), folder)


def write_lists(histories: list[np.ndarray], attributes: np.ndarray, folder: Path) -> None:
    """Write S3-Rec's format: numbers from 1, a line a user, of every item its row of `attributes` [I, A]."""
    lines = [" ".join(map(str, [user, *(items + 1)])) for user, items in enumerate(histories, start=1)]
    write_text(folder / f"{NAME}.txt", "\n".join(lines) + "\n")
    attributes = {str(item): numbers for item, numbers in enumerate(attributes.tolist(), start=1)}
    write_text(folder / f"{NAME}_item2attributes.json", json.dumps(attributes) + "\n")
