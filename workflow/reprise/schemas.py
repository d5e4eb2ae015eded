"""The JSON schemas of `config/*.yaml` and of `paper.yaml`, for editors; made from the classes that do the checking.

`python -m reprise.schemas` writes them anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from reprise.config import Config
from reprise.files import write_json
from reprise.papers import PAPERS, Paper

FOLDER = PAPERS.parent / "schemas"
SCALAR = {"type": ["string", "number", "boolean", "null"]}


class _AsWritten(GenerateJsonSchema):
    """Allow what a person may write where a validator normalises it first: `seeds: 3`, `datasets: all`."""

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        return {"anyOf": [self.generate_inner(schema["schema"]), SCALAR]}


def schemas() -> dict[Path, dict[str, Any]]:
    """The schema of each kind of file, by the path where it is kept."""
    kinds = {"config": Config, "paper": Paper}
    return {
        FOLDER / f"{name}.schema.json": kind.model_json_schema(schema_generator=_AsWritten)
        for name, kind in kinds.items()
    }


if __name__ == "__main__":
    for path, schema in schemas().items():
        write_json(path, schema)
