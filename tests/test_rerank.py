"""Re-rankers against plain loops over users, and against lists that a person can write down."""

import ast
import importlib
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.evaluation import ranking as ranking_module
from reprise.evaluation.drift import drift
from reprise.evaluation.profiles import Profiles
from reprise.evaluation.ranking import Ranking
from reprise.rerank import Ranker, calibrated, diversity, fairco, fused, greedy
from reprise.sourcecode import PACKAGE, components, options_of
from reprise.training.options import Profile
from reprise.training.run import ranking_of
from waiting import Watched

USERS, ITEMS, GROUPS = 40, 60, 7
PROFILE = Profile(feature="genres", smoothing=0.01)


class Table:
    """A base whose scores are written down."""

    def __init__(self, scores):
        self.table = torch.as_tensor(scores)

    def scores(self, users, history):
        return self.table[users]


def world(seed=0, ordered=True):
    """Noise: 12 items a user in order of time, of which the last is the test part and the one before validation."""
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(ITEMS)[:12] for _ in range(USERS)]
    parts = {"train": slice(0, -2), "valid": slice(-2, -1), "test": slice(-1, None)}
    pairs = {name: np.array([(user, item) for user, items in enumerate(lists) for item in items[part]])
             for name, part in parts.items()}
    genres = [rng.choice(GROUPS, rng.integers(0, 4), replace=False).tolist() for _ in range(ITEMS)]
    data = Prepared(USERS, ITEMS, **pairs, status="small-world", ordered=ordered,
                    features={"genres": pa.array(genres, pa.list_(pa.int64()))})
    return data, rng.normal(0, 2, (USERS, ITEMS)).astype("float32"), lists, genres


def task(data, split="test", mask="history"):
    return ranking_of(data, split, "cpu", mask)


def lists_of(ranking, reranker, k, settings=({},)):
    found = [torch.full((len(ranking.users), k), -9) for _ in settings]
    for number, rows, items, _ in ranking.lists(reranker, list(settings), k):
        found[number][rows] = items
    return [one.tolist() for one in found]


def made(module, data, bases, **options):
    return module.Reranker(module.Options(**options), [Table(one) for one in bases], Profiles(data, PROFILE, "cpu"))


# Plain Python


def share(item, genres):
    return [(g in genres[item]) / max(1, len(genres[item])) for g in range(GROUPS)]


def mean_of(items, genres):
    about = [item for item in items if genres[item]]
    return [sum(share(item, genres)[g] for item in about) / max(1, len(about)) for g in range(GROUPS)]


def kl(p, q, a=0.01):
    return sum(x * math.log(x / ((1 - a) * y + a * x)) for x, y in zip(p, q, strict=True) if x)


def offered(scores, met, n):
    return sorted((item for item in range(len(scores)) if item not in met), key=lambda item: -scores[item])[:n]


def calibrated_by_loop(scores, met, genres, n, k, weight, score):
    p = mean_of(met, genres)
    scores = [float(one) for one in scores]
    if score == "softmax":
        exponents = [math.exp(one) for one in scores]
        scores = [one / sum(exponents) for one in exponents]
    if score == "sigmoid":
        scores = [1 / (1 + math.exp(-one)) for one in scores]
    candidates = offered(scores, met, n)
    if score == "minmax":
        low, high = scores[candidates[-1]], scores[candidates[0]]
        scores = [(one - low) / (high - low) for one in scores]
    if weight == "genre_count":
        weight = sum(x > 0 for x in p) / GROUPS
    if weight == "variance":
        weight = 1 - sum((x - sum(p) / GROUPS) ** 2 for x in p) / GROUPS
    chosen = []
    while len(chosen) < k and len(chosen) < len(candidates):
        def worth(item):
            some = [*chosen, item]
            return round((1 - weight) * sum(scores[one] for one in some) - weight * kl(p, mean_of(some, genres)), 10)

        chosen.append(max((item for item in candidates if item not in chosen), key=worth))
    return chosen


@pytest.mark.parametrize("score", ["logit", "softmax", "sigmoid", "minmax"])
@pytest.mark.parametrize("weight", [0.0, 0.5, 0.9, "genre_count", "variance"])
def test_calibration_agrees_with_a_loop_over_users(score, weight):
    data, scores, lists, genres = world()
    found = lists_of(task(data), made(calibrated, data, [scores], candidates=20, weight=weight, score=score), 10)[0]
    for user in range(USERS):
        assert found[user] == calibrated_by_loop(scores[user], lists[user][:-1], genres, 20, 10, weight, score), user


