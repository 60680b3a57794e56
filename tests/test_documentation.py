"""The pages under ``docs``: current, complete, and a site that needs nothing from anywhere."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from lvo_kedro.options import Options

from .docs_scripts import load_script

PROJECT = Path(__file__).resolve().parents[1]
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>"
    r"|<link\b[^>]*\bhref=[\"']?(?:https?:)?//[^>]*>"
    r"|(?:url\(|@import\s*)[\"']?(?:https?:)?//[^)\s]*"
)
"""What a browser fetches from another host as soon as a page is opened."""


class Silent(Options):
    size_mm: float = 1.0


@pytest.fixture(scope="module")
def options() -> ModuleType:
    return load_script("generate_options")


def test_the_page_of_options_is_current(options):
    assert options.PAGE.read_text(encoding="utf-8") == options.render(), "run make docs"


def test_an_option_without_a_meaning_is_an_error(options):
    with pytest.raises(ValueError, match="no word about size_mm"):
        options.meanings(Silent)


def test_an_option_in_millimetres_or_hounsfield_units_says_so_in_its_name(options):
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\| (mm|mm²|HU) \|", options.render(), re.MULTILINE)
    assert len(rows) > 50
    parts = {"mm": "mm", "mm²": "mm2", "HU": "hu"}
    # in mm where it smooths, without a unit where it sharpens
    mixed = {"simulation.kernel"}
    odd = {name for name, unit in rows if parts[unit] not in name.split(".")[-1].split("_")}
    assert odd == mixed


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    if find_spec("mkdocstrings") is None or find_spec("material") is None:
        pytest.skip("the site is not built: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=PROJECT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.long
def test_the_site_shows_every_exported_name(site):
    missing = []
    for page in set((PROJECT / "docs" / "api").glob("*.md")) - {PROJECT / "docs/api/index.md"}:
        package = page.stem
        source = (PROJECT / "src" / "lvo_kedro" / package / "__init__.py").read_text("utf-8")
        names = re.findall(r'"(\w+)"', source.split("__all__ = [")[1].split("]")[0])
        html = (site / "api" / f"{package}.html").read_text("utf-8")
        assert names
        marks = [f"lvo_kedro.{package}.{name}" for name in names]
        missing += [mark for mark in marks if f'id="{mark}"' not in html]
    assert not missing, "not on its page; an attribute needs a docstring"


def test_every_science_package_has_a_page():
    text = (PROJECT / "pyproject.toml").read_text("utf-8")
    contract = text.split('name = "Science knows neither Kedro nor MLflow"')[1]
    packages = set(re.findall(r'"lvo_kedro\.(\w+)"', contract.split("forbidden_modules")[0]))
    pages = {page.stem for page in (PROJECT / "docs" / "api").glob("*.md")} - {"index"}
    assert pages == packages


@pytest.mark.long
def test_the_site_loads_nothing_from_another_host(site):
    read = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    assert len(read) > 20
    for path in read:
        assert not LOADED.findall(path.read_text("utf-8")), path.name


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://elsewhere/x.js"></script>',
        '<link rel="stylesheet" href="//elsewhere/x.css">',
        "@import 'https://elsewhere/x.css'",
        "src: url(https://elsewhere/x.woff2)",
    ],
)
def test_what_comes_from_another_host_is_recognized(text):
    assert LOADED.search(text)


SCIENCE = (
    *("imaging", "priors", "nnunet", "detection", "localization", "evaluation"),
    *("simulation", "reporting", "weights", "studies"),
)


@pytest.mark.parametrize("package", SCIENCE)
def test_exported_functions_say_what_they_take_and_what_they_give(package):
    module = importlib.import_module(f"lvo_kedro.{package}")
    exported = [getattr(module, name) for name in module.__all__]
    functions = [item for item in exported if inspect.isfunction(item)]
    assert functions
    for function in functions:
        text, signature = inspect.getdoc(function) or "", inspect.signature(function)
        if signature.parameters:
            assert "Args:" in text, function.__name__
        if signature.return_annotation not in (None, "None"):
            assert re.search(r"^(Returns:|Return |Yields:)", text, re.M), function.__name__
