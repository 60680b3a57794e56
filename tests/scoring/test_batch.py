"""Many scans: each has its result, whatever becomes of the others."""

from __future__ import annotations

import json
import os

import pytest

from lvo_kedro.scoring.batch import score_all, write_summary
from lvo_kedro.scoring.sources import Source, find_sources


def files(folder, *texts):
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.nii" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_one_bad_scan_does_not_end_the_batch_and_its_error_names_no_file(scorer, tmp_path):
    scans = [*files(tmp_path / "in", "a", "broken", "unfit", "b"), tmp_path / "gone.nii"]
    done = list(score_all(scorer, [Source(scan) for scan in scans], lambda _: None))
    assert [item.failed for item in done] == [False, True, True, False, True]
    assert [item.scan for item in done] == scans
    assert "RuntimeError" in done[1].error
    assert "Smith" not in done[1].error


def test_results_come_as_they_end_with_the_time_that_is_left(scorer, tmp_path):
    told = []
    results = score_all(scorer, [*map(Source, files(tmp_path / "in", "a", "b"))], told.append)
    next(results)
    assert (scorer.seen, told) == (["a"], ["scan 1 of 2"])
    next(results)
    assert told[1].startswith("scan 2 of 2, ")
    assert told[1].endswith(" left")


def test_what_is_there_twice_is_scored_once(scorer, tmp_path):
    scans = files(tmp_path / "in", "a", "b", "a")
    done = list(score_all(scorer, [Source(scan) for scan in scans], lambda _: None))
    assert scorer.seen == ["a", "b"]
    assert done[2].scan == scans[2]
    assert done[2].result == done[0].result


def test_a_folder_stands_for_its_nifti_files_or_for_a_series(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.nii", "deep/b.NII.GZ", ".hidden.nii", "notes.txt"):
        (tmp_path / "in" / name).write_text("")
    os.symlink(tmp_path / "in" / "a.nii", tmp_path / "in" / "link.nii")
    found = [source.shown for source in find_sources(tmp_path / "in")]
    names = [path.relative_to(tmp_path / "in").as_posix() for path in found]
    assert names == ["a.nii", "deep/b.NII.GZ"]
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "IM001").write_text("")
    assert find_sources(tmp_path / "series") == [Source(tmp_path / "series")]


def test_the_summary_counts_and_leaves_the_first_scan_out_of_the_median(scorer, tmp_path):
    scans = files(tmp_path / "in", "a", "b", "c", "unfit")
    done = list(score_all(scorer, [Source(scan) for scan in scans], lambda _: None))
    summary = write_summary(done, scorer.out)
    assert json.loads((scorer.out / "summary.json").read_text()) == summary
    assert (summary["scans"], summary["scored"], summary["failed"]) == (4, 3, 1)
    assert summary["seconds"]["first"] == 1.0
    assert summary["seconds"]["median"] == 2.5  # of 2 and 3; one that failed takes no time
    assert summary["seconds"]["p95"] == pytest.approx(2.95)
    assert str(tmp_path) not in json.dumps(summary)
