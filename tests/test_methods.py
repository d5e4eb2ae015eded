"""What each method adds to its model, against brute force on numbers that a person can check."""

import numpy as np
import pytest
import torch
from reprise.data.interactions import Interactions
from reprise.methods import binary_cross_entropy, expomf, once
from reprise.methods.cause import item_uniform_parts
from reprise.methods.reg import mean_distance, short_head
from reprise.training.build import build, make_trainer
from reprise.training.options import Training
from reprise.training.sampler import PairSampler
from waiting import Watched

# Item 0 has four rows, item 1 two, items 2 and 3 one each; nobody met item 4.
PAIRS = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [0, 1], [1, 1], [2, 2], [3, 3]])
DATA = Interactions.of(PAIRS, n_users=4, n_items=5)
USERS, POSITIVES, NEGATIVES = torch.tensor([0, 2, 3]), torch.tensor([0, 2, 3]), torch.tensor([4, 1, 2])


def method(name, data=DATA, **options):
    spec = {"model": {"name": "mf", "dim": 3}, "method": {"name": name, **options}}
    return build(spec, data, 1, "search")


def batch_of(wrapped):
    return wrapped.batch(0, USERS, POSITIVES, NEGATIVES)


def log_sigmoid(x):
    return -np.log1p(np.exp(-x))


def test_bs_adds_its_bias_in_the_loss_and_not_in_the_ranking():
    bs = method("bs")
    batch, bias = batch_of(bs), bs.item_bias.squeeze(1)
    assert bool((bias.abs() <= np.sqrt(3 / 5)).all())
    expected = binary_cross_entropy(batch.positive + bias[POSITIVES], batch.negative + bias[NEGATIVES])
    assert bs.loss(batch).item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.equal(bs.scores(USERS), bs.model.scores(USERS))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # 1/p = 5 / (n + 1) = 1, 5/3, 5/2, 5/2, 5; its mean over the rows is (4 + 10/3 + 5) / 8 = 37/24.
        ({"weighting": "sample", "clip": "none"}, np.array([1, 5 / 3, 5 / 2, 5 / 2, 5]) * 24 / 37),
        # Median 5/2: only the item that nobody met is capped.
        ({"weighting": "sample", "clip": "median"}, np.array([1, 5 / 3, 5 / 2, 5 / 2, 5 / 2]) * 24 / 37),
        # max / n = 1, 2, 4, 4, 4 (no rows count as one), median 4, over 4.
        ({"weighting": "dice", "clip": "none"}, np.array([1, 2, 4, 4, 4]) / 4),
        ({"weighting": "score_div", "clip": "none"}, np.array([1, 5 / 3, 5 / 2, 5 / 2, 5])),
    ],
)
def test_ipw_weighs_as_its_formulas_say(options, expected):
    ipw = method("ipw", **options)
    np.testing.assert_allclose(ipw.weights, expected, rtol=1e-6)
    batch = batch_of(ipw)
    positive, negative = batch.positive.detach().double().numpy(), batch.negative.detach().double().numpy()
    w_pos, w_neg = expected[POSITIVES], expected[NEGATIVES]
    loss = {
        "sample": np.mean(-w_pos * log_sigmoid(positive) - log_sigmoid(-negative)),
        "dice": np.mean(-w_pos * (log_sigmoid(positive) + log_sigmoid(-negative))),
        "score_div": np.mean(-log_sigmoid(positive * w_pos - negative * w_neg)),
    }[options["weighting"]]
    assert ipw.loss(batch).item() == pytest.approx(loss, rel=1e-5)


def test_ipw_on_equally_popular_items_is_plain_training():
    even = Interactions.of(np.array([[0, 0], [1, 1], [2, 2]]), 3, 4)
    ipw = method("ipw", even, weighting="sample", clip="none")
    batch = ipw.batch(0, torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 3]))
    plain = binary_cross_entropy(batch.positive, batch.negative)
    assert ipw.loss(batch).item() == pytest.approx(plain.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("cutoff", "share", "head"),
    [
        ("interactions", 0.5, [0]),  # 4 of 8 rows
        ("interactions", 0.51, [0, 1]),
        ("interactions", 0.8, [0, 1, 2]),  # 6 of 8 are too few
        ("items", 0.2, [0]),
        ("items", 0.4, [0, 1]),
    ],
)
def test_the_short_head_is_the_fewest_items_that_hold_the_share(cutoff, share, head):
    assert torch.nonzero(short_head(DATA.counts, cutoff, share)).squeeze(1).tolist() == head


