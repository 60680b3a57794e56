"""The report in a real browser: no message on the console, all figures drawn, narrow screens."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("width", [1320, 500])
def test_report_in_a_browser(browser: str, html: str, tmp_path: Path, width: int) -> None:
    page = tmp_path / "report.html"
    # Only the copy under test has a script, which says what it sees.
    page.write_text(html.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [
        browser,
        *FLAGS,
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
        f"--screenshot={tmp_path / 'page.png'}",
        page.as_uri(),
    ]
    run = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, timeout=120, check=False
    )
    console = re.findall(r"CONSOLE[^\"]*\"(.*)\", source", run.stderr)
    if not console:
        pytest.skip(f"the browser did not start: {run.stderr[-300:]}")
    assert len(console) == 1, console  # nothing but the probe's own line
    seen = {
        key: (value == "true") if value in ("true", "false") else int(value)
        for key, value in re.findall(r'\\?"(\w+)\\?":(\w+)', console[0])
    }
    assert seen["images"] >= 20
    assert seen["missing"] == 0
    assert seen["content"] <= seen["width"], "the page is wider than the window"
    assert seen["shown"] is True
    assert seen["reachable"] is True
    assert seen["small"] == 0
    assert (tmp_path / "page.png").stat().st_size > 10_000
