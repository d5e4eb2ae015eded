"""Calibrated objectives against their formulas written out plainly, a target at a time, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reprise import losses
from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.data.profiles import attribute_shares, mean_share, running_shares
from reprise.errors import RepriseError
from reprise.losses import Attributes, calibrated_over_items, softmax_over_items
from reprise.models.dacsr import Extractor
from reprise.settings import checked
from reprise.sourcecode import options_of
from reprise.training.build import build, make_trainer
from reprise.training.options import Training
from reprise.training.sequences import Samples
from waiting import Watched

ITEMS, WINDOW, DIM = 12, 6, 8
# What each item is about; items 0 and 5 about nothing. 1/m on each of m attributes.
ABOUT = [[], [0], [1], [0, 1], [2], [], [0, 2], [1, 2], [0, 1, 2], [2], [1], [0]]
HISTORIES = [[], [3], [0, 5, 0], [1, 2, 3, 4], [0, 6, 7, 2, 2, 9, 10],
             [5, 8, 1, 3, 11, 4, 9, 2, 6, 7, 10, 1, 3, 8, 2, 6, 9]]
LOGITS = torch.Generator().manual_seed(0)


@pytest.fixture
def data():
    pairs = np.array([(user, item) for user, items in enumerate(HISTORIES) for item in items])
    laid = Interactions.of(pairs, len(HISTORIES), ITEMS, ordered=True)
    lists = Lists.of(np.array(sum(ABOUT, [])), np.array([len(some) for some in ABOUT]))
    return replace(laid, features={"attributes": lists})


def spec(method, dropout=0.0, encoder="sasrec", depth=2, samples="one_pass", act_after=False, **settings):
    model = {"dim": DIM, "window": WINDOW, "layers": 2, "heads": 2, "inner": 16, "dropout": dropout,
             "attention_dropout": dropout}
    if method == "decoupled_next_item":
        model |= {"name": "dacsr", "encoder": encoder, "hidden": DIM, "depth": depth, "act_after": act_after}
    else:
        model |= {"name": "sasrec"}
    settings = {"weight": 0.3, "temperature": 1.0, "samples": samples, **settings}
    return {"model": model, "method": {"name": method, **settings}}


def training(**changes):
    values = {"batch": 8, "learning_rate": 0.01, "max_epochs": 5, "eval_every": 1, "patience": 5, "metric": "mrr",
              "k": 10, "ks": (5, 10), "fit_on": "train", "select_on": "valid", "refit": False}
    return Training(**{**values, **changes})


def made(data, *arguments, seed=1, **settings):
    """A method whose weights are large enough that every part of a formula shows."""
    method = build(spec(*arguments, **settings), data, seed, "search")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return method


def batches(method, data, epoch=0):
    trainer = make_trainer(method, data, training(), 1, "search")
    order = trainer._order(epoch)
    return [trainer._batch(order, place) for place in range(trainer.steps_per_epoch)]


# The formulas, a target at a time


def share_of(items):
    """p(g | s): the mean of 1/m on each of an item's m attributes, over the items that have any."""
    rows = [[1 / len(ABOUT[item]) * (g in ABOUT[item]) for g in range(3)] for item in items if ABOUT[item]]
    return torch.tensor(rows, dtype=torch.float64).mean(0) if rows else torch.zeros(3, dtype=torch.float64)


def plain_accuracy(scores, target):
    return -torch.log(torch.exp(scores[target]) / torch.exp(scores).sum())


def plain_calibration(scores, p, temperature=1.0):
    if not p.any():
        return torch.zeros((), dtype=torch.float64)
    shares = torch.exp(scores / temperature) / torch.exp(scores / temperature).sum()
    q = sum(share * share_of([item]) for item, share in enumerate(shares))
    return 1 - (q @ p) / (q.norm() * p.norm())


