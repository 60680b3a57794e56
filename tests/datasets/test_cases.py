"""The case dataset: resumes, recomputes what changed, records failures, never looks complete."""

from __future__ import annotations

import functools
import importlib
import json
import linecache
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from kedro.io import DatasetError

from lvo_kedro.datasets import CaseDataset, digests, fingerprint
from lvo_kedro.errors import ModelError
from lvo_kedro.options import Options
from lvo_kedro.pipelines.preprocessing.nodes import preprocess_scan
from tests.lengths import one_of

from .case_tasks import Trace, count_threads, die, grow, measure, meet, refuse

fingerprint_module = importlib.import_module("lvo_kedro.datasets.fingerprint")


def dataset(path: Path, **options) -> CaseDataset:
    files = {"scan.nii.gz": "lvo_kedro.datasets.NiftiDataset", "quality.json": "json.JSONDataset"}
    return CaseDataset(path=str(path), files=files, **options)


def stumble(trace: Path) -> dict[str, object]:
    with trace.open("a") as stream:
        stream.write("tried\n")
    raise RuntimeError("disk full")


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace")


def test_fields_come_back_as_they_were(tmp_path, trace):
    cases = dataset(tmp_path / "d")
    cases.save({"a": functools.partial(measure, 3, trace)})
    case = cases.load()["a"]
    assert set(case) == {"scan", "quality"}
    assert case["quality"] == {"value": 3}
    assert np.asarray(case["scan"].dataobj).tolist() == np.full((2, 2, 2), 3).tolist()
    with pytest.raises(KeyError, match="case a has no 'depth', only scan, quality"):
        case["depth"]


def test_only_what_changed_is_computed_again(tmp_path, trace):
    cases = dataset(tmp_path / "d")
    tasks = {name: functools.partial(measure, n, trace) for n, name in enumerate("abc")}
    cases.save(tasks)
    assert trace.lines() == ["0", "1", "2"]
    cases.save(tasks)
    assert trace.lines() == ["0", "1", "2"]
    cases.save(tasks | {"b": functools.partial(measure, 7, trace)})
    assert trace.lines() == ["0", "1", "2", "7"]
    (tmp_path / "d" / "c" / "scan.nii.gz").unlink()
    cases.save(tasks | {"b": functools.partial(measure, 7, trace)})
    assert trace.lines() == ["0", "1", "2", "7", "2"]


def test_a_case_taken_off_the_list_is_not_loaded(tmp_path, trace):
    cases = dataset(tmp_path / "d")
    cases.save({name: functools.partial(measure, 1, trace) for name in "ab"})
    cases.save({"b": functools.partial(measure, 1, trace)})
    assert list(cases.load()) == ["b"]


@pytest.mark.parametrize("workers", one_of(2, [1, 2]))
def test_a_failed_case_is_recorded_and_the_others_finish(tmp_path, trace, workers):
    cases = dataset(tmp_path / "d", workers=workers)
    cases.save({"a": functools.partial(measure, 1, trace), "b": functools.partial(refuse, 4)})
    loaded = cases.load()
    assert list(loaded) == ["a"]
    assert "found 4 slices; expected at least 10; export the whole series" in loaded.failed["b"]
    assert cases.exists()


def test_cases_run_on_a_dask_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=False, **options) as cluster:
        cases = dataset(tmp_path / "d", scheduler=cluster.scheduler_address)
        trace = Trace(tmp_path / "trace")
        tasks = {name: functools.partial(measure, n, trace) for n, name in enumerate("abc")}
        cases.save(tasks | {"d": functools.partial(refuse, 4)})
    assert sorted(cases.load()) == ["a", "b", "c"]
    assert list(cases.load().failed) == ["d"]


def test_refused_data_is_not_tried_again_but_an_accident_is(tmp_path, trace):
    cases = dataset(tmp_path / "d")
    tasks = {"a": functools.partial(measure, 1, trace), "b": functools.partial(stumble, trace)}
    cases.save(tasks)
    cases.save(tasks)
    assert trace.lines() == ["1", "tried", "tried"]
    assert "RuntimeError: disk full (test_cases.py:" in cases.load().failed["b"]