@pytest.mark.parametrize("graph", ["cross", "same"])
@pytest.mark.parametrize("scored", [False, True])
def test_mean_distance_equals_listing_all_pairs(graph, scored):
    random = np.random.default_rng(0)
    rows, head, users = random.normal(size=(9, 4)), random.random(9) < 0.4, random.normal(size=(6, 4))
    linked = {"cross": lambda x, y: head[x] and not head[y], "same": lambda x, y: head[x] == head[y]}[graph]
    pairs = [(x, y) for x in range(9) for y in range(9) if linked(x, y)]
    if scored:
        distances = [np.mean((users @ rows[x] - users @ rows[y]) ** 2) for x, y in pairs]
        metric = torch.from_numpy(users.T @ users / 6)
    else:
        distances, metric = [np.sum((rows[x] - rows[y]) ** 2) for x, y in pairs], None
    found = mean_distance(torch.from_numpy(rows), torch.from_numpy(head), graph, metric)
    assert found.item() == pytest.approx(np.mean(distances), rel=1e-12)


def test_mean_distance_of_no_pair_is_zero():
    assert mean_distance(torch.ones(3, 2), torch.ones(3, dtype=torch.bool), "cross").item() == 0


@pytest.mark.parametrize("form", ["rows", "score"])
def test_reg_adds_its_weight_times_the_distance(form):
    options = {"graph": "cross", "form": form, "cutoff": "items", "share": 0.4}
    reg, plain = method("reg", weight=0.5, **options), method("reg", weight=0.0, **options)
    batch = batch_of(reg)
    # Head: items 0 and 1. The batch's items, repeats counted: 0, 2, 3 (positive), 4, 1, 2 (negative).
    rows = torch.cat([batch.good, batch.bad])
    head, tail = rows[[0, 4]], rows[[1, 2, 3, 5]]
    difference = head[:, None] - tail
    distance = difference @ batch.user.T if form == "score" else difference
    expected = distance.square().mean() if form == "score" else distance.square().sum(-1).mean()
    assert (reg.loss(batch) - plain.loss(batch_of(plain))).item() == pytest.approx(0.5 * expected.item(), rel=1e-4)


def test_each_distinct_id_counts_once():
    weights = once(torch.tensor([3, 0, 3, 3, 1]), 5)
    assert weights.tolist() == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3, 1])


def test_the_treatment_empties_nobody_and_no_row_is_lost():
    generator, seen = torch.Generator().manual_seed(3), set()
    for _ in range(300):
        parts = item_uniform_parts(DATA, 0.25, generator)
        control, treatment = (set(zip(part.users.tolist(), part.items.tolist(), strict=True)) for part in parts)
        assert 1 <= len(treatment) <= 2 and not control & treatment
        assert control | treatment == set(map(tuple, PAIRS.tolist()))
        assert (parts[0].counts > 0).tolist() == (DATA.counts > 0).tolist(), "no item loses its last row"
        assert bool((parts[0].degrees > 0).all()), "no user loses the last row"
        seen |= treatment
    assert seen == set(map(tuple, PAIRS.tolist())) - {(2, 2), (3, 3)}  # the only rows of their items


def test_a_large_treatment_is_uniform_over_items():
    random = np.random.default_rng(0)
    popularity = np.repeat([5, 500], [50, 5])  # 50 items with 5 rows, 5 with 500
    items = np.repeat(np.arange(55), popularity)
    data = Interactions.of(np.stack([random.permutation(len(items)) % 300, items], 1), 300, 55)
    _, treatment = item_uniform_parts(data, 0.02, torch.Generator().manual_seed(0))
    assert len(treatment.items) == 55  # .02 x 2750
    # One row an item is expected, the fifty rare ones lose a few to the rule that none is emptied: not 50 / 2750 rows.
    assert 40 <= int((treatment.items < 50).sum()) <= 53


def cause(**options):
    return method("cause", **{"penalty": "bce_mse", "weight": 1.0, "share": 0.25, "shared_users": True, **options})


