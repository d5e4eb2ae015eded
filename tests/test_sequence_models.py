"""Every model of sequences against its formulas written out plainly, a user at a time, and what all of them promise."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.data.windows import Windows, latest
from reprise.errors import RepriseError
from reprise.models import caser, sequential
from reprise.models.sequential import SequenceModel
from reprise.models.sequential.streams import TwoStreams
from reprise.sourcecode import components

DIM, WINDOW, ITEMS, ATTRIBUTES, PROVIDERS = 8, 6, 20, 9, 7
BLOCKS = {"dim": DIM, "window": WINDOW, "layers": 2, "heads": 2, "inner": 16, "dropout": 0.5, "attention_dropout": 0.5}
PLAIN = {"dim": DIM, "window": WINDOW}
CASER = {**PLAIN, "nv": 2, "nh": 3, "dropout": 0.4, "regularisation": 0.01}
MODELS = {
    "sasrec": ("sasrec", BLOCKS),
    "sasrec-end": ("sasrec", {**BLOCKS, "positions_from": "end"}),
    "sasrec-free": ("sasrec", {**BLOCKS, "tie": False}),
    "gru4rec": ("gru4rec", {**PLAIN, "hidden": 12, "dropout": 0.3}),
    "caser": ("caser", {**CASER, "horizontal_penalty": True}),
    "caser-fork": ("caser", {**CASER, "horizontal_penalty": False}),
    "hgn": ("hgn", {**PLAIN, "aggregate": "average", "padding_counts": False}),
    "hgn-max": ("hgn", {**PLAIN, "aggregate": "max", "padding_counts": False}),
    "hgn-recbole": ("hgn", {**PLAIN, "aggregate": "average", "padding_counts": True}),
    "fdsa": ("fdsa", {**BLOCKS, "pooling": "attention"}),
    "fdsa-mean": ("fdsa", {**BLOCKS, "pooling": "mean"}),
    "bert4rec": ("bert4rec", {**BLOCKS, "drop_first": False}),
    "bert4rec-recbole": ("bert4rec", {**BLOCKS, "drop_first": True}),
    "s3rec": ("s3rec", {**BLOCKS, "positions_from": "start"}),
    "s3rec-end": ("s3rec", {**BLOCKS, "positions_from": "end"}),
    "srgnn": ("srgnn", {**PLAIN, "steps": 1}),
    "srgnn-steps": ("srgnn", {**PLAIN, "steps": 3}),
    "dacsr": ("dacsr", {**BLOCKS, "hidden": 12, "encoder": "sasrec", "depth": 2}),
    "dacsr-gru": ("dacsr", {**BLOCKS, "hidden": 12, "encoder": "gru4rec", "depth": 3, "act_after": True}),
    "dacsr-joined": ("dacsr", {**BLOCKS, "hidden": 12, "encoder": "sasrec", "depth": 0}),
    "ipsrec_s": ("ipsrec_s", {**BLOCKS, "mask": "concat_causal"}),
    "ipsrec_s-aligned": ("ipsrec_s", {**BLOCKS, "mask": "aligned_causal", "tie": False}),
    "ipsrec_s-both-ways": ("ipsrec_s", {**BLOCKS, "mask": "bidirectional", "providers": "permuted"}),
    "ipsrec_c": ("ipsrec_c", {**BLOCKS, "coattention": "cross_query"}),
    "ipsrec_c-own": ("ipsrec_c", {**BLOCKS, "coattention": "own", "self_layers": 2}),
    "ipsrec_c-key-value": ("ipsrec_c", {**BLOCKS, "coattention": "cross_key_value", "self_layers": 1}),
}
each = pytest.mark.parametrize("name", MODELS)
PRETRAINING = ("attribute", "aap", "mip", "map", "sp")  # parts of S3-Rec that only its pretraining uses


def histories():
    """Empty, of one item, of one item over and over, shorter than the window, as long, and longer."""
    rng = np.random.default_rng(0)
    return [[], [3], [4] * 4, [1, 2, 3, 2, 4], *(rng.integers(0, ITEMS, n).tolist() for n in (2, 5, 6, 7, 15, 6, 3))]


@pytest.fixture(scope="module")
def data():
    lists = histories()
    pairs = np.array([(user, item) for user, items in enumerate(lists) for item in items])
    rng = np.random.default_rng(1)
    lengths = np.array([0, 1, *rng.integers(0, 4, ITEMS - 2)])  # the first item has no attribute
    attributes = np.concatenate([rng.choice(ATTRIBUTES, n, replace=False) for n in lengths])
    attributes[0] = ATTRIBUTES - 1
    laid = Interactions.of(pairs, len(lists), ITEMS, ordered=True)
    providers = Lists.of(rng.permutation(np.arange(ITEMS) % PROVIDERS), np.ones(ITEMS, int))
    return replace(laid, features={"attributes": Lists.of(attributes, lengths), "provider": providers})


def make(name, data, seed=0):
    """A model whose weights are large enough that every part of a formula shows in the fifth digit."""
    module, options = MODELS[name]
    module = importlib.import_module(f"reprise.models.{module}")
    model = module.Model(module.Options(**options), data, torch.Generator().manual_seed(seed)).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key != "horizontal":  # keeps its zeros
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def windows_of(lists, width=WINDOW):
    """Windows of users 0, 1, ..., padded to `width`."""
    items = torch.full((len(lists), width), ITEMS)
    for row, one in enumerate(lists):
        items[row, : len(one)] = torch.tensor(one, dtype=torch.int64)
    return Windows(torch.arange(len(lists)), items, torch.tensor([len(one) for one in lists]))


# The formulas, for one user's window (a list of items) and in float64. `w` maps names of weights to arrays.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    shares = np.exp(x - x.max())
    return shares / shares.sum()


def gelu(x):
    return x * torch.special.ndtr(torch.from_numpy(x)).numpy()


def relu(x):
    return np.maximum(x, 0)


def layer(w, name, x):
    """W x + b."""
    y = w[f"{name}.weight"] @ x
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def normed(w, name, x):
    deviation = np.sqrt(((x - x.mean()) ** 2).mean() + 1e-12)
    return (x - x.mean()) / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]


def parts_of(w, name, rows):
    """Query, key and value of every row."""
    packed, dim = [layer(w, f"{name}.inputs", row) for row in rows], len(rows[0])
    return [[row[part * dim : (part + 1) * dim] for row in packed] for part in range(3)]


def attended(query, key, value, seen, heads=2):
    """What one query finds among the rows `seen`, its heads side by side."""
    size, mixed = len(query) // heads, []
    for head in range(heads):
        cells = slice(head * size, (head + 1) * size)
        shares = softmax(np.array([query[cells] @ key[s][cells] / np.sqrt(size) for s in seen]))
        mixed.append(sum(share * value[s][cells] for share, s in zip(shares, seen, strict=True)))
    return np.concatenate(mixed)


def finished(w, name, row, found):
    a = normed(w, f"{name}.attended", row + layer(w, f"{name}.outputs", found))
    return normed(w, f"{name}.mixed", a + layer(w, f"{name}.narrow", gelu(layer(w, f"{name}.widen", a))))


def block(w, name, rows, causal):
    """One post-norm Transformer block over a list of rows, all of them real; `causal` may say what each row sees."""
    sees = causal if callable(causal) else (lambda t: range(t + 1 if causal else len(rows)))
    query, key, value = parts_of(w, name, rows)
    return [finished(w, name, row, attended(query[t], key, value, sees(t))) for t, row in enumerate(rows)]


def encoded(w, rows, causal, name="encoder.blocks", norm="encoder.norm", layers=2):
    rows = [normed(w, norm, row) for row in rows]
    for number in range(layers):
        rows = block(w, f"{name}.{number}", rows, causal)
    return rows


def placed(w, items, at_end=False):
    first = WINDOW - len(items) if at_end else 0
    return [w["item"][item] + w["position"][first + t] for t, item in enumerate(items)]


def plain_sasrec(w, user, items, at_end=False):
    return encoded(w, placed(w, items, at_end), causal=True)


def plain_gru4rec(w, user, items):
    state, found = np.zeros(12), []
    for item in items:
        into, back = w["recurrent.weight_ih_l0"] @ w["item"][item], w["recurrent.weight_hh_l0"] @ state
        (reset, update), new = (sigmoid(into[:24] + back[:24]).reshape(2, 12)), slice(24, 36)
        state = (1 - update) * np.tanh(into[new] + reset * back[new]) + update * state
        found.append(layer(w, "dense", state))
    return found


def plain_caser(w, user, items):
    image = np.zeros((WINDOW, DIM))
    image[: len(items)] = w["item"][items]
    found = [sum(f[t] * image[t] for t in range(WINDOW)) + b
             for f, b in zip(w["vertical"], w["vertical_bias"], strict=True)]
    for height in range(1, WINDOW + 1):
        for f in range(3):
            kernel, bias = w["horizontal"][height - 1, f, :, :height].T, w["horizontal_bias"][height - 1, f]
            found.append([max(relu((kernel * image[t : t + height]).sum() + bias)
                              for t in range(WINDOW - height + 1))])
    z = relu(layer(w, "found", np.concatenate(found)))
    return relu(layer(w, "joined", np.concatenate([z, w["user"][user]])))


def plain_hgn(w, user, items, aggregate="average", padding_counts=False):
    if padding_counts:
        items = items + [ITEMS] * (WINDOW - len(items))
    u, summary, scores, total = w["user"][user], np.zeros(DIM), [], np.zeros(DIM)
    for t, item in enumerate(items):
        e = w["item"][item]
        gated = e * sigmoid(layer(w, "item_feature", e) + layer(w, "user_feature", u))
        s = sigmoid(layer(w, "item_instance", gated)[0] + layer(w, "user_instance", u)[t])
        summary, total = summary + e, total + s * gated
        scores.append((s, s * gated))
    if aggregate == "max":
        middle = max(scores, key=lambda pair: pair[0])[1] if scores else 0
    else:
        middle = total / sum(s for s, _ in scores) if scores else 0
    return u + middle + summary


def plain_fdsa(w, user, items, lists=(), pooling="attention"):
    features = []
    for item in items:
        rows = [w["attribute"][a] for a in lists[item]]
        if not rows:
            features.append(np.zeros(DIM))
        elif pooling == "mean":
            features.append(np.mean(rows, axis=0))
        else:
            shares = softmax(np.array([layer(w, "energy.2", relu(layer(w, "energy.0", a)))[0] for a in rows]))
            features.append(sum(share * a for share, a in zip(shares, rows, strict=True)))
    features = [row + w["position"][t] for t, row in enumerate(features)]
    streams = [encoded(w, rows, True, f"{name}_blocks", "norm")
               for name, rows in (("item", placed(w, items)), ("feature", features))]
    return [normed(w, "norm", layer(w, "joined", np.concatenate(pair))) for pair in zip(*streams, strict=True)]


def plain_bert4rec(w, user, items, drop_first=False):
    items = (items[1:] if drop_first else items[-(WINDOW - 1) :]) + [ITEMS + 1]
    return normed(w, "norm", gelu(layer(w, "dense", encoded(w, placed(w, items), causal=False)[-1])))


def plain_srgnn(w, user, items, steps=1):
    nodes = sorted(set(items))
    edges = {(u, v) for u, v in zip(items, items[1:], strict=False)}
    states = {node: w["item"][node] for node in nodes}
    for _ in range(steps):
        sent = [{node: layer(w, way, states[node]) for node in nodes} for way in ("incoming", "outgoing")]
        after = {}
        for node in nodes:
            before, behind = [u for u in nodes if (u, node) in edges], [v for v in nodes if (node, v) in edges]
            heard = np.concatenate([
                sum((sent[0][u] / len(before) for u in before), np.zeros(DIM)) + w["incoming_bias"],
                sum((sent[1][v] / len(behind) for v in behind), np.zeros(DIM)) + w["outgoing_bias"],
            ])
            into = w["gated.weight_ih"] @ heard + w["gated.bias_ih"]
            back = w["gated.weight_hh"] @ states[node] + w["gated.bias_hh"]
            reset, update = sigmoid(into[:DIM] + back[:DIM]), sigmoid((into + back)[DIM : 2 * DIM])
            new = np.tanh(into[2 * DIM :] + reset * back[2 * DIM :])
            after[node] = (1 - update) * new + update * states[node]
        states = after
    last = states[items[-1]]
    weighted = [layer(w, "attention", sigmoid(layer(w, "of_last", last) + layer(w, "of_each", states[item])))[0]
                * states[item] for item in items]
    return layer(w, "joined", np.concatenate([sum(weighted), last]))


def extracted(w, name, x, depth, act_after=False):
    z = x
    for number in range(depth):
        z = layer(w, f"{name}.layers.{number}", z if act_after else relu(z))
        z = relu(z) if act_after else z
    return z + x if depth else x


def plain_dacsr(w, user, items, encoder="sasrec", depth=2, act_after=False):
    plain = {"sasrec": plain_sasrec, "gru4rec": plain_gru4rec}[encoder]
    parts = [{key.removeprefix(f"{part}."): value for key, value in w.items() if key.startswith(part)}
             for part in ("accuracy", "calibration")]
    return [extracted(w, "of_sequence", np.concatenate(pair), depth, act_after)
            for pair in zip(*(plain(part, user, items) for part in parts), strict=True)]


def dacsr_table(w, depth, act_after=False):
    rows = np.concatenate([w["accuracy.item"], w["calibration.item"]], 1)[:ITEMS]
    return np.stack([extracted(w, "of_item", row, depth, act_after) for row in rows])


def both_streams(w, items, of):
    x = [w["item"][item] + w["item_position"][t] + w["segment"][0] for t, item in enumerate(items)]
    z = [w["provider"][of[item]] + w["provider_position"][t] + w["segment"][1] for t, item in enumerate(items)]
    return x, z


def plain_ipsrec_s(w, user, items, of=(), mask="concat_causal", both=False):
    x, z = both_streams(w, items, of)
    n = len(items)
    sees = {"concat_causal": lambda q: range(q + 1),
            "aligned_causal": lambda q: [key for key in range(2 * n) if key % n <= q % n],
            "bidirectional": lambda q: range(2 * n)}[mask]
    rows = encoded(w, x + z, sees)
    if both:
        return rows[:n], rows[n:]
    return rows[n - 1] if mask == "bidirectional" else rows[:n]


def plain_ipsrec_c(w, user, items, of=(), coattention="cross_query", self_layers=0, both=False):
    streams = [encoded(w, rows, True, f"encoders.{side}", f"norms.{side}", self_layers)
               for side, rows in enumerate(both_streams(w, items, of))]
    for number in range(2):
        names = [f"blocks.{side}.{number}" for side in range(2)]
        (qx, kx, vx), (qz, kz, vz) = (parts_of(w, *one) for one in zip(names, streams, strict=True))
        item, provider = {"cross_query": ((qz, kx, vx), (qx, kz, vz)), "own": ((qx, kx, vx), (qz, kz, vz)),
                          "cross_key_value": ((qx, kz, vz), (qz, kx, vx))}[coattention]
        streams = [[finished(w, name, row, attended(q[t], k, v, range(t + 1))) for t, row in enumerate(rows)]
                   for name, rows, (q, k, v) in zip(names, streams, (item, provider), strict=True)]
    return streams if both else streams[0]


PLAIN_MODELS = {"dacsr": plain_dacsr, "ipsrec_s": plain_ipsrec_s, "ipsrec_c": plain_ipsrec_c,
                "sasrec": plain_sasrec, "gru4rec": plain_gru4rec, "caser": plain_caser, "hgn": plain_hgn,
                "fdsa": plain_fdsa, "bert4rec": plain_bert4rec, "s3rec": plain_sasrec, "srgnn": plain_srgnn}
READS_EMPTY = {"caser", "hgn", "bert4rec"}  # what the others' formulas say needs an item


def expected(name, model, data, user, items, both=False):
    """The plain model's summary of one window, or its states where it has states; of `both` streams, if asked."""
    module, options = MODELS[name]
    w = {key: value.double().numpy() for key, value in model.state_dict().items()}
    switches = {key: options[key] for key in ("aggregate", "padding_counts", "pooling", "drop_first", "steps",
                                              "encoder", "depth", "act_after", "mask", "coattention", "self_layers")
                if key in options}
    if options.get("positions_from") == "end":
        switches["at_end"] = True
    if module == "fdsa":
        lists = data.features["attributes"]
        switches["lists"] = [lists.values[start:end].tolist() for start, end in lists.offsets.unfold(0, 2, 1).tolist()]
    if isinstance(model, TwoStreams):
        switches |= {"of": model.provider_of.tolist(), "both": both}
    return PLAIN_MODELS[module](w, user, items, **switches)