def test_logarithms_to_base_2_weigh_calibration_more():
    # KL in bits is KL in nats / ln 2, so that (1 - w) s - w KL with w = 1/2 is that in nats with w / ln 2 for w.
    data, scores, lists, genres = world()
    bits = Profiles(data, PROFILE.model_copy(update={"log_base": 2}), "cpu")
    options = calibrated.Options(candidates=20, weight=0.5, score="logit")
    found = lists_of(task(data), calibrated.Reranker(options, [Table(scores)], bits), 10)[0]
    weight = 1 / (1 + math.log(2))  # (1 - w) : w = 1 : 1 / ln 2
    assert found == [calibrated_by_loop(scores[user], lists[user][:-1], genres, 20, 10, weight, "logit")
                     for user in range(USERS)]


def test_only_the_setting_changes_in_a_sweep_and_the_weight_0_keeps_the_order():
    data, scores, _, _ = world()
    swept = made(calibrated, data, [scores], candidates=20, weight=(0.0, 0.4, 1.0), score="logit")
    assert swept.choices() == swept.sweep() == [{"weight": 0.0}, {"weight": 0.4}, {"weight": 1.0}]
    together = lists_of(task(data), swept, 10, swept.sweep())
    for setting, lists in zip(swept.sweep(), together, strict=True):
        alone = made(calibrated, data, [scores], candidates=20, score="logit", **setting)
        assert alone.choices() == [{}] and alone.sweep() == []
        assert lists_of(task(data), alone, 10)[0] == lists
    assert together[0] == lists_of(task(data), type("Plain", (Table,), {"adjust": lambda self, x, _: x})(scores), 10)[0]
    assert together[0] != together[1] != together[2]


def test_a_list_is_short_where_candidates_are_few_and_its_start_is_the_same_for_every_length():
    data, scores, _, _ = world()
    reranker = made(calibrated, data, [scores], candidates=5, weight=0.5, score="logit")
    long = lists_of(task(data), reranker, 7)[0]
    assert all(len(set(items[:5])) == 5 and items[5:] == [-1, -1] and -1 not in items[:5] for items in long)
    assert [items[:3] for items in long] == lists_of(task(data), reranker, 3)[0]
    # Users 0 and 1 have met all but three items, so three are offered.
    history = np.array([(user, item) for user in (0, 1) for item in range(3, ITEMS)])
    few = Ranking(np.array([[0, 1], [1, 2]]), history, USERS, ITEMS, "cpu")
    assert [sorted(items) for items in lists_of(few, reranker, 5)[0]] == [[-1, -1, 0, 1, 2]] * 2


def test_equal_gains_go_to_the_better_rank():
    class Even:
        def gains(self):
            return torch.zeros(2, 4)

        def add(self, places):
            pass

    left = torch.tensor([[True, True, True, True], [False, True, False, True]])
    assert greedy.choose(Even(), left, 5).tolist() == [[0, 1, 2, 3, 4], [1, 3, 4, 4, 4]]


@pytest.mark.parametrize("theta", [0.0, 0.2, 1.0])
def test_diversification_agrees_with_a_loop_over_users(theta):
    data, scores, lists, genres = world()

    def alike(a, b):
        x, y = share(a, genres), share(b, genres)
        norm = math.sqrt(sum(one**2 for one in x) * sum(one**2 for one in y))
        return sum(one * other for one, other in zip(x, y, strict=True)) / norm if norm else 0.0

    found = lists_of(task(data), made(diversity, data, [scores], candidates=25, theta=theta), 8)[0]
    for user in range(USERS):
        candidates = offered(scores[user].tolist(), lists[user][:-1], 25)
        chosen = candidates[:1]
        while len(chosen) < 8:
            left = [item for item in candidates if item not in chosen]
            sums = {item: round(sum(alike(item, one) for one in chosen), 9) for item in left}
            unlike = sorted(left, key=lambda item: (sums[item], candidates.index(item)))
            merged = {item: round((1 - theta) * (candidates.index(item) + 1) + theta * (unlike.index(item) + 1), 9)
                      for item in left}
            chosen.append(min(left, key=lambda item: (merged[item], candidates.index(item))))
        assert found[user] == chosen, user