def test_no_negative_of_a_part_is_an_item_of_the_user_in_the_other():
    met = set(map(tuple, PAIRS.tolist()))
    for part in cause(share=0.25).parts:
        sampler = PairSampler(part, 4, "skip", torch.Generator().manual_seed(0))
        mine = set(zip(part.users.tolist(), part.items.tolist(), strict=True))
        for _ in range(50):
            users, positives, negatives = (one.tolist() for one in sampler.draw())
            assert set(zip(users, positives, strict=True)) <= mine
            assert not set(zip(users, negatives, strict=True)) & met
        assert mine < met


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("penalty", ["bce_mse", "criteo_l1", "repo_l2"])
def test_cause_is_cross_entropy_and_the_distance_of_its_twins(penalty, part, shared):
    wrapped = cause(penalty=penalty, shared_users=shared)
    users, positives, negatives = torch.tensor([0, 2, 3]), torch.tensor([0, 2, 2]), torch.tensor([4, 4, 1])
    batch = wrapped.batch(part, users, positives, negatives)
    own, other = (wrapped.model_of(side) for side in (part, 1 - part))
    assert torch.equal(batch.good, own.item[positives]) and torch.equal(batch.user, own.user[users])

    def distance(rows, twins, ids):
        difference = rows - twins
        if penalty == "bce_mse":
            return difference[sorted(set(ids))].square().mean()
        if penalty == "criteo_l1":
            return difference[ids].abs().sum(1).mean()
        unit = (x / x.norm(dim=1, keepdim=True) for x in (rows[ids], twins[ids]))
        return torch.dist(*unit)

    expected = distance(own.item, other.item, [0, 2, 2, 4, 4, 1])
    if not shared:
        expected = expected + distance(own.user, other.user, [0, 2, 3])
    plain = binary_cross_entropy(batch.positive, batch.negative)
    assert wrapped.loss(batch).item() == pytest.approx((plain + expected).item(), rel=1e-5)
    wrapped.loss(batch).backward()
    if penalty == "bce_mse":
        assert bool((other.item.grad[0] != 0).any())
    else:
        assert other.item.grad is None, "the twin stands still"


def test_cause_ranks_with_control_and_saves_a_shared_table_once():
    shared, apart = cause(), cause(shared_users=False)
    assert shared.twin.user is shared.model.user
    assert set(apart.state_dict()) - set(shared.state_dict()) == {"twin.user"}
    assert torch.equal(shared.scores(USERS), shared.model.user[USERS] @ shared.model.item.T)
    shared.load_state_dict({name: tensor + 1 for name, tensor in shared.state_dict().items()})
    assert shared.twin.user is shared.model.user


DICE = {
    "loss": "bpr", "causes": 0.1, "discrepancy": 0.01, "decay": 0.9, "negatives": 2, "margin": 1, "pool": 1,
    "betas": (0.5, 0.99), "weight_decay": 0.0, "plateau": 1, "floor": 1e-4, "floor_patience": 1,
}  # fmt: skip


def dice(dim=4, **changes):
    spec = {"model": {"name": "mf", "dim": dim}, "method": {"name": "dice", **DICE, **changes}}
    return build(spec, DATA, 1, "search")


@pytest.mark.parametrize("loss", ["bpr", "bce"])
def test_the_loss_of_dice_equals_its_formulas_pair_by_pair(loss):
    wrapped = dice(loss=loss)
    wrapped.epoch = 2
    users, positives = [0, 2, 2], [1, 2, 0]
    negatives = [[2, 0], [1, 3], [4, 3]]
    u, i = wrapped.model.user.detach().double().numpy(), wrapped.model.item.detach().double().numpy()
    assert abs(u).max() <= np.sqrt(1 / 2) and abs(i).max() > 0.4, "uniform up to 1 / sqrt(half)"
    counts, interest, popularity, total = [4, 2, 1, 1, 0], [], [], []
    for user, positive, row in zip(users, positives, negatives, strict=True):
        for negative in row:
            by_half = [u[user, half] @ (i[positive, half] - i[negative, half]) for half in (slice(0, 2), slice(2, 4))]
            more_popular = counts[negative] > counts[positive]
            interest.append(-log_sigmoid(by_half[0]) if more_popular else 0)
            popularity.append(-log_sigmoid(-by_half[1] if more_popular else by_half[1]))
            total.append(-log_sigmoid(sum(by_half)))
    if loss == "bce":
        good = [u[user] @ i[positive] for user, positive in zip(users, positives, strict=True)]
        bad = [u[user] @ i[one] for user, row in zip(users, negatives, strict=True) for one in row]
        total = np.mean(-log_sigmoid(np.array(good))) + np.mean(-log_sigmoid(-np.array(bad)))
    distance = np.mean((i[:, :2] - i[:, 2:]) ** 2) + np.mean((u[[0, 2], :2] - u[[0, 2], 2:]) ** 2)  # all items occur
    expected = 0.1 * 0.81 * (np.mean(interest) + np.mean(popularity)) + np.mean(total) - 0.01 * distance
    batch = wrapped.batch(0, *map(torch.tensor, (users, positives, negatives)))
    assert wrapped.loss(batch).item() == pytest.approx(expected, rel=1e-5)