# Against the formulas


@each
def test_it_equals_its_formulas(name, data):
    model, lists = make(name, data), histories()
    users = torch.tensor(np.random.default_rng(2).permutation(len(lists)))
    with torch.no_grad():
        summaries, scores = model.last(latest(data, users, WINDOW)), model.scores(users, data)
    table, bias = model.output()
    plain_table = table.detach().double().numpy()
    if MODELS[name][0] == "dacsr":
        w = {key: value.double().numpy() for key, value in model.state_dict().items()}
        plain_table = dacsr_table(w, MODELS[name][1]["depth"], MODELS[name][1].get("act_after", False))
    assert table.shape == (ITEMS, 2 * DIM if MODELS[name][0] == "dacsr" else DIM)
    checked = 0
    for row, user in enumerate(users.tolist()):
        items = lists[user][-WINDOW:]
        if items or MODELS[name][0] in READS_EMPTY:
            wanted = expected(name, model, data, user, items)
            wanted = wanted[-1] if model.causal else wanted
            np.testing.assert_allclose(summaries[row].numpy(), wanted, rtol=1e-5, atol=1e-5)
            plain = plain_table @ wanted
            plain = plain if bias is None else plain + bias.detach().double().numpy()
            np.testing.assert_allclose(scores[row].numpy(), plain, rtol=1e-5, atol=2e-5)
            checked += 1
    assert checked >= len(lists) - 1
    assert summaries.std(0).max() > 1e-2  # were all alike, the comparison would say little


