"""Methods that write, their trainer, and what becomes of what they wrote, against plain Python."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from reprise.data import small_sequences
from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.data.prepared import Prepared
from reprise.data.splits import id_schemes, leave_one_out
from reprise.errors import RepriseError
from reprise.evaluation.lists import evaluate, recommend
from reprise.evaluation.ranking import Ranking
from reprise.evaluation.written import cleaned, counted
from reprise.methods import writing
from reprise.methods.writing import prefixes
from reprise.models.generative.words import HOLE
from reprise.training import checkpoint
from reprise.training.build import build, make_trainer
from reprise.training.options import Training
from reprise.training.run import ranking_of, train

USERS, ITEMS = 20, 30
LISTS = {"beams": 6, "kept": 5, "longest": 6, "constrained": True, "early_stopping": False, "duplicates": "first",
         "ranks": "kept"}
BART = {"name": "genrec", "size": "tiny", "weights": "random", "ids": "shuffled", "max_tokens": 1024,
        "id_tables": "shared", "scale": "root"}
T5 = {"name": "p5", "size": "tiny", "weights": "random", "ids": "shuffled", "max_tokens": 512}
WRITTEN = {"name": "written_item", "samples": "all_prefixes", "count_pads": False, **LISTS}
MASKED = {"name": "masked_word", "samples": "all_prefixes", "count_pads": False, "pretrain_mask": "as_code"}
PROMPTED = {"name": "prompted", "families": "sequential", "asked_sequential": 4,
            "candidates": 5, "prompt": "2-13", "whole_words_at_test": False, **LISTS}
SPECS = {"written": (BART, WRITTEN), "masked": (BART, MASKED), "prompted": (T5, PROMPTED)}
each = pytest.mark.parametrize("name", SPECS)


def histories(seed=0):
    rng = np.random.default_rng(seed)
    return [[], [3], *(rng.integers(0, ITEMS, n).tolist() for n in (2, 3, 4, 12, *rng.integers(2, 9, USERS - 6)))]


def laid(lists):
    pairs = np.array([(user, item) for user, items in enumerate(lists) for item in items]).reshape(-1, 2)
    numbers = np.random.default_rng(9).permutation(ITEMS) + 1
    features = {"shuffled": Lists.of(numbers, np.ones(ITEMS, int))}
    return replace(Interactions.of(pairs, len(lists), ITEMS, ordered=True), features=features)


@pytest.fixture(scope="module")
def data():
    return laid(histories())


def made(data, name="written", seed=1, model=None, **changes):
    base, method = SPECS[name]
    return build({"model": {**base, **(model or {})}, "method": {**method, **changes}}, data, seed, "search")


def options(schedule=None, **changes):
    values = {"batch": 8, "learning_rate": 3e-3, "max_epochs": 4, "eval_every": 1, "patience": 5, "metric": "ndcg",
              "k": 5, "ks": (5,), "fit_on": "train", "select_on": "valid", "refit": False, "mask": "none",
              "schedule": {"warm_up": 0.1, "weight_decay": 1e-5, "clip": 5.0, **(schedule or {})}}
    return Training(**{**values, **changes})


def trainer_of(data, name="written", seed=1, schedule=None, training=None, **changes):
    return make_trainer(made(data, name, seed, **changes), data, options(schedule, **(training or {})), seed, "search")


def spelt(method, lines, texts):
    """Texts that were laid out, as a person reads them."""
    return ["".join(texts[token] for token in row[:length]).split()
            for row, length in zip(lines.tokens.tolist(), lines.lengths.tolist(), strict=True)]


def texts_of(method):
    """The texts of a model's pieces, special ones named."""
    from reprise.models.generative.pieces import MadePieces
    words = [f"item_{number}" for number in range(1, ITEMS + 1)] if "shared" in vars(method.model) else list(
        map(str, range(1, ITEMS + 1)))
    users = [f"user_{user + 1}" for user in range(method.model.words.n_users)]
    found = MadePieces([*words, *users, *method.model.words._plain]).texts
    return [" <s>", " </s>", " <pad>", " <mask>", *found[4:]]


# What is asked


