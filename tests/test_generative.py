"""Pieces, texts, the trie, beam search and what was written, against plain Python; and transformers' own search."""

import itertools
import json
import math
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.models import genrec, p5
from reprise.models.generative import beams, nets, weights
from reprise.models.generative.numbers import Numbers
from reprise.models.generative.pieces import MadePieces, ReadPieces
from reprise.models.generative.prompts import load_prompts
from reprise.models.generative.trie import Trie
from reprise.models.generative.words import HOLE, Histories, Words
from safetensors.torch import save_file

USERS, ITEMS = 12, 130
RELEASED = Path(__file__).resolve().parent.parent.parent / "shared/data/mirror/s3rec"
BART = {"size": "tiny", "weights": "random", "ids": "shuffled", "max_tokens": 1024, "id_tables": "shared",
        "scale": "root"}
T5 = {"size": "tiny", "weights": "random", "ids": "shuffled", "max_tokens": 512}


def laid(lists, n_items=ITEMS):
    pairs = np.array([(user, item) for user, items in enumerate(lists) for item in items]).reshape(-1, 2)
    numbers = np.random.default_rng(9).permutation(n_items) + 1
    features = {"shuffled": Lists.of(numbers, np.ones(n_items, int))}
    return replace(Interactions.of(pairs, len(lists), n_items, ordered=True), features=features)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return laid([[], [3], *(rng.integers(0, ITEMS, n).tolist() for n in (2, 9, 40, 5, 6, 7, 1, 3, 4, 8))])


def bart(data, seed=0, **changes):
    return genrec.Model(genrec.Options(**{**BART, **changes}), data, torch.Generator().manual_seed(seed)).eval()


def t5(data, seed=0, **changes):
    return p5.Model(p5.Options(**{**T5, **changes}), data, torch.Generator().manual_seed(seed)).eval()


def as_released(model):
    """The same model with T5's rows and factor as transformers has them; what is written stays the same."""
    if isinstance(model, p5.Model):
        model.token.data /= nets.row_std("tiny")
        model.factor *= nets.row_std("tiny")
    return model