@each
def test_states_of_causal_models_equal_the_formulas_at_every_position(name, data):
    model = make(name, data)
    if model.causal:
        items = histories()[8][-WINDOW:]
        with torch.no_grad():
            states = model.states(windows_of([items]))[0].numpy()
        np.testing.assert_allclose(states, expected(name, model, data, 0, items), rtol=1e-5, atol=1e-5)


@each
def test_a_later_item_changes_no_earlier_state(name, data):
    model = make(name, data)
    if model.causal:
        one, other = windows_of([[1, 2, 3, 4, 5, 6]]), windows_of([[1, 2, 3, 9, 8, 7]])
        with torch.no_grad():
            states, others = model.states(one)[0], model.states(other)[0]
        torch.testing.assert_close(states[:3], others[:3], rtol=0, atol=1e-6)
        assert (states[3:] - others[3:]).abs().amax(1).min() > 1e-2


def test_a_model_in_both_directions_is_not_called_causal(data):
    assert [name for name in MODELS if not make(name, data).causal] == [
        name for name in MODELS if name.startswith(("caser", "hgn", "bert4rec", "srgnn", "ipsrec_s-both-ways"))
    ]


# What all of them promise


@each
def test_more_padding_changes_nothing(name, data):
    model, lists = make(name, data), [[3], [1, 2, 1], [], [7, 7]]
    with torch.no_grad():
        narrow, wide = model.last(windows_of(lists, 3)), model.last(windows_of(lists, WINDOW))
    torch.testing.assert_close(narrow, wide, rtol=0, atol=2e-6)


