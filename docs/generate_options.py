"""Writes ``options.md``: every option there is, from the models that check them and from ``conf``.

``python docs/generate_options.py`` (``make docs`` runs it). Nothing is named here: parameters are
those that nodes take, their models the ones by which Kedro checks them, and meanings the text below
each field or under ``Attributes`` of its class; of a plain value, the comment above it in ``conf``.
"""

from __future__ import annotations

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from kedro.config import OmegaConfigLoader
from kedro.validation.type_extractor import TypeExtractor

from lvo_kedro.options import Options
from lvo_kedro.pipeline_registry import register_pipelines
from lvo_kedro.settings import CONFIG_LOADER_ARGS
from lvo_kedro.tracking import TrackingOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "options.md"
ENVIRONMENTS = ("base", "demo", "published")
SHOWN = 6
"""Values of a list that are shown before it is cut in the middle."""

HEAD = f"""\
# Every option

Made by `python docs/generate_options.py` from the models that check the options; a test compares.
Defaults stand in the code. A column of an environment (`conf/base`, `conf/demo`, `conf/published`)
shows what is in force there, and is empty where that is the default; `--env demo` and
`--env published` take a whole block from their own folder where they have it, and from `conf/base`
where they have not. A dot leads into a block: `a.b` is `b:` below `a:`. Your own values go to
`conf/local/parameters.yml`; lists of more than {SHOWN} values are cut here.
"""
COLUMNS = ("option", "default", "unit", "meaning", *ENVIRONMENTS)

SUFFIXES = {
    "mm": "mm", "mm2": "mm²", "cm2": "cm²", "ml": "ml", "hu": "HU", "gb": "GB", "deg": "degrees",
    "degrees": "degrees", "seconds": "s",
}  # fmt: skip
"""Units that a name ends with."""
WORDS = {
    "mm2": "mm²", "mm": "mm", "ml": "ml", "HU": "HU", "degrees": "degrees", "voxels": "voxels",
    "years": "years",
}  # fmt: skip
"""Units in words, as in "Edge in mm" or "Edge (mm)"."""


def render() -> str:
    """Return the whole page."""
    settings = {name: _settings(name) for name in ENVIRONMENTS}
    given = {name: _lookup(read["parameters"]) for name, read in settings.items()}
    pipelines = register_pipelines()
    models = TypeExtractor(pipelines).extract_types_from_pipelines()
    names = dict.fromkeys(
        name.removeprefix("params:")
        for pipeline in pipelines.values()
        for node in pipeline.nodes
        for name in node.inputs
        if name.startswith("params:")
    )
    parts = [HEAD]
    for name in (name for name in names if name in models):
        values = {place: of[name] for place, of in given.items() if name in of}
        parts.append(_block(name, models[name], values))
    tracked = {place: read["mlflow"] for place, read in settings.items()}
    parts.append(_block("mlflow", TrackingOptions, tracked, "mlflow.yml"))
    plain = [name for name in names if not any(f"{name}.".startswith(f"{m}.") for m in models)]
    parts.append(_plain("Single values", "parameters.yml", plain, given))
    machine = {place: read["globals"] for place, read in settings.items()}
    parts.append(_plain("The machine", "globals.yml", list(machine["base"]), machine))
    return "\n".join(parts)


def _settings(environment: str) -> dict[str, dict[str, Any]]:
    """Return what is in force in an environment, read before a loader of another one is made."""
    loader = OmegaConfigLoader(str(PROJECT / "conf"), env=environment, **CONFIG_LOADER_ARGS)
    return {kind: dict(loader[kind]) for kind in ("parameters", "mlflow", "globals")}