def louder(model, factor=8.0):
    """The same model with a table of pieces that tells them apart, so that its answers differ from user to user."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)
    return model


def questions(model, data):
    """`<s> user item ... <mask> </s>` of every user, in words."""
    words, special, users = model.words, model.special, torch.arange(data.n_users)
    histories = Histories(words, data)
    rows = histories.rows(users, torch.zeros_like(users), data.degrees)
    ends = [words.special(special.mask), words.special(special.eos)]
    return torch.cat([words.row([words.special(special.bos)], len(users)), words.user(users)[:, None], rows,
                      words.row(ends, len(users))], 1)


# Pieces


def test_made_pieces_are_letters_and_digits_by_two():
    pieces = MadePieces(["item_1234", "user_7", "it's", "123"])
    found = [[pieces.texts[number] for number in one] for one in pieces.of(["item_1234", "user_7", "it's", "123"])]
    assert found == [[" item", "_", "12", "34"], [" user", "_", "7"], [" it", "'", "s"], [" 12", "3"]]
    assert len(set(pieces.texts) - {""}) == len(pieces.texts) - 4 == pieces.rows - 4


def test_a_part_that_nothing_was_made_from_is_an_error():
    with pytest.raises(RepriseError, match="99"):
        MadePieces(["item_12"]).of(["item_99"])


def tokenizer_of(folder, kind="bart", rows=None):
    """A small released tokenizer as BART (byte-level BPE) or T5 (SentencePiece) has it, and its config."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    if kind == "bart":
        texts = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"_0123456789itemusr\u0120", "\u0120i", "\u0120u", "12"]
        made = Tokenizer(models.BPE({text: n for n, text in enumerate(texts)},
                                    [("\u0120", "i"), ("\u0120", "u"), ("1", "2")]))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        config = {"model_type": "bart", "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
                  "decoder_start_token_id": 2}
    else:
        texts = ["<pad>", "</s>", "<unk>", "\u2581", *"_0123456789userabcdfghijklmnopqtvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                 ":,.;?'", "\u25811", "12"]
        texts = list(dict.fromkeys(texts))
        made = Tokenizer(models.Unigram([(text, -1.0 * (len(text) < 2) - 1) for text in texts], 2))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        config = {"model_type": "t5", "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    return config | {"vocab_size": rows or len(texts)}


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_read_pieces_are_those_of_the_words_of_a_text(kind, tmp_path):
    from tokenizers import Tokenizer

    pieces = ReadPieces(tmp_path, tokenizer_of(tmp_path, kind))
    words = ["user_12", "112", "user_3"]
    whole = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(" " + " ".join(words)).ids
    assert sum(pieces.of(words), []) == whole
    assert "".join(pieces.texts[number] for number in whole) == " user_12 112 user_3"
    assert (pieces.special.mask, pieces.special.start) == {"bart": (4, 2), "t5": (None, 0)}[kind]


def test_a_tokenizer_that_does_not_match_the_weights_is_named(tmp_path):
    for rows in (10, 1000):
        with pytest.raises(RepriseError, match="released with the weights"):
            ReadPieces(tmp_path, tokenizer_of(tmp_path, rows=rows))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(RepriseError, match="a tokenizer"):
        ReadPieces(tmp_path, {"vocab_size": 10})
    with pytest.raises(RepriseError, match="no such file"):
        ReadPieces(tmp_path / "nowhere", {"vocab_size": 10})


# Texts


def by_hand(pieces, text, n_users, numbers, special):
    """Every piece of a text (words, or `<mask>` and the like), with its user, item and word, in plain Python."""
    names = {"<s>": special.bos, "</s>": special.eos, "<mask>": special.mask}
    found = []
    for place, word in enumerate(text, start=1):
        user = int(word[5:]) if word.startswith("user_") else 0
        item = int(word[5:]) if word.startswith("item_") else 0
        ids = [names[word]] if word in names else pieces.of([word])[0]
        found += [(number, user, item, place) for number in ids]
    return found


def test_lines_equal_texts_spelt_out(data):
    model = bart(data)
    numbers = data.features["shuffled"].values.tolist()
    spelt = [f"item_{number}" for number in numbers]
    users = [f"user_{user + 1}" for user in range(data.n_users)]
    pieces = MadePieces([*spelt, *users])
    lines = model.words.lines(questions(model, data))
    for user in range(data.n_users):
        history = data.items[data.offsets[user] : data.offsets[user + 1]].tolist()
        text = ["<s>", users[user], *(spelt[item] for item in history), "<mask>", "</s>"]
        wanted = by_hand(pieces, text, data.n_users, numbers, model.special)
        length = int(lines.lengths[user])
        found = [one[user, :length].tolist() for one in (lines.tokens, lines.users, lines.items, lines.words)]
        assert list(zip(*found, strict=True)) == wanted
        assert (lines.tokens[user, length:] == model.special.pad).all() and not lines.real[user, length:].any()


def test_holes_stand_for_nothing():
    words = Words(MadePieces(["item_1", "item_22"]), ["item_1", "item_22"], [], [], torch.tensor([1, 22]))
    dense, holes = torch.tensor([[0, 1], [1, HOLE]]), torch.tensor([[HOLE, 0, HOLE, 1], [HOLE, HOLE, 1, HOLE]])
    for one, other in zip(words.lines(dense), words.lines(holes), strict=True):
        assert torch.equal(one, other)
    assert words.lines(torch.full((2, 3), HOLE)).lengths.tolist() == [0, 0]


@pytest.mark.parametrize("comma", [False, True])
def test_the_oldest_items_are_dropped_beyond_what_fits(data, comma):
    numbers = torch.arange(1, ITEMS + 1)
    pieces = [f"item_{number}" for number in numbers.tolist()]
    words = Words(MadePieces([*pieces, ","]), pieces, [], [","], numbers)
    histories = Histories(words, data, words.plain(",")[0] if comma else None)
    rng = np.random.default_rng(0)
    for _ in range(200):
        user = int(rng.integers(0, data.n_users))
        count, room = int(data.degrees[user]), int(rng.integers(0, 60))
        end = int(rng.integers(0, count + 1))
        first = int(rng.integers(0, end + 1))
        items = data.items[data.offsets[user] : data.offsets[user + 1]].tolist()

        each = [int(words.counts[item]) + comma for item in items]
        costs = {start: sum(each[start:end]) - (comma and start < end) for start in range(end + 1)}
        wanted = next((start for start in range(first, end) if costs[start] <= room), end)
        one = [torch.tensor([number]) for number in (user, first, end)]
        start = histories.starts(*one, torch.tensor([room]))
        assert start.item() == wanted
        assert histories.sizes(one[0], start, one[2]).item() == costs[wanted]
        row = [word for word in histories.rows(one[0], start, one[2])[0].tolist() if word != HOLE]
        spelt = items[wanted:end]
        assert row == (list(itertools.chain(*((item, words.plain(",")[0]) for item in spelt)))[:-1] if comma else spelt)


@pytest.mark.skipif(not RELEASED.exists(), reason="no released data here")
@pytest.mark.parametrize(("name", "long"), [("Sports_and_Outdoors", {572}), ("Beauty", set()), ("Yelp", {2666, 9855})])
def test_texts_beyond_1024_pieces_are_those_that_genrec_lacks(name, long):
    """Its validation files hold random users, and of them only those whose text at test time fits into BART."""
    lists = [line.split() for line in (RELEASED / f"{name}.txt").read_text().splitlines()]
    numbers = range(max(int(item) for _, *items in lists for item in items) + 1)
    words = [f"item_{number}" for number in numbers]
    cost = [len(one) for one in MadePieces(words).of(words)]  # a user's word has as many as an item's of the number
    found = {int(user) for user, *items in lists
             if 3 + len(MadePieces._parts(f"user_{user}")) + sum(cost[int(item)] for item in items[:-1]) > 1024}
    assert found == long


# The trie and the search


def test_the_trie_allows_what_some_sequence_has_next():
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 5, 40)
    rows = rng.integers(0, 4, (40, 5))
    sequences = [tuple(row[:length]) + (7,) for row, length in zip(rows.tolist(), lengths, strict=True)]  # 7 ends
    laid_out = torch.tensor([list(one) + [9] * (6 - len(one)) for one in sequences])
    trie = Trie(laid_out, torch.tensor([len(one) for one in sequences]), 10)
    for prefix in {one[:cut] for one in sequences for cut in range(len(one) + 1)}:
        node = torch.zeros(1, dtype=torch.int64)
        for piece in prefix:
            node = trie.step(node, torch.tensor([piece]))
        wanted = {one[len(prefix)] for one in sequences if one[: len(prefix)] == prefix and len(one) > len(prefix)}
        assert set(torch.nonzero(trie.allowed(node)[0]).flatten().tolist()) == wanted
    lost = trie.step(torch.zeros(1, dtype=torch.int64), torch.tensor([8]))
    assert not trie.allowed(lost).any()


class Table:
    """A language of V pieces whose next-piece logits depend on the text so far, at random but always the same."""

    def __init__(self, batch, vocabulary):
        self.texts, self.vocabulary = [(user,) for user in range(batch)], vocabulary

    def logits(self, text):
        return np.random.default_rng(abs(hash(text)) % 2**32).normal(0, 2, self.vocabulary)

    def step(self, pieces, order):
        if len(pieces) > len(self.texts):
            self.texts = [text for text in self.texts for _ in range(len(pieces) // len(self.texts))]
        if order is not None:
            self.texts = [self.texts[number] for number in order.tolist()]
        self.texts = [text + (piece,) for text, piece in zip(self.texts, pieces.tolist(), strict=True)]
        return torch.tensor(np.stack([self.logits(text) for text in self.texts]))


def exhaustive(table, user, start, eos, longest, allowed=None):
    """Every text that ends, or is as long as can be, with its mean log probability, best first."""
    found, waiting = [], [((user, start), 0.0)]
    while waiting:
        text, score = waiting.pop()
        written = text[2:]
        if written and (written[-1] == eos or len(written) == longest):
            found.append((score / len(written), written))
            continue
        logits = table.logits(text)
        chances = logits - np.log(np.exp(logits).sum())
        for piece in range(table.vocabulary):
            if allowed is None or any(one[: len(written) + 1] == (*written, piece) for one in allowed):
                waiting.append(((*text, piece), score + chances[piece]))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("constrained", [False, True])
def test_wide_beams_find_the_best_texts_of_all(constrained):
    batch, vocabulary, longest, start, eos, pad = 3, 4, 4, 0, 1, 3
    allowed, trie = None, None
    if constrained:
        allowed = [(2, 2, 1), (2, 3, 1), (3, 1), (2, 2, 2, 1), (0, 3, 1)]
        rows = torch.tensor([list(one) + [pad] * (4 - len(one)) for one in allowed])
        trie = Trie(rows, torch.tensor([len(one) for one in allowed]), vocabulary)
    table = Table(batch, vocabulary)
    width = vocabulary**longest  # nothing is ever dropped
    found = beams.search(table.step, batch, width, longest, start, eos, pad, torch.device("cpu"), trie)
    for user in range(batch):
        wanted = exhaustive(table, user, start, eos, longest, allowed)
        there = int((found.scores[user] > -torch.inf).sum())
        assert there == min(len(wanted), width) and (not constrained or there == len(allowed))
        for place, (score, text) in enumerate(wanted[:40]):
            assert found.scores[user, place].item() == pytest.approx(score, abs=1e-5)
            assert tuple(found.tokens[user, place, : len(text)].tolist()) == text
            assert (found.tokens[user, place, len(text) :] == pad).all()


@pytest.mark.parametrize("width, early", [(1, False), (4, False), (4, True), (20, False), (20, True)])
@pytest.mark.parametrize("make", [bart, t5])
def test_the_search_equals_that_of_transformers(data, make, width, early):
    import transformers
    from transformers.modeling_outputs import BaseModelOutput

    model = as_released(louder(make(data), 6.0))
    rows = questions(bart(data), data) if make is bart else torch.cat(
        [model.words.user(torch.arange(data.n_users))[:, None], model.words.row(
            model.words.plain("bought") + [model.words.special(model.special.eos)], data.n_users)], 1)
    lines = model.words.lines(rows)
    kind = transformers.BartForConditionalGeneration if make is bart else transformers.T5ForConditionalGeneration
    config = model.decoder.config
    config.num_decoder_layers = 2
    other = kind(config).eval()
    shared = other.model if make is bart else other
    for part in ("encoder", "decoder"):
        getattr(shared, part).load_state_dict(getattr(model, part).state_dict(), strict=False)
    with torch.no_grad():
        shared.shared.weight.copy_(model.token)
        other.tie_weights()
        states = model.encode(lines)
        written = other.generate(
            encoder_outputs=BaseModelOutput(states), attention_mask=lines.real.long(), num_beams=width,
            num_return_sequences=width, max_new_tokens=7, do_sample=False, early_stopping=early, length_penalty=1.0,
            decoder_start_token_id=model.special.start, eos_token_id=model.special.eos,
            pad_token_id=model.special.pad, bos_token_id=model.special.bos, forced_eos_token_id=None,
            return_dict_in_generate=True, output_scores=True)
        items, scores = model.write(lines, width, 7, False, early_stopping=early)
    wanted = written.sequences[:, 1:].view(data.n_users, width, -1)
    if width > 1:
        torch.testing.assert_close(scores, written.sequences_scores.view(data.n_users, width), rtol=1e-4, atol=1e-4)
    same = (model.numbers.read(wanted) == items).float().mean()
    assert same > 0.99 and wanted.unique().numel() > 2  # two scores may be equal to the last digit


@pytest.mark.parametrize("make", [bart, t5])
def test_constrained_beams_write_items_and_each_once(data, make):
    model = as_released(louder(make(data), 6.0))
    rows = questions(bart(data), data) if make is bart else model.words.user(torch.arange(data.n_users))[:, None]
    with torch.no_grad():
        items, scores = model.write(model.words.lines(rows), 20, 50, True)
        free, _ = model.write(model.words.lines(rows), 20, 8, False)
    assert (items >= 0).all() and (scores[:, 1:] <= scores[:, :-1]).all()
    assert all(len(set(row)) == 20 for row in items.tolist())
    assert (free < 0).any()


def test_users_get_the_same_lists_together_and_alone(data):
    model = louder(bart(data), 6.0)
    rows = questions(model, data)
    with torch.no_grad():
        together, scores = model.write(model.words.lines(rows), 10, 8, True)
        for user in range(data.n_users):
            alone, one = model.write(model.words.lines(rows[user : user + 1]), 10, 8, True)
            torch.testing.assert_close(one[0], scores[user], rtol=1e-4, atol=1e-4)
            assert (alone[0] == together[user]).float().mean() > 0.7  # neighbours with equal scores may change places


# What was written


def test_numbers_are_the_digits_of_the_last_word():
    texts = ["", " item", "_", "1", "2", "0", "12", " 3", " user", "x4y", " ", "a 5b", "9" * 15]
    numbers = torch.tensor([3, 12, 1, 2, 54])  # of items 0..4
    read = Numbers(texts, numbers)
    rng = np.random.default_rng(0)
    rows = [[1, 2, 3, 4], [1, 2, 5, 5, 3], [8, 2, 6, 1, 2, 4], [1, 2], [], [0, 0], [7, 10], [9, 11, 9], [12] * 6,
            [1, 2, 5], *(rng.integers(0, len(texts), rng.integers(1, 8)).tolist() for _ in range(300))]
    tokens = torch.tensor([row + [0] * (9 - len(row)) for row in rows])
    for row, found in zip(rows, read.read(tokens).tolist(), strict=True):
        digits = re.sub("[^0-9]", "", "".join(texts[piece] for piece in row).split(" ")[-1])
        known = numbers.tolist()
        wanted = -1 if not digits else known.index(int(digits)) if int(digits) in known else -2
        assert found == wanted, (row, digits)
    assert read.read(tokens[:10]).tolist() == [1, 2, 3, -1, -1, -1, -1, 4, -2, -2]


# Models


@pytest.mark.parametrize("tables", ["shared", "separate"])
@pytest.mark.parametrize("scale", ["root", "one"])
def test_genrec_reads_pieces_places_and_ids(data, tables, scale):
    model = bart(data, id_tables=tables, scale=scale)
    assert hasattr(model, "item") == (tables == "separate")
    lines = model.words.lines(questions(model, data))
    other = model.user if tables == "shared" else model.item
    factor = 1 / math.sqrt(64) if scale == "root" else 1
    taken = []
    model.encoder.layers = torch.nn.ModuleList()  # what is left is LN(...)
    with torch.no_grad():
        found = model.encode(lines)
        for row in range(data.n_users):
            for column in range(int(lines.lengths[row])):
                token, user, item = (int(one[row, column]) for one in (lines.tokens, lines.users, lines.items))
                summed = (model.token[token] + model.encoder.embed_positions.weight[column + 2]
                          + (model.user[user] + other[item]) * factor)
                wanted = torch.nn.functional.layer_norm(summed, (64,))
                torch.testing.assert_close(found[row, column], wanted, rtol=1e-4, atol=1e-5)
                taken.append((user > 0, item > 0))
    assert set(taken) == {(False, False), (True, False), (False, True)}


def test_a_user_and_an_item_with_one_number_share_a_row_in_shared_tables(data):
    assert len(bart(data).user) == max(USERS, ITEMS) + 1
    separate = bart(data, id_tables="separate")
    assert (len(separate.user), len(separate.item)) == (USERS + 1, ITEMS + 1)


def test_p5_adds_a_row_for_every_word_but_the_end(data):
    model = t5(data)
    words = model.words
    rows = torch.cat([words.user(torch.tensor([4]))[:, None], torch.tensor([[7, 100]]),
                      words.row([words.special(model.special.eos)], 1)], 1)
    lines = words.lines(rows)
    beside = model.beside(lines)[0]
    wanted = [0 if word == 4 else word for word in lines.words[0].tolist()]
    assert torch.equal(beside, model.word[wanted]) and wanted[-1] == 0 and wanted.count(1) == words.counts[rows[0, 0]]
    with torch.no_grad():
        assert not torch.allclose(model.encode(lines), model.encode(lines, bare=True))


@pytest.mark.parametrize("make", [bart, t5])
def test_weights_come_from_the_passed_generator_alone(data, make):
    torch.manual_seed(1)
    one, state = make(data, 1).state_dict(), torch.get_rng_state()
    torch.manual_seed(2)
    same, other = make(data, 1).state_dict(), make(data, 2).state_dict()
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert {key for key in one if one[key].numel() > 1 and torch.equal(one[key], other[key])} == {
        key for key in one if one[key].unique().numel() == 1}
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state()), "global randomness is left as it was"


@pytest.mark.parametrize("make", [bart, t5])
def test_padding_changes_nothing(data, make):
    model = make(data)
    rows = model.words.user(torch.arange(3))[:, None]
    wide = torch.cat([torch.cat([rows, torch.full((3, 30), HOLE)], 1), torch.arange(31).expand(1, -1)])
    with torch.no_grad():
        short, long = model.words.lines(rows), model.words.lines(wide)
        targets = model.targets(torch.tensor([5, 111, 9]))
        one = model.logits(model.encode(short), short.real, targets)
        other = model.logits(model.encode(long)[:3], long.real[:3], targets)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


# Released weights


def released(folder, kind="bart", prefix="", seed=5):
    """Weights as they are released, of tiny size; returns the net that they are of."""
    config = tokenizer_of(folder, kind) | (nets.BART if kind == "bart" else nets.T5)["tiny"]
    net = getattr(nets, kind)("tiny", config, config["vocab_size"], config["pad_token_id"],
                              torch.Generator().manual_seed(seed))
    tensors = {f"{prefix}shared.weight": net.token} | {
        f"{prefix}{part}.{name}": tensor.contiguous() for part in ("encoder", "decoder")
        for name, tensor in getattr(net, part).state_dict().items()}
    tensors |= {"lm_head.weight": net.token.clone(), f"{prefix}encoder.embed_tokens.weight": net.token.clone()}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return net


@pytest.mark.parametrize(("kind", "prefix"), [("bart", ""), ("bart", "model."), ("t5", "")])
def test_released_weights_are_those_of_the_file(data, kind, prefix, tmp_path):
    net = released(tmp_path, kind, prefix)
    model = (bart if kind == "bart" else t5)(data, 1, weights=str(tmp_path))
    assert torch.equal(model.token, net.token)
    for part in ("encoder", "decoder"):
        for key, tensor in getattr(net, part).state_dict().items():
            assert torch.equal(getattr(model, part).state_dict()[key], tensor), key
    with torch.no_grad():
        rows = model.words.user(torch.arange(3))[:, None]
        items, _ = model.write(model.words.lines(rows), 4, 20, True)
    assert (items >= 0).all()


def test_files_that_are_no_weights_are_named(data, tmp_path):
    def said(match):
        with pytest.raises(RepriseError, match=match) as caught:
            bart(data, weights=str(tmp_path / "weights"))
        assert caught.value.kind in ("weights", "input")

    folder, path = tmp_path / "weights", tmp_path / "weights/model.safetensors"
    said("no config.json")
    released(folder)
    whole = path.read_bytes()
    for cut in (0, 5, 200, len(whole) - 9):
        path.write_bytes(whole[:cut])
        said("a whole safetensors file")
    marker = tmp_path / "was-run"
    path.write_bytes(pickle.dumps(Running(str(marker))))
    said("a pickle")
    torch.save({"shared.weight": torch.zeros(2)}, path)
    said("a pickle")
    assert not marker.exists()
    path.unlink()
    said("model.safetensors")
    path.write_bytes(whole)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"encoder_ffn_dim": 32}))
    said("the tensors that config.json promises")
    (folder / "config.json").write_text(json.dumps(config | {"decoder_layers": 3}))
    said("absent")
    (folder / "config.json").write_text(json.dumps(config | {"d_model": 768, "encoder_layers": 6}))
    said("(?s)model.size.*expected: tiny")
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 2000}))
    said("released with the weights")
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "t5"}))
    said("model_type: bart")
    (folder / "config.json").write_text("{")
    said("JSON")
    (folder / "config.json").write_text("[]")
    said("model_type: bart")
    for key in ("vocab_size", "eos_token_id", "decoder_start_token_id"):
        (folder / "config.json").write_text(json.dumps({name: config[name] for name in config if name != key}))
        said(f"none for {key}")