@each
def test_users_are_scored_the_same_together_and_alone(name, data, monkeypatch):
    model, users = make(name, data), torch.arange(data.n_users).flip(0)
    with torch.no_grad():
        alone = torch.cat([model.last(latest(data, user, WINDOW)) for user in users.split(1)])
        for together in (1, 3, 64):
            monkeypatch.setattr(sequential, "TOGETHER", together)
            torch.testing.assert_close(model.summaries(users, data), alone, rtol=0, atol=2e-6)


@each
def test_mixed_precision_comes_close(name, data):
    model, windows = make(name, data), windows_of([[3], [1, 2, 1], [7, 7]])
    full = model.last(windows)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.last(windows)
    mixed.float().square().sum().backward()
    assert bool(mixed.isfinite().all()) and (mixed - full).norm() < 0.05 * full.norm()
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert grads and all(grad.dtype == torch.float32 and grad.isfinite().all() for grad in grads)


@each
def test_the_padding_row_is_not_read_where_there_is_an_item(name, data):
    model, lists = make(name, data), [items[-WINDOW:] for items in histories() if items]
    with torch.no_grad():
        before = model.last(windows_of(lists))
        for key, parameter in model.named_parameters():
            if key.split(".")[-1] == "item":
                parameter[ITEMS] += 1
        after = model.last(windows_of(lists))
    assert torch.equal(before, after) == (name != "hgn-recbole")