def test_every_prefix_once_or_the_last_of_each(data):
    lists = histories()
    wanted = [(user, end) for user, items in enumerate(lists) for end in range(1, len(items))]
    assert list(map(tuple, prefixes(data, False).T.tolist())) == wanted
    last = [(user, len(items) - 1) for user, items in enumerate(lists) if len(items) > 1]
    assert list(map(tuple, prefixes(data, True).T.tolist())) == last


def test_genrec_asks_for_the_item_behind_the_mask(data):
    method, lists = made(data), histories()
    numbers = data.features["shuffled"].values.tolist()
    samples = method.samples(np.random.default_rng(0))
    batch = method.texts(torch.from_numpy(samples))
    found = spelt(method, batch.questions, texts_of(method))
    answers = spelt(method, method.model.words.lines(
        data.items[data.offsets[samples[0]] + torch.from_numpy(samples[1])][:, None]), texts_of(method))
    for (user, end), text, answer in zip(samples.T.tolist(), found, answers, strict=True):
        spoken = [f"item_{numbers[item]}" for item in lists[user]]
        assert text == ["<s>", f"user_{user + 1}", *spoken[:end], "<mask>", "</s>"]
        assert answer == [spoken[end]]
    assert method.sizes(samples).tolist() == batch.questions.lengths.tolist()


def test_a_history_longer_than_the_model_loses_its_oldest_items(data):
    short = made(data, model={"max_tokens": 24})
    asked = short.ask(torch.arange(USERS), data)
    lines = short.model.words.lines(asked)
    whole = made(data)
    assert lines.lengths.max() <= 24 < whole.model.words.lines(whole.ask(torch.arange(USERS), data)).lengths.max()
    for user, text in enumerate(spelt(short, lines, texts_of(short))):
        numbers = [f"item_{data.features['shuffled'].values[item]}" for item in histories()[user]]
        kept = text[2:-2]
        assert kept == numbers[len(numbers) - len(kept) :] and text[1] == f"user_{user + 1}"


def test_a_user_never_seen_and_one_without_history_get_lists(data):
    method = made(data)
    with torch.no_grad():
        items, _ = method.generate(torch.tensor([0, 1]), data, [{}], 5)[0]
    assert items.shape == (2, 5) and (items >= 0).all()
    assert spelt(method, method.model.words.lines(method.ask(torch.tensor([0]), data)), texts_of(method)) == [
        ["<s>", "user_1", "<mask>", "</s>"]]


@pytest.mark.parametrize("mask", ["as_code", "item_only"])
def test_one_word_is_masked_and_asked_for(data, mask):
    method, lists = made(data, "masked", pretrain_mask=mask), histories()
    numbers = data.features["shuffled"].values.tolist()
    samples = torch.tensor([[5] * 3000, [10] * 3000])
    torch.manual_seed(0)
    batch = method.texts(samples)
    texts = texts_of(method)
    plain = [f"user_{6}", *(f"item_{numbers[item]}" for item in lists[5][:10])]
    drawn = Counter()
    targets = ["".join(texts[token] for token in row).split()[0] for row in batch.targets.tolist()]
    for text, target in zip(spelt(method, batch.questions, texts)[:3000], targets, strict=True):
        place = text.index("<mask>") - 1
        assert text == ["<s>", *plain[:place], "<mask>", *plain[place + 1 :], "</s>"] and target == plain[place]
        drawn[place] += 1
    if mask == "as_code":  # 0.3 the last; else any of eleven words, the last among them
        wanted = [0.7 / 11] * 10 + [0.3 + 0.7 / 11]
    else:
        wanted = [0] + [0.1] * 10
    np.testing.assert_allclose([drawn[place] / 3000 for place in range(11)], wanted, atol=0.03)
    hidden = batch.questions.tokens == method.model.special.mask
    assert not batch.questions.users[hidden].any() and not batch.questions.items[hidden].any()


