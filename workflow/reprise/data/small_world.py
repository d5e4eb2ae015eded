"""A generated world whose truth is known, written in the raw formats of the real sources.

What is planted, so that a test can ask for it back:

- taste: a user likes items by the dot product of two latent vectors, drawn around shared genres;
- exposure: training clicks are drawn in proportion to an item's popularity, which is independent of its genre;
- conformity: a share of the clicks follows popularity alone, though the user has no taste for the item;
- transitions: after an item of one genre, the next genre in a fixed circle is more likely; clicks carry times;
- providers: every item belongs to one of a few, of very unequal size.

The test part asks for taste alone: the same number of interactions for every item, none of them seen in training.
A model that takes clicks at face value ranks popular items too high there; one that removes what popularity explains
does better. Ids are drawn independently of everything else, so they give nothing away.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reprise.data import small_providers, small_ratings, small_sequences, small_tastes
from reprise.errors import RepriseError
from reprise.files import write_text

EPOCH = 1_600_000_000  # an arbitrary date: the first click of the world, unix seconds
HOUR = 3600


@dataclass(frozen=True)
class World:
    """The truth, and what was observed of it. U users, I items, D latent dimensions, N training clicks, T per item.

    Attributes
    ----------
    affinity : float array [U, I]
        Log-weight of taste: how much more likely a click is for what the user likes. Nothing of popularity is in it.
    exposure : float array [I]
        Probability that a click driven by popularity alone falls on the item; sums to 1.
    genre, provider : int array [I]
    train, test : int array [N, 2], [T * I, 2]
        Columns user and item; no pair occurs twice in the two together.
    train_time, test_time : int array [N], [T * I]
        Unix seconds; every test interaction is later than every training click.
    """

    affinity: np.ndarray
    exposure: np.ndarray
    genre: np.ndarray
    provider: np.ndarray
    train: np.ndarray
    test: np.ndarray
    train_time: np.ndarray
    test_time: np.ndarray


def make(*, seed: int = 2021, users: int = 700, items: int = 280, genres: int = 10, providers: int = 24, dim: int = 16,
         clicks: float = 20, tests_per_item: int = 4, taste: float = 2.5, skew: float = 1.0, conformity: float = 0.3,
         transition: float = 0.5) -> World:
    """Generate a world.

    Parameters
    ----------
    clicks : float
        Mean number of training clicks of a user, at least 6 (activity is geometric beyond that).
    taste : float
        Standard deviation of the affinity: 0 makes all users alike.
    skew : float
        Exponent of Zipf's law for the exposure: 0 exposes all items alike.
    conformity : float
        Share of training clicks that follow exposure alone.
    transition : float
        Added log-weight of the genre that follows the last click's genre.

    Raises
    ------
    RepriseError
        A world too small for its test part: an item needs `tests_per_item` users who have not seen it.
    """
    rng = np.random.default_rng(seed)
    genre, provider, affinity = _tastes(rng, users, items, genres, providers, dim, taste)
    exposure = rng.permutation(_zipf(items, skew))
    activity = np.minimum(6 + rng.geometric(1 / (clicks - 5), users) - 1, items // 2)
    follows = transition * np.roll(np.eye(genres), 1, axis=1)  # [genres, genres]: from every genre to the next one
    step, train, seen = _clicks(rng, affinity, np.log(exposure), genre, activity, conformity, follows)
    test = _uniform_test(rng, affinity, seen, tests_per_item)
    gaps = rng.integers(1, 24 * HOUR, (users, step.max() + 1))
    train_time = EPOCH + np.cumsum(gaps, axis=1)[train[:, 0], step]
    test_time = train_time.max() + rng.integers(1, 24 * HOUR, len(test))
    return World(affinity, exposure, genre, provider, train, test, train_time, test_time)


def _tastes(rng: np.random.Generator, users: int, items: int, genres: int, providers: int, dim: int,
            taste: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw genres, providers and the affinity [U, I], scaled to a standard deviation of `taste` within each user."""
    centres = rng.standard_normal((genres, dim))
    genre = rng.integers(genres, size=items)
    provider = rng.choice(providers, size=items, p=_zipf(providers))
    item_vectors = centres[genre] + 0.5 * rng.standard_normal((items, dim))
    user_vectors = rng.dirichlet(np.full(genres, 0.3), users) @ centres + 0.3 * rng.standard_normal((users, dim))
    affinity = user_vectors @ item_vectors.T
    # Centred over users as well: an item that everybody likes would be popular by taste, with nothing to remove.
    affinity -= affinity.mean(axis=0, keepdims=True)
    affinity -= affinity.mean(axis=1, keepdims=True)
    return genre, provider, taste * affinity / affinity.std(axis=1, keepdims=True)


