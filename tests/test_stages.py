"""What stages 1 and 3 do alike, and who may judge which case in all three."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from lvo_kedro.nnunet import NnUNetOptions
from lvo_kedro.stages import blind_networks, dataset_task, fold_tasks

COHORT = pd.DataFrame(
    {
        "case_id": ["a", "a-again", "b", "c", "outside"],
        "patient_id": ["A", "A", "B", "C", "O"],
        "split": ["development"] * 4 + ["external"],
    }
)
FOLDS = pd.DataFrame({"patient_id": ["A", "B", "C"], "fold": [0, 1, 1]})


@pytest.mark.parametrize("seeds", [("",), ("_seed_0", "_seed_5")])
def test_a_case_is_judged_by_the_fold_that_held_its_patient_out(seeds):
    names = [f"fold_{fold}{seed}" for fold in (0, 1) for seed in seeds]
    models = {name: SimpleNamespace(name=name) for name in names}
    blind = blind_networks(list(COHORT["case_id"]), models, COHORT, FOLDS)
    chosen = {case: [model.name for model in found] for case, found in blind.items()}
    own = [f"fold_0{seed}" for seed in seeds], [f"fold_1{seed}" for seed in seeds]
    assert chosen == {"a": own[0], "a-again": own[0], "b": own[1], "c": own[1], "outside": names}


def read(image, labels):
    return image, labels


def test_the_dataset_holds_labelled_development_cases_with_their_splits():
    images = {case: f"image of {case}" for case in COHORT["case_id"]}
    labels = {case: f"labels of {case}" for case in ("a", "b", "c", "outside")}
    options = NnUNetOptions()
    tasks = dataset_task(
        images, labels, read, {"M1": 1}, cohort=COHORT, folds=FOLDS, options=options
    )
    pairs, reader, values, splits, _ = tasks["dataset"].args
    assert pairs == {case: (images[case], labels[case]) for case in "abc"}
    assert (reader, values) == (read, {"M1": 1})
    assert splits == [{"train": ["b", "c"], "val": ["a"]}, {"train": ["a"], "val": ["b", "c"]}]


def test_each_fold_is_one_task_and_logs_under_the_models_entry():
    options = NnUNetOptions(epochs=3, step_size=0.25)
    tasks = fold_tasks({"dataset": "prepared"}, FOLDS, options, "vessel_models")
    assert list(tasks) == ["fold_0", "fold_1"]
    for fold, task in enumerate(tasks.values()):
        dataset, number, chosen, log = task.args
        assert (dataset, number, chosen.epochs) == ("prepared", fold, 3)
        assert chosen.step_size == NnUNetOptions().step_size  # no reason to train again
        assert (log.stage, log.fold) == ("vessel_models", f"fold_{fold}")