def test_a_run_in_which_nothing_succeeded_does_not_look_finished(tmp_path):
    with pytest.raises(DatasetError, match="every case failed, the first with: found 4 slices"):
        dataset(tmp_path / "d").save({"a": functools.partial(refuse, 4)})


def test_a_stopped_run_is_incomplete_until_it_is_resumed(tmp_path, trace):
    def interrupted() -> dict[str, object]:
        raise KeyboardInterrupt

    cases = dataset(tmp_path / "d")
    with pytest.raises(KeyboardInterrupt):
        cases.save({"a": functools.partial(measure, 1, trace), "b": interrupted})
    assert not cases.exists()
    with pytest.raises(DatasetError, match=r"case b .* not finished"):
        cases.load()
    tasks = {"a": functools.partial(measure, 1, trace), "b": functools.partial(measure, 2, trace)}
    cases.save(tasks)
    assert trace.lines() == ["1", "2"]
    assert sorted(cases.load()) == ["a", "b"]


def count_up(limit: int, *, folder: Path) -> dict[str, object]:
    counter = folder / "counter"
    count = int(counter.read_text()) if counter.exists() else 0
    while count < limit:
        count += 1
        counter.write_text(str(count))
        if count == 2:
            raise KeyboardInterrupt
    return {"quality": {"count": count}}


def test_a_resumable_task_finds_what_it_left_unless_its_inputs_changed(tmp_path):
    cases = dataset(tmp_path / "d", resumable=True)
    with pytest.raises(KeyboardInterrupt):
        cases.save({"fold_0": functools.partial(count_up, 5)})
    cases.save({"fold_0": functools.partial(count_up, 5)})
    assert cases.load()["fold_0"]["quality"] == {"count": 5}
    with pytest.raises(KeyboardInterrupt):
        cases.save({"fold_0": functools.partial(count_up, 6)})
    assert (tmp_path / "d" / "fold_0" / "counter").read_text() == "2"


def leave_a_trace(number: int, *, folder: Path) -> dict[str, object]:
    """Work that goes on from what is there, whatever it is, and is stopped."""
    (folder / "fold_0").mkdir(exist_ok=True)
    checkpoint = folder / "fold_0" / "checkpoint"
    seen = checkpoint.read_text() if checkpoint.exists() else ""
    checkpoint.write_text(f"{seen}{number}")
    raise KeyboardInterrupt


def test_nothing_of_other_inputs_is_left_to_go_on_from(tmp_path):
    cases = dataset(tmp_path / "d", resumable=True)
    for number in (1, 1, 2, 1):
        with pytest.raises(KeyboardInterrupt):
            cases.save({"fold_0": functools.partial(leave_a_trace, number)})
        if number == 2:
            assert (tmp_path / "d" / "fold_0" / "fold_0" / "checkpoint").read_text() == "2"
    assert (tmp_path / "d" / "fold_0" / "fold_0" / "checkpoint").read_text() == "1"


def test_a_folder_that_was_half_cleared_is_not_taken_for_done(tmp_path, monkeypatch):
    cases = dataset(tmp_path / "d", resumable=True)

    def give_up(path: Path) -> None:
        (path / "calls").unlink()
        raise PermissionError(path)

    done = {"fold_0": functools.partial(count_to_the_end, 1)}
    cases.save(done)
    with monkeypatch.context() as patch, pytest.raises(DatasetError, match="fold_0"):
        patch.setattr("shutil.rmtree", give_up)
        cases.save({"fold_0": functools.partial(count_to_the_end, 2)})
    cases.save(done)
    assert (tmp_path / "d" / "fold_0" / "calls").read_text() == "1"


def count_to_the_end(number: int, *, folder: Path) -> dict[str, object]:
    calls = folder / "calls"
    calls.write_text(str(int(calls.read_text()) + 1 if calls.exists() else 1))
    return {}


@pytest.mark.long
def test_folds_run_side_by_side(tmp_path):
    folds = dataset(tmp_path / "d", resumable=True, stop_on_error=True, workers=2)
    folds.save({"fold_0": partial(meet, "fold_1"), "fold_1": partial(meet, "fold_0")})
    assert sorted(folds.load()) == ["fold_0", "fold_1"]