@each
def test_scores_are_finite_also_without_a_history(name, data):
    scores = make(name, data).scores(torch.arange(data.n_users), data)
    assert scores.shape == (data.n_users, ITEMS) and scores.dtype == torch.float32
    assert bool(scores.isfinite().all())


@each
def test_weights_come_from_the_passed_generator_alone(name, data):
    module, options = MODELS[name]
    module = importlib.import_module(f"reprise.models.{module}")

    def weights(seed, seed_of_torch):
        torch.manual_seed(seed_of_torch)
        return module.Model(module.Options(**options), data, torch.Generator().manual_seed(seed)).state_dict()

    one, same, other = weights(1, 1), weights(1, 2), weights(2, 1)
    assert all(torch.equal(one[key], same[key]) for key in one)
    constant = {key for key in one if torch.equal(one[key], other[key])}
    assert all(one[key].unique().numel() == 1 for key in constant) and "item" not in constant


@each
def test_gradients_reach_every_parameter(name, data):
    model = make(name, data).train()
    torch.manual_seed(0)
    total = 0
    for _ in range(5):  # dropout hides some of it at a time
        windows = latest(data, torch.arange(data.n_users), WINDOW)
        table, bias = model.output()
        summaries = model.last_streams(windows) if isinstance(model, TwoStreams) else [model.last(windows)]
        scores = sum(summary @ table.T for summary in summaries)
        total = total + (scores if bias is None else scores + bias).logsumexp(1).sum() + model.penalty()
    total.backward()
    for key, parameter in model.named_parameters():
        if MODELS[name][0] != "s3rec" or key.split(".")[0] not in PRETRAINING:
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, key
            assert bool(parameter.grad.isfinite().all()), key


