"""S3-Rec's pretraining against plain loops, and a run that starts from another run's weights."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from reprise.__main__ import main
from reprise.data import small_sequences
from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.data.prepared import Prepared
from reprise.data.windows import Windows, latest
from reprise.files import read_json, write_json
from reprise.training import checkpoint
from reprise.training.build import build, make_trainer
from reprise.training.options import Training

ITEMS = 12
NAMES = [[item % 3, 3 + item % 2] if item != 5 else [] for item in range(ITEMS)]  # item 5 has no attributes
LISTS = [[3, 1, 4, 5, 9], [2, 6], [5, 3, 8, 9, 7, 0], [1, 2]]


def method_of(**weights):
    pairs = np.array([(user, item) for user, items in enumerate(LISTS) for item in items])
    features = {"attributes": Lists.of(np.array(sum(NAMES, [])), np.array([len(some) for some in NAMES]))}
    laid = Interactions.of(pairs, len(LISTS), ITEMS, ordered=True)
    data = Interactions(laid.n_users, laid.n_items, laid.items, laid.offsets, features=features)
    model = {"name": "s3rec", "dim": 8, "window": 6, "layers": 1, "heads": 2, "inner": 16, "dropout": 0.0,
             "attention_dropout": 0.0, "positions_from": "end"}
    options = {"name": "s3rec_pretraining", "samples": "per_prefix", "share": 0.4, "aap": 0.0, "mip": 0.0, "map": 0.0,
               "sp": 0.0, **weights}
    return build({"model": model, "method": options}, data, 1, "search"), data


def test_its_windows_are_the_prefixes_of_the_last_window():
    """Of ten items and a window of six the last six are known: the code cuts first and takes prefixes then."""
    items = [7, 3, 8, 1, 9, 2, 6, 0, 4, 11]
    method, _ = method_of()
    data = Interactions.of(np.array([(0, item) for item in items]), 1, ITEMS, ordered=True)
    options = Training(batch=16, learning_rate=0.01, max_epochs=1, eval_every=1, patience=1, metric="mrr", k=10,
                       ks=(5, 10), fit_on="train", select_on="valid", refit=False)
    trainer = make_trainer(method, data, options, 1, "search")
    windows = trainer._batch(trainer._order(0), 0).windows
    found = [row[:length] for row, length in zip(windows.items.tolist(), windows.lengths.tolist(), strict=True)]
    assert sorted(found, key=len) == [items[4 : 4 + length] for length in range(2, 7)]


def batch_of(method, data):
    windows = latest(data, torch.arange(len(LISTS)), 6)
    batch = type("Batch", (), {"parts": (windows,)})
    torch.manual_seed(4)
    loss = method.loss(batch)
    torch.manual_seed(4)  # the first draw says what is masked; the last item of a window always is
    chance = torch.rand(windows.items.shape)
    masked = [[bool(chance[row, place] < 0.4) or place == len(items) - 1 for place in range(len(items))]
              for row, items in enumerate(LISTS)]
    return windows, loss, masked


def states_of(method, windows, masked):
    items = windows.items.clone()
    for row, places in enumerate(masked):
        for place, hidden in enumerate(places):
            if hidden:
                items[row, place] = method.model.mask
    return method.model.both_ways(Windows(windows.users, items, windows.lengths))


@pytest.mark.parametrize("which", ["aap", "map"])
def test_attributes_of_what_is_masked_and_of_what_is_not(which):
    method, data = method_of(**{which: 2.0})
    windows, loss, masked = batch_of(method, data)
    states, total = states_of(method, windows, masked), 0.0
    for row, items in enumerate(LISTS):
        for place, item in enumerate(items):
            if masked[row][place] == (which == "map"):
                logits = method.model.attribute_logits(states[row, place], which == "map")
                for attribute in range(5):
                    share = logits[attribute].sigmoid().item()
                    total -= np.log(share if attribute in NAMES[item] else 1 - share)
    assert any(any(row) for row in masked) and not all(all(row) for row in masked)
    assert loss.item() == pytest.approx(2 * total, rel=1e-4)


def test_masked_items_against_items_never_met():
    method, data = method_of(mip=1.0)
    windows, loss, masked = batch_of(method, data)
    states = states_of(method, windows, masked)
    torch.manual_seed(4)
    torch.rand(windows.items.shape)
    negatives = method.unmet.at(windows.users[:, None].expand_as(windows.items),
                                torch.rand(windows.items.shape, dtype=torch.float64))
    total = 0.0
    for row, items in enumerate(LISTS):
        for place, item in enumerate(items):
            if masked[row][place]:
                negative = int(negatives[row, place])
                assert negative not in items
                right, wrong = (method.model.item_scores(states[row, place], torch.tensor(one)).item()
                                for one in (item, negative))
                total += np.log1p(np.exp(-(right - wrong)))
    assert loss.item() == pytest.approx(total, rel=1e-4)


def test_a_segment_is_at_most_half_of_its_window_and_lies_anywhere_in_it():
    method, _ = method_of()
    lengths = torch.tensor([1, 2, 6]).repeat_interleave(3000)
    torch.manual_seed(0)
    inside = method.segment(Windows(lengths, torch.zeros(len(lengths), 6, dtype=torch.int64), lengths))
    one, two, six = inside.split(3000)
    assert not one.any()
    assert (two.sum(1) == 1).all() and two[:, 0].double().mean() == pytest.approx(0.5, abs=0.03)
    assert not two[:, 2:].any()
    sizes = six.sum(1)
    assert [(sizes == size).double().mean().item() for size in (1, 2, 3)] == pytest.approx([1 / 3] * 3, abs=0.03)
    first = six.double().argmax(1)
    starts = [(first[sizes == 3] == place).double().mean().item() for place in range(4)]
    assert starts == pytest.approx([0.25] * 4, abs=0.05)
    assert ((six[:, 1:] & ~six[:, :-1]).sum(1) + six[:, 0] == 1).all()  # in one piece


def test_a_segment_of_the_same_history_belongs_and_another_does_not():
    method, data = method_of(sp=1.0)
    windows, loss, _ = batch_of(method, data)
    torch.manual_seed(4)
    torch.rand(windows.items.shape), torch.rand(windows.items.shape, dtype=torch.float64)  # masks and negatives
    inside = method.segment(windows).tolist()
    starts = torch.rand(len(LISTS), dtype=torch.float64).tolist()
    flat, width, mask, total = sum(LISTS, []), windows.items.shape[1], method.model.mask, 0.0
    for row, items in enumerate(LISTS):
        segment, start = inside[row][: len(items)], int(starts[row] * (len(flat) - width + 1))
        context, right, wrong = (
            Windows(windows.users[:1], torch.tensor([made]), torch.tensor([len(items)])) for made in (
                [mask if hidden else item for item, hidden in zip(items, segment, strict=True)],
                [item if hidden else mask for item, hidden in zip(items, segment, strict=True)],
                [flat[start + place] if hidden else mask for place, hidden in enumerate(segment)])
        )
        assert 1 <= sum(segment) <= len(items) / 2
        belongs, not_so = (method.model.segment_scores(context, one).item() for one in (right, wrong))
        total += np.log1p(np.exp(-(belongs - not_so)))
    assert loss.item() == pytest.approx(total, rel=1e-4)
    assert abs(total - len(LISTS) * np.log(2)) > 1e-3  # which it would be if both were the same


@pytest.fixture
def reprise(tmp_path):
    world = small_sequences.make()
    parts = {"train": (None, -2), "valid": (-2, -1), "test": (-1, None)}
    pairs = {part: np.array([(user, item) for user, items in enumerate(world.histories) for item in items[slice(*cut)]])
             for part, cut in parts.items()}
    features = {"attributes": pa.array([[int(one)] for one in world.category])}
    data = Prepared(len(world.histories), len(world.successor), **pairs, status="small-world", ordered=True,
                    features=features)
    folder = tmp_path / "results/genrec/small-sequences/data"
    data.save(folder)
    write_json(folder / "check.json", {})
    places = [f"{key}={tmp_path / key}" for key in ("results", "resources")]

    def run(method):
        arguments = ["run", "genrec", "small-sequences", method, "printed", "1", "--config", *places]
        return main([*arguments, "device=cpu", "threads=1", "max_epochs=2"])

    return run, tmp_path / "results/genrec/small-sequences/runs"


def test_a_run_starts_from_the_weights_of_another(reprise, capsys, monkeypatch):
    run, runs = reprise
    assert run("S3-Rec") != 0
    assert "a finished run of S3-Rec_pretraining" in capsys.readouterr().err
    assert run("S3-Rec_pretraining") == 0
    taken = []
    original = checkpoint.load
    monkeypatch.setattr(checkpoint, "load", lambda path: taken.append(path) or original(path))
    assert run("S3-Rec") == 0
    before = read_json(runs / "S3-Rec_pretraining/printed/seed1/run.json")
    after = read_json(runs / "S3-Rec/printed/seed1/run.json")
    assert any(before["fingerprint"] in str(path) for path in taken)
    assert after["spec"]["starts_from"] == {"": {"method": "S3-Rec_pretraining", "code": before["code"]}}
    first, then = (original(runs / name / "printed/seed1" / run["selected"]["list"] / "model.safetensors")[0]
                   for name, run in (("S3-Rec_pretraining", before), ("S3-Rec", after)))
    # What only pretraining reads is as pretraining left it; two epochs moved the items, but not far.
    assert torch.equal(first["model.mip.weight"], then["model.mip.weight"])
    moved = (first["model.item"] - then["model.item"]).norm() / first["model.item"].norm()
    assert 0 < moved < 0.5
