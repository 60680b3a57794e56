"""A run that is killed and started again ends with what an undisturbed one leaves.

``python -m benchmarks.kills`` does this twenty times over the whole method.
"""

from __future__ import annotations

import os
import shutil

import pytest
from benchmarks.kills import content_of, done_cases, kill, start

pytestmark = pytest.mark.long

STEP = "03_primary/priors"
LEFT, LOST = 1, 4
RUN = ("run", "--env", "tiny", "--pipelines", "priors")


@pytest.mark.skipif(os.name == "nt", reason="there, a run has no process group to kill")
def test_a_run_that_is_killed_goes_on_where_it_was(tiny, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(tiny.folder, folder)
    data, settings = folder / "data" / "tiny", folder / "conf" / "tiny" / "globals.yml"
    one = settings.read_text()
    settings.write_text(one.replace("workers: 1", "workers: 2", 1))  # they are killed as well
    whole = done_cases(data)
    cases = sorted(name for name in whole if name.startswith(STEP))
    for name in cases[:LOST]:
        shutil.rmtree(data / name)
    kill(folder, RUN, len(whole) - LOST + LEFT, 0.0)
    half = done_cases(data)
    assert len(whole) - LOST + LEFT <= len(half) < len(whole)
    settings.write_text(one)  # quicker, since none is to be started
    assert start(folder, *RUN).wait() == 0
    again = done_cases(data)
    assert set(again) == set(whole)
    assert {name: again[name] for name in half} == half  # nothing that was done is done again
    for name in cases:
        for file in (tiny.data / name).glob("*.nii.gz"):
            assert content_of(data / name / file.name) == content_of(file)
    assert not list((data / STEP).glob(".*"))