@each
def test_dropout_happens_in_training_only(name, data):
    model, windows = make(name, data), windows_of([[1, 2, 3, 4], [5, 6]])
    assert torch.equal(model.last(windows), model.last(windows))
    model.train()
    drops = MODELS[name][1].get("dropout", 0) > 0
    assert torch.equal(model.last(windows), model.last(windows)) == (not drops)


def test_every_model_of_sequences_is_here():
    found = {name for name in components("models")
             if issubclass(importlib.import_module(f"reprise.models.{name}").Model, SequenceModel)
             and importlib.import_module(f"reprise.models.{name}").Model.trainable}
    assert found == {module for module, _ in MODELS.values()}


# Particular to one model


def test_initial_weights_have_the_spread_of_the_definition():
    """Standard deviations of what the protocols say, on tables large enough to tell."""
    pairs = np.stack([np.arange(400), np.arange(400)], 1)
    data = replace(Interactions.of(pairs, 400, 400, ordered=True),
                   features={name: Lists.of(np.arange(400) % 50, np.ones(400, int))
                             for name in ("attributes", "provider")})
    sizes = {"dim": 64, "inner": 256, "hidden": 128, "window": 20}

    def deviations(name):
        module, options = MODELS[name]
        module = importlib.import_module(f"reprise.models.{module}")
        options = {**options, **{key: value for key, value in sizes.items() if key in options}}
        model = module.Model(module.Options(**options), data, torch.Generator().manual_seed(0))
        return {key: parameter.std().item() for key, parameter in model.named_parameters()}

    tables = ("item", "attribute", "position", "provider", "item_position", "provider_position", "segment", "free")
    for name in ("sasrec", "fdsa", "bert4rec", "s3rec", "ipsrec_s-aligned", "ipsrec_c-own"):
        for key, found in deviations(name).items():
            if key in tables or key.endswith("weight") and "norm" not in key and found:
                assert found == pytest.approx(0.02, rel=0.15), (name, key)
    gru, caser, hgn, srgnn = (deviations(name) for name in ("gru4rec", "caser", "hgn", "srgnn"))
    uniform = 3**-0.5  # the deviation of a uniform number from (-1, 1)
    assert gru["item"] == pytest.approx((2 / (401 + 64)) ** 0.5, rel=0.05)
    assert gru["recurrent.weight_ih_l0"] == pytest.approx((6 / (384 + 64)) ** 0.5 * uniform, rel=0.05)
    assert gru["recurrent.weight_hh_l0"] == pytest.approx((6 / (384 + 128)) ** 0.5 * uniform, rel=0.05)
    assert gru["dense.weight"] == pytest.approx(128**-0.5 * uniform, rel=0.05)
    assert caser["item"] == pytest.approx(1 / 64, rel=0.05) and caser["user"] == pytest.approx(1 / 64, rel=0.05)
    assert caser["found.weight"] == pytest.approx((2 / (2 * 64 + 3 * 20 + 64)) ** 0.5, rel=0.05)
    assert caser["joined.weight"] == pytest.approx((2 / (128 + 64)) ** 0.5, rel=0.05) and caser["joined.bias"] == 0
    assert hgn["item"] == pytest.approx(1 / 64, rel=0.05) and hgn["user_feature.bias"] == 0
    assert hgn["item_feature.weight"] == pytest.approx((6 / 128) ** 0.5 * uniform, rel=0.05)
    assert hgn["user_instance.weight"] == pytest.approx((6 / (64 + 20)) ** 0.5 * uniform, rel=0.05)
    for key in ("item", "incoming.weight", "gated.weight_ih", "joined.weight"):
        assert srgnn[key] == pytest.approx(uniform / 8, rel=0.05)