def fairco_by_loop(scores, met, genres, k, weight):
    ranked = offered(scores, met, ITEMS)
    merit = {item: 1 / (1 + math.exp(-scores[item])) for item in ranked}
    exposure = {item: 1 / math.log2(1 + rank) for rank, item in enumerate(ranked, 1)}
    groups = [g for g in range(GROUPS) if any(g in genres[item] for item in ranked)]
    treated = {g: sum(share(item, genres)[g] * exposure[item] for item in ranked)
               / max(1e-4, sum(share(item, genres)[g] * merit[item] for item in ranked)) for g in groups}
    behind = {g: max(treated.values()) - treated[g] for g in groups}
    error = {item: sum(share(item, genres)[g] * behind[g] for g in groups) for item in ranked}
    return sorted(ranked, key=lambda item: -(merit[item] + weight * error[item]))[:k]


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("exhausted", [False, True])
def test_fairco_agrees_with_a_loop_over_users(weight, exhausted):
    data, scores, lists, genres = world()
    if exhausted:  # the first group is that of what user 0 has met, who is offered nothing of it
        met = set(lists[0][:-1].tolist())
        genres = [[0] * (item in met) + [g for g in some if g] for item, some in enumerate(genres)]
        data = replace(data, features={"genres": pa.array(genres, pa.list_(pa.int64()))})
    found = lists_of(task(data), made(fairco, data, [scores], weight=weight), 10)[0]
    for user in range(USERS):
        expected = fairco_by_loop(scores[user].astype(float).tolist(), lists[user][:-1], genres, 10, weight)
        assert found[user] == expected, user


