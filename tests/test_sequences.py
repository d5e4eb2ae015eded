"""The engine of sequences: what an epoch trains on, one pass against a window a prefix, losses, and resuming."""

import numpy as np
import pytest
import torch
from reprise import losses
from reprise.data.interactions import Interactions
from reprise.data.prepared import Prepared
from reprise.data.unmet import Unmet
from reprise.data.windows import cut, latest
from reprise.errors import RepriseError
from reprise.evaluation.ranking import Ranking
from reprise.losses import bayesian_personalised, binary_over_sampled, sampled_softmax, softmax_over_items
from reprise.training.build import build, make_trainer
from reprise.training.options import Training
from reprise.training.sequences import Samples, _counted
from torch.utils._python_dispatch import TorchDispatchMode
from waiting import Watched

USERS, ITEMS, WINDOW = 40, 25, 6


def options(**changes):
    values = {"batch": 16, "learning_rate": 0.01, "max_epochs": 5, "eval_every": 1, "patience": 5, "metric": "ndcg",
              "k": 10, "ks": (5, 10), "fit_on": "train", "select_on": "valid", "refit": False}
    return Training(**{**values, **changes})


def spec(samples="one_pass", loss="softmax", dropout=0.0, **method):
    model = {"name": "sasrec", "dim": 8, "window": WINDOW, "layers": 2, "heads": 2, "inner": 16, "dropout": dropout,
             "attention_dropout": dropout}
    return {"model": model, "method": {"name": "next_item", "loss": loss, "samples": samples, **method}}


def histories(longest=WINDOW + 1, seed=0):
    """Lists of items, some empty, of one item, or longer than the window where `longest` allows it."""
    rng = np.random.default_rng(seed)
    lengths = [0, 1, 2, longest, *rng.integers(0, longest + 1, USERS - 4)]
    return [rng.integers(0, ITEMS, n).tolist() for n in lengths]


def laid(lists):
    pairs = np.array([(user, item) for user, items in enumerate(lists) for item in items]).reshape(-1, 2)
    return Interactions.of(pairs, len(lists), ITEMS, ordered=True)


def trainer_of(data, seed=1, phase="search", **changes):
    method = build(spec(**changes), data, seed, phase)
    return make_trainer(method, data, options(), seed, phase)


# Windows and samples


def test_windows_are_the_last_items_of_a_prefix():
    data = laid([[3, 1, 2, 9], [], [7]])
    windows = cut(data, torch.tensor([0, 0, 2, 1]), torch.tensor([4, 2, 1, 0]), 3)
    assert windows.items.tolist() == [[1, 2, 9], [3, 1, ITEMS], [7, ITEMS, ITEMS], [ITEMS] * 3]
    assert windows.lengths.tolist() == [3, 2, 1, 0]
    assert latest(data, torch.tensor([0]), 2).items.tolist() == [[2, 9]]


def prefixes(lists, window):
    """Every (prefix, next item) there is, the prefix cut to its last `window` items."""
    return sorted((user, tuple(items[max(0, t - window) : t]), items[t])
                  for user, items in enumerate(lists) for t in range(1, len(items)))


def trained_on(data, samples):
    """The (prefix, next item) pairs that samples stand for, spelt out window by window."""
    found = []
    for user, end, count in zip(samples.users, samples.ends, samples.counts, strict=True):
        items = data.items[data.offsets[user] : data.offsets[user + 1]].tolist()
        start = max(0, end - WINDOW)
        found += [(int(user), tuple(items[start : end - back]), items[end - back])
                  for back in range(int(count))]
    return sorted(found)


@pytest.mark.parametrize("kind", ["one_pass", "per_prefix"])
def test_an_epoch_holds_every_prefix_once_also_beyond_the_window(kind):
    lists = histories(longest=4 * WINDOW)
    data = laid(lists)
    samples = Samples.of(data.degrees.numpy(), WINDOW, kind)
    assert trained_on(data, samples) == prefixes(lists, WINDOW)
    if kind == "one_pass":  # the passes take the targets 1..WINDOW, and only these
        assert samples.counts.max() == WINDOW
        assert len(samples.users) == sum(len(items) > 1 for items in lists) + sum(
            max(0, len(items) - 1 - WINDOW) for items in lists
        )