def test_the_penalty_of_caser_is_a_sum_of_plain_norms(data):
    norm = np.linalg.norm
    with_heights, fork = make("caser", data), make("caser-fork", data)
    w = {key: value.double().numpy() for key, value in fork.state_dict().items()}
    wanted = sum(norm(part) for part in (
        w["user"], w["item"][:ITEMS], w["vertical"], w["found.weight"], w["joined.weight"]))
    heights = sum(norm(w["horizontal"][height]) for height in range(WINDOW))
    assert fork.penalty().item() == pytest.approx(0.01 * wanted, rel=1e-5)
    assert with_heights.penalty().item() == pytest.approx(0.01 * (wanted + heights), rel=1e-5)
    assert make("sasrec", data).penalty() == 0


@pytest.mark.parametrize("width", [1, 3, WINDOW])
def test_filters_of_caser_find_the_same_in_groups_of_any_size(data, width, monkeypatch):
    model, windows = make("caser", data), windows_of([[1] * width, [2], []], width)
    whole = model.last(windows)
    for size in (1, 2, 4):
        monkeypatch.setattr(caser, "GROUP", size)
        torch.testing.assert_close(model.last(windows), whole, rtol=0, atol=2e-6)


def test_filters_of_caser_stay_as_high_as_they_are(data):
    """The tensor that holds all heights is zero behind each, and its gradient, too."""
    model = make("caser", data)
    (model.last(windows_of([[1, 2, 3, 4, 5, 6]])).sum() + model.penalty()).backward()
    for height in range(1, WINDOW):
        for tensor in (model.horizontal, model.horizontal.grad):
            assert not tensor[height - 1, :, :, height:].any() and tensor[height - 1, :, :, :height].any()


def test_the_graph_of_a_known_session():
    """The session of SR-GNN's Figure 2: v1 v2 v3 v2 v4, as in the paper's text."""
    from reprise.models.srgnn import graph
    into, out_of = (matrix[0].tolist() for matrix in graph(windows_of([[1, 2, 3, 2, 4]])))
    assert out_of[0] == [0, 1, 0, 0, 0, 0]  # v1 -> v2, which stands in column 1 first
    assert out_of[1] == out_of[3] == [0, 0, 0.5, 0, 0.5, 0]  # v2 -> v3, v4
    assert out_of[2] == [0, 1, 0, 0, 0, 0] and out_of[4] == out_of[5] == [0] * 6
    assert into[0] == into[5] == [0] * 6
    assert into[1] == into[3] == [0.5, 0, 0.5, 0, 0, 0]  # v1, v3 -> v2
    assert into[2] == into[4] == [0, 1, 0, 0, 0, 0]


def test_items_without_attributes_have_a_feature_row_of_zeros(data):
    for name in ("fdsa", "fdsa-mean"):
        rows = make(name, data).features()
        without = data.features["attributes"].offsets.diff() == 0
        assert without.any() and not rows[:ITEMS][without].any() and not rows[ITEMS].any()
        assert bool((rows[:ITEMS][~without].abs().amax(1) > 0).all())


