"""What a paper says of how its data set is made: filter, split, validation. Read while the DAG is built."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from reprise.settings import Field, Settings


class Recipe(Settings):
    """How canonical interactions become train, valid and test.

    Six ways to split: `released` takes the parts of the released files and keeps their ids; `official_rule` holds out
    the last `test_k` interactions of every item (`splits.last_per_item`); `paper` draws a tenth for the test part and a
    tenth for validation, uniform over items (`splits.item_uniform`); `leave_one_out` holds out the last two
    interactions of every user (`splits.leave_one_out`), `user_tenths` two tenths of them (`splits.user_tenths`), and
    `listed` the pairs of another source. All but the first number users and items anew, in the order in which they
    first appear. The last two take their core over ratings of every value, before `min_rating`.
    """

    split: Literal["released", "official_rule", "paper", "leave_one_out", "user_tenths", "listed"]
    min_rating: float | None = Field(None, description="only ratings of at least this are interactions")
    window: tuple[str, str] | None = Field(
        None, description="only interactions whose `date`, a text, lies between these two texts, ends included"
    )
    actions: tuple[str, ...] | None = Field(None, description="only rows whose `action` is one of these")
    core: int | None = Field(None, ge=1, description="drop users and items with fewer rows than this")
    core_rule: Literal["repeated", "once", "items", "train_items"] = Field(
        "repeated",
        description="repeated: until none is left; once: counted before anything is dropped; items: once, and items "
        "alone; train_items: so too, but counted on all rows and dropped from the training part only, after the "
        "held-out parts were taken, which keep theirs",
    )
    core_most: int | None = Field(None, ge=1, description="core_rule repeated: also those with more rows than this")
    candidates: Literal["kept", "met", "catalogue"] = Field(
        "kept",
        description="items that can be recommended: with a row left, or with one in the source, or all that it lists",
    )
    attributes: str | None = Field(
        None, description="the source's column that says what an item is about; models read it as `attributes`"
    )
    provider: str | None = Field(
        None,
        description="the source's column that says who offers an item; models read it as `provider`, numbered from 0",
    )
    provider_missing: Literal["refused", "own"] = Field(
        "refused", description="whether an item may lack a provider; own: each such item has one to itself"
    )
    order: Literal["position", "time", "time_text"] | None = Field(
        None, description="what `last` means: the place in the user's list, the time, or the time compared as a text"
    )
    ties: Literal["file", "random"] = Field(
        "file", description="leave_one_out: rows of one user and time stand as in the file, or in a seeded order"
    )
    tie_seed: int = Field(20210814, description="seed of that order")
    valid_from: int = Field(
        3, ge=3, description="leave_one_out: the least rows of a user that gives one to validation; to test, three"
    )
    id_seed: int = Field(20210814, description="leave_one_out: seed of the permutation of the id scheme `shuffled`")
    review_seed: int | None = Field(
        None,
        ge=0,
        description="leave_one_out: the stars of all interactions are kept beside them, parted in 80, 10 and 10 of a "
        "hundred at random with this seed, whatever is held out",
    )
    test_k: int | None = Field(None, ge=0, description="official_rule: the most that an item gives to the test part")
    split_seed: int = Field(20210814, description="seed of the draws of `paper`")
    valid_k: int | None = Field(
        5, ge=0, description="the last rows of an item in train that are validation; null: the source has its own part"
    )
    valid_seed: int = Field(20210814, description="seed of their order, where none is known")
    repeats: Literal["refused", "kept", "merged"] = Field(
        "refused",
        description="whether a pair may come twice, within a part or in two of them; merged: only its last row in the "
        "file is an interaction; of `released`, its first, so that what is trained on is no test row",
    )
    merged_time: Literal["last", "latest", "first"] | None = Field(
        None,
        description="merged: the interaction stands at the place of the pair's first row in the file instead, and has "
        "the time of the last row in the file, of the latest, or of the first",
    )
    cuts: dict[str, dict[str, Any]] = Field(
        {}, description="by name, switches that could have made the paper's data; the cut nearest to its counts counts"
    )
    nearest_to: dict[Literal["users", "items", "interactions", "attributes"], int] = Field(
        {}, description="the counts that choose among the cuts"
    )

    @model_validator(mode="after")
    def _uses_every_key(self) -> Recipe:
        by_user = {"order", "min_rating", "core", "core_rule", "candidates", "attributes", "provider",
                   "provider_missing"}
        needed = {
            "official_rule": {"order", "test_k"}, "leave_one_out": {"order"}, "user_tenths": {"order"},
            "listed": {"order"},
        }.get(self.split, set())
        allowed = {
            "released": {"valid_k", "valid_seed", "repeats"},
            "official_rule": {"order", "test_k", "min_rating", "core", "valid_k", "repeats"},
            "paper": {"split_seed", "min_rating", "core", "repeats"},
            "leave_one_out": by_user | {"core_most", "window", "id_seed", "repeats", "merged_time", "actions", "cuts",
                                        "nearest_to", "ties", "tie_seed", "valid_from", "review_seed"},
            "user_tenths": by_user,
            "listed": by_user,
        }.get(self.split, set())
        given = {key for key in self.model_fields_set & set(Recipe.model_fields) if key != "split"}
        if wrong := given - allowed:
            raise ValueError(f"split {self.split} does not read {', '.join(sorted(wrong))}")
        if missing := {key for key in needed if getattr(self, key) is None}:
            raise ValueError(f"split {self.split} needs {', '.join(sorted(missing))}")
        for key, base in (("core_rule", self.core), ("provider_missing", self.provider)):
            if key in given and base is None:
                raise ValueError(f"{key} needs {key.split('_')[0]}")
        if self.core_most and (self.core_rule != "repeated" or self.core_most < (self.core or 1)):
            raise ValueError("core_most needs core_rule: repeated, and is no less than core")
        if "tie_seed" in given and self.ties != "random":
            raise ValueError("tie_seed needs ties: random")
        if self.merged_time and (self.repeats != "merged" or self.order == "position"):
            raise ValueError("merged_time needs repeats: merged, in order of time")
        if self.repeats == "merged" and self.split not in ("leave_one_out", "released"):
            raise ValueError(f"split {self.split} does not merge repeats")
        if bool(self.cuts) != bool(self.nearest_to) or (self.cuts and not self.attributes):
            raise ValueError("cuts, nearest_to and attributes belong together")
        for name in self.cuts:
            self.cut(name)
        if self.split in ("user_tenths", "listed") and self.core_rule == "train_items":
            raise ValueError("core_rule train_items is for leave_one_out")
        if self.split == "official_rule" and self.valid_k is None:
            raise ValueError("only released files have a validation part of their own")
        return self

    def cut(self, name: str) -> Recipe:
        """The recipe with the switches of one of its cuts."""
        own = self.model_fields_set & set(Recipe.model_fields) - {"cuts", "nearest_to"}
        return Recipe(**{key: getattr(self, key) for key in own} | self.cuts[name])