@pytest.mark.parametrize("cells", [1, ITEMS * 3, 10**6])  # a row, three rows, all rows at a time
@pytest.mark.parametrize("sparse_from", [1, 64])
@pytest.mark.parametrize(("weight", "temperature"), [(0.0, 1.0), (0.3, 1.0), (0.3, 0.25), (1.0, 1.0), (1.0, 2.0)])
def test_the_loss_over_items_and_its_gradients(monkeypatch, cells, sparse_from, weight, temperature):
    monkeypatch.setattr(losses, "SPARSE_FROM", sparse_from)
    generator = torch.Generator().manual_seed(0)
    states, table = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (7, ITEMS))
    targets = torch.tensor([3, 3, 0, 11, 5, 7, 1])
    wanted = torch.stack([share_of(items) for items in ([1], [2, 7], [0, 5], [3, 4, 8], [6], [9, 9, 1], [10])])
    shares = torch.stack([share_of([item]) for item in range(ITEMS)])
    results = []
    for ours in (True, False):
        s, t = states.clone().requires_grad_(), table.clone().requires_grad_()
        if ours:
            loss = calibrated_over_items(s, t, targets, Attributes.of(shares), wanted, weight, temperature, cells)
        else:
            loss = sum((1 - weight) * plain_accuracy(row, target) + weight * plain_calibration(row, p, temperature)
                       for row, target, p in zip(s @ t.T, targets, wanted, strict=True)) / len(targets)
        (3 * loss).backward()
        results.append([loss.detach(), s.grad, t.grad])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("method", ["calibrated_next_item", "decoupled_next_item"])
def test_a_setting_bounds_the_logits_that_are_held(data, method, rows):
    made_of = made(data, method, logits=rows * ITEMS)
    batch = batches(made_of, data)[0]
    with Watched() as watched:
        made_of.loss(batch)
    blocks = -(-len(batch.items) // rows)
    calibrated, plain = (1, 0) if method == "calibrated_next_item" else (2, 1)
    assert (watched.calls["aten::exp_"], watched.calls["aten::exp2_"]) == (calibrated * blocks, plain * blocks)


def test_the_loss_over_items_by_hand():
    # Two items about different things, equal scores: q = (1/2, 1/2). p = (1, 0): cos = 1 / sqrt(2); cross-entropy ln 2.
    found = calibrated_over_items(torch.ones(1, 1), torch.ones(2, 1), torch.tensor([0]), Attributes.of(torch.eye(2)),
                                  torch.tensor([[1.0, 0.0]]), 0.25)
    assert found.item() == pytest.approx(0.75 * np.log(2) + 0.25 * (1 - 2**-0.5), rel=1e-6)


def test_running_shares_are_the_means_of_all_prefixes(data):
    items = torch.tensor([[0, 6, 7, 2, 2], [5, 0, 1, ITEMS, ITEMS], [ITEMS] * 5])
    there, shares = items < ITEMS, attribute_shares(data.features["attributes"])
    found = running_shares(items, there, shares)
    for end in range(1, 6):
        wanted = mean_share(items[:, :end], there[:, :end], shares)
        torch.testing.assert_close(found[:, end - 1], wanted, rtol=0, atol=1e-6)
    assert found[1].tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]


# One model


def prefix_of(batch, place):
    width = batch.windows.items.shape[1]
    row, column = divmod(int(batch.places[place]), width)
    return batch.windows.items[row, : column + 1].tolist()


@pytest.mark.parametrize("samples", ["one_pass", "per_prefix"])
def test_one_model_weighs_accuracy_and_calibration(data, samples):
    method = made(data, "calibrated_next_item", samples=samples, temperature=0.5)
    table = method.model.item[:ITEMS].detach().double()
    for batch in batches(method, data):
        states = method.summaries(batch).detach().double()
        parts = []
        for place, target in enumerate(batch.items.tolist()):
            scores, p = table @ states[place], share_of(prefix_of(batch, place))
            parts.append(0.7 * plain_accuracy(scores, target) + 0.3 * plain_calibration(scores, p, 0.5))
        assert method.loss(batch).item() == pytest.approx(float(sum(parts) / len(parts)), rel=1e-5)