def test_p5_asks_in_prompts_about_the_last_training_items(data):
    method, lists = made(data, "prompted"), histories()
    rng = np.random.default_rng(0)
    samples = np.concatenate([method.samples(rng) for _ in range(40)], 1)
    torch.manual_seed(0)
    numbers = data.features["shuffled"].values.tolist()
    texts, seen = texts_of(method), Counter()
    for number in np.unique(samples[3]):
        some = samples[:, samples[3] == number]
        batch = method.texts(torch.from_numpy(some))
        prompt = method.model.prompts[method.names[number]]
        for (user, start, end, _), text, row in zip(some.T.tolist(), spelt(method, batch.questions, texts),
                                                    batch.targets.tolist(), strict=True):
            count = len(lists[user])
            assert min(2, count - 1) <= end < count and end >= count - 3 and start <= max(0, min(2, end - 2))
            spoken = [str(numbers[item]) for item in lists[user]]
            answer = "".join(texts[token] for token in row).split()[0]
            pattern = " ".join(text).removesuffix(" </s>")
            assert " , ".join(spoken[start:end]) in pattern and f"user_{user + 1}" in pattern
            for word in prompt.plain:
                assert word.replace("'", " '").split()[0] in pattern
            if prompt.asks == "yes_no":
                right = spoken[end] in [one for one in text if one.isdigit()][: len(text)]
                assert answer in ("yes", "no") and (answer == "no" or right)
                seen[answer] += 1
            else:
                assert answer == spoken[end]
            if prompt.asks == "candidates":
                shown = [one for one in text if one.isdigit()]
                assert len(shown) == end - start + 5 and spoken[end] in shown
    assert "2-13" not in {method.names[number] for number in samples[3]} and len(np.unique(samples[3])) == 12
    assert abs(seen["yes"] / sum(seen.values()) - 0.5) < 0.1
    assert np.bincount(method.samples(rng)[0]).tolist() == [4 * (degree > 1) for degree in data.degrees.tolist()]


def test_p5_keeps_what_fits_beside_its_prompt(data):
    method = made(data, "prompted", model={"max_tokens": 40})
    lines = method.model.words.lines(method.ask(torch.arange(USERS), data))
    assert lines.lengths.max() <= 40
    whole = made(data, "prompted")
    assert whole.model.words.lines(whole.ask(torch.arange(USERS), data)).lengths.max() > 40


def test_a_list_of_candidates_longer_than_the_model_is_cut_at_its_end(data):
    long, short = (made(data, "prompted", candidates=25, model={"max_tokens": room}) for room in (512, 40))
    samples = torch.from_numpy(long.samples(np.random.default_rng(0)))
    torch.manual_seed(0)
    questions = long.texts(samples).questions
    torch.manual_seed(0)
    found = short.texts(samples).questions
    fits = questions.lengths <= 40
    assert 0 < fits.sum() < len(fits) and found.tokens.shape[1] == 40
    assert torch.equal(found.lengths, questions.lengths.clamp(max=40))
    assert torch.equal(found.tokens[fits], questions.tokens[fits, :40])
    for row, size in zip(found.tokens.tolist(), found.lengths.tolist(), strict=True):
        assert row[size - 1] == short.model.special.eos and short.model.special.eos not in row[: size - 1]


# Loss


@pytest.mark.parametrize(("name", "pads"), [("written", False), ("written", True), ("prompted", False)])
def test_the_loss_is_cross_entropy_over_what_counts(data, name, pads):
    method = made(data, name, **({"count_pads": pads} if name == "written" else {}))
    samples = torch.from_numpy(method.samples(np.random.default_rng(0))[:, 3:9])
    torch.manual_seed(0)
    batch = method.texts(samples)
    answers = batch.targets
    if pads:  # as in GenRec's code there is one behind the longest answer, too
        answers = torch.nn.functional.pad(answers, (0, 1), value=method.model.special.pad)
    with torch.no_grad():
        loss = method.loss(batch).item()
        logits = method.model.logits(method.model.encode(batch.questions), batch.questions.real, answers, pads)
    chances = logits.double().log_softmax(2).numpy()
    texts = []
    for row, targets in zip(chances, answers.tolist(), strict=True):
        end = targets.index(method.model.special.eos) + 1
        texts.append([-row[place, target] for place, target in enumerate(targets) if pads or place < end])
    wanted = np.mean(sum(texts, [])) if name == "written" else np.mean([np.mean(one) for one in texts])
    assert loss == pytest.approx(wanted, rel=1e-5)


