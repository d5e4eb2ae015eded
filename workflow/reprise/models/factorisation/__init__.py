"""What factorisation machines share: features of a user and of an item, pooled pair by pair, then a head.

An instance is a user's features (the id, and every column known of users), an item's id and the shares q of its
groups. Nothing here lists them: all that pairs of features need is the sum of their rows, the sum of the rows' squares
and the sum of their weights, so a user and an item each come down to one `Side`, and an instance is two of them.

Dropout draws from PyTorch's global generator; the trainer seeds it anew before every step.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.data.profiles import attribute_shares
from reprise.errors import RepriseError
from reprise.models import ScoringModel, take
from reprise.settings import Field, Settings

DEVIATION = 0.01  # of every row's first draw; WenjieWWJ/DecRS
GROUPS = "attributes"  # the feature of items that holds their groups


class Side(NamedTuple):
    """One side of an instance, user or item: its features x_f e_f summed up.

    Attributes
    ----------
    total : Tensor [B, D]
        The sum of x_f e_f.
    squares : Tensor [B, D]
        The sum of their element-wise squares.
    linear : Tensor [B]
        The sum of x_f w_f.
    """

    total: Tensor
    squares: Tensor
    linear: Tensor

    def joined(self, vector: Tensor) -> Side:
        """The same with one more `vector` [B, D] of value 1 and no weight."""
        return Side(self.total + vector, self.squares + vector.square(), self.linear)

    def pool(self) -> Tensor:
        """The sum over pairs of vectors of their element-wise product, ((sum)^2 - sum of squares) / 2; [B, D]."""
        return (self.total.square() - self.squares) / 2


class FactorisationOptions(Settings):
    """Settings of every machine."""

    dim: int = Field(ge=1, description="D, length of a row")
    groups: bool = Field(True, description="whether the item's groups are features; false: Unawareness")
    decimals: int | None = Field(None, ge=1, description="to which the shares of groups are rounded; null: not at all")
    shared_codes: tuple[str, ...] = Field(
        (), description="columns of users whose equal codes are one feature, as where features have no prefix"
    )


class FactorisationMachine(ScoringModel):
    """score(u, i) = head(pool(all x_f e_f)) + sum of x_f w_f + b."""

    trainable = True

    def __init__(self, options: FactorisationOptions, interactions: Interactions, generator: torch.Generator):
        super().__init__()
        device, items = interactions.items.device, interactions.n_items
        self.columns = user_columns(interactions, options.shared_codes)
        self.shares = group_shares(interactions, options.decimals) if options.groups else None

        def rows(count: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(count, options.dim).normal_(0, DEVIATION, generator=generator).to(device))

        def weights(count: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(count, 1, device=device))

        sizes = {"user": int(self.columns.max()) + 1, "item": items}
        if options.groups:
            sizes["group"] = self.shares.shape[1]
        self.rows = nn.ParameterDict({name: rows(count) for name, count in sizes.items()})
        self.weights = nn.ParameterDict({name: weights(count) for name, count in sizes.items()})
        self.bias = nn.Parameter(torch.zeros((), device=device))

    def users(self, users: Tensor) -> Side:
        """The features of `users` [B]."""
        columns = self.columns[users]
        rows, weights = take(self.rows["user"], columns), take(self.weights["user"], columns)
        return Side(rows.sum(1), rows.square().sum(1), weights.sum((1, 2)))

    def items(self, items: Tensor | None = None) -> Side:
        """The features of `items` [B], or of every item."""
        rows, weights, shares = self.rows["item"], self.weights["item"], self.shares
        if items is not None:
            rows, weights = take(rows, items), take(weights, items)
            shares = None if shares is None else shares[items]
        side = Side(rows, rows.square(), weights.squeeze(1))
        if shares is None:
            return side
        groups = self.rows["group"]
        return Side(
            side.total + shares @ groups,
            side.squares + shares.square() @ groups.square(),
            side.linear + (shares @ self.weights["group"]).squeeze(1),
        )

    def interact(self, user: Side, item: Side) -> Tensor:
        """The scores of instances, [B] logits."""
        pooled = Side(user.total + item.total, user.squares + item.squares, user.linear + item.linear)
        return self.head(pooled.pool()) + pooled.linear + self.bias

    def head(self, pooled: Tensor) -> Tensor:
        """What becomes of pooled instances [B, D]; [B]."""
        raise RuntimeError(f"{type(self).__module__} defines no head")

    def against_all(self, user: Side) -> Tensor:
        """The scores of every item for users, [B, n_items], as `interact` gives them while nothing is dropped."""
        raise RuntimeError(f"{type(self).__module__} defines no against_all")

    def scores(self, users: Tensor, history: Interactions | None = None) -> Tensor:
        """Score every item for `users` [B]; [B, n_items]."""
        return self.against_all(self.users(users))


def norm(size: int, on: bool) -> nn.Module:
    """A batch norm of rows [B, `size`], or nothing."""
    return nn.BatchNorm1d(size) if on else nn.Identity()


def scale_and_shift(norm: nn.Module, like: Tensor) -> tuple[Tensor, Tensor]:
    """What a batch norm [D] multiplies with and adds when nothing is trained, 1 and 0 without one; [D] each.

    `like` is [D], for its device.
    """
    if isinstance(norm, nn.Identity):
        return torch.ones_like(like), torch.zeros_like(like)
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale


def user_columns(interactions: Interactions, shared: Collection[str] = ()) -> Tensor:
    """The feature ids of every user, [n_users, K]: the user's own, then one of each known column, counted on.

    Equal values of different columns are different features, but for the columns named as `shared`.
    """
    known = interactions.user_features
    if unknown := set(shared) - set(known):
        raise RepriseError("shared_codes", expected="columns known of users: " + (", ".join(sorted(known)) or "none"),
                           found=", ".join(sorted(unknown)))
    ids = [torch.arange(interactions.n_users, device=interactions.items.device)[:, None]]
    after = interactions.n_users
    blocks = [[name] for name in sorted(set(known) - set(shared))] + [sorted(shared)] * bool(shared)
    for names in blocks:
        values, places = torch.unique(torch.stack([known[name].single() for name in names], 1), return_inverse=True)
        ids.append(places + after)
        after += len(values)
    return torch.cat(ids, 1)


def group_shares(interactions: Interactions, decimals: int | None = None) -> Tensor:
    """q of every item, [n_items, N]: 1/m on each of its m groups; raises `RepriseError` where none are known."""
    groups: Lists | None = interactions.features.get(GROUPS)
    if groups is None or not groups.size:
        raise RepriseError("a model that reads groups of items", expected=f"data prepared with {GROUPS} of items",
                           found=", ".join(sorted(interactions.features)) or "no features of items",
                           fix="choose a data set that has them, or set groups: false")
    shares = attribute_shares(groups)
    return shares if decimals is None else shares.round(decimals=decimals)