@pytest.mark.parametrize("change", ["cut", "emptied", "removed", "other content", "record"])
def test_what_was_damaged_is_not_taken_for_done(tmp_path, trace, change):
    cases = dataset(tmp_path / "d")
    tasks = {name: partial(measure, n, trace) for n, name in enumerate("ab")}
    cases.save(tasks)
    scan = tmp_path / "d" / "b" / "scan.nii.gz"
    content = scan.read_bytes()
    if change == "removed":
        scan.unlink()
    elif change == "record":  # as a power cut may leave it
        (scan.parent / "case.json").write_text("")
    else:
        other = {"cut": content[:9], "emptied": b"", "other content": content[:-1] + b"x"}
        scan.write_bytes(other[change])
    cases = dataset(tmp_path / "d")  # of the next run
    with pytest.raises(DatasetError, match=r"case b of .*; run its pipeline again"):
        cases.load()
    cases.save(tasks)
    assert trace.lines() == ["0", "1", "1"]
    assert scan.read_bytes() == content


def test_a_copied_folder_is_as_good_as_the_first(tmp_path, trace):
    tasks = {"a": partial(measure, 1, trace)}
    dataset(tmp_path / "d").save(tasks)
    shutil.copytree(tmp_path / "d", tmp_path / "e", copy_function=shutil.copyfile)
    for file in (tmp_path / "e" / "a").glob("*.nii.gz"):
        os.utime(file, (1, 1))
    cases = dataset(tmp_path / "e")
    cases.save(tasks)
    assert cases.load()["a"]["quality"] == {"value": 1}
    assert trace.lines() == ["1"]


def test_a_model_whose_weights_were_cut_is_trained_again(tmp_path):
    folds = dataset(tmp_path / "d", resumable=True, stop_on_error=True)
    folds.save({"fold_0": partial(write_weights, 1)})
    weights = tmp_path / "d" / "fold_0" / "model" / "weights"
    weights.write_text("1")
    folds = dataset(tmp_path / "d", resumable=True, stop_on_error=True)
    with pytest.raises(DatasetError, match="model/weights has 1 bytes instead of 3"):
        folds.load()
    folds.save({"fold_0": partial(write_weights, 1)})
    assert weights.read_text() == "111"


def write_weights(number: int, *, folder: Path) -> dict[str, object]:
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "weights").write_text(f"{number}" * 3)
    return {}


def doubt(trace: Trace) -> dict[str, object]:
    with trace.open("a") as stream:
        stream.write("tried\n")
    raise ModelError("weights that are cut", "whole ones", "train them again")


def test_a_broken_model_is_no_fault_of_the_case(tmp_path, trace):
    cases = dataset(tmp_path / "d")
    tasks = {"a": partial(measure, 1, trace), "b": partial(doubt, trace)}
    cases.save(tasks)
    assert "found weights that are cut" in cases.load().failed["b"]
    cases.save(tasks)
    assert trace.lines() == ["1", "tried", "tried"]