# The trainer


@each
def test_an_epoch_holds_every_sample_once_in_batches_of_like_length(data, name):
    trainer = trainer_of(data, name)
    one, other = trainer._order(0), trainer._order(1)
    for epoch in (one, other):
        counts = np.diff(epoch.bounds)
        assert len(counts) == trainer.batches and counts.max() == 8 and (counts == 8).sum() >= len(counts) - 1
        assert sum(epoch.pieces) > 0
    rows = sorted(map(tuple, one.columns.T.tolist()))
    if name != "prompted":  # P5 draws anew
        assert rows == sorted(map(tuple, trainer.method.samples(np.random.default_rng(0)).T.tolist()))
        assert sorted(map(tuple, other.columns.T.tolist())) == rows
    assert not torch.equal(one.columns, other.columns)


@each
def test_every_parameter_learns_and_the_loss_falls(data, name):
    trainer = trainer_of(data, name)
    before = {key: value.detach().clone() for key, value in trainer.method.named_parameters()}
    first = trainer.train(trainer.steps_per_epoch)
    last = trainer.train(trainer.steps_per_epoch)
    assert last < first and trainer.pieces > 0 and "tokens/s" in trainer.pace()
    assert [key for key, value in trainer.method.named_parameters() if torch.equal(value, before[key])] == []
    assert not trainer.method.training


@each
def test_stopped_in_the_middle_of_an_epoch_it_goes_on_to_the_same_bits(data, name):
    whole, first, second = (trainer_of(data, name) for _ in range(3))
    for one in (whole, first):
        one.train(one.steps_per_epoch + 1)
    second.restore(*first.state())
    assert second.train(3) == whole.train(3) and second.pieces == whole.pieces
    for key, tensor in whole.state()[0].items():
        assert torch.equal(tensor, second.state()[0][key]), key