def test_the_last_window_has_only_the_targets_in_it():
    data = laid([list(range(10)), [1, 2], [3]])
    samples = Samples.of(data.degrees.numpy(), WINDOW, "last_window")
    assert samples.users.tolist() == [0, 1]
    # Of ten items the last is a target only, so the window holds items 3..8 and the targets are 4..9.
    assert samples.ends.tolist() == [9, 1] and samples.counts.tolist() == [6, 1]


def test_counting():
    assert _counted(np.array([2, 0, 3])).tolist() == [1, 2, 1, 2, 3]


@pytest.mark.parametrize("kind", ["one_pass", "per_prefix", "last_window"])
def test_batches_share_out_the_epoch(kind):
    data = laid(histories(longest=4 * WINDOW))
    trainer = trainer_of(data, samples=kind)
    seen = []
    for epoch in (trainer._order(0), trainer._order(1)):
        targets = []
        for place in range(trainer.steps_per_epoch):
            batch = trainer._batch(epoch, place)
            assert len(batch.items) > 0
            owner, column = batch.places // batch.windows.items.shape[1], batch.places % batch.windows.items.shape[1]
            for row, end, item in zip(owner.tolist(), column.tolist(), batch.items.tolist(), strict=True):
                targets.append((int(batch.windows.users[row]), tuple(batch.windows.items[row, : end + 1].tolist()),
                                item))
        seen.append(targets)
        assert sorted(targets) == trained_on(data, trainer.samples)
    assert seen[0] != seen[1]


def test_a_target_weighs_the_same_whoever_shares_its_batch():
    """A step of 32 windows takes a mean over its targets: with windows of like length together, a user's one target
    would weigh as much as another's six."""
    data = laid([[1] * (2 if user % 2 else WINDOW + 1) for user in range(1000)])
    trainer = make_trainer(build(spec(samples="last_window"), data, 1, "search"), data, options(batch=32), 1, "search")
    weights = {1: [], WINDOW: []}
    for epoch in map(trainer._order, range(4)):
        for place in range(trainer.steps_per_epoch):
            batch = trainer._batch(epoch, place)
            for length in batch.windows.lengths.tolist():
                weights[length] += [1 / len(batch.items)] * length
    # Of 32 windows 16 +- 2.8 are long: a step has 112 +- 14 targets, so the mean of 1 / targets differs by some 3 %.
    assert np.mean(weights[1]) / np.mean(weights[WINDOW]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", ["one_pass", "per_prefix", "last_window"])
def test_parts_of_a_batch_are_its_windows_with_less_padding(kind):
    data = laid(histories(longest=4 * WINDOW))
    trainer = trainer_of(data, samples=kind)
    trainer.method.eval()
    epoch, fewer = trainer._order(0), 0
    for place in range(trainer.steps_per_epoch):
        batch = trainer._batch(epoch, place)
        windows, width = batch.windows, batch.windows.items.shape[1]
        padded = [torch.nn.functional.pad(part.items, (0, width - part.items.shape[1]), value=ITEMS)
                  for part in batch.parts]
        assert torch.equal(torch.cat(padded), windows.items)
        assert torch.equal(torch.cat([part.users for part in batch.parts]), windows.users)
        assert torch.equal(torch.cat([part.lengths for part in batch.parts]), windows.lengths)
        fewer += windows.items.numel() - sum(part.items.numel() for part in batch.parts)
        whole = trainer.method.model.states(windows).flatten(0, 1)[batch.places]
        torch.testing.assert_close(trainer.method.summaries(batch), whole, rtol=1e-5, atol=1e-5)
    assert (fewer > 0) == (kind != "one_pass")


def test_batches_hold_about_the_same_number_of_targets():
    trainer = trainer_of(laid(histories(longest=4 * WINDOW)))
    totals = trainer._order(0).totals
    assert min(totals) > 0 and max(totals) <= 16 + 16 / 2 + WINDOW


def test_no_batch_is_empty_whatever_the_sizes():
    for seed in range(30):
        lists = histories(longest=3, seed=seed)
        trainer = trainer_of(laid(lists))
        assert min(trainer._order(seed).totals) > 0


# One pass and one window a prefix have the same objective


def gradients(data, kind, loss="softmax"):
    """Gradient of the sum of all targets' losses over one epoch, dropout off."""
    trainer = trainer_of(data, samples=kind, loss=loss)
    epoch, method = trainer._order(0), trainer.method
    for place in range(trainer.steps_per_epoch):
        batch = trainer._batch(epoch, place)
        (method.loss(batch) * len(batch.items)).backward()
    return {name: parameter.grad for name, parameter in method.named_parameters()}


@pytest.mark.parametrize("longest", [WINDOW + 1, 4 * WINDOW])  # the pass alone; and with windows beyond it
def test_one_pass_and_one_window_a_prefix_have_the_same_gradients(longest):
    data = laid(histories(longest))
    one, other = gradients(data, "one_pass"), gradients(data, "per_prefix")
    assert one.keys() == other.keys() and len(one) > 10
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-5, msg=name)


