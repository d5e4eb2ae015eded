"""Factorisation machines, DecRS and IPS against plain loops over features, and the rows that their trainer draws."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from held import most_held
from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.methods.decrs import prior_of
from reprise.methods.pointwise import Rows
from reprise.models import nfm
from reprise.models.factorisation import group_shares, user_columns
from reprise.training.build import build, make_trainer
from reprise.training.options import Training

USERS, ITEMS, DIM, HIDDEN = 7, 9, 4, 3
# Groups 0 to 2; item 4 has none, item 5 all three.
GROUPS = [[0], [1], [0, 1], [2], [], [0, 1, 2], [2], [1], [0, 2]]
GENDER, AGE, JOB = [0, 1, 1, 0, 1, 0, 0], [1, 18, 25, 1, 18, 25, 25], [1, 0, 18, 3, 3, 1, 0]
MODELS = {"fm": {"dim": DIM, "dropout": 0.3}, "nfm": {"dim": DIM, "hidden": HIDDEN, "dropout": (0.3, 0.2)}}
LOSS = {"weight": 0.1, "reg": "norm"}
DECRS = {"name": "decrs", "m": "fm", "m_pairs": "half", "prior": "catalogue", "v_init_std": 1.0}


def lists(values):
    return Lists.of(np.array(sum(values, []), dtype=int), np.array([len(one) for one in values]))


def world():
    cells = np.argwhere(np.random.default_rng(3).random((USERS, ITEMS)) < 0.4)
    laid = Interactions.of(cells[cells[:, 0] != 6], USERS, ITEMS)  # user 6 has no rows
    known = {"gender": GENDER, "age": AGE, "occupation": JOB}
    return dataclasses.replace(
        laid, features={"attributes": lists(GROUPS)},
        user_features={name: lists([[value] for value in values]) for name, values in known.items()},
    )


DATA = world()


def made(model="fm", method=None, data=DATA, **options):
    """A method around a model whose weights, batch norms included, are none of their first ones."""
    spec = {"model": {"name": model, "batch_norm": True, **MODELS[model], **options},
            "method": {"name": "pointwise", **LOSS, **(method or {})}}  # fmt: skip
    built = build(spec, data, 1, "search")
    generator = torch.Generator().manual_seed(7)
    for name, tensor in built.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.5, generator=generator)
    return built


def numbers(built):
    return {name: tensor.double().numpy() for name, tensor in built.state_dict().items()}


def feature_ids():
    """Ids as a person counts them: users, ages 1 18 25, genders, jobs 0 1 3 18 (columns in the alphabet's order)."""
    return [[u, 7 + [1, 18, 25].index(AGE[u]), 10 + GENDER[u], 12 + [0, 1, 3, 18].index(JOB[u])] for u in range(USERS)]


def instance(w, user, item, groups=True):
    """Every feature of an instance as (x e, x w)."""
    some = [(w["model.rows.user"][f], w["model.weights.user"][f, 0]) for f in feature_ids()[user]]
    some.append((w["model.rows.item"][item], w["model.weights.item"][item, 0]))
    for group in range(3) if groups else ():
        q = GROUPS[item].count(group) / max(1, len(GROUPS[item]))  # zeros are among the features, and add nothing
        some.append((q * w["model.rows.group"][group], q * w["model.weights.group"][group, 0]))
    return some


def pairwise(vectors):
    return sum((a * b for a, b in itertools.combinations(vectors, 2)), np.zeros(DIM))


def normalised(w, name, x):
    if f"model.{name}.weight" not in w:
        return x
    scale = w[f"model.{name}.weight"] / np.sqrt(w[f"model.{name}.running_var"] + 1e-5)
    return (x - w[f"model.{name}.running_mean"]) * scale + w[f"model.{name}.bias"]


def forward(built, user, item, extra=(), groups=True):
    """The score of one instance, feature pair by feature pair."""
    w = numbers(built)
    some = instance(w, user, item, groups)
    pooled = normalised(w, "normalised", pairwise([vector for vector, _ in some] + list(extra)))
    first = sum(weight for _, weight in some) + w["model.bias"]
    if "model.prediction.weight" not in w:
        return pooled.sum() + first
    hidden = w["model.layer.weight"] @ pooled + w.get("model.layer.bias", 0)
    hidden = normalised(w, "hidden_normalised", hidden)
    return w["model.prediction.weight"][0] @ np.maximum(hidden, 0) + first


def table(built, **kind):
    return np.array([[forward(built, u, i, **kind) for i in range(ITEMS)] for u in range(USERS)])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("groups", [True, False])
def test_full_ranking_and_training_score_every_instance_as_plain_loops_do(model, batch_norm, groups, monkeypatch):
    built = made(model, batch_norm=batch_norm, groups=groups)
    assert ("model.rows.group" in built.state_dict()) == groups
    expected = table(built, groups=groups)
    users, items = (index.ravel() for index in np.indices((USERS, ITEMS)))
    users, items = torch.from_numpy(users), torch.from_numpy(items)
    one_by_one = built.model.interact(built.side(users), built.model.items(items)).detach()
    np.testing.assert_allclose(one_by_one.view(USERS, ITEMS), expected, rtol=1e-4, atol=1e-4)
    for tile in ((1, 1), (2, ITEMS - 1), (3, ITEMS), (USERS + 1, ITEMS + 1)):
        monkeypatch.setitem(nfm.TILE, "cpu", tile)
        found = built.scores(torch.arange(USERS)).detach()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("model", "most"), [("fm", 2), ("nfm", 4)])
