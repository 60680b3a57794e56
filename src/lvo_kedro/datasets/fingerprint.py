"""A digest of everything a result depends on: code, options and inputs.

Two equal fingerprints mean that the work need not be done again. The digest of a computed case
stands for all that went into it, so a chain of cases is compared without reading their voxels.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import json
import textwrap
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from lvo_kedro.artifacts import digest_of
from lvo_kedro.datasets.digests import content_digest

PACKAGE = __name__.split(".", maxsplit=1)[0]
PLUMBING = (f"{PACKAGE}.datasets", f"{PACKAGE}.tracking", f"{PACKAGE}.artifacts")
"""Modules that carry results and never change them."""


def fingerprint(value: Any) -> str:
    """Return the SHA-256 digest (hex) of ``value``.

    A function counts with its code and that of all of this package which it uses, but not with
    comments, docstrings or what is imported for type checkers alone. A path counts
    with its content, or with the error that reading it gives. An object with an attribute
    ``fingerprint`` counts with that; where the attribute is ``None``, as for a logger, it has no
    influence on results.

    Raises:
        TypeError: ``value`` has a type for which nothing says what equality means.
    """
    parts = [str(value.fingerprint)] if hasattr(value, "fingerprint") else _parts(value)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def inputs_of(task: Callable[..., Any]) -> dict[str, str]:
    """Return the digest of each argument that a function was bound to, and of its ``code``."""
    code = fingerprint(task.func if isinstance(task, functools.partial) else task)
    return {"code": code} | {n: fingerprint(v) for n, v in arguments_of(task).items()}


def arguments_of(task: Callable[..., Any]) -> dict[str, Any]:
    """Return what a function was bound to, by the names of its arguments."""
    if not isinstance(task, functools.partial):
        return {}
    given = inspect.signature(task.func).bind_partial(*task.args, **task.keywords)
    return dict(given.arguments)


@functools.singledispatch
def _parts(value: Any) -> list[str]:
    raise TypeError(f"no fingerprint is defined for a {type(value).__name__}")


# a type per line: Python 3.10 does not take unions here
@_parts.register(str)
@_parts.register(int)
@_parts.register(float)
@_parts.register(np.generic)
@_parts.register(type(None))
def _plain_parts(value: Any) -> list[str]:
    return [type(value).__name__, repr(value)]


@_parts.register
def _call_parts(value: functools.partial) -> list[str]:
    return [*_parts(value.func), *_parts(value.args), *_parts(value.keywords)]


@_parts.register
def _function_parts(value: types.FunctionType) -> list[str]:
    return [value.__qualname__, code_digest(value)]


@_parts.register
def _options_parts(value: BaseModel) -> list[str]:
    silent: set[str] = set(getattr(value, "without_influence", ()))
    content = value.model_dump(mode="json", exclude=silent)
    return [type(value).__name__, json.dumps(content, sort_keys=True)]


@_parts.register
def _mapping_parts(value: Mapping) -> list[str]:
    pairs = sorted((fingerprint(key), fingerprint(item)) for key, item in value.items())
    return ["mapping", *(part for pair in pairs for part in pair)]


@_parts.register(list)
@_parts.register(tuple)
def _sequence_parts(value: Any) -> list[str]:
    return ["sequence", *(fingerprint(item) for item in value)]


@_parts.register
def _path_parts(value: Path) -> list[str]:
    try:
        return ["path", content_digest(value)]
    except OSError as error:  # its own task will say what is wrong; the others' go on
        return ["path", type(error).__name__]


@_parts.register(pd.DataFrame)
@_parts.register(pd.Series)
def _table_parts(value: Any) -> list[str]:
    return ["table", value.to_csv()]


@_parts.register
def _array_parts(value: np.ndarray) -> list[str]:
    content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return ["array", str(value.dtype), str(value.shape), content]


@functools.cache
def code_digest(function: types.FunctionType) -> str:
    """Return the digest of a function's code and of all of this package that it uses.

    Followed are the names that the function mentions: functions beside it one by one, anything
    else with its whole module and what that one imports. So an edited node leaves the results of
    its neighbours alone.
    """
    sources: dict[str, str] = {}
    _collect_function(function, sources)
    return digest_of(sources)


def _collect_function(function: types.FunctionType, sources: dict[str, str]) -> None:
    key = f"{function.__module__}:{function.__qualname__}"
    if key in sources:
        return
    sources[key] = code_of(textwrap.dedent(inspect.getsource(function)))
    for name in _mentioned_names(function.__code__):
        target = inspect.unwrap(function.__globals__.get(name))  # type: ignore[arg-type]
        home = target.__name__ if inspect.ismodule(target) else getattr(target, "__module__", None)
        if inspect.isfunction(target) and home == function.__module__:
            _collect_function(target, sources)
        elif home:
            _collect_sources(home, sources)
        elif isinstance(target, str | int | float | tuple | list | dict):
            sources[f"{function.__module__}:{name}"] = repr(target)


def _mentioned_names(code: types.CodeType) -> set[str]:
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*(_mentioned_names(c) for c in inner))


def _collect_sources(module: str, sources: dict[str, str]) -> None:
    if (
        module in sources
        or module.split(".", maxsplit=1)[0] != PACKAGE
        or module.startswith(PLUMBING)
    ):
        return
    try:
        spec = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return
    sources[module], imported = _read_module(Path(spec.origin))
    for name in imported:
        _collect_sources(name, sources)


@functools.cache
def _read_module(file: Path) -> tuple[str, tuple[str, ...]]:
    """Return a module's code, and what it imports."""
    code = code_of(file.read_text(encoding="utf-8"))
    statements = ast.walk(ast.parse(code))
    return code, tuple(name for s in statements for name in _imported_names(s))


def code_of(source: str) -> str:
    """Return Python source without what computes nothing: comments, layout, docstrings.

    The same goes for what is imported for type checkers.
    """
    return ast.unparse(_WithoutWords().visit(ast.parse(source)))


class _WithoutWords(ast.NodeTransformer):
    """Takes out strings that stand alone and blocks for type checkers."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        for_checkers = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if for_checkers else self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined] # a block is never empty
        return node


def _imported_names(statement: ast.AST) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        # "from package import name" may name a module or something in it: both are tried
        return [statement.module, *(f"{statement.module}.{a.name}" for a in statement.names)]
    return []
