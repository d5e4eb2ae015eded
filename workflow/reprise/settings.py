"""The base of everything a YAML file may set: unknown keys are errors.

A model or method file declares what can be set as `class Options`, of `Settings` or of a class that several share. It
is read without importing the file (and so without PyTorch) while the DAG is built, which is why it may use only what
this module exports, and inherit only from classes that do the same.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reprise.errors import RepriseError

__all__ = ["Annotated", "Any", "Field", "Literal", "OfLists", "Settings", "checked", "of_lists"]


class Settings(BaseModel):
    """A frozen group of settings that rejects keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def OfLists(*default: Any, **rest: Any) -> Any:
    """A field that training does not read: it decides how lists are made of the weights that are there."""
    return Field(*default, **rest, json_schema_extra={"of_lists": True})


def of_lists(kind: type[Settings]) -> set[str]:
    """The fields of `kind` that training does not read."""
    return {name for name, field in kind.model_fields.items() if field.json_schema_extra}


def checked(kind: type[Settings], values: Any, where: str) -> Any:
    """Build `kind` from `values`, or raise one `RepriseError` that names every key at fault."""
    if not isinstance(values, dict):
        raise RepriseError(where, expected="a mapping of settings", found=f"{values!r}")
    try:
        return kind(**values)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"]) or "(whole)"
            if item["type"] == "extra_forbidden":
                problems.append(f"unknown key {key!r}")
            else:
                problems.append(f"{key}: {item['msg']} (found {item.get('input')!r})")
        known = ", ".join(kind.model_fields)
        raise RepriseError(
            where, expected=f"only these keys, with valid values: {known}", found="; ".join(problems)
        ) from None
