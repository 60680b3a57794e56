"""What this package is made of: the page of licences is complete and of the pinned versions."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .docs_scripts import load_script

PROJECT = Path(__file__).resolve().parents[1]
MADE_WITH = {"python_version": "3.11", "sys_platform": "linux", "platform_system": "Linux"}


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    return load_script("generate_licences")


@pytest.fixture(scope="module")
def listed(licences) -> dict[str, tuple[str, str]]:
    """Version and licence by package, as the page has them."""
    rows = re.findall(
        r"^\| ([\w-]+) \| ([\w.]+) \| (.+?) \| .+ \|$", licences.PAGE.read_text("utf-8"), re.M
    )
    rows = rows[1:]  # the heading
    return {name: (version, licence) for name, version, licence in rows}


def holding(lines: list[str]) -> list[Requirement]:
    requirements = [Requirement(line) for line in lines]
    return [r for r in requirements if not r.marker or r.marker.evaluate(MADE_WITH)]


def test_every_direct_dependency_is_on_the_page_with_its_licence(listed):
    text = (PROJECT / "pyproject.toml").read_text("utf-8")
    (array,) = re.findall(r"^dependencies = (\[.*?^\])", text, re.M | re.S)  # Python reads it, too
    direct = {canonicalize_name(r.name) for r in holding(ast.literal_eval(array))}
    assert len(direct) > 20
    assert not direct - set(listed), "run make licences"
    assert not [name for name, (_, licence) in listed.items() if licence == "not named"]


def test_the_page_has_the_pinned_versions(listed):
    lines = (PROJECT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {
        canonicalize_name(r.name): str(r.specifier)
        for r in holding([line for line in lines if not line.startswith("#")])
    }
    found = {name: f"=={version}" for name, (version, _) in listed.items()}
    assert found == {name: pins.get(name) for name in found}, "run make licences"


class Package:
    files = ()

    def __init__(self, fields: Mapping[str, str], classifiers: tuple[str, ...] = ()) -> None:
        self.metadata = Message()
        for name, value in fields.items():
            self.metadata[name] = value
        for name in classifiers:
            self.metadata["Classifier"] = f"License :: OSI Approved :: {name}"


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        (
            Package({"License-Expression": "MIT AND BSD-3-Clause", "License": "x"}),
            "MIT AND BSD-3-Clause",
        ),
        (Package({"License": "Apache  2.0"}), "Apache 2.0"),
        (Package({"License": "a whole text " * 20}, ("BSD License",)), "BSD License"),
        (Package({"License": "UNKNOWN"}, ("BSD License",)), "BSD License"),
        # a field that names one of two licences must not hide the other
        (Package({"License": "Artistic"}, ("GNU Affero (AGPL)",)), "GNU Affero (AGPL)"),
        (Package({}), "not named"),
    ],
)
def test_a_licence_is_read_from_where_it_stands(licences, package, expected):
    assert licences.licence_of(package) == expected


@pytest.mark.parametrize("name", ["LGPL-3.0-or-later", "MPL-2.0 AND MIT", "GPLv2+", "GNU Affero"])
def test_copyleft_is_recognized(licences, name):
    assert licences.COPYLEFT.search(name)
    assert not licences.COPYLEFT.search("MIT AND BSD-3-Clause AND Apache-2.0 WITH LLVM-exception")


def test_copyleft_packages_are_pointed_out(licences, listed):
    page = licences.PAGE.read_text("utf-8").split("## All")[0]
    copyleft = {name for name, (_, licence) in listed.items() if licences.COPYLEFT.search(licence)}
    assert copyleft == set(re.findall(r"^- ([\w-]+) \(", page, re.M))
    assert "connected-components-3d" in copyleft