def test_lists_alone_need_no_settings_of_training(data, tmp_path):
    pairs = torch.stack([data.users, data.items], 1).numpy()
    held = pairs[np.r_[np.flatnonzero(np.diff(pairs[:, 0])), len(pairs) - 1]]  # each user's last
    made_of = Prepared(USERS, ITEMS, pairs, held, held, "small-sequences", ordered=True,
                       features={"shuffled": pa.array(data.features["shuffled"].values.numpy())})
    model, method = SPECS["written"]
    spec = {"model": model, "method": method, "training": options().model_dump() | {"max_epochs": 0, "schedule": None}}
    trained = made(data)
    checkpoint.save(tmp_path / "weights", dict(trained.state_dict()), {})
    origin = {phase: {"": tmp_path / "weights"} for phase in ("search", "refit")}
    left = train(tmp_path / "run", made_of, spec, 2, "cpu", "lists", origin=origin)
    assert (left["steps"], left["trained_steps"]) == (0, 0)
    kept, _ = checkpoint.load(tmp_path / "run" / left["list"] / "model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in trained.state_dict().items())


def test_the_rate_rises_and_falls_as_in_transformers(data):
    from transformers import get_linear_schedule_with_warmup

    trainer = trainer_of(data, schedule={"over_epochs": 3, "warm_up": 0.2})
    steps = 3 * trainer.steps_per_epoch
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_linear_schedule_with_warmup(optimiser, int(0.2 * steps), steps)
    for step in range(steps + 5):
        assert trainer.share(step) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert trainer_of(data).share(4 * trainer.steps_per_epoch) == 0  # null: max_epochs


def test_a_step_is_adamw_on_the_clipped_gradient_at_its_share_of_the_rate(data):
    """Step 1 of a warm-up of two epochs: the first moment is the gradient, the second its square, both unbiased."""
    schedule = {"over_epochs": 4, "warm_up": 0.5, "weight_decay": 0.1, "epsilon": 1e-3}
    free, bound = (trainer_of(data, schedule={**schedule, "clip": clip}, training={"learning_rate": 0.3})
                   for clip in (None, 0.01))
    before = {name: one.detach().double() for name, one in bound.method.named_parameters()}
    for one in (free, bound):
        one.steps = 1
        one._step()
    gradients = {name: one.grad.double() for name, one in free.method.named_parameters()}
    norm = sum(one.square().sum() for one in gradients.values()).sqrt()
    assert norm > 1, "the clip bites"
    rate = 0.3 / (2 * bound.steps_per_epoch)
    for name, one in bound.method.named_parameters():
        clipped = gradients[name] * 0.01 / norm
        expected = before[name] * (1 - rate * 0.1) - rate * clipped / (clipped.abs() + 1e-3)
        torch.testing.assert_close(one.detach().double() - before[name], expected - before[name], rtol=1e-3, atol=3e-7)


def test_accumulated_batches_are_one_large_one(data):
    """With every answer of equal weight the mean of two halves' gradients is that of the whole."""
    whole = trainer_of(data, "prompted", schedule={"warm_up": 0}, training={"batch": 8})
    halves = trainer_of(data, "prompted", schedule={"warm_up": 0, "accumulate": 2}, training={"batch": 4})
    for one in (whole, halves):
        one.method.names = ["2-1"]  # whose texts hold nothing that is drawn
        one.method.model.encoder.dropout.p = 0
        for module in one.method.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout") and isinstance(module.dropout, float):
                module.dropout = 0.0
    epoch = whole._order(0)
    whole._order = lambda number: epoch
    halves._order = lambda number: replace(epoch, bounds=[0, 4, 8], pieces=[1, 1])
    assert whole._step().item() == pytest.approx(halves._step().item(), rel=1e-5)
    for (key, one), other in zip(whole.method.named_parameters(), halves.method.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5, msg=key)


def test_mixed_precision_trains_almost_the_same_and_keeps_full_weights(data):
    full, mixed = trainer_of(data), trainer_of(data, training={"precision": "mixed"})
    assert mixed.train(4) == pytest.approx(full.train(4), rel=0.02)
    assert all(parameter.dtype == torch.float32 for parameter in mixed.method.parameters())
    method = made(data, generate_in="mixed")
    with torch.no_grad():
        assert method.generate(torch.arange(4), data, [{}], 5)[0][0].shape == (4, 5)


# Lists


def by_hand(items, met, duplicates, ranks, k):
    """One list, cleaned in plain Python."""
    places, taken = [], list(items)
    for number, item in enumerate(taken):
        gone = item == -1 or item in met or (duplicates == "first" and item >= 0 and item in taken[:number])
        if not gone or ranks == "kept":
            places.append(-1 if gone else item)
    if duplicates == "last":
        places = [-1 if item in places[number + 1 :] else item for number, item in enumerate(places)]
    return ([item if item >= 0 else -1 for item in places] + [-1] * k)[:k]


@pytest.mark.parametrize("duplicates", ["kept", "first", "last"])
@pytest.mark.parametrize("ranks", ["kept", "closed"])
@pytest.mark.parametrize("barred", [False, True])
def test_lists_are_cleaned_by_the_stated_rule(duplicates, ranks, barred):
    rng = np.random.default_rng(0)
    items = torch.from_numpy(rng.integers(-2, 6, (200, 7)))
    met = torch.from_numpy(rng.random((200, 6)) < 0.3)
    scores = -torch.arange(7).expand(200, 7).float()
    for k in (3, 7, 9):
        found, kept = cleaned(items, scores, met if barred else None, duplicates, ranks, k)
        for row in range(200):
            seen = torch.nonzero(met[row]).flatten().tolist() if barred else []
            assert found[row].tolist() == by_hand(items[row].tolist(), seen, duplicates, ranks, k)
        assert torch.equal(kept > -torch.inf, found >= 0)


def test_what_is_no_recommendation_is_counted():
    items = torch.tensor([[3, -1, 3, -2, 0], [1, 1, 1, 2, -2]])
    met = torch.zeros(2, 4, dtype=torch.bool)
    met[0, 3] = met[1, 2] = True
    assert counted(items, met) == {"outputs": 10, "empty": 1, "unknown": 2, "duplicate": 3, "met": 3}


class Fixed:
    duplicates, ranks = "first", "closed"

    def __init__(self, items):
        self.items = items

    def generate(self, users, history, settings, k):
        return [(self.items[users], torch.zeros_like(self.items[users]).float())] * len(settings)


def test_the_ranking_takes_lists_that_are_written():
    items = torch.tensor([[0, 0, 4, -2], [5, -1, 3, 1], [-1, -1, -1, -1]])
    history = np.array([[0, 4], [1, 5]])
    ranking = Ranking(np.array([[0, 0], [1, 1], [2, 2]]), history, 3, 6, "cpu", "history", True)
    ranking.chunk = 2
    lists = torch.cat([found for _, _, found, _ in ranking.lists(Fixed(items), [{}], 5)])
    assert lists.tolist() == [[0, -1, -1, -1, -1], [3, 1, -1, -1, -1], [-1] * 5]
    assert dict(ranking.tally) == {"outputs": 12, "empty": 5, "unknown": 1, "duplicate": 1, "met": 2}
    assert ranking.measure(Fixed(items), [{}], 1, ["hr"])[0]["hr@1"] == pytest.approx(1 / 3)
    offered = Ranking(np.array([[0, 0], [1, 1], [2, 2]]), history, 3, 6, "cpu", "none", True)
    lists = torch.cat([found for _, _, found, _ in offered.lists(Fixed(items), [{}], 3)])
    assert lists.tolist() == [[0, 4, -1], [5, 3, 1], [-1] * 3]


def test_what_is_written_has_no_scores_to_set_to_zero():
    ranking = Ranking(np.array([[0, 0]]), np.array([[0, 1]]), 1, 6, "cpu", "zero", True)
    with pytest.raises(RepriseError, match="none or history"):
        list(ranking.lists(Fixed(torch.tensor([[1]])), [{}], 1))


def test_users_are_written_for_in_groups_of_like_length(data, monkeypatch):
    method = made(data)
    users = torch.tensor(np.random.default_rng(0).permutation(USERS))
    with torch.no_grad():
        whole, scores = method.generate(users, data, [{}], 5)[0]
        monkeypatch.setitem(writing.ROOM, "cpu", 6 * 40)
        _, parts = method.generate(users, data, [{}], 5)[0]
    assert whole.shape == (USERS, 5)
    torch.testing.assert_close(parts, scores, rtol=1e-4, atol=1e-4)


def test_pretraining_makes_no_lists(data):
    items, _ = made(data, "masked").generate(torch.arange(3), data, [{}], 4)[0]
    assert (items == HOLE).all() and items.shape == (3, 4)


# Bad input


def test_what_cannot_be_trained_is_refused(data):
    with pytest.raises(RepriseError, match="schedule"):
        make_trainer(made(data), data, options(schedule=None).model_copy(update={"schedule": None}), 1, "search")
    with pytest.raises(RepriseError, match="no l2"):
        trainer_of(data, training={"l2": 0.1})
    with pytest.raises(RepriseError, match="two items"):
        trainer_of(laid([[1], []]))
    with pytest.raises(RepriseError, match="with stars"):
        made(data, "prompted", families="sequential+rating+direct")
    with pytest.raises(RepriseError, match="2-13"):
        made(data, "prompted", prompt="2-7")
    plain = {"name": "sasrec", "dim": 8, "window": 5, "layers": 1, "heads": 1, "inner": 8, "dropout": 0,
             "attention_dropout": 0}
    other = build({"model": plain, "method": {"name": "next_item", "loss": "softmax", "samples": "one_pass"}}, data, 1,
                  "search")
    with pytest.raises(RepriseError, match="schedule"):
        make_trainer(other, data, options(), 1, "search")


# From lists to metrics


def following(model):
    """A `write` that takes, instead of what a model knows, the numbers after the largest in the question."""
    of_number = model.words.numbers.argsort()

    def write(lines, width, longest, constrained, bare=False, early_stopping=False):
        numbers = lines.items.amax(1)[:, None] + torch.arange(1, width - 2)
        items = of_number[numbers.clamp(max=ITEMS_OF_SMALL) - 1]
        tokens = model.targets(items.flatten()).view(*items.shape, -1)
        empty = torch.full_like(tokens[:, :1], model.special.pad)
        found = model.numbers.read(torch.cat([tokens[:, :1], empty, tokens, empty], 1)[:, :width])
        return found, -torch.arange(width).expand_as(found).float()

    return write


ITEMS_OF_SMALL = 990


@pytest.fixture(scope="module")
def small():
    """The small world of sequences as it is prepared."""
    world = small_sequences.make()
    pairs = np.array([(user, item) for user, items in enumerate(world.histories) for item in items])
    part = leave_one_out(pairs[:, 0])
    schemes = id_schemes(pairs[:, 1], part == 0, ITEMS_OF_SMALL, 0)
    features = {name: pa.array(numbers) for name, numbers in schemes.items()}
    parts = (pairs[part == one] for one in range(3))
    return Prepared(len(world.histories), ITEMS_OF_SMALL, *parts, "small-world", True, features)


@pytest.mark.parametrize("ids", ["appearance", "shuffled", "train_appearance"])
def test_numbers_by_first_appearance_give_answers_away_and_others_do_not(small, ids, tmp_path, monkeypatch):
    """Whoever reads digits can follow the rule; what that is worth depends on the numbers alone."""
    method = made(small.interactions("train"), model={"ids": ids}, beams=20, kept=20)
    monkeypatch.setattr(method.model, "write", following(method.model))
    ranking = ranking_of(small, "test", "cpu", "none")
    recommend(tmp_path, method, ranking, {}, 20)
    evaluate(tmp_path, small, ranking, (1, 20))
    found = pd.read_csv(tmp_path / "metrics.csv").set_index(["metric", "k"])["value"]
    lists = pd.read_parquet(tmp_path / "topk.parquet").groupby("user")["item"].apply(list)
    numbers = small.features["appearance"].to_numpy()
    hits = given = 0
    for user, item in small.test.tolist():
        mine = [one for part in (small.train, small.valid) for one in part[part[:, 0] == user, 1]]
        hit = item in lists.get(user, [])
        hits += hit
        given += hit and numbers[item] == numbers[mine].max() + 1
    assert found["hr", 20] == pytest.approx(hits / 500) and found["next_id", 20] == pytest.approx(given / max(hits, 1))
    assert found["empty", 20] == pytest.approx(2 / 20) and found["duplicate", 20] >= 1 / 20
    assert found["unknown", 20] == 0
    # Of the 75 users whose answer the released numbers give away: found at once, and found at all.
    at_once = round(found["hr", 1] * found["next_id", 1] * 500)
    assert (at_once, given) == {"appearance": (75, 75), "shuffled": (0, 1), "train_appearance": (2, 7)}[ids]


def test_a_tiny_model_learns_to_count_and_so_finds_answers_that_it_never_saw():
    """Every user met eight items in a row that nobody else met: what comes last stands in no training history, and only
    numbers by first appearance say what it is. Under shuffled ones ten of the items are as good as any other ten.
    """
    users, length = 40, 8
    items = users * length
    pairs = np.stack([np.repeat(np.arange(users), length), np.arange(items)], 1)
    part = np.tile([0] * (length - 2) + [1, 2], users)
    numbers = {"shuffled": Lists.of(np.arange(1, items + 1), np.ones(items, int))}  # in this test those of appearance
    data = replace(Interactions.of(pairs[part == 0], users, items, ordered=True), features=numbers)
    trainer = trainer_of(data, schedule={"over_epochs": 100, "warm_up": 0.02}, beams=10, kept=10, longest=8,
                         training={"batch": 32, "learning_rate": 1e-3}, model={"id_tables": "separate"})
    trainer.train(420)
    ranking = Ranking(pairs[part == 2], pairs[part < 2], users, items, "cpu", "none", True)
    with torch.no_grad():
        found = ranking.measure(trainer.method, [{}], 10, ["hr"])[0]["hr@10"]
    assert found > 4 * 10 / items