@pytest.mark.parametrize("history", ["window", "full"])
@pytest.mark.parametrize(("samples", "long_history"),
                         [("one_pass", "exact"), ("one_pass", "strided"), ("per_prefix", "exact")])
def test_profiles_are_of_the_window_or_of_all_that_came_before(data, samples, long_history, history):
    method = made(data, "calibrated_next_item", samples=samples, long_history=long_history, history=history)
    longer = 0
    for batch in batches(method, data):
        for place, p in enumerate(method.profiles(batch)):
            row, column = divmod(int(batch.places[place]), batch.windows.items.shape[1])
            start, seen = int(batch.ends[row] - batch.windows.lengths[row]), prefix_of(batch, place)
            end = start + column + 1
            whole = HISTORIES[batch.windows.users[row]][:end]
            assert whole[-len(seen):] == seen and HISTORIES[batch.windows.users[row]][end] == batch.items[place]
            longer += len(whole) > len(seen)
            wanted = share_of(seen if history == "window" else whole)
            torch.testing.assert_close(p.double(), wanted, rtol=0, atol=1e-6)
    assert longer == len(HISTORIES[5]) - 1 - WINDOW  # the one history beyond the window


@pytest.mark.parametrize("name", ["calibrated_next_item", "decoupled_next_item"])
def test_one_pass_and_one_window_a_prefix_have_the_same_gradients(data, name):
    # The last history is longer than window + 1, so its late targets take windows of their own in both.
    found = []
    for samples in ("one_pass", "per_prefix"):
        method = made(data, name, samples=samples)
        for batch in batches(method, data):
            (method.loss(batch) * len(batch.items)).backward()
        found.append({key: parameter.grad for key, parameter in method.named_parameters()})
    for key, one in found[0].items():
        torch.testing.assert_close(one, found[1][key], rtol=1e-5, atol=1e-5, msg=key)


def test_without_calibration_it_is_plain_next_item(data):
    method = made(data, "calibrated_next_item", weight=0.0)
    batch = batches(method, data)[0]
    plain = softmax_over_items(method.summaries(batch), method.model.output()[0], batch.items)
    assert method.loss(batch).item() == plain.item()


@pytest.mark.parametrize("name", ["calibrated_next_item", "decoupled_next_item"])
def test_calibration_is_learned(data, name):
    method = build(spec(name, weight=1.0), data, 1, "search")
    trainer = make_trainer(method, data, training(), 1, "search")
    first = trainer.train(trainer.steps_per_epoch)
    assert trainer.train(40 * trainer.steps_per_epoch) < 0.8 * first


# DACSR


def test_the_extractors_have_as_many_parameters_as_the_paper_says():
    both = [Extractor(128, 2, act_after=False) for _ in range(2)]
    # Two of them, each two maps from 128 to 128 with a bias.
    assert sum(p.numel() for one in both for p in one.parameters()) == 2 * 2 * (128 * 128 + 128) == 66_048


@pytest.mark.parametrize("act_after", [False, True])
def test_an_extractor_by_hand(act_after):
    # Both maps double what they get and add (1, -1) and (3, 5). Before: x = (3, -2) -> relu (3, 0) -> (7, -1) ->
    # relu (7, 0) -> (17, 5), + x = (20, 3). After: (7, -5) -> relu (7, 0) -> (17, 5) -> relu the same, + x = (20, 3).
    extractor = Extractor(2, 2, act_after)
    with torch.no_grad():
        for layer, bias in zip(extractor.layers, ([1.0, -1.0], [3.0, 5.0]), strict=True):
            layer.weight.copy_(2 * torch.eye(2))
            layer.bias.copy_(torch.tensor(bias))
    x = torch.tensor([[3.0, -2.0], [-1.0, -4.0]])
    # The second row tells them apart. Before: relu (0, 0) -> (1, -1) -> relu (1, 0) -> (5, 5) + x = (4, 1).
    # After: (-1, -9) -> (0, 0) -> (3, 5) + x = (2, 1).
    assert extractor(x).tolist() == [[20, 3], [2, 1] if act_after else [4, 1]]