def test_why_a_case_is_computed_is_told(tmp_path, trace):
    cases = dataset(tmp_path / "d")

    def reasons(**tasks) -> list[str]:
        return [cases.reason(job) for job in cases.jobs(tasks)]

    assert reasons(a=partial(blur, 1, Blur())) == ["new"]
    cases.save({"a": partial(blur, 1, Blur())})
    assert reasons(a=partial(blur, 1, Blur())) == [""]
    assert reasons(a=partial(blur, 2, Blur(width=2.0))) == ["changed: value, options"]
    assert reasons(a=partial(measure, 1, trace)) == ["changed: code, trace"]
    (tmp_path / "d" / "a" / "quality.json").unlink()
    assert reasons(a=partial(blur, 1, Blur())) == ["quality.json is missing"]


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="there, nothing is killed by a signal")
def test_a_case_that_takes_its_worker_down_costs_itself_alone(tmp_path, trace):
    cases = dataset(tmp_path / "d", workers=2)
    tasks = {name: partial(die, "c", name, trace) for name in "abcdef"}
    cases.save(tasks)
    assert sorted(cases.load()) == ["a", "b", "d", "e", "f"]
    assert "found its process ended from outside (SIGKILL" in cases.load().failed["c"]
    assert set(trace.lines()) == set("abcdef")
    before = len(trace.lines())
    cases.save(tasks)  # it may have been the machine: that case is tried again, and no other
    assert set(trace.lines()[before:]) == {"c"}


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="there, nothing is killed by a signal")
def test_a_run_outlives_the_case_that_took_an_earlier_run_down(tmp_path, trace):
    cases = dataset(tmp_path / "d")
    tasks = {name: partial(die, "b", name, trace) for name in "abc"}
    if (child := os.fork()) == 0:
        cases.save(tasks)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert trace.lines() == ["a", "b"]
    cases.save(tasks)
    assert sorted(cases.load()) == ["a", "c"]
    assert list(cases.load().failed) == ["b"]
    assert trace.lines() == ["a", "b", "b", "c"]


def test_a_file_that_did_not_change_is_read_once(tmp_path, monkeypatch):
    scan, read = tmp_path / "scan", []
    scan.write_bytes(b"one")
    os.utime(scan, (1, 1))
    real = digests.sha256_of
    monkeypatch.setattr(digests, "sha256_of", lambda path: read.append(path) or real(path))

    def digest() -> str:
        with digests.remembered_in(tmp_path / "digests.json"):
            return fingerprint(scan)

    first = digest()
    assert digest() == first
    assert read == [scan]
    assert str(scan) not in (tmp_path / "digests.json").read_text()
    scan.write_bytes(b"two")
    assert digest() != first
    assert digest() != first
    assert len(read) == 3  # so fresh a time does not tell whether it changes once more
    os.utime(scan, (2, 2))
    assert digest() == digest() != first
    assert len(read) == 4


def test_a_fold_that_fails_ends_the_run(tmp_path, trace):
    folds = dataset(tmp_path / "d", stop_on_error=True)
    tasks = {"fold_0": functools.partial(refuse, 1), "fold_1": functools.partial(measure, 1, trace)}
    for _ in range(2):  # nor does the next run go on without it
        with pytest.raises(DatasetError, match="fold_0 failed: found 1 slices"):
            folds.save(tasks)
        assert trace.lines() == []


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".hidden", "a b"])
def test_a_name_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(DatasetError, match="cannot name a case"):
        dataset(tmp_path / "d").save({name: functools.partial(refuse, 1)})


def test_nothing_computed_yet(tmp_path):
    assert not dataset(tmp_path / "d").exists()
    with pytest.raises(DatasetError, match="nothing was computed"):
        dataset(tmp_path / "d").load()


def test_records_hold_no_voxels_and_no_paths_of_the_machine(tmp_path, trace):
    cases = dataset(tmp_path / "d")
    cases.save({"a": functools.partial(measure, 1, trace)})
    record = json.loads((tmp_path / "d" / "a" / "case.json").read_text())
    names = {"fingerprint", "inputs", "attempt", "state", "options", "written", "seconds"}
    assert set(record) == names
    assert str(tmp_path) not in json.dumps(record)


class Blur(Options):
    width: float = 1.0


def blur(value: int, options: Blur) -> dict[str, object]:
    return {"quality": {"value": value * options.width}}


def test_a_case_tells_which_options_it_was_computed_with(tmp_path):
    cases = dataset(tmp_path / "d")
    cases.save({"a": partial(blur, 1, options=Blur(width=2.0)), "b": partial(blur, 1, Blur())})
    found = cases.load()
    assert found["a"].options == {"options": {"width": 2.0}}
    assert found["b"].options == {"options": {"width": 1.0}}


