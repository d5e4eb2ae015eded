"""A paper.yaml read, and refused where it says what no run could take."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from reprise.errors import RepriseError
from reprise.files import digest, read_yaml
from reprise.papers import schema
from reprise.papers.schema import Method, Paper, entry
from reprise.papers.specs import grid_of, phases_of, resolve
from reprise.settings import checked

# What makes a score comparable with another method's, so that no grid may vary it.
PROTOCOL = ("metric", "k", "ks", "fit_on", "select_on", "refit", "empty_users", "profile")


def paper_names() -> list[str]:
    """Name the papers there are: the folders with a `paper.yaml`."""
    return sorted(path.parent.name for path in schema.PAPERS.glob("*/paper.yaml"))


@functools.cache
def load_paper(name: str) -> Paper:
    """Read and check `papers/<name>/paper.yaml`.

    Raises
    ------
    RepriseError
        No such paper; unknown or unused keys; a reference to a data set, method or reading that is not declared.
    """
    path = schema.PAPERS / name / "paper.yaml"
    if not path.exists():
        raise RepriseError(f"paper {name!r}", expected="one of " + ", ".join(paper_names()), found=name)
    values = read_yaml(path)
    paper: Paper = checked(Paper, values, f"papers/{name}/paper.yaml")
    check(paper, f"papers/{name}/paper.yaml")
    return paper


def check(paper: Paper, where: str) -> None:
    """Refuse what the schema cannot: dangling names and settings that no component would read."""
    if paper.name != Path(where).parent.name:
        raise RepriseError(where, expected=f"name: {Path(where).parent.name}", found=f"name: {paper.name}")
    for key, dataset in paper.datasets.items():
        if key != dataset.label.lower().replace(" ", "-"):
            raise RepriseError(f"{where}, datasets.{key}", expected="the lower-cased label as key", found=dataset.label)
    for name in paper.exhibits:
        _check_exhibit(paper, name, where)
    for reading in paper.readings:
        if "-" in reading:  # which parts a reading from a variant in a folder's name
            raise RepriseError(f"{where}, readings", expected="a name without '-'", found=reading)
    for kind, edges in paper.groups.items():
        if list(edges) != sorted(set(edges)) or not edges:
            raise RepriseError(f"{where}, groups.{kind}", expected="rising numbers", found=str(list(edges)))
    rows = paper.methods.values()
    used = {"models": {row.model for row in rows}, "methods": {row.method for row in rows if row.model},
            "rerankers": {row.rerank for row in rows}}  # fmt: skip
    for layer in (paper.defaults, paper.grid, *paper.readings.values(), *(d.settings for d in paper.datasets.values())):
        for kind in used:
            for unused in set(getattr(layer, kind, {})) - used[kind]:  # a grid has no re-rankers
                raise RepriseError(
                    f"{where}, {kind}.{unused}", expected=f"a {kind[:-1]} that some row uses", found=unused
                )
    for name in paper.methods:  # first: what starts from itself would never be resolved
        _check_starts(paper, name, where)
    for name in paper.methods:
        _check_row(paper, name, used, where)


def _check_exhibit(paper: Paper, name: str, where: str) -> None:
    """Refuse a table or figure of unknown data sets, rows or groups, and claims without the size of their family."""
    exhibit = paper.exhibits[name]
    for key in exhibit.datasets:
        entry(paper.datasets, key, f"{where}, {name}: data set")
    for label in (*exhibit.methods, *exhibit.floor):
        _, settings = paper.row(label)
        for reading in paper.readings if settings else ():
            for key in exhibit.datasets:
                resolve(paper, key, reading, label)
    of_rows = {"gains": {label for gain in exhibit.gains for label in (gain.of, *gain.over)},
               "one_by_one": set(exhibit.one_by_one), "kept": set(exhibit.kept)}
    for key, labels in of_rows.items():
        for label in sorted(labels.difference(exhibit.methods, exhibit.floor)):
            raise RepriseError(f"{where}, {name}, {key}", expected="rows of the table", found=label)
    if exhibit.groups and exhibit.groups not in paper.groups:
        raise RepriseError(f"{where}, {name}", expected=f"groups: {exhibit.groups}: edges", found="none")
    if exhibit.claims and not exhibit.family:
        raise RepriseError(f"{where}, {name}", expected="family: the number of tests among its claims", found="none")


def _check_row(paper: Paper, name: str, used: Mapping[str, set[str | None]], where: str) -> None:
    """Refuse a row that names an unknown reading or data set, or that cannot be resolved in some reading on some."""
    method = paper.methods[name]
    _check_layers(method, used, f"{where}, methods.{name}")
    there = {reading for layer in method.datasets.values() for reading in layer.readings}
    for reading in sorted({*method.readings, *there} - set(paper.readings)):
        raise RepriseError(
            f"{where}, methods.{name}.readings", expected="one of " + ", ".join(paper.readings), found=reading
        )
    _check_updates(paper, name, where)
    _check_bases(paper, name, where)
    for key in method.datasets:
        entry(paper.datasets, key, f"{where}, methods.{name}.datasets: data set")
    for reading in paper.readings:
        for key in paper.datasets:
            resolve(paper, key, reading, name)
    _check_grid(paper, name, where)


def _check_layers(row: Method, used: Mapping[str, set[str | None]], where: str) -> None:
    """Refuse settings of a row for what no row of the paper uses."""
    layers = {"settings": row.settings}
    layers |= {f"readings.{name}": layer for name, layer in row.readings.items()}
    for key, on in row.datasets.items():
        layers |= {f"datasets.{key}": on}
        layers |= {f"datasets.{key}.readings.{name}": layer for name, layer in on.readings.items()}
    for place, layer in layers.items():
        for kind, known in used.items():
            for unused in set(getattr(layer, kind)) - known:
                raise RepriseError(f"{where}.{place}.{kind}.{unused}", found=unused,
                                   expected="one of " + ", ".join(sorted(filter(None, known))))


def _check_starts(paper: Paper, name: str, where: str, behind: tuple[str, ...] = ()) -> None:
    """Refuse a method that starts from an unknown one or, at some remove, from itself."""
    for start in paper.methods[name].starts.values():
        place = f"{where}, methods.{name}.starts_from"
        entry(paper.methods, start, f"{place}: method")
        if start in (*behind, name):
            raise RepriseError(place, expected="methods that in the end start afresh", found=start)
        _check_starts(paper, start, where, (*behind, name))


def _check_updates(paper: Paper, name: str, where: str) -> None:
    """Refuse a method that lasts as long as an unknown one, as one that trains nothing or in the end as itself."""
    row, where = paper.methods[name], f"{where}, methods.{name}.updates_of"
    if row.updates_of is None:
        return
    entry(paper.methods, row.updates_of, f"{where}: method")
    phases = phases_of(paper, row.updates_of)
    if row.model is None or any(paper.methods[one].model is None or paper.methods[one].updates_of for one in phases):
        raise RepriseError(where, expected="a trained method, as long as others that patience ends",
                           found=", ".join(phases))


def _check_bases(paper: Paper, name: str, where: str) -> None:
    """Refuse a re-ranker of no rows, of unknown ones or of other re-rankers, and rows that name half of one."""
    row, where = paper.methods[name], f"{where}, methods.{name}"
    if bool(row.rerank) != bool(row.bases) or (row.rerank and (row.model or row.starts)):
        given = [key for key in ("model", "starts_from", "rerank", "reranks") if getattr(row, key)]
        raise RepriseError(where, expected="rerank and reranks, without model and starts_from; or neither of the two",
                           found=", ".join(given))
    for label, _ in row.bases.values():
        base = paper.method(label)
        if base.rerank:
            raise RepriseError(f"{where}.reranks", expected="rows that are trained", found=label)


def _check_grid(paper: Paper, method: str, where: str) -> None:
    """Refuse a grid that some run could not take: unknown settings, wrong or repeated values, what is protocol."""
    row, where = paper.methods[method], f"{where}, grid of {method}"
    for own, used in ((row.grid.models, row.model), (row.grid.methods, row.method)):
        for unread in set(own) - {used}:
            raise RepriseError(where, expected=f"settings of {used}", found=unread)
    place = next(((key, reading) for key in paper.datasets for reading in paper.readings), None)
    for name, values in grid_of(paper, method).items():
        part, _, key = name.partition(".")
        if part == "training" and key in PROTOCOL:
            raise RepriseError(where, expected="settings that are no part of the protocol", found=name)
        # One value at a time, in one place, says all: the settings of a component are checked one by one.
        taken = [resolve(paper, *place, method, chosen={name: value})[part][key] for value in values] if place else []
        if len({digest(value) for value in taken}) < len(taken):
            raise RepriseError(where, expected=f"{name}: distinct values", found=f"{values}")
