"""Nothing in the source can run what is in a file: no pickle, no eval, no shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[1]
SOURCES = [
    path
    for folder in ("src", "benchmarks", "docs", "notebooks", "examples")
    for path in sorted((PROJECT / folder).rglob("*.py"))
]
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
NEVER = {
    *("joblib.load", "pandas.read_pickle", "pd.read_pickle"),
    *("eval", "exec", "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load"),
}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader", "SafeLoader", "CSafeLoader"}


def faults(source: str) -> Iterator[str]:
    """Say what in a module could run what is in a file."""
    tree = ast.parse(source)
    full = {}  # by the name that it has here
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full |= {a.asname or a.name: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            full |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, *rest = ast.unparse(node.func).split(".")
            name = ".".join([full.get(first, first), *rest])
            given = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if _is_unsafe(name, given, [ast.unparse(argument) for argument in node.args]):
                yield f"line {node.lineno}: {ast.unparse(node)}"


def _is_unsafe(name: str, given: dict[str, str], positional: list[str]) -> bool:
    module, _, function = name.rpartition(".")
    if module in PICKLES and function in {"load", "loads", "Unpickler", "open"}:
        return True
    if name == "torch.load":
        return given.get("weights_only") != "True"
    if name == "numpy.load":
        return given.get("allow_pickle", "False") != "False" or len(positional) > 2
    if name == "yaml.load":
        return not SAFE_LOADERS & {given.get("Loader", ""), *positional[1:]}
    return name in NEVER or given.get("shell", "False") != "False"


def test_no_source_runs_what_is_in_a_file():
    assert len(SOURCES) > 200
    found = {
        str(path.relative_to(PROJECT)): list(faults(path.read_text("utf-8"))) for path in SOURCES
    }
    assert not {path: lines for path, lines in found.items() if lines}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle; pickle.load(file)",
        "import pickle as p; p.loads(text)",
        "from pickle import load; load(file)",
        "from pickle import Unpickler; Unpickler(file).load()",
        "import joblib; joblib.load(path)",
        "import torch; torch.load(path)",
        "import torch; torch.load(path, weights_only=False)",
        "import torch; torch.load(path, weights_only=safe)",
        "from torch import load; load(path)",
        "import numpy as np; np.load(path, allow_pickle=True)",
        "import numpy as np; np.load(path, None, True)",
        "import yaml; yaml.load(text)",
        "import yaml; yaml.load(text, Loader=yaml.Loader)",
        "import yaml; yaml.unsafe_load(text)",
        "import pandas as pd; pd.read_pickle(path)",
        "eval(text)",
        "exec(text)",
        "import subprocess; subprocess.run(text, shell=True)",
        "from subprocess import Popen; Popen(text, shell=shell)",
    ],
)
def test_what_could_is_found(line):
    assert list(faults(line))


@pytest.mark.parametrize(
    "line",
    [
        "import torch; torch.load(path, weights_only=True)",
        "import numpy as np; np.load(path)",
        "import yaml; yaml.load(text, Loader=yaml.SafeLoader)",
        "import yaml; yaml.safe_load(text)",
        "import json; json.load(file)",
        "network.eval()",
        "import subprocess; subprocess.run(['git', 'status'])",
    ],
)
def test_what_could_not_is_left_alone(line):
    assert not list(faults(line))


def types_in(content: object) -> Iterator[str]:
    if isinstance(content, dict):
        yield from (str(v) for k, v in content.items() if k == "type")
        yield from (str(v) for k, v in content.items() if k == "backend")
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from types_in(item)


def test_no_catalog_entry_is_a_pickle():
    files = sorted((PROJECT / "conf").rglob("*.yml"))
    types = [name for file in files for name in types_in(yaml.safe_load(file.read_text("utf-8")))]
    assert len(types) > 20
    assert not [name for name in types if "pickle" in name.lower() or "joblib" in name.lower()]
    assert list(types_in({"a": [{"type": "pickle.PickleDataset"}]})) == ["pickle.PickleDataset"]
