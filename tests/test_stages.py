"""What stages 1 and 3 do alike, and who may judge which case in all three."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from lvo_kedro.artifacts import sha256_of
from lvo_kedro.datasets import Cases, fingerprint
from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet import NnUNetOptions
from lvo_kedro.options import StartOptions
from lvo_kedro.stages import (
    ScanHashes,
    dataset_task,
    each_case,
    fold_tasks,
    out_of_fold_models,
)

COHORT = pd.DataFrame(
    {
        "case_id": ["a", "a-again", "b", "c", "outside"],
        "patient_id": ["A", "A", "B", "C", "O"],
        "split": ["development"] * 4 + ["external"],
        "fold": [0, 0, 1, 1, None],
    }
)


@pytest.mark.parametrize("seeds", [("",), ("_seed_0", "_seed_5")])
def test_a_case_is_judged_by_the_fold_that_held_its_patient_out(seeds):
    names = [f"fold_{fold}{seed}" for fold in (0, 1) for seed in seeds]
    models = {name: SimpleNamespace(name=name) for name in names}
    found = out_of_fold_models(list(COHORT["case_id"]), models, COHORT)
    chosen = {case: [model.name for model in judges] for case, judges in found.items()}
    own = [f"fold_0{seed}" for seed in seeds], [f"fold_1{seed}" for seed in seeds]
    assert chosen == {"a": own[0], "a-again": own[0], "b": own[1], "c": own[1], "outside": names}


def read(image, labels):
    return image, labels


def test_the_dataset_holds_labelled_development_cases_with_their_splits():
    images = {case: f"image of {case}" for case in COHORT["case_id"]}
    labels = {case: f"labels of {case}" for case in ("a", "b", "c", "outside")}
    options = NnUNetOptions()
    tasks = dataset_task(images, labels, read, {"M1": 1}, cohort=COHORT, options=options)
    pairs, reader, values, splits, _ = tasks["dataset"].args
    assert pairs == {case: (images[case], labels[case]) for case in "abc"}
    assert (reader, values) == (read, {"M1": 1})
    assert splits == [{"train": ["b", "c"], "val": ["a"]}, {"train": ["a"], "val": ["b", "c"]}]


def test_each_fold_is_one_task_and_logs_under_the_models_entry():
    options = NnUNetOptions(epochs=3, step_size=0.25)
    tasks = fold_tasks({"dataset": "prepared"}, scans(), COHORT, options, "vessel_models")
    assert list(tasks) == ["fold_0", "fold_1"]
    for fold, task in enumerate(tasks.values()):
        dataset, number, chosen, log = task.args
        assert (dataset, number, chosen.epochs) == ("prepared", fold, 3)
        assert chosen.step_size == NnUNetOptions().step_size  # no reason to train again
        assert (log.stage, log.fold) == ("vessel_models", f"fold_{fold}")
        assert task.keywords["start"] is None
        assert dict(task.keywords["hashes"]) == {"a": "hash of a"}
        assert fingerprint(task.keywords["hashes"]) == fingerprint(ScanHashes(Cases({}, {})))


def test_folds_start_from_weights_that_have_seen_no_scan_of_the_cohort(tmp_path):
    options = NnUNetOptions(start_from=given_weights(tmp_path, "w", {"x": "another hash"}))
    tasks = fold_tasks({"dataset": "prepared"}, scans(), COHORT, options, "vessel_models")
    assert {task.keywords["start"].tensors for task in tasks.values()} == {
        tmp_path / "w" / "model.safetensors"
    }
    options = NnUNetOptions(start_from=given_weights(tmp_path, "v", {"x": "hash of a"}))
    with pytest.raises(ModelError, match="trained on 1 cases of this cohort: a;"):
        fold_tasks({"dataset": "prepared"}, scans(), COHORT, options, "vessel_models")


def scans():
    return {"a": {"quality": {"content_hash": "hash of a"}}}


def given_weights(folder, name, trained_on):
    (folder / name).mkdir()
    file = folder / name / "model.safetensors"
    save_file({"a": torch.zeros(1)}, str(file))
    card = {
        "network": {},
        "input": {"channels": ["ncct"], "spacing_mm": 1.0},
        "sha256": sha256_of(file),
        "training": {"train": [], "options": {"selection": "last"}},
        "trained_on": trained_on,
    }
    (folder / name / "model.json").write_text(json.dumps(card))
    return StartOptions(weights=str(folder / name))


def join(first, second, *, mark):
    return {"text": f"{first}{mark}{second}"}


def test_each_case_is_a_task_where_all_parts_of_it_are_there():
    tasks = each_case(join, {"b": 1, "a": 2, "c": 3}, {"a": "x", "b": "y"}, mark="-")
    assert {name: task() for name, task in tasks.items()} == {
        "b": {"text": "1-y"},
        "a": {"text": "2-x"},
    }
    assert each_case(join, {}, {"a": 1}, mark="") == {}