def test_the_last_window_alone_is_another_objective_for_long_histories():
    data = laid(histories(4 * WINDOW))
    one, other = gradients(data, "last_window"), gradients(data, "per_prefix")
    assert (one["model.item"] - other["model.item"]).abs().max() > 0.1 * other["model.item"].abs().max()


# Losses


@pytest.mark.parametrize("cells", [1, ITEMS * 3, 10**6])  # a row, three rows, all rows at a time
@pytest.mark.parametrize("biased", [False, True])
def test_softmax_over_items_is_cross_entropy(monkeypatch, cells, biased):
    monkeypatch.setattr(losses, "PIECE", 7)
    generator = torch.Generator().manual_seed(0)
    states, table, bias = (torch.randn(*shape, generator=generator, dtype=torch.float64) * 2
                           for shape in ((11, 4), (ITEMS, 4), (ITEMS,)))
    targets = torch.randint(ITEMS, (11,), generator=generator)
    targets[3] = targets[4]
    results = []
    for ours in (True, False):
        leaves = [tensor.clone().requires_grad_() for tensor in (states, table, bias)]
        s, t, b = leaves if biased else (*leaves[:2], None)
        loss = softmax_over_items(s, t, targets, b, cells=cells) if ours else torch.nn.functional.cross_entropy(
            s @ t.T if b is None else s @ t.T + b, targets)
        (3 * loss).backward()
        results.append([loss.detach(), *(leaf.grad for leaf in leaves[: 3 if biased else 2])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("device", losses.CELLS)
def test_softmax_over_items_keeps_a_block_and_waits_for_nothing(monkeypatch, device):
    monkeypatch.setitem(losses.CELLS, "cpu", losses.CELLS[device])
    items, tile = 3000, losses.TILE["cpu"]
    rows = losses.CELLS[device] // 3000 // tile * tile
    states = torch.randn(min(rows, 500) + 3, 2).requires_grad_()  # on a GPU one block, here a full one and a small one
    table, targets = torch.randn(items, 2).requires_grad_(), torch.randint(items, (len(states),))
    with Watched() as watched:
        loss = softmax_over_items(states, table, targets)
        block = watched.largest
        kept = watched.held()
        loss.backward()
    assert not watched.waits
    assert block == min(rows, len(states)) * items and watched.largest == block
    assert kept <= table.numel() < block  # of what was formed, gradients alone are left


@pytest.mark.parametrize("rows", [1, 3])
def test_a_setting_bounds_the_logits_that_are_held(rows):
    data = laid(histories())
    for trainer in (trainer_of(data, logits=rows * ITEMS), masked_trainer(data, logits=rows * ITEMS)):
        batch, method = trainer._batch(trainer._order(0), 0), trainer.method
        targets = len(batch.items) * getattr(method, "most", 1)  # of masked items as many a window
        with Watched() as watched:
            method.loss(batch)
        assert watched.calls["aten::exp2_"] == -(-targets // rows) > 1


class Tables(TorchDispatchMode):
    """Keeps the storage of every tensor of a size or more that an operation returns, so that none is taken twice."""

    def __init__(self, size):
        super().__init__()
        self.size, self.kept = size, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.numel() >= self.size:
            self.kept.append(result.untyped_storage())
        return result


def test_softmax_over_items_takes_one_table_beside_its_own(monkeypatch):
    # Of 1,144,124 rows of 64, each table is 293 MB; Adam holds three, or four with the gradient, which this becomes.
    monkeypatch.setattr(losses, "PIECE", 100)
    table, states = torch.randn(2000, 64).requires_grad_(), torch.randn(20, 64)
    with Tables(table.numel()) as seen:
        softmax_over_items(states, table, torch.randint(2000, (20,))).backward()
    assert {one.data_ptr() for one in seen.kept} - {table.data_ptr()} == {table.grad.data_ptr()}


def test_targets_are_subtracted_to_the_same_bits_piece_by_piece(monkeypatch):
    table, rows, index = torch.randn(50, 8), torch.randn(300, 8), torch.randint(50, (300,))
    whole = table - losses._summed(rows, index, 50)
    for size in (1, 7, 50, 64):
        monkeypatch.setattr(losses, "PIECE", size)
        found = table.clone()
        losses._subtract(found, rows, index)
        assert torch.equal(found, whole)


def test_a_second_way_back_through_the_softmax_is_refused_and_not_wrong():
    states, table = torch.randn(5, 4).requires_grad_(), torch.randn(ITEMS, 4).requires_grad_()
    loss = softmax_over_items(states, table, torch.randint(ITEMS, (5,)))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("mixed", [False, True])
def test_softmax_over_items_on_a_gpu(mixed):
    states, table, targets = torch.randn(300, 64), torch.randn(5000, 64) / 8, torch.randint(5000, (300,))
    results = []
    for device in ("cpu", "cuda", "cuda"):
        s, t = (tensor.to(device).requires_grad_() for tensor in (states, table))
        chosen = targets.to(device)
        torch.cuda.set_sync_debug_mode("error" if device == "cuda" else "default")
        with torch.autocast(device, torch.bfloat16, enabled=mixed and device == "cuda"):
            loss = softmax_over_items(s, t, chosen)
        loss.backward()
        torch.cuda.set_sync_debug_mode("default")
        results.append([tensor.cpu() for tensor in (loss.detach(), s.grad, t.grad)])
    for one, other, again in zip(*results, strict=True):
        assert (other - one).norm() < (0.01 if mixed else 1e-5) * one.norm()
        assert torch.equal(other, again)


def narrow(tensor):
    """The nearest bfloat16 numbers, as float32."""
    return tensor.bfloat16().float()


@pytest.mark.parametrize("biased", [False, True])
def test_mixed_softmax_is_cross_entropy_of_narrow_products(monkeypatch, biased):
    monkeypatch.setitem(losses.CELLS, "cpu", ITEMS)  # blocks of TALLER rows
    generator = torch.Generator().manual_seed(0)
    states, table, bias = (torch.randn(*shape, generator=generator) for shape in ((21, 4), (ITEMS, 4), (ITEMS,)))
    targets = torch.randint(ITEMS, (21,), generator=generator)
    results = []
    for ours in (True, False):
        s, t, b = (tensor.clone().requires_grad_() for tensor in (states, table, bias))
        if ours:
            with torch.autocast("cpu", torch.bfloat16):
                loss = softmax_over_items(s, t, targets, b if biased else None)
        else:
            in_bits = narrow(narrow(states * losses.BITS) @ narrow(table).T)
            logits = in_bits / losses.BITS + (bias if biased else 0)
            loss = torch.nn.functional.cross_entropy(logits, targets)
            wrong = (logits.softmax(1) - torch.eye(ITEMS)[targets]) / 21
            s.grad, t.grad, b.grad = wrong @ table, wrong.T @ states, wrong.sum(0)
        if ours:
            loss.backward()
        results.append([loss.detach(), s.grad, t.grad, *([b.grad] if biased else [])])
    (loss, *grads), (wanted, *right) = results
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(wanted.item(), rel=1e-6)  # sums are not narrow
    for one, other in zip(grads, right, strict=True):
        assert one.dtype == torch.float32 and (one - other).norm() < 2**-8 * 1.5 * other.norm()


def test_softmax_over_items_leaves_out_what_does_not_count():
    states, table = torch.randn(5, 4), torch.randn(ITEMS, 4)
    targets, counted = torch.tensor([3, 1, 0, 7, 1]), torch.tensor([True, False, True, True, False])
    results = []
    for rows, some in ((slice(None), counted), ([0, 2, 3], None)):
        leaves = [states.clone().requires_grad_(), table.clone().requires_grad_()]
        loss = softmax_over_items(leaves[0][rows], leaves[1], targets[rows], counted=some)
        loss.backward()
        results.append([loss.detach(), leaves[0].grad, leaves[1].grad])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_softmax_over_items_survives_large_logits():
    table = torch.tensor([[300.0], [0.0]], requires_grad=True)
    loss = softmax_over_items(torch.tensor([[1.0]]), table, torch.tensor([1]))
    loss.backward()
    assert loss.item() == pytest.approx(300) and table.grad.tolist() == [[1.0], [-1.0]]


def test_sampled_losses_by_hand():
    positive, negative = torch.tensor([1.0, -2.0]), torch.tensor([[0.5, 0.0], [1.0, 3.0]])

    def log_sigmoid(x):
        return -np.log1p(np.exp(-x))

    bce = -(log_sigmoid(1) + log_sigmoid(-0.5) + log_sigmoid(0) + log_sigmoid(-2) + log_sigmoid(-1) + log_sigmoid(-3))
    assert binary_over_sampled(positive, negative).item() == pytest.approx(bce / 2, rel=1e-6)
    bpr = -(log_sigmoid(0.5) + log_sigmoid(1) + log_sigmoid(-3) + log_sigmoid(-5))
    assert bayesian_personalised(positive, negative).item() == pytest.approx(bpr / 4, rel=1e-6)
    share = [np.exp(1) / (np.exp(1) + np.exp(0.5) + 1), np.exp(-2) / (np.exp(-2) + np.exp(1) + np.exp(3))]
    assert sampled_softmax(positive, negative).item() == pytest.approx(-np.log(share).mean(), rel=1e-6)


def test_negatives_are_uniform_over_what_a_user_has_not_met():
    data = laid([[3, 1, 3, 0], list(range(ITEMS - 1))])
    draws = 40_000
    chance = torch.rand(2, draws, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    items = Unmet(data, torch.arange(2)).at(torch.arange(2)[:, None].expand(2, draws), chance)
    assert items[1].unique().tolist() == [ITEMS - 1]
    counts = torch.bincount(items[0], minlength=ITEMS)
    assert counts[[0, 1, 3]].tolist() == [0, 0, 0]
    expected = draws / (ITEMS - 3)
    assert (counts[counts > 0] - expected).abs().max() < 5 * expected**0.5


@pytest.mark.parametrize(("avoid", "never"), [("trained", {0, 1, 2}), ("all", {0, 1, 2, 7, 9})])
def test_whether_held_out_items_may_be_negatives(avoid, never):
    """A user is trained on items 0 to 2; item 7 is held out for validation and 9 for the test."""
    pairs = {"train": [0, 1, 2], "valid": [7], "test": [9]}
    parts = [np.array([[user, item] for user in range(9) for item in items]) for items in pairs.values()]
    data = Prepared(9, ITEMS, *parts, "small-world", ordered=True).interactions("train")
    trainer = trainer_of(data, loss="bce", negatives=200, avoid=avoid)
    drawn = trainer._batch(trainer._order(0), 0).negatives
    assert set(drawn.unique().tolist()) == set(range(ITEMS)) - never


def test_held_out_items_cannot_be_avoided_where_they_are_not_known():
    with pytest.raises(RepriseError, match="avoid: all"):
        trainer_of(laid([[0, 1, 2]]), loss="bce", avoid="all")


@pytest.mark.parametrize("loss", ["softmax", "bce", "bpr", "sampled_softmax"])
def test_every_loss_learns_a_chain(loss):
    # Item i is always followed by i + 1: after training the next item is ranked first among those not met. (What was
    # met never serves as a negative, so sampled losses say nothing about it.)
    lists = [[(start + step) % ITEMS for step in range(WINDOW)] for start in range(ITEMS)]
    data = laid(lists)
    trainer = trainer_of(data, loss=loss, samples="one_pass", negatives=5)
    trainer.train(100 * trainer.steps_per_epoch)
    with torch.no_grad():
        scores = trainer.method.scores(torch.arange(ITEMS), data)
    best = scores.scatter(1, data.items.view(ITEMS, WINDOW), -torch.inf).argmax(1)
    right = sum(best[user] == (user + WINDOW) % ITEMS for user in range(ITEMS))
    assert right > 0.9 * ITEMS  # a twenty-fifth by chance


# Dropout, seeds, resuming


def test_the_same_seed_gives_the_same_bits_also_after_a_resume_within_an_epoch():
    data = laid(histories(4 * WINDOW))

    def made():
        return trainer_of(data, loss="bce", dropout=0.5)

    whole, halves = made(), made()
    whole.train(7)
    halves.train(3)
    tensors, meta = halves.state()
    saved = {name: tensor.clone() for name, tensor in tensors.items()}
    torch.rand(5)  # somebody else draws from the global generator
    resumed = made()
    resumed.restore(saved, meta)
    resumed.train(4)
    for one, other in zip(whole.state()[0].values(), resumed.state()[0].values(), strict=True):
        assert torch.equal(one, other)


def test_dropout_acts_in_training_and_not_in_ranking():
    data = laid(histories())
    trainer = trainer_of(data, dropout=0.5)
    batch = trainer._batch(trainer._order(0), 0)
    trainer.method.train()
    assert trainer.method.loss(batch) != trainer.method.loss(batch)
    trainer.train(1)
    users = torch.arange(USERS)
    assert torch.equal(trainer.method.scores(users, data), trainer.method.scores(users, data))


# Ranking


class Fixed:
    def __init__(self, table):
        self.table = torch.tensor(table)

    def scores(self, users, history):
        return self.table[users]

    def adjust(self, scores, setting):
        return scores


@pytest.mark.parametrize(("mask", "best"), [("history", [2, 3]), ("none", [0, 1]), ("zero", [1, 0])])
def test_what_becomes_of_the_history(mask, best):
    # The user met items 0 (score 4) and 1 (score 1, held out again); others are below 0.
    ranking = Ranking(np.array([[0, 1]]), np.array([[0, 0], [0, 1]]), 1, 4, "cpu", mask, ordered=True)
    table = [[4.0, 1.0, -1.0, -2.0]]
    if mask == "zero":
        ranking = Ranking(np.array([[0, 1]]), np.array([[0, 0]]), 1, 4, "cpu", mask)  # 4 becomes 0: below 1
    [(_, _, items, _)] = ranking.lists(Fixed(table), [{}], 2)
    assert items.tolist() == [best]


def test_ranking_hands_over_the_history_in_order_of_time():
    seen = []

    class Spy(Fixed):
        def scores(self, users, history):
            seen.append(history.items.tolist())
            return self.table[users]

    ranking = Ranking(np.array([[0, 1]]), np.array([[0, 3], [0, 2]]), 1, 4, "cpu", ordered=True)
    list(ranking.lists(Spy([[1.0, 2.0, 3.0, 4.0]]), [{}], 1))
    assert seen == [[3, 2]]


# Mixed precision


def steps(precision, samples="one_pass", **changes):
    data = laid(histories(4 * WINDOW))
    method = build(spec(samples=samples, **changes), data, 1, "search")
    trainer = make_trainer(method, data, options(precision=precision), 1, "search")
    return trainer, [trainer.train(1) for _ in range(12)]


@pytest.mark.parametrize("loss", ["softmax", "bce", "bpr", "sampled_softmax"])
def test_mixed_precision_trains_almost_the_same_and_keeps_full_weights(loss):
    (_, full), (trainer, mixed) = (steps(precision, loss=loss) for precision in ("full", "mixed"))
    assert mixed != full and mixed == pytest.approx(full, rel=0.01)
    assert all(tensor.dtype == torch.float32 for tensor in trainer.state()[0].values() if tensor.is_floating_point())
    assert trainer.method.scores(torch.arange(3), trainer.data).dtype == torch.float32
    assert mixed == steps("mixed", loss=loss)[1]


def test_a_step_of_the_engine_waits_for_nothing():
    trainer, _ = steps("full", loss="bce", dropout=0.5)
    with Watched() as watched:
        trainer._step()
    assert watched.results and not watched.waits


def test_other_trainers_refuse_mixed_precision():
    data = laid(histories())
    mf = {"model": {"name": "mf", "dim": 4}, "method": {"name": "plain"}}
    with pytest.raises(RepriseError, match="training.precision"):
        make_trainer(build(mf, data, 1, "search"), data, options(precision="mixed"), 1, "search")


# Bad input


def test_a_window_of_nobody_s_history_is_padding():
    empty = laid([[], []])
    windows = latest(empty, torch.tensor([0, 1]), 3)
    assert windows.items.tolist() == [[ITEMS] * 3] * 2 and windows.lengths.tolist() == [0, 0]
    scores = build(spec(), empty, 1, "search").scores(torch.tensor([0, 1]), empty)
    assert scores.shape == (2, ITEMS) and bool(scores.isfinite().all())


def test_nobody_with_two_items_is_an_error():
    with pytest.raises(RepriseError, match="two items or more"):
        trainer_of(laid([[1], []]))


def test_sequence_models_take_no_l2_of_batch_rows():
    data = laid(histories())
    with pytest.raises(RepriseError, match="penalties of their own"):
        make_trainer(build(spec(), data, 1, "search"), data, options(l2=0.1), 1, "search")


def test_a_model_that_reads_whole_windows_needs_a_window_a_prefix():
    wrong = {"model": {"name": "hgn", "dim": 4, "window": WINDOW, "aggregate": "average", "padding_counts": False},
             "method": {"name": "next_item", "loss": "softmax", "samples": "one_pass"}}
    with pytest.raises(RepriseError, match="per_prefix"):
        build(wrong, laid(histories()), 1, "search")


# Masked items


def masked_trainer(data, samples="per_prefix", drop_first=False, share=0.4, last_only=0.5, **settings):
    model = {"name": "bert4rec", "dim": 8, "window": WINDOW, "layers": 2, "heads": 2, "inner": 16, "dropout": 0.0,
             "attention_dropout": 0.0, "drop_first": drop_first}
    method = {"name": "masked_item", "samples": samples, "share": share, "last_only": last_only, **settings}
    return make_trainer(build({"model": model, "method": method}, data, 1, "search"), data, options(), 1, "search")


def test_masked_windows_hold_their_target_last():
    lists = histories(4 * WINDOW)
    trainer = masked_trainer(laid(lists))
    epoch, seen = trainer._order(0), []
    for place in range(trainer.steps_per_epoch):
        windows = trainer._batch(epoch, place).windows
        seen += [(int(user), tuple(row[:length])) for user, row, length in
                 zip(windows.users, windows.items.tolist(), windows.lengths.tolist(), strict=True)]
    assert sorted(seen) == sorted((user, tuple(items[max(0, t + 1 - WINDOW) : t + 1]))
                                  for user, items in enumerate(lists) for t in range(1, len(items)))


def test_what_is_masked():
    data = laid([list(range(WINDOW))] * 4000 + [[5, 6]] * 4000)
    trainer = masked_trainer(data, samples="last_window", share=0.4, last_only=0.25)
    windows = latest(data, torch.arange(8000), WINDOW)
    torch.manual_seed(0)
    positions, drawn = trainer.method.draw(windows)
    assert positions.shape[1] == int(0.4 * WINDOW) == 2
    assert (positions < windows.lengths[:, None]).all() and drawn[:, 0].all()
    assert (positions[~drawn] == positions[:, :1].expand_as(positions)[~drawn]).all()
    both = drawn.all(1)
    assert (positions[both, 0] != positions[both, 1]).all()
    # Of two items, in a quarter of windows the last alone; else each with chance 0.4, or the last if neither was drawn.
    short_first = ((positions == 0) & drawn).any(1)[4000:].double().mean()
    assert short_first == pytest.approx(0.75 * 0.4, abs=0.03)
    short_last = ((positions == 1) & drawn).any(1)[4000:].double().mean()
    assert short_last == pytest.approx(0.25 + 0.75 * (0.4 + 0.6 * 0.6), abs=0.03)


@pytest.mark.parametrize("drop_first", [False, True])
def test_masked_loss_is_the_mean_over_what_was_drawn(drop_first):
    data = laid(histories())
    trainer = masked_trainer(data, drop_first=drop_first)
    batch, method = trainer._batch(trainer._order(0), 0), trainer.method
    torch.manual_seed(3)
    loss = method.loss(batch)
    torch.manual_seed(3)
    terms = []
    for windows in batch.parts:
        positions, drawn = method.draw(windows)
        for row, (places, real) in enumerate(zip(positions.tolist(), drawn.tolist(), strict=True)):
            masked = windows.items[row].clone()
            masked[[place for place, there in zip(places, real, strict=True) if there]] = method.model.mask
            for place, there in zip(places, real, strict=True):
                if there and not (drop_first and place == 0):
                    window = windows.part(row, row + 1, len(masked))._replace(items=masked[None])
                    state = method.model.masked(window, torch.tensor([[place]]))[0, 0]
                    table, bias = method.model.output()
                    terms.append(-(table @ state + bias).log_softmax(0)[windows.items[row, place]])
    assert len(batch.parts) > 1
    assert loss.item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_a_model_s_penalty_is_part_of_the_loss(loss):
    data = laid(histories())
    trainer = trainer_of(data, loss=loss, samples="one_pass")
    batch = trainer._batch(trainer._order(0), 0)
    trainer.method.eval()
    plain = trainer.method.loss(batch).item()
    trainer.method.model.penalty = lambda: 3.0
    assert trainer.method.loss(batch).item() == pytest.approx(plain + 3, rel=1e-5)
