"""What Reprise knows of its own source without importing it.

Two questions are asked while the DAG is built, when importing PyTorch would cost seconds: which settings does a model
or method file accept, and has the code that a run would import changed. Both are answered from the syntax tree.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from pathlib import Path

from reprise import settings
from reprise.errors import RepriseError
from reprise.files import read_yaml
from reprise.settings import Settings

PACKAGE = Path(__file__).resolve().parent


def components(kind: str) -> list[str]:
    """Name the components of `kind` (`models`, `methods`, `rerank`): their files, those with settings."""
    files = (path for path in (PACKAGE / kind).glob("*.py") if not path.stem.startswith("_"))
    return sorted(path.stem for path in files if _classes(path, "Options"))


@functools.cache
def options_of(kind: str, name: str) -> type[Settings]:
    """Return `class Options(...)` of `reprise/<kind>/<name>.py` without running the rest of the file.

    Raises
    ------
    RepriseError
        No such file with such a class.
    """
    if name not in components(kind):
        raise RepriseError(f"reprise/{kind}/{name}.py", expected="one of " + ", ".join(components(kind)), found=name)
    return _settings(f"{kind}.{name}", "Options")


@functools.cache
def _settings(module: str, name: str) -> type[Settings]:
    """The class `name` of `reprise.<module>`, which it may have from another file, and its bases, made the same way."""
    path = _file(module)
    if not (found := _classes(path, name)):
        origin = next((node.module for node in _tree(path).body if isinstance(node, ast.ImportFrom)
                       and name in {alias.asname or alias.name for alias in node.names}), "")
        if not origin.startswith("reprise."):
            raise RepriseError(f"{path.relative_to(PACKAGE.parent)}: {name}, which settings inherit from",
                               expected="a class of this file, or one that it imports from reprise by its name",
                               found="neither")
        return _settings(origin.removeprefix("reprise."), name)
    names = {key: getattr(settings, key) for key in settings.__all__} | {"__name__": f"reprise.{module}"}
    bases = {ast.unparse(base) for base in found[0].bases}
    names |= {base: _settings(module, base) for base in bases - names.keys()}
    # Our own file, not input. Annotations are evaluated at once (dont_inherit), as there is no module to find them in
    # later.
    exec(compile(ast.Module(found, []), str(path), "exec", dont_inherit=True), names)
    return names[name]


def _classes(path: Path, name: str) -> list[ast.ClassDef]:
    """The class `name` of a file, if it defines it."""
    return [node for node in _tree(path).body if isinstance(node, ast.ClassDef) and node.name == name]


@functools.cache
def trainer_of(name: str) -> str:
    """Name the file of `reprise/training` that fits the method `name`: its `trainer = "..."`, or else the usual one."""
    tree = _tree(PACKAGE / "methods" / f"{name}.py")
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Method")
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "trainer":
            return ast.literal_eval(node.value)
    return "trainer"


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def _plain(path: Path) -> str:
    """The file's code without comments, docstrings and layout, so that editing those re-runs nothing; and what the
    YAML file of its name beside it holds, which is code in all but form."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    beside = path.with_suffix(".yaml")
    return ast.unparse(tree) + (f"\n{json.dumps(read_yaml(beside))}" if beside.exists() else "")


def _file(module: str) -> Path | None:
    """The file of `reprise.<module>`, or None where that is not a module of ours."""
    path = PACKAGE.joinpath(*module.split("."))
    if path.with_suffix(".py").exists():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").exists() else None


@functools.cache
def _imports(path: Path) -> frozenset[str]:
    """The modules of Reprise that a file imports anywhere, by name below `reprise`."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return frozenset(name.removeprefix("reprise.") for name in found if name.startswith("reprise."))


def imported_by(*modules: str) -> dict[str, Path]:
    """Every module of Reprise that `modules` import, themselves included, followed to the end: name -> file."""
    seen: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if path is None or name in seen:
            continue
        seen[name] = path
        waiting.extend(_imports(path))
    return dict(sorted(seen.items()))


@functools.cache
def code_hash(*modules: str) -> str:
    """A short hash of all code that `modules` import, comments and docstrings left out."""
    text = "\n".join(f"# {name}\n{_plain(path)}" for name, path in imported_by(*modules).items())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def reader_code(reader: str) -> str:
    """The code that turns a source of that raw format into its canonical form, as a hash."""
    return code_hash("stages.canonicalise", f"data.readers.{reader}")
