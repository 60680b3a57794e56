"""The page of an import: order, what it shows, and that it needs nothing else."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import tracemalloc
from pathlib import Path

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.reporting.import_page import SeriesLine, StudyLine, write_import_page
from tests.reporting.test_browser import FLAGS
from tests.test_documentation import LOADED


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    """A head with one bright ball on the patient's left, in front."""
    affine = np.diag([-2.0, -2.0, 4.0, 1.0])
    affine[:3, 3] = [90, 100, -60]
    i, j, k = np.indices((90, 100, 32), dtype=np.float32)
    x, y, z = 90 - 2 * i, 100 - 2 * j, 4 * k - 60
    noise = np.random.default_rng(0).normal(0, 8, x.shape)
    data = noise + np.where((x / 75) ** 2 + (y / 90) ** 2 + (z / 60) ** 2 < 1, 30, -1000)
    data[(x + 40) ** 2 + (y - 45) ** 2 + (z - 2) ** 2 < 200] = 120
    path = tmp_path_factory.mktemp("scan") / "ncct.nii.gz"
    nib.save(make_image(data.astype(np.int16), affine), path)
    return path


@pytest.fixture(scope="module")
def studies(scan: Path) -> list[StudyLine]:
    chosen = SeriesLine("series 3", 7.25, ("axial, 5 mm, soft kernel", "140 mm covered"))
    others = (
        SeriesLine("series 4", 6.9, ("thin, 0.6 mm",)),
        SeriesLine("series 1", None, ("a localizer",)),
    )
    return [
        StudyLine("case-a", scan, chosen, others, "left M1"),
        StudyLine("case-b", scan, chosen, others, missing=("label",)),
        StudyLine("case-c", None, None, others, "no occlusion", to_decide=("<b>two</b> alike",)),
        StudyLine("case-d", scan.parent / "gone.nii.gz", chosen, label="right C7+M1"),
    ]


@pytest.fixture(scope="module")
def page(studies, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "new"
    problems = ("row 7, Befund: contradicts another column of the row: not taken",)
    return write_import_page(folder, studies, problems, simulated=True)


def test_what_needs_a_person_comes_first_and_text_is_escaped(page: Path) -> None:
    html = page.read_text("utf-8")
    places = [html.index(f"<code>case-{letter}</code>") for letter in "cdba"]
    assert places == sorted(places)
    assert "&lt;b&gt;two&lt;/b&gt; alike" in html
    assert "SIMULATED DATA" in html and "not a medical device" in html
    assert "row 7, Befund" in html
    for words in ("7.2", "140 mm covered", "a localizer", "left M1", "right C7+M1"):
        assert words in html
    assert [p.name for p in page.parent.iterdir()] == ["import.html"]


def test_a_scan_that_is_gone_or_damaged_is_for_a_person(page: Path, tmp_path: Path) -> None:
    row = page.read_text("utf-8").split("<code>case-d</code>")[1].split("</tr>")[0]
    assert "its written scan is gone" in row
    assert "<img" not in row
    (tmp_path / "cut.nii.gz").write_bytes(b"\x1f\x8b")
    cut = write_import_page(tmp_path, [StudyLine("case-e", tmp_path / "cut.nii.gz")])
    assert "truncated or damaged file for the written scan" in cut.read_text("utf-8")


def test_it_needs_nothing_else(page: Path) -> None:
    html = page.read_text("utf-8")
    assert not LOADED.findall(html)
    assert set(re.findall(r'<img src="([^,]{1,30}),', html)) == {"data:image/png;base64"}


def test_a_thumbnail_shows_the_patients_left_on_the_viewers_right(page: Path, tmp_path) -> None:
    html = page.read_text("utf-8")
    data = re.search(r'<img src="data:image/png;base64,([^"]+)" alt="axial', html)
    (tmp_path / "a.png").write_bytes(base64.b64decode(data[1]))
    pixels = matplotlib.image.imread(tmp_path / "a.png")
    assert pixels.ndim == 2
    row, column = np.argwhere(pixels > 0.9).mean(axis=0) / pixels.shape
    assert column > 0.6 and row < 0.4  # left, in front


def test_memory_does_not_grow_with_the_studies(scan: Path, tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        write_import_page(tmp_path, [StudyLine(f"case-{n:04d}", scan) for n in range(count)])
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(1)  # the template is compiled
    few, many = peak(3), peak(63)
    assert (tmp_path / "import.html").stat().st_size > 300_000
    assert many < few + 100_000


def test_it_opens_in_a_browser_without_a_message(page: Path, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium or Chrome on this machine")
    shot = tmp_path / "shot.png"
    done = subprocess.run(  # noqa: S603 - our own page
        [browser, *FLAGS, f"--user-data-dir={tmp_path}", "--window-size=1200,900",
         f"--screenshot={shot}", page.as_uri()],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr
    pixels = matplotlib.image.imread(shot)[..., :3]
    assert (pixels.max(axis=-1) < 0.02).mean() > 0.01  # the thumbnails' background