def _zipf(n: int, skew: float = 1.0) -> np.ndarray:
    """Probabilities [n] that fall with the rank to the power of `skew`."""
    weights = 1.0 / np.arange(1, n + 1) ** skew
    return weights / weights.sum()


def _clicks(rng: np.random.Generator, affinity: np.ndarray, log_exposure: np.ndarray, genre: np.ndarray,
            activity: np.ndarray, conformity: float, follows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Let all users click, one click each a step, without repeats, until each has made `activity` clicks.

    Adding Gumbel noise to log-weights and taking the largest is a draw in proportion to the weights.
    """
    users, items = affinity.shape
    seen = np.zeros((users, items), dtype=bool)
    last = np.full(users, -1)
    steps, pairs = [], []
    for step in range(activity.max()):
        active = np.flatnonzero(activity > step)
        liking = affinity[active]
        if step:
            liking = liking + follows[genre[last[active]]][:, genre]
        conforms = rng.random(len(active)) < conformity
        weight = log_exposure + np.where(conforms[:, None], 0.0, liking) + rng.gumbel(size=(len(active), items))
        weight[seen[active]] = -np.inf
        last[active] = weight.argmax(axis=1)
        seen[active, last[active]] = True
        pairs.append(np.stack([active, last[active]], axis=1))
        steps.append(np.full(len(active), step))
    return np.concatenate(steps), np.concatenate(pairs), seen


def _uniform_test(rng: np.random.Generator, affinity: np.ndarray, seen: np.ndarray, each: int) -> np.ndarray:
    """Draw, for every item, `each` distinct users in proportion to taste alone among those who have not seen it."""
    users, items = affinity.shape
    if (room := (~seen).sum(axis=0).min()) < each:
        raise RepriseError("small world", expected=f"{each} users who have not seen it, for every item",
                           found=f"{room} for the most popular one", fix="ask for more users or fewer clicks")
    weight = affinity + rng.gumbel(size=affinity.shape)
    weight[seen] = -np.inf
    chosen = np.argpartition(-weight, each - 1, axis=0)[:each]
    return np.stack([chosen.T.ravel(), np.repeat(np.arange(items), each)], axis=1)


def _write_user_lists(world: World, folder: Path) -> None:
    """Write `train.txt` and `test.txt` as MACR released them: a line a user, `user item item ...`, items ascending."""
    for part in ("train", "test"):
        pairs = getattr(world, part)
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        users, first = np.unique(pairs[:, 0], return_index=True)
        lists = np.split(pairs[:, 1], first[1:])
        lines = [" ".join(map(str, (user, *row))) for user, row in zip(users, lists, strict=True)]
        write_text(folder / f"{part}.txt", "\n".join(lines) + "\n")


# By raw format, or by the world itself where a format has several: what is written, and how.
FORMATS: dict[str, tuple[Callable[[], Any], Callable[[Any, Path], None]]] = {
    "user_lists": (make, _write_user_lists),
    "s3rec": (small_sequences.make, small_sequences.write),
    "s3rec_tastes": (small_tastes.make, small_tastes.write),
    "movielens_1m": (small_ratings.make, small_ratings.write),
    "twitch_100k": (small_providers.make, small_providers.write),
    "twitch_100k_shuffled": (functools.partial(small_providers.make, meaning=False), small_providers.write),
}


def write(form: str, folder: str | Path, world: Any = None) -> None:
    """Write a world, by default the one that belongs to it, in the raw format `form`, as its reader expects it.

    Raises a `RepriseError` for a format that is not among `FORMATS`.
    """
    if form not in FORMATS:
        raise RepriseError(f"raw format {form!r}", expected="one of " + ", ".join(FORMATS), found=form)
    maker, writer = FORMATS[form]
    writer(maker() if world is None else world, Path(folder))