def test_shares_of_attributes_do_not_vanish_beside_larger_ones_of_other_items(data):
    """exp of one energy less the largest of all would be 0 here, and an item's shares 0 / 0."""
    model = make("fdsa", data)
    with torch.no_grad():
        model.energy[2].weight *= 1000
    assert bool(model.features().isfinite().all())
    assert bool((model.features()[1] != 0).any())


def test_bert4rec_masks_where_it_is_told_and_reads_both_sides(data):
    model, items = make("bert4rec", data), [1, 2, 3, 4, 5, 6]
    w = {key: value.double().numpy() for key, value in model.state_dict().items()}
    with torch.no_grad():
        found = model.masked(windows_of([items, [7, 8]]), torch.tensor([[1, 4], [1, 1]])).numpy()
    for row, hidden, places in ((0, [1, ITEMS + 1, 3, 4, ITEMS + 1, 6], [1, 4]), (1, [7, ITEMS + 1], [1, 1])):
        states = encoded(w, placed(w, hidden), causal=False)
        for column, place in enumerate(places):
            wanted = normed(w, "norm", gelu(layer(w, "dense", states[place])))
            np.testing.assert_allclose(found[row, column], wanted, rtol=1e-5, atol=1e-5)
    positions = torch.tensor([[0, 3]])
    assert model.counted(positions).tolist() == [[True, True]]
    assert make("bert4rec-recbole", data).counted(positions).tolist() == [[False, True]]


def test_pretraining_scores_of_s3rec_equal_their_formulas(data):
    for name, at_end in (("s3rec", False), ("s3rec-end", True)):
        model, lists = make(name, data), [[1, ITEMS + 1, 3, ITEMS + 1], [4, 5]]
        w = {key: value.double().numpy() for key, value in model.state_dict().items()}
        mask = ITEMS + 1
        context, segment = [[1, mask, mask, 4], [5, mask]], [[mask, 2, 3, mask], [mask, 6]]
        targets = torch.tensor([[9] * WINDOW, [8] * WINDOW])
        with torch.no_grad():
            states = model.both_ways(windows_of(lists))
            associated, masked = (model.attribute_logits(states, hidden) for hidden in (False, True))
            items = model.item_scores(states, targets)
            segments = model.segment_scores(windows_of(context), windows_of(segment))
        for row, one in enumerate(lists):
            plain = encoded(w, placed(w, one, at_end), causal=False)
            for t, state in enumerate(plain):
                for found, head in ((associated, "aap"), (masked, "map")):
                    wanted = w["attribute"] @ layer(w, head, state)
                    np.testing.assert_allclose(found[row, t].numpy(), wanted, rtol=1e-5, atol=2e-5)
                wanted = sigmoid(layer(w, "mip", state) @ w["item"][targets[row, t]])
                assert items[row, t].item() == pytest.approx(wanted, abs=1e-5)
            around, inside = (encoded(w, placed(w, part[row], at_end), causal=False)[-1] for part in (context, segment))
            assert segments[row].item() == pytest.approx(sigmoid(layer(w, "sp", around) @ inside), abs=1e-5)
    lists = data.features["attributes"]
    for item in range(ITEMS):
        own = lists.values[lists.offsets[item] : lists.offsets[item + 1]].tolist()
        assert torch.nonzero(model.attributes(torch.tensor(item))).flatten().tolist() == sorted(own)
    assert not model.attributes(torch.tensor([ITEMS, model.mask])).any()


def test_pretraining_reaches_every_parameter_of_s3rec(data):
    model = make("s3rec", data)
    states = model.both_ways(windows_of([[1, model.mask, 3]]))
    total = sum(model.attribute_logits(states, hidden).sum() for hidden in (False, True))
    total = total + model.item_scores(states, torch.full((1, WINDOW), 2)).sum()
    (total + model.segment_scores(windows_of([[1, model.mask]]), windows_of([[model.mask, 2]])).sum()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


# Bad input


def test_data_without_attributes_are_an_error(data):
    for name in ("fdsa", "s3rec"):
        with pytest.raises(RepriseError, match="attributes"):
            make(name, replace(data, features={}))


def test_heads_have_to_divide_the_rows(data, monkeypatch):
    monkeypatch.setitem(MODELS, "sasrec", ("sasrec", {**BLOCKS, "heads": 3}))
    with pytest.raises(RepriseError, match="heads"):
        make("sasrec", data)