def test_full_ranking_holds_a_few_times_its_scores_and_no_pair_s_units(model, most, tmp_path):
    """Of 256 users and 16,845 items, as Amazon-Book has: a hidden unit of every pair is as much as all scores."""
    users, items, units = 256, 16_845, 16
    groups = lists([[item % 253] for item in range(items)])
    laid = Interactions.of(np.stack([np.arange(users), np.arange(users)], 1), users, items)
    sizes = {"dim": units} | ({"hidden": units} if model == "nfm" else {})
    built = made(model, data=dataclasses.replace(laid, features={"attributes": groups}), **sizes)
    with torch.no_grad():
        held = most_held(lambda: built.scores(torch.arange(users)), tmp_path / "trace.json")
    assert held < most * 4 * users * items < units * 4 * users * items


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("m", "m_pairs"), [("fm", "half"), ("fm", "full"), ("ep", "half")])
def test_decrs_is_the_model_with_one_more_vector(model, m, m_pairs):
    built = made(model, method={**DECRS, "m": m, "m_pairs": m_pairs})
    w = numbers(built)
    prior = np.mean([[one.count(g) / max(1, len(one)) for g in range(3)] for one in GROUPS], axis=0)
    g = [prior[a] * w["group_rows"][a] for a in range(3)]
    extra = []
    for user in range(USERS):
        u = [vector for vector, _ in instance(w, user, 0)[:4]]
        extra.append({("fm", "half"): pairwise(u + g), ("fm", "full"): sum(u + g) ** 2,
                      ("ep", "half"): sum(g) * sum(u)}[m, m_pairs])  # fmt: skip
    expected = np.array([[forward(built, u, i, [extra[u]]) for i in range(ITEMS)] for u in range(USERS)])
    np.testing.assert_allclose(built.scores(torch.arange(USERS)).detach(), expected, rtol=1e-4, atol=1e-4)
    # What is trained is what ranks, and the groups' rows v learn.
    users, items = torch.tensor([2, 5]), torch.tensor([8, 0])
    trained = built.model.interact(built.side(users), built.model.items(items))
    np.testing.assert_allclose(trained.detach(), expected[[2, 5], [8, 0]], rtol=1e-4, atol=1e-4)
    trained.sum().backward()
    assert bool((built.group_rows.grad != 0).all()) and not built.expected.requires_grad