def _lookup(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return values by their dotted names, blocks as well as what is in them."""
    found = {}
    for key, value in values.items():
        found[f"{prefix}{key}"] = value
        if isinstance(value, dict):
            found |= _lookup(value, f"{prefix}{key}.")
    return found


def _block(
    name: str, model: type[Options], given: dict[str, Any], file: str = "parameters.yml"
) -> str:
    """Return a section with the options of a block."""
    checked = {place: model.model_validate(value) for place, value in given.items()}
    words = inspect.cleandoc(model.__doc__ or "").partition("\n\nAttributes:")[0]
    text = f"`{model.__module__}.{model.__name__}`, in `{file}`: {_tidy(words)}"
    return f"## {name}\n\n{text}\n\n{_table(COLUMNS, _rows(model, checked))}"


def _rows(
    model: type[Options], given: Mapping[str, Options | None], prefix: str = ""
) -> Iterator[tuple[str, ...]]:
    """Yield a row per option; options of a block within the block follow it, with dotted names."""
    said = meanings(model)
    for name, field in model.model_fields.items():
        inner = _models_in(field.annotation)
        default = field.get_default(call_default_factory=True)
        here = {place: getattr(of, name) for place, of in given.items() if of is not None}
        if not isinstance(default, Options):
            words = f"{said[name]}{_choices(field.annotation)}"
            shown = "required" if field.is_required() else _show(default)
            values = (
                _show(here[place]) if place in here and here[place] != default else ""
                for place in ENVIRONMENTS
            )
            yield f"`{prefix}{name}`", shown, _unit(name, field.annotation, words), words, *values
        several = get_origin(field.annotation) is tuple
        for part in inner:
            below = {place: v for place, v in here.items() if isinstance(v, part)}
            yield from _rows(part, below, f"{prefix}{name}{'[]' if several else ''}.")


def meanings(model: type[Options]) -> dict[str, str]:
    """Return what the source says about each field, in one line.

    Raises:
        ValueError: Nothing is said about a field.
    """
    said: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, Options):
            continue
        attributes = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2]
        for entry in re.split(r"\n(?=    \w)", attributes):
            names, _, words = entry.strip().partition(": ")
            if "," not in names:  # several together only point to where they are described
                said[names] = words
        body = ast.parse(inspect.getsource(cls)).body[0].body  # type: ignore[attr-defined]
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                said[ast.unparse(field.target)] = ast.literal_eval(text.value)
    lacking = [name for name in model.model_fields if not said.get(name)]
    if lacking:
        raise ValueError(f"{model.__name__}: no word about {', '.join(lacking)}")
    return {name: _tidy(said[name]) for name in model.model_fields}


def _unit(name: str, annotation: Any, words: str) -> str:
    """Return the unit of a number: what its name ends with, or the first in its meaning."""
    if not re.search(r"\b(int|float)\b", str(annotation)):
        return ""
    last = name.rpartition("_")[2]
    if last in SUFFIXES:
        return SUFFIXES[last]
    found = re.search(rf"(?:\bin |\()({'|'.join(WORDS)})\b", words)
    return WORDS[found[1]] if found else ""


def _models_in(annotation: Any) -> list[type[Options]]:
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _choices(annotation: Any) -> str:
    """Return the words that an option may have, where it is one of some."""
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) is Literal:
            return f" *One of {', '.join(f'`{word}`' for word in get_args(part))}.*"
    return ""


def _tidy(words: str) -> str:
    """Return text of a docstring in one line of Markdown."""
    words = re.sub(r":\w+:`~?([^`]+)`", lambda role: f"`{role[1].rpartition('.')[2]}`", words)
    return " ".join(words.replace("``", "`").split())


def _show(value: Any) -> str:
    return f"`{_as_yaml(value)}`"


def _as_yaml(value: Any) -> str:
    """Return a value as it would stand in YAML, long lists cut."""
    if isinstance(value, Options):
        value = value.model_dump(exclude_defaults=True)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_as_yaml(v)}' for key, v in value.items())}}}"
    if isinstance(value, tuple | list):
        shown = [_as_yaml(item) for item in value]
        if len(shown) > SHOWN:
            shown = [*shown[: SHOWN // 2], "...", shown[-1]]
        return f"[{', '.join(shown)}]"
    return str(value) or '""'


def _plain(title: str, file: str, names: list[str], given: dict[str, dict[str, Any]]) -> str:
    """Return a section of values that no model checks; what they mean stands above them."""
    comments: dict[str, str] = {}
    for path in sorted((PROJECT / "conf" / "base").glob("*.yml")):
        comments |= _comments(path.read_text(encoding="utf-8"))
    rows = []
    for name in names:
        words = comments.get(name.partition(".")[0])
        if not words:
            raise ValueError(f"no comment above {name} in conf/base")
        here = (_show(of[name]) if name in of else "" for of in given.values())
        rows.append((f"`{name}`", words, *here))
    columns = ("option", "meaning", *ENVIRONMENTS)
    return f"## {title}\n\nIn `{file}`.\n\n{_table(columns, rows)}"


def _comments(text: str) -> dict[str, str]:
    """Return the comment above each top-level key; it holds up to the next one or an empty line."""
    found: dict[str, str] = {}
    words: list[str] = []
    ended = False
    for line in text.splitlines():
        if line.startswith("#"):
            words = [line] if ended else [*words, line]
        elif key := re.match(r"(\w+):", line):
            found[key[1]] = " ".join(" ".join(words).replace("#", "").split())
        elif not line:
            words = []
        ended = not line.startswith("#")
    return found


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
