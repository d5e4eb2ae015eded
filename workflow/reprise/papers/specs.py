"""From a row to a run: every setting of it resolved, and what of its fingerprint follows from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reprise.errors import RepriseError
from reprise.files import digest
from reprise.papers.schema import Dataset, Layer, Method, OnDataset, Paper, Reading, entry
from reprise.runs import MAIN
from reprise.settings import checked, of_lists
from reprise.sourcecode import code_hash, options_of, trainer_of
from reprise.training.options import Training


def resolve(
    paper: Paper,
    dataset: str,
    reading: str,
    method: str,
    max_epochs: int | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Resolve every setting of a run but its seed: each laid over those before it.

    Defaults < data set < reading < method < method in that reading < method on that data set < both of these.

    `method` is a row's label; what makes it a variant comes after all these, and last what a search has `chosen`
    (`{"training.l2": 1e-4, "method.alpha": 1e-2}`; for a re-ranker by row that it re-ranks). No layer raises
    `max_epochs` above the one given.

    Returns
    -------
    dict
        `{"model": {"name", ...}, "method": {"name", ...}, "training": {...}}`, each part checked by its own schema; of
        a run that starts from others' weights also `"starts_from": {part of the model: {"method", "code"}}`, of one
        that trains as long as others did `"updates_of": {row: {"method", "code"}}`. Of a re-ranker `{"rerank":
        {"name", ...}, "reranks": {row: {"method", "seed", "code"}}, "training": {...}}`, `seed` what is added to its
        own.
    """
    name, settings = paper.row(method)
    row = paper.methods[name]
    preset: Reading = entry(paper.readings, reading, f"reading of {paper.name}")
    there = row.datasets.get(dataset, OnDataset())
    own = (row.settings, row.readings.get(reading, Layer()), there, there.readings.get(reading, Layer()))
    layers = [paper.defaults, paper.dataset(dataset).settings, preset, *own]
    where = f"papers/{paper.name}/paper.yaml, {method} on {dataset}, {reading}"
    if row.model is None and row.rerank is None:
        raise RepriseError(where, expected="model: a file of reprise/models", found="none")

    def laid(pick: Any, *last: Mapping[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for one in (*map(pick, layers), *last):
            merged.update(one)
        return merged

    def searched(part: str) -> dict[str, Any]:
        named = ((*key.partition("."), value) for key, value in (chosen or {}).items())
        return {key: value for owner, _, key, value in named if owner == part}

    of_model = _of_model(row, settings)
    of_method = {key: value for key, value in settings.items() if key not in of_model}

    def component(kind: str, part: str, name: str, *last: Mapping[str, Any]) -> dict[str, Any]:
        """One component, its settings checked; `kind` is the layers' key, `part` the spec's."""
        options = laid(lambda layer: getattr(layer, kind).get(name, {}), *last)
        folder, here = "rerank" if part == "rerank" else kind, f"{where}: {kind}.{name}, as under defaults"
        return {part: {"name": name, **checked(options_of(folder, name), options, here).model_dump(mode="json")}}

    if row.rerank:
        return {
            "reranks": {
                base: {"method": label, "seed": later, "code": spec_code(
                    resolve(paper, dataset, reading, label, max_epochs, (chosen or {}).get(base)))}
                for base, (label, later) in row.bases.items()
            },
            **component("rerankers", "rerank", row.rerank, settings),
            "training": _about(checked(Training, laid(lambda layer: layer.training), where), where),
        }

    training = laid(lambda layer: layer.training, searched("training"))
    if max_epochs is not None:
        training["max_epochs"] = min(max_epochs, training.get("max_epochs", max_epochs))
    if only_lists(paper, method):
        training["max_epochs"] = 0
    starts = {
        part: {"method": start, "code": spec_code(resolve(paper, dataset, reading, start, max_epochs))}
        for part, start in starts_of(paper, method).items()
    }
    phases = {
        phase: {"method": phase, "code": spec_code(resolve(paper, dataset, reading, phase, max_epochs))}
        for phase in (phases_of(paper, row.updates_of) if row.updates_of else ())
    }
    origin = {key: others for key, others in (("starts_from", starts), ("updates_of", phases)) if others}
    if training.get("max_epochs") == 0 and not starts:
        raise RepriseError(where, expected="starts_from, where training.max_epochs is 0", found="neither")
    model = component("models", "model", row.model, of_model, searched("model"))
    objective = component("methods", "method", row.method, of_method, searched("method"))
    if (model["model"].get("positions_from"), objective["method"].get("samples")) == ("end", "one_pass"):
        # A prefix's positions would count from the end of the whole window, as no window of its own has them.
        raise RepriseError(where, expected="samples: per_prefix or last_window, where positions count from the end",
                           found="samples: one_pass", fix="or positions_from: start")
    return {**origin, **model, **objective, "training": checked(Training, training, where).model_dump(mode="json")}


def starts_of(paper: Paper, label: str) -> dict[str, str]:
    """By part of the model, the row that a row starts from, with those settings of its own that the other has, too.

    What the other row sets of its method stays so: an encoder is trained for one loss alone, whatever the weight in the
    sum of losses that comes after. None where its settings say `pretraining: false`.

    A row whose brackets name what only lists are made by is its method's own row, listed in another way: it starts from
    that and trains no further.
    """
    name, settings = paper.row(label)
    later = _of_lists(paper.methods[name], settings)
    if later:
        return {"": _named(name, {key: value for key, value in settings.items() if key not in later})}
    starts = {} if settings.get("pretraining") is False else paper.methods[name].starts
    return {part: _with(paper, start, settings) for part, start in starts.items()}


def phases_of(paper: Paper, label: str) -> tuple[str, ...]:
    """The rows that a row's training consists of: those that it starts from, at any remove, and itself; each once."""
    before = [phase for start in starts_of(paper, label).values() for phase in phases_of(paper, start)]
    return tuple(dict.fromkeys([*before, label]))


def only_lists(paper: Paper, label: str) -> bool:
    """Whether a row makes lists with another row's weights and trains nothing."""
    name, settings = paper.row(label)
    row = paper.methods[name]
    return row.settings.training.get("max_epochs") == 0 or bool(_of_lists(row, settings))


def _with(paper: Paper, start: str, settings: Mapping[str, Any]) -> str:
    row = paper.methods[start]
    model, method = str(row.model), row.method
    known = {*options_of("models", model).model_fields, *options_of("methods", method).model_fields}
    known -= set(row.settings.methods.get(method, {}))
    return _named(start, {key: value for key, value in settings.items() if key in known})


def _named(method: str, settings: Mapping[str, Any]) -> str:
    """The label of a method's row with settings of its own."""
    pairs = [f"{key}={_text(value)}" for key, value in sorted(settings.items())]
    return f"{method}[{';'.join(pairs)}]" if pairs else method


def _of_lists(row: Method, settings: Mapping[str, Any]) -> set[str]:
    """Those of a row's own settings that training does not read."""
    return of_lists(options_of("methods", row.method)) & settings.keys() if row.model and settings else set()


def _of_model(row: Method, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of a row's own settings those that its model knows and its method does not."""
    if row.model is None or not settings:
        return {}
    known = options_of("models", row.model).model_fields.keys() - options_of("methods", row.method).model_fields.keys()
    return {key: value for key, value in settings.items() if key in known}


def _about(training: Training, where: str) -> dict[str, Any]:
    """The training settings of a re-ranker, which reads what items are about."""
    if training.profile is None:
        raise RepriseError(where, expected="training.profile: the feature that says what items are about", found="none")
    return training.model_dump(mode="json")


def spec_code(spec: Mapping[str, Any]) -> str:
    """The part of a run's fingerprint that is known while the DAG is built: its settings and the code it imports."""
    if "rerank" in spec:
        modules = ("training.reranking", f"rerank.{spec['rerank']['name']}")
    else:
        model, method = (spec[part]["name"] for part in ("model", "method"))
        modules = ("training.run", f"models.{model}", f"methods.{method}", f"training.{trainer_of(method)}")
    return digest({"spec": spec, "code": code_hash("evaluation.lists", *modules)})


def data_code(dataset: Dataset) -> str:
    """What decides how a data set comes out: its entry in `paper.yaml`, settings of training apart, and the code."""
    spec = dataset.model_dump(mode="json", exclude={"settings", "misprints"})
    return digest({"spec": spec, "code": code_hash("stages.prepare", "stages.check")})


def variant_of(paper: Paper, label: str, dataset: str, reading: str) -> tuple[str, str]:
    """The method and variant behind a row; settings that the data set's run of the method has anyway do not count."""
    name, settings = paper.row(label)
    row = paper.methods[name]
    own: dict[str, Any] = {}
    if settings:
        spec = resolve(paper, dataset, reading, name)
        own = spec.get("model", {}) | spec[row.component]
    other = {key: value for key, value in sorted(settings.items()) if own.get(key) != value}
    # Snakemake parts a job's wildcards at commas when it starts one as a process of its own.
    return name, "~".join(f"{key}={_text(value)}" for key, value in other.items()) or MAIN


def _text(value: Any) -> str:
    """A setting in a variant's name: equal values look alike, and no letter needs quoting in a file's name."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value)


def grid_of(paper: Paper, method: str) -> dict[str, list[Any]]:
    """The values that a search may give a method, by setting as a resolved spec has it (`training.l2`, `method.alpha`).

    Empty for a method with nothing to search, for a re-ranker, which chooses its setting by itself, and for one that
    lasts as long as another, which is a control of that.
    """
    row = paper.methods[method]
    if row.rerank or row.updates_of:
        return {}
    found: dict[str, list[Any]] = {}
    for grid in (paper.grid, row.grid):
        parts = {"training": grid.training, "model": grid.models.get(str(row.model), {}),
                 "method": grid.methods.get(row.method, {})}  # fmt: skip
        found |= {f"{part}.{key}": values for part, lists in parts.items() for key, values in lists.items()}
    return {name: values for name, values in sorted(found.items()) if values}