def test_expomf_holds_a_bounded_part_of_the_matrix_and_waits_for_nothing(monkeypatch):
    monkeypatch.setitem(expomf.CELLS, "cpu", 500)
    pairs = np.argwhere(np.random.default_rng(0).random((200, 100)) < 0.01)  # 20,000 cells
    wrapped = method("expomf", Interactions.of(pairs, 200, 100), norm="official", mu=0.2, a=1.0, b=1.0, deviation=0.5,
                     precisions=(0.3, 0.2, 1.5))
    with Watched() as watched:
        wrapped.iterate()
    assert not watched.waits and watched.largest <= max(500, 200 * 3)  # a table of three columns is no part of it


@pytest.mark.parametrize("norm", ["official", "correct"])
@pytest.mark.parametrize("cells", [1, 20, 1 << 22])
def test_expomf_equals_expectation_maximisation_row_by_row(norm, cells, monkeypatch):
    monkeypatch.setitem(expomf.CELLS, "cpu", cells)
    repeated = Interactions.of(np.concatenate([PAIRS, PAIRS[:3]]), 4, 5)  # repeats count once
    options = {"mu": 0.2, "a": 2.0, "b": 3.0, "deviation": 0.5, "precisions": (0.3, 0.2, 1.5)}
    wrapped = method("expomf", repeated, norm=norm, **options)
    theta, beta = (table.detach().double().numpy().copy() for table in (wrapped.model.user, wrapped.model.item))
    y, mu = np.zeros((4, 5)), np.full(5, 0.2)
    y[PAIRS[:, 0], PAIRS[:, 1]] = 1
    factor = np.sqrt(1.5 * np.pi / 2) if norm == "official" else np.sqrt(1.5 / (2 * np.pi))

    def exposure():
        density = factor * np.exp(-1.5 * (theta @ beta.T) ** 2 / 2)
        return np.where(y == 1, 1, density / (density + (1 - mu) / mu))

    for _ in range(3):
        seen, new = exposure(), theta.copy()
        for u in range(4):
            gram = sum(seen[u, i] * np.outer(beta[i], beta[i]) for i in range(5)) + 0.3 / 1.5 * np.eye(3)
            new[u] = np.linalg.inv(gram) @ sum(seen[u, i] * y[u, i] * beta[i] for i in range(5))
        theta = new
        seen, new = exposure(), beta.copy()
        for i in range(5):
            gram = sum(seen[u, i] * np.outer(theta[u], theta[u]) for u in range(4)) + 0.2 / 1.5 * np.eye(3)
            new[i] = np.linalg.inv(gram) @ sum(seen[u, i] * y[u, i] * theta[u] for u in range(4))
        beta = new
        seen = exposure()
        error = np.mean(seen * (y - theta @ beta.T) ** 2)
        mu = (2 + seen.sum(0) - 1) / (2 + 3 + 4 - 2)
        assert wrapped.iterate().item() == pytest.approx(error, rel=1e-4)
    np.testing.assert_allclose(wrapped.model.user.detach(), theta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(wrapped.model.item.detach(), beta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(wrapped.mu, mu, rtol=1e-4)
    np.testing.assert_allclose(wrapped.scores(USERS).detach(), (theta @ beta.T)[USERS], rtol=1e-3, atol=1e-5)


def trained(plan=None, scores=()):
    options = Training(
        batch=3, learning_rate=1e-3, l2=0, max_epochs=9, eval_every=1, patience=9, metric="hr", k=2, ks=(2,),
        fit_on="train", select_on="valid", refit=True, empty_users="skip",
    )  # fmt: skip
    trainer = make_trainer(dice(pool=40), DATA, options, 1, "search")
    assert trainer.steps_per_epoch == 2  # 8 rows, the last 2 of an epoch dropped
    trainer.follow(plan or [])
    going, rates = [], []
    for score in scores or [None] * 5:
        trainer.train(2)
        rates.append(trainer.rate)
        going.append(score is None or trainer.observe(score))
    return trainer, going, pytest.approx(rates)


def test_the_rate_falls_on_a_plateau_and_at_its_floor_the_search_ends():
    # plateau 1: the second score without a rise lowers the rate; floor_patience 1: there, the second one ends it.
    trainer, going, rates = trained(scores=[0.3, 0.4, 0.4, 0.2, 0.5, 0.5, 0.5])
    assert rates == [1e-3] * 4 + [1e-4] * 3
    assert going == [True] * 6 + [False]
    assert trainer.plan() == [8]


def test_a_refit_lowers_the_rate_after_the_same_steps():
    trainer, _, rates = trained(plan=[5])
    assert rates == [1e-3, 1e-3, 1e-4, 1e-4, 1e-4] and trainer.falls == [5]


def heard(wrapped):
    """A list that fills with the users, positives and negatives of each batch."""
    drawn, batch = [], wrapped.batch

    def listening(part, users, positives, negatives, noise):
        drawn.append((users, positives, negatives))
        return batch(part, users, positives, negatives, noise)

    wrapped.batch = listening
    return drawn


def test_an_epoch_takes_each_row_at_most_once_and_another_epoch_another_order():
    trainer, _, _ = trained()
    drawn = heard(trainer.method)
    trainer.train(4)
    seen = [list(zip(users.tolist(), positives.tolist(), strict=True)) for users, positives, _ in drawn]
    first, second = seen[0] + seen[1], seen[2] + seen[3]
    for epoch in (first, second):
        assert len(set(epoch)) == 6 and set(epoch) <= set(map(tuple, PAIRS.tolist()))
    assert first != second


# Steps of the trainers of pairs


def step_of(wrapped, l2):
    """One step of a batch of three: its loss, and the users, positives and negatives that were drawn."""
    options = Training(
        batch=3, learning_rate=1e-3, l2=l2, max_epochs=9, eval_every=1, patience=9, metric="hr", k=2, ks=(2,),
        fit_on="train", select_on="valid", refit=False, empty_users="skip",
    )  # fmt: skip
    trainer, drawn = make_trainer(wrapped, DATA, options, 1, "search"), heard(wrapped)
    loss = trainer.train(1)
    return loss, drawn[0]


@pytest.mark.parametrize("layers", [0, 2])
def test_a_step_is_the_loss_of_its_pairs_and_half_of_l2_on_the_learned_rows_a_pair(layers):
    """In float64, pair by pair. LightGCN's scores come from propagated rows, what L2 holds down are the tables."""
    model = {"name": "lightgcn", "dim": 3, "layers": layers} if layers else {"name": "mf", "dim": 3}
    wrapped = build({"model": model, "method": {"name": "plain"}}, DATA, 1, "search")
    tables = torch.cat([wrapped.model.user, wrapped.model.item]).detach().double().requires_grad_()
    met = torch.zeros(9, 9, dtype=torch.float64)
    for user, item in PAIRS.tolist():
        met[user, 4 + item] = met[4 + item, user] = 1
    root = met.sum(1).clamp(min=1).rsqrt()
    steps = [tables]
    for _ in range(layers):
        steps.append((root[:, None] * met * root) @ steps[-1])
    rows = sum(steps) / len(steps)

    loss, drawn = step_of(wrapped, l2=0.7)
    expected = 0
    for user, good, bad in zip(*(ids.tolist() for ids in drawn), strict=True):
        up, down = rows[user] @ rows[4 + good], rows[user] @ rows[4 + bad]
        squares = sum(tables[place].square().sum() for place in (user, 4 + good, 4 + bad))
        expected = expected + (torch.log1p(torch.exp(-up)) + torch.log1p(torch.exp(down)) + 0.7 / 2 * squares) / 3
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    found = torch.cat([wrapped.model.user.grad, wrapped.model.item.grad]).double()
    torch.testing.assert_close(found, tables.grad, rtol=1e-4, atol=1e-6)


def test_a_step_of_dice_adds_half_of_l2_on_all_rows_a_row_of_the_batch():
    loss, drawn = step_of(dice(pool=40), l2=0.7)
    fresh = dice(pool=40)
    users, positives, negatives = drawn
    user, item = fresh.model.user.detach(), fresh.model.item.detach()
    squares = sum(user[u].square().sum() + item[i].square().sum() + sum(item[j].square().sum() for j in others)
                  for u, i, others in zip(users, positives, negatives, strict=True))
    plain = fresh.loss(fresh.batch(0, *drawn)).item()
    assert negatives.shape[1] > 1 and loss == pytest.approx(plain + 0.7 / (2 * 3) * squares.item(), rel=1e-5)