def test_the_largest_of_equal_values_is_the_first():
    values = torch.tensor([[1.0, 3.0, 3.0, 2.0, 3.0], [5.0, 4.0, 3.0, 2.0, 1.0]], dtype=torch.float64)
    assert fairco.best(values, 2).tolist() == [[1, 2], [0, 1]]
    assert fairco.best(values, 5).tolist() == [[1, 2, 4, 3, 0], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize("fusion", ["sigmoid", "logit"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("part", ["history", "train"])
@pytest.mark.parametrize("mask", ["history", "train"])
def test_fusion_agrees_with_a_loop_over_users(fusion, alpha, part, mask):
    """What a user has changed by does not depend on what is offered again: the validation item, under `train`."""
    data, first, lists, genres = world()
    second = np.random.default_rng(9).normal(0, 2, first.shape).astype("float32")
    reranker = made(fused, data, [first, second], alpha=alpha, fusion=fusion, part=part)
    found = lists_of(task(data, mask=mask), reranker, 10)[0]

    def changed(items):
        one, other = (mean_of(half, genres) for half in (items[: len(items) // 2], items[len(items) // 2 :]))
        return kl(one, other) + kl(other, one) if any(one) and any(other) else 0

    eta = [changed(lists[user][:-1] if part == "history" else lists[user][:-2]) for user in range(USERS)]
    form = (lambda x: 1 / (1 + math.exp(-x))) if fusion == "sigmoid" else float
    for user in range(USERS):
        e = ((eta[user] - min(eta)) / (max(eta) - min(eta))) ** alpha
        mixed = [(1 - e) * form(one) + e * form(other) for one, other in zip(first[user], second[user], strict=True)]
        assert found[user] == offered(mixed, lists[user][: -1 if mask == "history" else -2], 10), user


def test_a_curve_of_alpha_is_measured_and_not_chosen_from():
    data, scores, *_ = world()
    reranker = made(fused, data, [scores, scores], alpha=0.2, fusion="sigmoid", curve=(0.5, 0.1))
    assert (reranker.choices(), reranker.sweep()) == ([{}], [{"alpha": 0.1}, {"alpha": 0.5}])
    assert (reranker.value({}), reranker.value({"alpha": 0.5})) == (0.2, 0.5)
    reranker = made(fused, data, [scores, scores], alpha=(0.2, 0.3), fusion="sigmoid")
    assert reranker.choices() == reranker.sweep() == [{"alpha": 0.2}, {"alpha": 0.3}]


def test_fusion_keeps_apart_what_float32_cannot():
    """Logits of 20 and 40 are both 1 as float32 probabilities; in float64 the larger one still comes first."""
    data, _, lists, _ = world()
    scores = np.full((USERS, ITEMS), 20.0, dtype="float32") + np.arange(ITEMS, dtype="float32") / 10
    reranker = made(fused, data, [scores, scores], alpha=0.5, fusion="sigmoid")
    for user, items in enumerate(lists_of(task(data), reranker, 5)[0]):
        assert items == offered(scores[user].tolist(), lists[user][:-1], 5)


def test_a_history_of_one_item_has_not_changed():
    data, scores, _, _ = world()
    short = Prepared(2, ITEMS, np.array([[0, 1], [1, 2], [1, 3], [1, 4]]), data.valid[:0], data.test[:1],
                     "small-world", True, data.features)
    changes = Profiles(short, PROFILE, "cpu").changes(short.interactions("train"))
    assert changes[0] == 0 and changes.shape == (2,)


@pytest.mark.parametrize("module", [calibrated, diversity, fairco, fused])
def test_chunks_change_no_list(module, monkeypatch):
    data, scores, _, _ = world()
    options = {calibrated: {"candidates": 20, "weight": 0.5, "score": "logit"},
               diversity: {"candidates": 20, "theta": 0.1}, fairco: {"weight": 0.1},
               fused: {"alpha": 0.3, "fusion": "sigmoid"}}[module]
    reranker = made(module, data, [scores] * module.Reranker.rows, **options)
    whole = lists_of(task(data), reranker, 10)
    monkeypatch.setattr(greedy, "CELLS", 20 * 20 * 3)  # three users
    monkeypatch.setattr(ranking_module, "CELLS", ITEMS * 7)  # seven users
    assert lists_of(task(data), reranker, 10) == whole


@pytest.mark.parametrize("mask", ["history", "none", "zero"])
def test_candidates_are_what_the_papers_masking_rule_offers(mask):
    data, scores, lists, _ = world()
    scores -= 20  # so that a masked score of 0 is the best there is
    reranker = made(diversity, data, [scores], candidates=5, theta=0.3)
    for user, items in enumerate(lists_of(task(data, mask=mask), reranker, 5)[0]):
        met = lists[user][:-1].tolist()
        own = [0.0 if mask == "zero" and item in met else float(scores[user, item]) for item in range(ITEMS)]
        least = sorted((own[item] for item in range(ITEMS) if mask != "history" or item not in met), reverse=True)[4]
        assert min(own[item] for item in items) >= least and (mask != "history" or not set(items) & set(met))
        assert mask != "zero" or set(items) <= set(met)


def test_mistakes_are_named():
    data, scores, _, _ = world()
    with pytest.raises(RepriseError, match="1 of the paper's rows"):
        made(calibrated, data, [scores, scores], candidates=20, weight=0.5, score="logit")
    with pytest.raises(RepriseError, match="order of time"):
        made(fused, world(ordered=False)[0], [scores, scores], alpha=0.5, fusion="logit")
    with pytest.raises(RepriseError, match="one of genres"):
        Profiles(data, Profile(feature="colour"), "cpu")
    with pytest.raises(RepriseError, match="no order of time"):
        Profiles(world(ordered=False)[0], Profile(feature="genres", window=5), "cpu")
    for wrong in (-0.1, 1.1, "some", (0.5, 2.0)):
        with pytest.raises(ValueError):
            calibrated.Options(candidates=20, weight=wrong, score="logit")


def test_many_users_take_as_many_operations_as_few():
    """Nothing goes user by user; what ML-1M's 6,040 users take is measured and stands on DACSR's page."""

    def operations(users):
        rng = np.random.default_rng(0)
        train = np.stack([np.repeat(np.arange(users), 10), rng.integers(0, ITEMS, users * 10)], 1)
        test = np.stack([np.arange(users), rng.integers(0, ITEMS, users)], 1)
        genres = {"genres": pa.array([[item % GROUPS] for item in range(ITEMS)])}
        data = Prepared(users, ITEMS, train, test[:0], test, "small-world", True, genres)
        table = torch.from_numpy(rng.normal(0, 2, (users, ITEMS)).astype("float32"))
        reranker = made(calibrated, data, [table], candidates=20, weight=0.5, score="logit")
        ranking = Ranking(test, train, users, ITEMS, "cpu", "none", True)
        ranking.chunk = users
        with Watched() as watched:
            ((_, _, items, _),) = ranking.lists(reranker, [{}], 5)
        assert items.shape == (users, 5)
        return watched.calls

    assert operations(40) == operations(400)


@pytest.mark.parametrize("name", components("rerank"))
def test_every_re_ranker_keeps_the_contract(name):
    tree = ast.parse((PACKAGE / f"rerank/{name}.py").read_text())
    reranker = importlib.import_module(f"reprise.rerank.{name}").Reranker
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} | {reranker.swept, "candidates"}
    options = set(options_of("rerank", name).model_fields)
    assert options <= read, "every option is read"
    assert issubclass(reranker, Ranker) and reranker.source and reranker.swept in options


def test_the_drift_that_tables_group_users_by_is_the_change_that_fusion_mixes_by():
    rng = np.random.default_rng(8)
    genres = [rng.choice(6, rng.integers(0, 4), replace=False).tolist() for _ in range(40)]
    pairs = np.array([(user, item) for user in range(30) for item in rng.integers(0, 40, rng.integers(1, 12))])
    features = {"attributes": pa.array(genres, pa.list_(pa.int64()))}
    data = Prepared(30, 40, pairs, pairs[:1], pairs[:1], "small-world", True, features)
    changed = Profiles(data, Profile(feature="attributes"), "cpu").changes(data.interactions("train"))
    # The one is numpy, for tables are made without PyTorch; a user of one item has no first half.
    np.testing.assert_allclose(drift(data, "train"), changed.numpy(), rtol=1e-9, atol=1e-12)
    assert (changed > 0.5).sum() > 10
