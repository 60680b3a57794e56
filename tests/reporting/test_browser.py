"""The report in a real browser: no message on the console, all figures drawn, narrow screens."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from lvo_kedro.reporting import ReportContent, render_report, report, split_views, views

pytestmark = pytest.mark.long

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=4000",
)
PROBE = """
<script>
addEventListener("load", () => {
  const images = [...document.images];
  const missing = images.filter(i => !(i.complete && i.naturalWidth > 0)).length;
  const page = document.documentElement;
  const skip = document.querySelector("a.skip");
  skip.focus({preventScroll: true});
  const shown = skip.getBoundingClientRect().left >= 0;
  const regions = [...document.querySelectorAll('[role="region"]')];
  const reachable = regions.every(r => {
    r.focus({preventScroll: true});
    return !r.checkVisibility() ||
    document.activeElement === r; });
  document.activeElement.blur();
  console.log("PROBE " + JSON.stringify({
    images: images.length, missing, width: innerWidth, content: page.scrollWidth, shown,
    reachable, small: [...document.querySelectorAll("p, li, td")].filter(
      e => e.checkVisibility() && parseFloat(getComputedStyle(e).fontSize) < 11).length }));
});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("no Chromium or Chrome on this machine")


def look(browser: str, html: str, folder: Path, width: int) -> dict[str, int | bool]:
    """Open a page in a window of that width and return what the probe sees."""
    page = folder / "report.html"
    # Only the copy under test has a script, which says what it sees.
    page.write_text(html.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [
        browser,
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},900",
        f"--screenshot={folder / 'page.png'}",
        page.as_uri(),
    ]
    run = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, timeout=120, check=False
    )
    console = re.findall(r"CONSOLE[^\"]*\"(.*)\", source", run.stderr)
    if not console:
        pytest.skip(f"the browser did not start: {run.stderr[-300:]}")
    assert len(console) == 1, console  # nothing but the probe's own line
    return {
        key: (value == "true") if value in ("true", "false") else int(value)
        for key, value in re.findall(r'\\?"(\w+)\\?":(\w+)', console[0])
    }


@pytest.mark.parametrize("width", [1320, 500])
def test_report_in_a_browser(browser: str, html: str, tmp_path: Path, width: int) -> None:
    seen = look(browser, html, tmp_path, width)
    assert seen["images"] >= 20
    assert seen["missing"] == 0
    assert seen["content"] <= seen["width"], "the page is wider than the window"
    assert seen["shown"] is True
    assert seen["reachable"] is True
    assert seen["small"] == 0
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_no_table_is_wider_than_the_printed_page(browser: str, html: str, tmp_path: Path) -> None:
    printed = html.replace("@media print", "@media all")
    assert printed.count("@media all") >= 2
    page = 703  # CSS pixels of A4 less its margins
    assert look(browser, printed, tmp_path, page)["content"] <= page


def printed_pages(browser: str, html: str, folder: Path) -> list[bytes]:
    """Print a page to PDF and return what is drawn on each of its sheets."""
    folder.mkdir()
    (folder / "report.html").write_text(html, encoding="utf-8")
    command = [
        browser,
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        "--no-pdf-header-footer",
        f"--print-to-pdf={folder / 'report.pdf'}",
        (folder / "report.html").as_uri(),
    ]
    subprocess.run(command, capture_output=True, timeout=120, check=False)  # noqa: S603
    if not (folder / "report.pdf").is_file():
        pytest.skip("the browser did not print")
    content = (folder / "report.pdf").read_bytes()
    objects = dict(re.findall(rb"(\d+) 0 obj\s*(.*?)endobj", content, re.DOTALL))
    pages = [o for o in objects.values() if re.search(rb"/Type\s*/Page\b", o)]
    streams = []
    for page in pages:
        found = re.search(rb"/Contents\s+(\d+)", page)
        assert found
        packed = re.search(rb"stream\r?\n(.*?)\r?\nendstream", objects[found[1]], re.DOTALL)
        assert packed
        # tolerant of an end that was cut: the last byte of a stream may look like a line's end
        streams.append(zlib.decompressobj().decompress(packed[1]))
    return streams


def test_every_printed_page_is_marked_where_data_are_simulated(
    browser: str, content: ReportContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "to_svg", lambda figure: "data:,")  # the marks are what counts
    for module in (report, split_views):
        monkeypatch.setattr(module, "draw", lambda make, *words, **more: views.Picture("", *words))
    mark = rb"\.4784 \.2 0 rg\s*BT"  # text in the colour of the mark alone, #7a3300
    html = render_report(content)
    simulated = printed_pages(browser, html, tmp_path / "simulated")
    assert len(simulated) > 5
    assert all(re.search(mark, page) for page in simulated)
    real = render_report(dataclasses.replace(content, simulated=False))
    assert not any(
        re.search(mark, page) for page in printed_pages(browser, real, tmp_path / "real")
    )