@pytest.mark.parametrize("third", [2, 5])
def test_the_priors_by_hand(third):
    # Rows: items 0, 0 and 2; groups {0}, {0} and {0, 1}. The catalogue: items 0 to 3, item 3 of the `third` group. If
    # that is numbered 5, groups 2 to 4 have no item: they are no groups of the model, and get no share.
    data = Interactions.of(np.array([[0, 0], [1, 0], [1, 2]]), 2, 4)
    data = dataclasses.replace(data, features={"attributes": lists([[0], [1], [0, 1], [third]])})
    assert prior_of(data, "interaction").tolist() == pytest.approx([2.5 / 3, 0.5 / 3, 0])
    assert prior_of(data, "catalogue").tolist() == [1.5 / 4, 1.5 / 4, 1 / 4]
    assert prior_of(data, "uniform").tolist() == pytest.approx([1 / 3] * 3)


def test_shares_may_be_rounded():
    assert group_shares(DATA)[5].tolist() == pytest.approx([1 / 3] * 3)
    assert group_shares(DATA, 2)[5].tolist() == pytest.approx([0.33] * 3)


def test_equal_codes_are_two_features_but_where_columns_share_them():
    apart, together = user_columns(DATA), user_columns(DATA, ["age", "occupation"])
    assert apart.tolist() == feature_ids()
    assert int(apart.max()) + 1 == 7 + 3 + 2 + 4
    # Ages 1, 18, 25 and occupations 0, 1, 3, 18 are five codes: 0, 1, 3, 18, 25.
    assert int(together.max()) + 1 == 7 + 2 + 5
    codes = [0, 1, 3, 18, 25]
    assert together[:, 2].tolist() == [9 + codes.index(age) for age in AGE]
    assert together[:, 3].tolist() == [9 + codes.index(job) for job in JOB]
    with pytest.raises(RepriseError, match="wage"):
        user_columns(DATA, ["wage"])


@pytest.mark.parametrize("model", MODELS)
def test_a_model_has_the_features_that_its_switches_say(model):
    """Ages 1 18 25 and jobs 0 1 3 18 are seven features apart, five together; a third is .33 to two decimals."""
    plain, quirky = made(model).model, made(model, shared_codes=("age", "occupation"), decimals=2).model
    assert len(plain.rows["user"]) == USERS + 2 + 7 and len(quirky.rows["user"]) == USERS + 2 + 5
    assert [one.shares[5, 0].item() for one in (plain, quirky)] == pytest.approx([1 / 3, 0.33])


def test_data_without_groups_are_refused_unless_none_are_read():
    bare = Interactions.of(np.array([[0, 0], [1, 1]]), 2, 3)
    with pytest.raises(RepriseError, match="attributes"):
        made(data=bare)
    assert made(data=bare, groups=False).scores(torch.arange(2)).shape == (2, 3)


@pytest.mark.parametrize(
    ("norm", "weights"),
    [
        # Degrees 1, 3, 0 and 2: their mean over users with rows is 2.
        ("mean", [2, 2 / 3, 2.5, 1]),
        ("max", [2.5, 1, 2.5, 1.5]),
        ("none", [2.5, 2, 2.5, 2.5]),  # P = 1/6, 3/6, 2/6
    ],
)
@pytest.mark.parametrize("on", ["both", "positive"])
def test_ips_weighs_by_clipped_inverse_shares(norm, weights, on):
    data = Interactions.of(np.array([[0, 0], [1, 0], [1, 1], [1, 2], [3, 1], [3, 4]]), 4, 5)
    built = made(data=data, groups=False, method={"name": "user_ips", "clip": 2.5, "norm": norm, "weighed": on})
    assert built.weights.tolist() == pytest.approx(weights)
    batch = Rows(torch.tensor([0, 1, 3, 1]), torch.tensor([0, 3, 4, 1]), torch.tensor([1.0, 0, 1, 0]))
    scores = built.scores(torch.arange(4)).double()[batch.users, batch.items]
    losses = [math.log1p(math.exp(-s if y else s)) for s, y in zip(scores.tolist(), batch.labels, strict=True)]
    factors = [weights[u] if y or on == "both" else 1 for u, y in zip(batch.users.tolist(), batch.labels, strict=True)]
    assert built.loss(batch).item() == pytest.approx(np.dot(losses, factors), rel=1e-5)


