"""``kedro adopt``: what it prints, where it writes, and how it ends."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lvo_kedro.cli_adoption import _default_folder, adopt_command
from tests.adoption.conftest import Folder

PROJECT = Path(__file__).resolve().parents[2]


def adopt(*arguments: str | Path) -> Result:
    return CliRunner().invoke(adopt_command, [str(argument) for argument in arguments])


def test_licence_counts_and_reviews_are_printed(older: Folder, tmp_path: Path) -> None:
    result = adopt("isles24", older.root, "--out", tmp_path / "01_raw", "--link")
    assert result.exit_code == 0, result.output
    for said in ("Attribution: ", "no checksums.md5", "side:", "2 cases in", "Research software"):
        assert said in result.output
    scan = next(older.root.rglob("*0002*_ncct.nii.gz"))
    assert os.path.samefile(scan, tmp_path / "01_raw" / "cases" / "isles24-0002" / "ncct.nii.gz")


@pytest.mark.long
def test_a_subject_that_failed_ends_with_status_1(newer: Folder, tmp_path: Path) -> None:
    result = adopt("isles24", newer.root.parent, "--out", tmp_path)
    assert result.exit_code == 1
    assert "failed: sub-stroke0010" in result.output and "8 cases in" in result.output
    assert "review by eye: isles24-0003" in result.output


def test_unknown_names_and_options_list_the_known_ones(older: Folder, tmp_path: Path) -> None:
    result = adopt("isles2024", older.root, "--out", tmp_path)
    assert result.exit_code == 1 and "isles24" in result.output
    for setting, said in (("m2_mm=3", "m1_mm"), ("m1_mm=-3", "greater"), ("m1_mm", "OPTION=VALUE")):
        result = adopt("isles24", older.root, "--out", tmp_path, "--set", setting)
        assert result.exit_code == 2 and said in result.output
    assert not list(tmp_path.iterdir())


def test_the_archive_is_no_place_for_the_cohort(older: Folder) -> None:
    result = adopt("isles24", older.root, "--out", older.root / "new")
    assert result.exit_code == 2 and not (older.root / "new").exists()


def test_checksums_are_compared_if_they_are_there(older: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "train").symlink_to(older.root, target_is_directory=True)
    (folder / "train.7z").write_bytes(b"packed")
    right = hashlib.md5(b"packed", usedforsecurity=False).hexdigest()
    listed = folder / "checksums.md5"
    listed.write_text(f"{right}  train.7z\n", encoding="utf-8")
    result = adopt("isles24", folder, "--out", tmp_path / "one")
    assert result.exit_code == 0 and "1 files are as checksums.md5" in result.output
    for line, said in (
        (f"{'0' * 32}  train.7z", "download it again"),
        (f"{right}  other.7z", "no file other.7z"),
        (f"{right}  ../secret", "no file ../secret"),
        ("nonsense", "no checksum"),
    ):
        listed.write_text(f"{line}\n", encoding="utf-8")
        result = adopt("isles24", folder, "--out", tmp_path / "two")
        assert result.exit_code == 1 and said in result.output


def test_the_default_place_is_that_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    assert _default_folder("isles24") == PROJECT / "data" / "isles24" / "01_raw"
