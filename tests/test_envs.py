"""The environments: one lock, conda files pinned to it, and in each what its stages import."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys

import pytest
import yaml
from reprise.sourcecode import imported_by


@pytest.fixture(scope="module")
def root(request):
    return request.config.rootpath


@pytest.fixture(scope="module")
def lock(root):
    lines = (root / "envs/requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def pins(root, name):
    *_, last = yaml.safe_load((root / f"envs/{name}.yaml").read_text())["dependencies"]
    return dict(line.split("==") for line in last["pip"])


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", ["data", "train", "report"])
def test_conda_pins_are_those_of_the_lock(root, lock, name):
    assert {key: lock.get(key) for key in pins(root, name)} == pins(root, name)


def test_the_lock_is_what_is_installed(lock):
    installed = {plain(found.metadata["Name"]): found.version for found in importlib.metadata.distributions()}
    wrong = {
        key: (version, installed.get(plain(key)))
        for key, version in lock.items()
        if (installed.get(plain(key)) or "").partition("+")[0] != version
    }
    assert not wrong
    assert not set(installed) - {plain(key) for key in lock} - {"pip", "reprise"}


def rules_by_environment(root):
    """The stages that the rules run in each environment: `{"data": {"fetch", ...}}`."""
    found = {}
    for file in (root / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^rule ", file.read_text(), flags=re.M)[1:]:
            environment, stage = re.search(r"envs/(\w+)\.yaml", rule), re.search(r"-m reprise (\w+)", rule)
            found.setdefault(environment[1], set()).add(stage[1])
    return found


def third_party(stage):
    """The distributions that a stage imports, through our own modules."""
    names = set()
    for path in imported_by("__main__", f"stages.{stage}").values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    owners = importlib.metadata.packages_distributions()
    return {plain(owners[name][0]) for name in names - set(sys.stdlib_module_names) - {"reprise"} if name in owners}


def test_each_environment_holds_what_its_stages_import(root):
    for environment, stages in rules_by_environment(root).items():
        wanted = set().union(*(third_party(stage) for stage in stages))
        missing = wanted - {plain(name) for name in pins(root, environment)}
        assert not missing, f"envs/{environment}.yaml: {sorted(missing)}"


def test_the_actions_file_runs_the_tests_and_the_regression(root):
    text = (root / ".github/workflows/ci.yml").read_text()
    tests, regression = [step["run"] for step in yaml.safe_load(text)["jobs"]["test"]["steps"] if "run" in step]
    assert tests == ".ci/run" and regression.startswith(".venv/bin/snakemake --cores 2 regression ")
    assert "make test" in (root / ".ci/run").read_text()
