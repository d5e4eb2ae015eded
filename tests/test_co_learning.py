"""Items and providers learned together: what each mask and wiring lets through, and the losses, term by term."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reprise.contrast import nt_xent, one_way
from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.losses import softmax_over_items
from reprise.models.sequential.transformer import Blocks, TransformerOptions, normal
from reprise.settings import checked
from reprise.sourcecode import options_of
from reprise.training import checkpoint
from reprise.training.build import build, make_trainer
from reprise.training.options import Training
from test_sequence_models import BLOCKS, DIM, ITEMS, MODELS, PROVIDERS, WINDOW, expected, histories, make, windows_of
from waiting import Watched

STREAMS = [name for name in MODELS if name.startswith("ipsrec")]
IN_ONE_PASS = [name for name in STREAMS if name not in ("ipsrec_s", "ipsrec_s-both-ways")]
each = pytest.mark.parametrize("name", STREAMS)
GIVEN = [items[-WINDOW:] for items in histories() if items]


def laid(lists=None, seed=1):
    """Histories, and which provider each item has."""
    lists = histories() if lists is None else lists
    pairs = np.array([(user, item) for user, items in enumerate(lists) for item in items])
    dealt = np.random.default_rng(seed).permutation(np.arange(ITEMS) % PROVIDERS)
    one_each = {"provider": Lists.of(dealt, np.ones(ITEMS, int))}
    return replace(Interactions.of(pairs, len(lists), ITEMS, ordered=True), features=one_each)


def method_of(name="ipsrec_s", data=None, method="co_learning", seed=1, model=None, **settings):
    module, options = MODELS[name]
    given = {"weight": 0.1, "temperature": 1.0, "contrast": "nt_xent", "same_user": "negatives",
             "samples": "per_prefix"} if method == "co_learning" else {"loss": "softmax", "samples": "one_pass"}
    options = {**options, "dropout": 0.0, "attention_dropout": 0.0, **(model or {})}
    spec = {"model": {"name": module, **options}, "method": {"name": method, **given, **settings}}
    method = build(spec, data or laid(), seed, "search")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return method


def batches(method, data, batch=16):
    options = Training(batch=batch, learning_rate=0.01, max_epochs=5, eval_every=1, patience=5, metric="mrr", k=10,
                       ks=(5, 10), fit_on="train", select_on="valid", refit=False)
    trainer = make_trainer(method, data, options, 1, "search")
    order = trainer._order(0)
    return [trainer._batch(order, place) for place in range(trainer.steps_per_epoch)]


def stir(model, *names, seed=5):
    """Change what the providers' side of a model alone holds; or the parameters `names`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key in names or ("provider", "provider_position"):
            parameter = model.get_parameter(key)
            parameter += torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_setting_bounds_the_logits_that_are_held(rows):
    data = laid()
    method = method_of(data=data, logits=rows * ITEMS)
    batch = batches(method, data)[0]
    with Watched() as watched:
        method.loss(batch)
    assert watched.calls["aten::exp2_"] == -(-len(batch.items) // rows) > 1


# Both summaries against the formulas


@each
def test_both_summaries_of_a_window_equal_the_formulas(name):
    data = laid()
    model = make(name, data)
    with torch.no_grad():
        found, alone = model.last_streams(windows_of(GIVEN)), model.last(windows_of(GIVEN))
    torch.testing.assert_close(found[0], alone, rtol=0, atol=2e-6)
    for row, items in enumerate(GIVEN):
        wanted = expected(name, model, data, 0, items, both=True)
        for stream, states in zip(found, wanted, strict=True):
            np.testing.assert_allclose(stream[row].numpy(), states[-1], rtol=1e-5, atol=1e-5)
    assert (found[0] - found[1]).norm(dim=1).min() > 0.1


@pytest.mark.parametrize("name", IN_ONE_PASS)
def test_one_pass_gives_both_streams_at_every_position(name):
    data, items = laid(), histories()[8][-WINDOW:]
    model = make(name, data)
    with torch.no_grad():
        found = model.streams(windows_of([items]))
    for end in range(1, WINDOW + 1):  # each prefix a window of its own
        for stream, states in zip(found, expected(name, model, data, 0, items[:end], both=True), strict=True):
            np.testing.assert_allclose(stream[0, end - 1].numpy(), states[-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", IN_ONE_PASS)
def test_later_items_change_no_earlier_state_of_either_stream(name):
    model = make(name, laid())
    with torch.no_grad():
        one, other = (model.streams(windows_of([[1, 2, 3, *rest]])) for rest in ([4, 5, 6], [9, 8, 7]))
    for states, others in zip(one, other, strict=True):
        torch.testing.assert_close(states[:, :3], others[:, :3], rtol=0, atol=1e-6)
        assert (states[:, 3:] - others[:, 3:]).abs().amax(2).min() > 1e-2


@each
def test_padding_changes_neither_summary(name):
    model, lists = make(name, laid()), [[3], [1, 2, 1], [], [7, 7]]
    with torch.no_grad():
        narrow = model.last_streams(windows_of(lists, 3))
        wide = model.last_streams(windows_of(lists))
        model.item[ITEMS] += 1
        model.provider[PROVIDERS] += 1
        after = model.last_streams(windows_of(lists))
    there = [0, 1, 3]
    for one, other, third in zip(narrow, wide, after, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-6)
        assert torch.equal(other[there], third[there])


# What the masks and wirings let through


@pytest.mark.parametrize(("name", "reads"), [("ipsrec_s", False), ("ipsrec_s-aligned", True),
                                             ("ipsrec_s-both-ways", True), ("ipsrec_c", True), ("ipsrec_c-own", False),
                                             ("ipsrec_c-key-value", True)])
def test_whether_the_score_of_the_next_item_depends_on_providers(name, reads):
    data = laid()
    model, users = make(name, data), torch.arange(data.n_users)
    before = model.scores(users, data), model.last_streams(windows_of(GIVEN))
    stir(model)
    after = model.scores(users, data), model.last_streams(windows_of(GIVEN))
    changed = (after[0] - before[0]).abs().max()
    assert changed > 1e-2 if reads else changed == 0
    assert torch.equal(before[1][0], after[1][0]) == (not reads)  # nor does it in the pass that trains both
    assert (before[1][1] - after[1][1]).abs().max() > 1e-2


def test_without_the_contrastive_loss_ipsrec_s_is_sasrec_plus_a_constant():
    data = laid()
    ours = method_of(data=data, weight=0.0, samples="one_pass")
    theirs = method_of("sasrec", data, "next_item")
    with torch.no_grad():
        theirs.model.item.copy_(ours.model.item)
        theirs.model.position.copy_(ours.model.item_position + ours.model.segment[0])  # the constant
    theirs.model.encoder.load_state_dict(ours.model.encoder.state_dict())
    users = torch.arange(data.n_users)
    torch.testing.assert_close(ours.scores(users, data), theirs.scores(users, data), rtol=0, atol=2e-6)
    for mine, other in zip(batches(ours, data), batches(theirs, data), strict=True):
        one, two = ours.loss(mine), theirs.loss(other)
        assert one.item() == pytest.approx(two.item(), rel=1e-6)
        one.backward(), two.backward()
    torch.testing.assert_close(ours.model.item.grad, theirs.model.item.grad)
    torch.testing.assert_close(ours.model.item_position.grad, theirs.model.position.grad)
    torch.testing.assert_close(ours.model.segment.grad[0], theirs.model.position.grad.sum(0))


def test_without_the_contrastive_loss_the_provider_side_of_ipsrec_s_is_not_even_computed():
    data = laid()
    method = method_of(data=data, weight=0.0)
    method.model.providers = method.model.last_streams = None  # would fail if called
    for batch in batches(method, data):
        method.loss(batch).backward()
    method.scores(torch.arange(3), data)
    model = method.model
    assert model.provider.grad is None and model.provider_position.grad is None and not model.segment.grad[1].any()
    # Computed with it, it hears nothing either.
    model = make("ipsrec_s", data)
    model.last_streams(windows_of(GIVEN))[0].square().sum().backward()
    assert not model.provider.grad.any() and not model.provider_position.grad.any() and not model.segment.grad[1].any()
    assert model.item.grad.any()


@pytest.mark.parametrize(("wiring", "adds"), [("cross_query", False), ("cross_key_value", True)])
def test_whether_co_attention_adds_anything_of_a_provider_to_an_item(wiring, adds):
    # Where all item rows are alike, every item's value is the same, wherever a query looks: providers who only say
    # where to look change nothing then.
    model = make(f"ipsrec_c{'-key-value' * adds}", laid())
    with torch.no_grad():
        model.item.copy_(model.item[:1].expand_as(model.item))
        model.item_position.zero_()
        before = model.states(windows_of(GIVEN))
        stir(model)
        difference = (model.states(windows_of(GIVEN)) - before).abs().max()
    assert difference > 1e-2 if adds else difference < 1e-6


def test_of_the_last_block_only_what_is_read_is_computed():
    seen, windows = [], windows_of(GIVEN)
    for name, read, one in (("ipsrec_s", 2, 1), ("ipsrec_s-aligned", 2, 1), ("ipsrec_s-both-ways", 2, 1),
                            ("ipsrec_c", 1, 1)):
        model = make(name, laid())
        final = model.blocks[0][-1] if name == "ipsrec_c" else model.encoder.blocks[-1]
        handle = final.widen.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
        model.last_streams(windows), model.last(windows)
        handle.remove()
        assert seen[-2:] == [read, one], name


@pytest.mark.parametrize("kind", ["causal", "none", "keys", "shared", "whole"])
def test_rows_that_are_read_are_those_of_all(kind):
    generator = torch.Generator().manual_seed(0)
    blocks = Blocks(TransformerOptions(
        dim=DIM, window=5, layers=2, heads=2, inner=16, dropout=0.0, attention_dropout=0.0))
    normal(blocks, generator)
    rows, read = torch.randn(3, 5, DIM, generator=generator) * 9, torch.tensor([[0, 4], [3, 1], [2, 2]])
    shape = {"keys": (3, 1, 1, 5), "shared": (1, 1, 5, 5), "whole": (3, 1, 5, 5)}.get(kind)
    mask = None
    if shape:
        mask = torch.rand(shape, generator=generator) < 0.5
        mask[..., 0] = True
    whole = blocks(rows, mask, kind == "causal")
    wanted = torch.stack([whole[b, places] for b, places in enumerate(read)])
    torch.testing.assert_close(blocks(rows, mask, kind == "causal", read), wanted, rtol=0, atol=2e-6)


# Providers


def test_known_providers_are_the_data_s_and_padding_has_its_own():
    data = laid()
    model = method_of(data=data).model
    assert model.provider_of.tolist() == [*data.features["provider"].values.tolist(), PROVIDERS]
    assert len(model.provider) == PROVIDERS + 1 and "provider_of" not in model.state_dict()


def test_permuted_providers_are_dealt_out_anew_and_stored_with_the_weights(tmp_path):
    data, control = laid(), {"providers": "permuted"}
    known, permuted = method_of(data=data), method_of(data=data, model=control)
    for (key, one), (_, other) in zip(known.named_parameters(), permuted.named_parameters(), strict=True):
        assert torch.equal(one, other), key  # a run and its control start alike
    dealt, true = permuted.model.provider_of, known.model.provider_of
    assert dealt.sort().values.equal(true.sort().values) and dealt[ITEMS] == PROVIDERS
    assert (dealt != true).double().mean() > 0.5
    other = method_of(data=data, seed=2, model=control)
    assert not torch.equal(other.model.provider_of, dealt)
    checkpoint.save(tmp_path / "model.safetensors", dict(permuted.state_dict()), {})
    other.load_state_dict(checkpoint.load(tmp_path / "model.safetensors")[0])
    assert torch.equal(other.model.provider_of, dealt)
    for one, same in zip(permuted.model.last_streams(windows_of(GIVEN)), other.model.last_streams(windows_of(GIVEN)),
                         strict=True):
        assert torch.equal(one, same)


# Contrastive losses, a pair at a time


def plain_contrast(kind, first, second, temperature, groups=None):
    count, terms = len(first), []
    stacked = [*first, *second]
    for own in range(2 * count if kind == "nt_xent" else count):
        partner, others = (own + count) % (2 * count), []
        for other in range(2 * count) if kind == "nt_xent" else range(count, 2 * count):
            same = groups is not None and groups[own % count] == groups[other % count]
            if other == partner or other != own and not same:
                others.append(torch.exp(stacked[own] @ stacked[other] / temperature))
        terms.append(-torch.log(torch.exp(stacked[own] @ stacked[partner] / temperature) / sum(others)))
    return sum(terms) / len(terms)


KINDS = {"nt_xent": nt_xent, "one_way": one_way}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("groups", [None, [4, 7, 4, 9, 7, 4], [3] * 6])
@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_contrastive_losses_and_their_gradients(kind, groups, temperature):
    generator, found = torch.Generator().manual_seed(0), []
    start = [torch.randn(6, 4, generator=generator, dtype=torch.float64) * 2 for _ in range(2)]
    for loss in (KINDS[kind], lambda *arguments: plain_contrast(kind, *arguments)):
        first, second = (tensor.clone().requires_grad_() for tensor in start)
        value = loss(first, second, temperature, None if groups is None else torch.tensor(groups))
        (3 * value).backward()
        found.append([value.detach(), first.grad, second.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_one_has_nothing_to_contrast(kind):
    first, second = torch.randn(1, 4, requires_grad=True), torch.randn(1, 4)
    loss = KINDS[kind](first, second, 1.0, torch.tensor([3]))
    loss.backward()
    assert loss.item() == 0 and not first.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_contrastive_losses_survive_large_products_and_stay_exact_under_autocast(kind):
    first = (1000 * torch.eye(3)).requires_grad_()
    assert KINDS[kind](first, first.detach(), 1.0).item() == pytest.approx(0, abs=1e-6)
    far = KINDS[kind](first, first.detach().roll(1, 0), 1.0)
    far.backward()
    assert far.item() == pytest.approx(1e6) and bool(first.grad.isfinite().all())
    rows = torch.randn(2, 5, 8) * 3
    full = KINDS[kind](*rows, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert KINDS[kind](*rows, 1.0).item() == full.item()


# The objective


@pytest.mark.parametrize("same_user", ["negatives", "excluded"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "samples"), [("ipsrec_s", "per_prefix"), ("ipsrec_c", "one_pass")])
def test_the_objective_is_the_sum_of_both_losses(name, samples, kind, same_user):
    data = laid()
    method = method_of(name, data, weight=0.4, temperature=2.0, contrast=kind, same_user=same_user, samples=samples)
    model, sizes = method.model, set()
    for batch in batches(method, data, batch=7):
        width, rows = batch.windows.items.shape[1], []
        for place in batch.places.tolist():  # each target's prefix as a window of its own
            row, column = divmod(place, width)
            rows.append((int(batch.windows.users[row]), batch.windows.items[row, : column + 1].tolist()))
        with torch.no_grad():
            both = [model.last_streams(windows_of([items], len(items))) for _, items in rows]
        items, providers = (torch.cat(one).double() for one in zip(*both, strict=True))
        groups = [user for user, _ in rows] if same_user == "excluded" else None
        scores = items @ model.output()[0].detach().double().T
        accuracy = (scores.logsumexp(1) - scores.gather(1, batch.items[:, None]).squeeze(1)).mean()
        wanted = accuracy + 0.4 * plain_contrast(kind, items, providers, 2.0, groups)
        assert method.loss(batch).item() == pytest.approx(wanted.item(), rel=1e-5)
        sizes.add(len(rows))
    assert len(sizes) > 1  # a ragged batch counts by its own size


@pytest.mark.parametrize("same_user", ["negatives", "excluded"])
@pytest.mark.parametrize("name", IN_ONE_PASS)
def test_one_pass_and_one_window_a_prefix_have_the_same_gradients(name, same_user):
    # Negatives are the batch's: for the same objective all targets have to be in one.
    data, found = laid([items for items in histories() if len(items) <= WINDOW + 1]), []
    for samples in ("one_pass", "per_prefix"):
        method = method_of(name, data, samples=samples, same_user=same_user, weight=0.7)
        (batch,) = batches(method, data, batch=1000)
        method.loss(batch).backward()
        found.append({key: parameter.grad for key, parameter in method.named_parameters()})
    for key, one in found[0].items():
        torch.testing.assert_close(one, found[1][key], rtol=1e-5, atol=1e-5, msg=key)


def test_without_weight_it_is_next_item():
    data = laid()
    for samples in ("one_pass", "per_prefix"):
        method, plain = (method_of(data=data, method=kind, samples=samples, **given)
                         for kind, given in (("co_learning", {"weight": 0.0}), ("next_item", {})))
        for batch in batches(method, data):
            assert method.loss(batch).item() == pytest.approx(plain.loss(batch).item(), rel=1e-6)


def test_where_prefixes_are_told_apart_those_that_share_a_batch_are_drawn_from_all():
    """Else most batches hold prefixes of one length, and a summary has to be told from such as are as long alone."""
    rng = np.random.default_rng(0)
    data = laid([rng.integers(ITEMS, size=rng.integers(2, 9)).tolist() for _ in range(200)])

    def of_one_length(weight):
        found = [len(batch.ends.unique()) == 1 for batch in batches(method_of(data=data, weight=weight), data)]
        return sum(found) / len(found)

    assert of_one_length(0.1) == of_one_length(0.0) == 0, "and without the loss alike, or two things would differ"


@each
def test_a_step_waits_for_nothing(name):
    data = laid()
    method = method_of(name, data, same_user="excluded")
    batch = batches(method, data)[0]
    with Watched() as watched:
        method.loss(batch).backward()
    assert watched.results and not watched.waits


@pytest.mark.parametrize("name", ["ipsrec_s", "ipsrec_c"])
def test_both_losses_are_learned(name):
    data = laid()
    method = method_of(name, data, weight=1.0)
    optimiser, (batch,) = torch.optim.Adam(method.parameters(), 0.01), batches(method, data, batch=1000)
    found = []
    for _ in range(60):
        items, providers = method.both(batch)
        accuracy = softmax_over_items(items, method.model.output()[0], batch.items)
        found.append((accuracy.item(), nt_xent(items, providers, 1.0).item()))
        optimiser.zero_grad()
        method.loss(batch).backward()
        optimiser.step()
    assert found[-1][0] < 0.8 * found[0][0] and found[-1][1] < 0.8 * found[0][1]


# Bad input


@pytest.mark.parametrize("name", ["ipsrec_s", "ipsrec_c"])
@pytest.mark.parametrize("given", [{"window": 0}, {"layers": 0}, {"providers": "none"}])
def test_a_setting_out_of_range_is_named(name, given):
    values = {**BLOCKS, **({"mask": "concat_causal"} if name == "ipsrec_s" else {"coattention": "own"}), **given}
    with pytest.raises(RepriseError, match=f"{next(iter(given))}: Input should be"):
        checked(options_of("models", name), values, "papers/x/paper.yaml")


@pytest.mark.parametrize("given", [{"temperature": 0}, {"weight": -0.1}, {"samples": "last_window"}])
def test_a_setting_of_the_objective_out_of_range_is_named(given):
    values = {"weight": 0.1, "temperature": 1.0, "contrast": "nt_xent", "same_user": "negatives",
              "samples": "per_prefix", **given}
    with pytest.raises(RepriseError, match=f"{next(iter(given))}: Input should be"):
        checked(options_of("methods", "co_learning"), values, "papers/x/paper.yaml")


def test_what_one_pass_cannot_give_is_refused():
    with pytest.raises(RepriseError, match="providers' summary"):
        method_of("ipsrec_s", samples="one_pass")
    with pytest.raises(RepriseError, match="whole windows"):
        method_of("ipsrec_s-both-ways", samples="one_pass", weight=0.0)
    assert method_of("ipsrec_s", samples="one_pass", weight=0.0)


def test_a_model_or_data_without_providers_are_refused():
    with pytest.raises(RepriseError, match="next_item"):
        method_of("sasrec")
    with pytest.raises(RepriseError, match="provider"):
        method_of(data=replace(laid(), features={}))