@pytest.mark.parametrize("encoder", ["sasrec", "gru4rec"])
def test_without_extractors_it_ranks_by_the_sum_of_both_scores(data, encoder):
    model = made(data, "decoupled_next_item", depth=0, encoder=encoder).model
    users = torch.arange(data.n_users)
    scores = model.scores(users, data)
    torch.testing.assert_close(scores, model.accuracy.scores(users, data) + model.calibration.scores(users, data))
    # Whole numbers, whose sums are exact in any order: equal to the bit.
    h, e = (tuple(torch.randint(-9, 9, (n, DIM), generator=LOGITS).float() for _ in range(2)) for n in (5, ITEMS))
    joined_h, joined_e = model.joined(h, e)
    assert torch.equal(joined_h @ joined_e.T, h[0] @ e[0].T + h[1] @ e[1].T)


def plain_joined(method, batch, depth=2):
    """Scores of every target by the joined rows, by accuracy's and by calibration's, in float64."""
    model = method.model
    w = {key: value.double() for key, value in model.state_dict().items()}
    h = [method.summaries(batch, one).detach().double() for one in (model.accuracy, model.calibration)]
    e = [w[f"{name}.item"][:ITEMS] for name in ("accuracy", "calibration")]

    def extracted(name, x):
        z = x
        for number in range(depth):
            z = w[f"{name}.layers.{number}.weight"] @ z.clamp(min=0) + w[f"{name}.layers.{number}.bias"]
        return z + x

    rows = [extracted("of_item", torch.cat([one, other])) for one, other in zip(*e, strict=True)]
    for place in range(len(batch.items)):
        state = extracted("of_sequence", torch.cat([h[0][place], h[1][place]]))
        yield torch.stack([state @ row for row in rows]), e[0] @ h[0][place], e[1] @ h[1][place]


@pytest.mark.parametrize("softened", [None, 0.5])
@pytest.mark.parametrize("pd_in", ["lw", "both"])
def test_three_losses_are_summed(data, softened, pd_in):
    method = made(data, "decoupled_next_item", softened=softened, pd_in=pd_in, temperature=0.5)
    for batch in batches(method, data):
        total = 0
        for place, (s_a, s_p, s_c) in enumerate(plain_joined(method, batch)):
            target, p = int(batch.items[place]), share_of(prefix_of(batch, place))
            p_d = torch.softmax(p / softened, 0) if softened and p.any() else p
            total += 0.7 * plain_accuracy(s_a, target) + 0.3 * plain_calibration(s_a, p_d, 0.5)
            total += plain_accuracy(s_p, target) + plain_calibration(s_c, p_d if pd_in == "both" else p, 0.5)
        assert method.loss(batch).item() == pytest.approx(float(total) / len(batch.items), rel=1e-5)


def gradients(data, **settings):
    method = made(data, "decoupled_next_item", **settings)
    for batch in batches(method, data):
        method.loss(batch).backward()
    return {name: parameter.grad for name, parameter in method.model.named_parameters()}


def test_detached_encoders_hear_their_own_losses_alone(data):
    joint, detached = gradients(data), gradients(data, detach_encoders=True)
    other = gradients(data, detach_encoders=True, weight=0.9)  # lambda says nothing to the encoders then
    for name in joint:
        assert torch.equal(detached[name], other[name]) == name.startswith(("accuracy", "calibration")), name
        assert torch.equal(joint[name], detached[name]) == name.startswith("of_"), name