def test_a_tokenizer_of_the_right_size_that_knows_other_pieces_is_named(data, tmp_path):
    released(tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_text()
    without_digits = json.loads(whole)
    for digit in "3456789":
        without_digits["model"]["vocab"][f"x{digit}"] = without_digits["model"]["vocab"].pop(digit)
    path.write_text(json.dumps(without_digits))
    with pytest.raises(RepriseError, match="(?s)pieces that spell ' item_41'.*found:.*' item_1'") as caught:
        bart(data, weights=str(tmp_path))
    assert caught.value.where == str(path)
    path.write_text(whole.replace("<mask>", "<veil>"))
    model = bart(data, weights=str(tmp_path))
    with pytest.raises(RepriseError, match="<mask>"):
        model.words.special(model.special.mask)


def test_weights_whose_first_byte_is_a_pickles_are_read(tmp_path):
    """It is the length of their header: in one file of 32 so."""
    path = tmp_path / "model.safetensors"
    for letters in range(300):
        save_file({"one": torch.ones(2)}, path, {"said": "a" * letters})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80 and weights._read(path)["one"].tolist() == [1, 1]


class Running:
    """What a pickle could do to whoever reads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_ids_that_the_data_lack_and_texts_too_short_are_errors(data):
    with pytest.raises(RepriseError, match="appearance"):
        bart(data, ids="appearance")
    with pytest.raises(RepriseError, match="max_tokens"):
        bart(data, max_tokens=4)


def test_prompts_have_their_slots_and_one_is_never_trained_on(tmp_path):
    prompts = load_prompts()
    assert list(prompts) == [f"{family}-{number}" for family, count in ((2, 13), (1, 10), (5, 8))
                             for number in range(1, count + 1)]
    assert [name for name, prompt in prompts.items() if prompt.held_out] == ["2-13", "1-10", "5-8"]
    kinds = [prompt.asks for prompt in prompts.values()]
    assert kinds[:13] == ["next"] * 6 + ["candidates"] * 4 + ["yes_no"] * 2 + ["next"]
    assert kinds[23:] == ["yes_no"] * 4 + ["candidates"] * 4
    wrong = tmp_path / "wrong.yaml"
    for name, asks, text in (("2-1", "next", "{user} likes {item}"), ("5-1", "next", "{user} after {history}"),
                             ("3-1", "stars", "{user} gives {item}")):  # explanation is not built
        wrong.write_text(json.dumps({name: {"asks": asks, "text": text}}))
        with pytest.raises(RepriseError, match=name):
            load_prompts(wrong)