def trainer(model="fm", reg="norm", **training):
    options = Training(**{"batch": 8, "learning_rate": 0.05, "max_epochs": 9, "eval_every": 1, "patience": 9,
                          "metric": "recall", "k": 2, "ks": (2,), "fit_on": "train", "select_on": "valid",
                          "refit": False, **training})  # fmt: skip
    spec = {"model": {"name": model, **MODELS[model], "dropout": 0.0 if model == "fm" else (0.0, 0.0),
                      "batch_norm": False}, "method": {"name": "pointwise", **LOSS, "reg": reg}}  # fmt: skip
    return make_trainer(build(spec, DATA, 1, "search"), DATA, options, 1, "search")


def test_an_epoch_has_every_row_and_an_unmet_item_for_each_and_drops_what_fills_no_batch():
    mine = trainer()
    met = set(zip(DATA.users.tolist(), DATA.items.tolist(), strict=True))
    assert mine.steps_per_epoch == 2 * len(met) // 8 and 2 * len(met) % 8, "some rows are dropped"
    epochs = []
    for number in range(40):
        rows = mine._rows(number)
        pairs = list(zip(rows.users.tolist(), rows.items.tolist(), strict=True))
        positive = [pair for pair, label in zip(pairs, rows.labels, strict=True) if label]
        negative = [pair for pair, label in zip(pairs, rows.labels, strict=True) if not label]
        assert len(positive) == len(negative) and set(positive) == met and len(positive) == len(met)
        assert not set(negative) & met
        assert sorted(user for user, _ in negative) == DATA.users.tolist(), "one each"
        epochs.append(pairs)
        assert len(set(rows.labels[: len(met)].tolist())) == 2, "shuffled"
    assert epochs[0] != epochs[1], "redrawn"
    drawn = np.bincount([item for pairs in epochs for user, item in pairs if user == 0 and (0, item) not in met],
                        minlength=ITEMS)  # fmt: skip
    unmet = [item for item in range(ITEMS) if (0, item) not in met]
    expected = drawn.sum() / len(unmet)
    assert (np.abs(drawn[unmet] - expected) < 5 * math.sqrt(expected)).all(), "evenly"


@pytest.mark.parametrize(("reg", "model"), [("norm", "fm"), ("l2", "fm"), ("norm", "nfm")])
def test_a_step_is_adagrad_on_the_sum_of_the_rows_and_lambda_times_the_norm(reg, model):
    mine = trainer(model, reg)
    rows = mine._rows(0)
    before = {name: one.detach().clone() for name, one in mine.method.named_parameters()}
    scores = mine.method.scores(torch.arange(USERS)).detach().double()[rows.users[:8], rows.items[:8]]
    rows_loss = sum(math.log1p(math.exp(-s if y else s)) for s, y in zip(scores.tolist(), rows.labels, strict=False))
    squares = sum((one**2).sum().item() for name, one in before.items() if ".rows." in name)
    expected = rows_loss + 0.1 * (squares if reg == "l2" else math.sqrt(squares))
    assert mine.train(1) == pytest.approx(expected, rel=1e-5)
    for name, one in mine.method.named_parameters():
        gradient = one.grad.double()
        step = 0.05 * gradient / ((1e-8 + gradient**2).sqrt() + 1e-10)
        torch.testing.assert_close(one.detach().double(), before[name].double() - step, rtol=1e-4, atol=1e-6)
    item = next(i for i in range(ITEMS) if i not in rows.items[:8].tolist())  # moved by the norm alone
    pull = mine.method.model.rows["item"].grad[item] / before["model.rows.item"][item]
    assert pull.tolist() == pytest.approx([0.2 if reg == "l2" else 0.1 / math.sqrt(squares)] * DIM, rel=1e-4)


def test_training_l2_and_empty_data_are_refused():
    with pytest.raises(RepriseError, match=r"training\.l2"):
        trainer(l2=0.1)