def test_fingerprints_follow_content(tmp_path):
    file = tmp_path / "scan"
    file.write_bytes(b"one")
    first = fingerprint([file, Blur(), {"b": 1, "a": (2.0, None)}, np.arange(3)])
    assert first == fingerprint([file, Blur(width=1.0), {"a": (2.0, None), "b": 1}, np.arange(3)])
    assert first != fingerprint([file, Blur(width=2.0), {"b": 1, "a": (2.0, None)}, np.arange(3)])
    file.write_bytes(b"two")
    assert first != fingerprint([file, Blur(), {"b": 1, "a": (2.0, None)}, np.arange(3)])
    assert fingerprint(1) != fingerprint("1") != fingerprint(True)
    with pytest.raises(TypeError, match="no fingerprint is defined for a object"):
        fingerprint(object())


def test_a_function_counts_with_what_it_uses_and_not_with_its_neighbours(tmp_path, monkeypatch):
    module = tmp_path / "edited.py"
    monkeypatch.syspath_prepend(tmp_path)

    def digest(source: str) -> str:
        module.write_text(source)
        linecache.clearcache()
        importlib.invalidate_caches()
        sys.modules.pop("edited", None)
        return fingerprint(importlib.import_module("edited").work)

    helper = "LIMIT = 3\ndef helper(x):\n    return x + LIMIT\n"
    work = "def work(x):\n    return helper(x)\n"
    other = "def other(x):\n    return x\n"
    first = digest(helper + work + other)
    assert digest(helper + work + other.replace("return x", "return -x")) == first
    assert digest(helper.replace("x + LIMIT", "x - LIMIT") + work + other) != first
    assert digest(helper.replace("LIMIT = 3", "LIMIT = 4") + work + other) != first
    assert digest(helper + work.replace("helper(x)", "helper(2 * x)") + other) != first


def test_words_and_layout_do_not_count():
    code = "def work(x: int) -> int:\n    y = 2 * x\n    return (y)\n"
    words = (
        '"""About."""\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import json\n'
        'def work(x: int) -> int:\n    """Say."""\n    y = 2 * x  # why\n\n    return y\n'
    )
    plain = "from typing import TYPE_CHECKING\n"
    assert fingerprint_module.code_of(words) == fingerprint_module.code_of(plain + code)
    assert fingerprint_module.code_of(code) != fingerprint_module.code_of(code.replace("2", "3"))
    empty = fingerprint_module.code_of('class A:\n    """Say."""\n')
    assert empty == fingerprint_module.code_of("class A:\n    pass\n")


def test_a_node_function_counts_with_the_science_it_calls():
    sources: dict[str, str] = {}
    fingerprint_module._collect_function(preprocess_scan, sources)
    assert "lvo_kedro.imaging.reading" in sources
    assert "lvo_kedro.imaging.geometry" in sources
    assert not [name for name in sources if name.startswith("lvo_kedro.detection")]
    assert not [name for name in sources if name.startswith("lvo_kedro.datasets")]


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="there, a killed parent takes its pipes along")
def test_a_worker_ends_with_the_run_that_started_it():
    worker = (
        "from lvo_kedro.datasets.workers import _end_with; import os; print('up', flush=True); "
    )
    worker += "_end_with(int(os.environ['RUN']))"
    run = "import os, subprocess, sys; os.environ['RUN'] = str(os.getpid()); "
    run += f"subprocess.run([sys.executable, '-c', {worker!r}])"
    command = [sys.executable, "-c", run]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout.readline() == "up\n"
        process.kill()
        assert process.stdout.read() == ""  # returns when nobody has the pipe open any more


@pytest.mark.long
def test_a_worker_that_grows_as_one_does_that_trains_a_network_is_kept(tmp_path):
    cases = dataset(tmp_path / "d", workers=2)
    cases.save({f"case-{n}": functools.partial(grow, 400_000_000) for n in range(6)})
    processes = [record["process"] for record in cases.load().records("quality").values()]
    assert len(set(processes)) <= 2


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_asked_for_whatever_the_number_of_workers(tmp_path, workers, threads):
    cases = dataset(tmp_path / "d", workers=workers, threads=threads)
    before = torch.get_num_threads()
    cases.save({name: count_threads for name in ("a", "b")})
    found = {record["threads"] for record in cases.load().records("quality").values()}
    assert found == {threads}
    assert torch.get_num_threads() == before