def test_the_joined_table_is_made_once_for_the_same_weights(data):
    method = made(data, "decoupled_next_item")
    made_tables = []
    method.model.of_item.register_forward_hook(lambda *_: made_tables.append(1))
    users = torch.arange(data.n_users)
    trainer = make_trainer(method, data, training(), 1, "search")
    with torch.no_grad():
        before = [method.scores(users, data) for _ in range(3)]
        assert len(made_tables) == 1
    trainer.train(1)
    with torch.no_grad():
        after = method.scores(users, data)
        saved = {name: tensor + 0.1 for name, tensor in method.state_dict().items()}
        method.load_state_dict(saved)
        loaded = method.scores(users, data)
    fresh = made(data, "decoupled_next_item", seed=2)
    fresh.load_state_dict(saved)
    torch.testing.assert_close(loaded, fresh.scores(users, data), rtol=0, atol=1e-6)
    assert torch.equal(before[0], before[2]) and not torch.equal(before[0], after)


def test_each_encoder_starts_from_a_run_of_its_own(data):
    method = made(data, "decoupled_next_item", seed=1)
    others = {part: build(spec("calibrated_next_item"), data, seed, "search")
              for seed, part in ((2, "accuracy"), (3, "calibration"))}
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    for part, other in others.items():
        method.start_from(other.state_dict(), part)
    for name, tensor in method.state_dict().items():
        part, _, inner = name.removeprefix("model.").partition(".")
        wanted = others[part].state_dict()[f"model.{inner}"] if part in others else before[name]
        assert torch.equal(tensor, wanted), name


# Long histories


@pytest.mark.parametrize("window", [1, 2, 5, 6])
def test_strided_windows_hold_every_target_once_and_cut_no_prefix_below_half(window):
    degrees = np.array([0, 1, 2, window, window + 1, window + 2, 3 * window + 1, 4 * window + 3])
    exact, strided = (Samples.of(degrees, window, "one_pass", way) for way in (False, True))
    targets = []
    for user, end, count in zip(strided.users, strided.ends, strided.counts, strict=True):
        start = max(0, end - window)
        for target in range(end - count + 1, end + 1):
            targets.append((user, target))
            kept = target - start  # items of the prefix that the window still holds
            assert kept == target if target <= window else window - max(1, window // 2) < kept <= window
    assert sorted(targets) == [(user, target) for user, n in enumerate(degrees) for target in range(1, n)]
    # Nothing changes for those who fit into one window, and the rest takes a fraction of the windows.
    short = degrees <= window + 1
    assert [(strided.users == user).sum() for user in np.flatnonzero(short)] == [
        (exact.users == user).sum() for user in np.flatnonzero(short)
    ]
    beyond = degrees[-1] - 1 - window
    assert (strided.users == 7).sum() == 1 + -(-beyond // max(1, window // 2))
    assert (exact.users == 7).sum() == 1 + beyond


# Bad input


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"temperature": 0}, "temperature"), ({"weight": 1.2}, "weight"), ({"weight": -0.1}, "weight")],
)
@pytest.mark.parametrize("name", ["calibrated_next_item", "decoupled_next_item"])
def test_a_setting_out_of_range_is_named(name, settings, said):
    values = {"weight": 0.5, "temperature": 1.0, "samples": "one_pass", **settings}
    with pytest.raises(RepriseError, match=f"{said}: Input should be"):
        checked(options_of("methods", name), values, "papers/x/paper.yaml")


def test_no_tempering_of_a_profile_by_zero():
    values = {"weight": 0.5, "temperature": 1.0, "samples": "one_pass", "softened": 0}
    with pytest.raises(RepriseError, match="softened: Input should be"):
        checked(options_of("methods", "decoupled_next_item"), values, "papers/x/paper.yaml")


def test_data_without_attributes_are_named(data):
    with pytest.raises(RepriseError, match="attributes"):
        build(spec("calibrated_next_item"), replace(data, features={}), 1, "search")


def test_items_without_attributes_ask_for_nothing(data):
    # The history of items 0, 5, 0 alone is about nothing: calibration is 0 for it, and no gradient comes of it.
    alone = replace(Interactions.of(np.array([[0, 0], [0, 5], [0, 0]]), 1, ITEMS, ordered=True), features=data.features)
    method = made(alone, "calibrated_next_item", weight=1.0)
    loss = method.loss(batches(method, alone)[0])
    loss.backward()
    assert loss.item() == 0 and not method.model.item.grad.any()
