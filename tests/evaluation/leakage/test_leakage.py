"""Each way of fooling oneself: first the trap is sprung, then it is caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import balanced_accuracy_score, brier_score_loss
from sklearn.neighbors import KNeighborsClassifier

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import (
    Finding,
    auc_interval,
    check_duplicate_scans,
    check_epoch_choice,
    check_external,
    check_fitted_elsewhere,
    check_informative,
    check_out_of_fold,
    check_patient_separation,
    check_same_cases,
    check_study,
    findings_table,
    raise_on_errors,
    training_patients,
)
from lvo_kedro.imaging import hash_scan
from tests.synthetic_study import make_study


def names(findings: list[Finding]) -> set[str]:
    return {finding.check for finding in findings}


def clustered_patients(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Patients with four near-identical scans each, whose features say nothing about the label."""
    generator = np.random.default_rng(seed)
    patients = np.repeat(np.arange(40), 4)
    labels = np.repeat(generator.permutation(np.arange(40) % 2), 4)
    features = np.repeat(generator.normal(size=(40, 5)), 4, axis=0)
    features += 0.05 * generator.normal(size=features.shape)
    table = pd.DataFrame(
        {"case_id": [f"c{i}" for i in range(160)], "patient_id": patients, "lvo": labels}
    )
    return table, features


def out_of_fold_area(table: pd.DataFrame, features: np.ndarray, folds: np.ndarray) -> float:
    scores = np.zeros(len(table))
    for fold in np.unique(folds):
        here = folds == fold
        model = KNeighborsClassifier(3).fit(features[~here], table["lvo"][~here])
        scores[here] = model.predict_proba(features[here])[:, 1]
    return auc_interval(table["lvo"], scores).value


def test_a_patient_in_two_folds() -> None:
    table, features = clustered_patients(0)
    by_case, by_patient = np.arange(160) % 4, np.repeat(np.arange(40) % 4, 4)
    assert out_of_fold_area(table, features, by_case) > 0.95  # the trap: noise looks perfect
    assert out_of_fold_area(table, features, by_patient) < 0.7
    findings = check_patient_separation(table.assign(fold=by_case))
    assert names(findings) == {"patient_in_two_folds"}
    with pytest.raises(TableError, match="more than one fold"):
        raise_on_errors(findings)
    assert check_patient_separation(table.assign(fold=by_patient)) == []


def test_a_patient_in_two_splits() -> None:
    table, features = clustered_patients(2)
    scan = np.arange(160) % 4
    model = KNeighborsClassifier(3).fit(features[scan < 3], table["lvo"][scan < 3])
    other, unseen = clustered_patients(3)
    leaked, clean = model.predict_proba(features[scan == 3]), model.predict_proba(unseen)
    assert auc_interval(table["lvo"][scan == 3], leaked[:, 1]).value > 0.95  # the trap: "external"
    assert auc_interval(other["lvo"], clean[:, 1]).value < 0.7
    cohort = table.assign(split=np.where(scan < 3, "development", "external"))
    findings = check_patient_separation(cohort)
    assert names(findings) == {"patient_in_two_splits"}
    assert findings[0].severity == "error"
    assert len(findings[0].cases) == 160
    assert check_patient_separation(table.assign(split="development")) == []


def test_predictions_that_are_not_out_of_fold() -> None:
    table, features = clustered_patients(1)
    scores = KNeighborsClassifier(3).fit(features, table["lvo"]).predict_proba(features)[:, 1]
    assert auc_interval(table["lvo"], scores).value > 0.95  # the trap: scored by its own training
    folds = table.assign(fold=table["patient_id"] % 4)
    declared = training_patients(folds)
    wrong = folds.assign(fold=(folds["fold"] + 1) % 4)
    assert check_out_of_fold(folds, declared, "segmentation") == []
    findings = check_out_of_fold(wrong, declared, "segmentation")
    assert names(findings) == {"not_out_of_fold"}
    assert "segmentation" in findings[0].message
    assert len(findings[0].cases) == 160
    ensemble = folds.assign(fold=np.nan)
    assert names(check_out_of_fold(ensemble, declared, "localization")) == {"not_out_of_fold"}
    assert names(check_out_of_fold(folds.assign(fold=9), declared, "x")) == {"unknown_fold"}


def test_a_manifest_overrules_the_fold_table() -> None:
    table, _ = clustered_patients(1)
    folds = table.assign(fold=table["patient_id"] % 4)
    everyone = {fold: set(map(str, range(40))) for fold in range(4)}
    assert names(check_out_of_fold(folds, everyone, "detection")) == {"not_out_of_fold"}
    cohort = folds.assign(split="development")
    clean = check_study(cohort, folds, {"detection": folds})
    caught = check_study(cohort, folds, {"detection": folds}, trained_on={"detection": everyone})
    assert "not_out_of_fold" not in names(clean)
    assert "not_out_of_fold" in names(caught)


def cross_fit(scores: pd.DataFrame, fit: Callable[[pd.DataFrame], Any]) -> dict[int, Any]:
    """Fit something for each fold on the cases of all other folds."""
    return {fold: fit(scores[scores["fold"] != fold]) for fold in scores["fold"].unique()}


def best_threshold(table: pd.DataFrame) -> float:
    grid = np.unique(table["probability"])
    called = table["probability"].to_numpy() >= grid[:, None]
    positives = table["lvo"].to_numpy() == 1
    balanced = called[:, positives].mean(axis=1) - called[:, ~positives].mean(axis=1)
    return float(grid[int(np.argmax(balanced))])


def test_an_operating_point_fitted_on_the_reported_cases() -> None:
    honest, apparent = [], []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        scores = pd.DataFrame(
            {
                "case_id": [f"c{i}" for i in range(40)],
                "lvo": generator.permutation(np.arange(40) % 2),
                "fold": np.arange(40) % 4,
                "probability": generator.random(40),
            }
        )
        own = scores["probability"] >= best_threshold(scores)
        apparent.append(balanced_accuracy_score(scores["lvo"], own))
        thresholds = scores["fold"].map(cross_fit(scores, best_threshold))
        honest.append(balanced_accuracy_score(scores["lvo"], scores["probability"] >= thresholds))
    assert np.mean(apparent) > 0.58  # the trap: pure noise looks useful
    assert np.mean(honest) < 0.53
    findings = check_fitted_elsewhere(scores, scores["case_id"])
    assert names(findings) == {"fitted_on_reported_cases"}
    assert findings[0].severity == "error"
    others = cross_fit(scores, lambda table: set(table["case_id"]))
    assert check_fitted_elsewhere(scores, others) == []
    same = {fold: set(scores["case_id"]) for fold in range(4)}
    assert names(check_fitted_elsewhere(scores, same)) == {"fitted_on_reported_cases"}
    assert names(check_fitted_elsewhere(scores, None)) == {"fit_not_recorded"}
    assert check_fitted_elsewhere(scores, {"somebody else"}) == []
    unknown = check_fitted_elsewhere(scores.assign(fold=np.nan), others)
    assert names(unknown) == {"fit_not_recorded"}
    assert len(unknown[0].cases) == 40


def test_a_calibration_fitted_on_the_reported_cases() -> None:
    apparent, honest = [], []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        labels = generator.permutation(np.arange(60) % 2)
        scores = pd.DataFrame({"lvo": labels, "fold": np.arange(60) % 4})
        scores["probability"] = generator.random(60)

        def fit(table: pd.DataFrame) -> IsotonicRegression:
            model = IsotonicRegression(out_of_bounds="clip")
            return model.fit(table["probability"], table["lvo"])

        own = fit(scores).predict(scores["probability"])
        fitted = cross_fit(scores, fit)
        others = [
            fitted[fold].predict([value])[0]
            for fold, value in scores[["fold", "probability"]].itertuples(index=False)
        ]
        apparent.append(1 - brier_score_loss(labels, own) / 0.25)
        honest.append(1 - brier_score_loss(labels, others) / 0.25)
    assert np.mean(apparent) > 0.05  # the trap: pure noise has skill after its own calibration
    assert np.mean(honest) < 0
    reported = scores.assign(case_id=[f"c{i}" for i in range(60)])
    findings = check_fitted_elsewhere(reported, reported["case_id"])
    assert names(findings) == {"fitted_on_reported_cases"}


def test_an_epoch_chosen_on_the_reported_cases() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    areas = np.array(  # forty "epochs" of a network that learns nothing, looked at in two halves
        [
            [auc_interval(labels[half], epoch[half]).value for half in np.split(np.arange(60), 2)]
            for epoch in generator.random((40, 60))
        ]
    )
    best = areas[:, 0].argmax()
    assert areas[best, 0] > 0.65  # the trap: the best of them on the cases that are reported
    assert areas[best, 1] < 0.6  # on others it is nothing
    scores = pd.DataFrame({"case_id": [f"c{i}" for i in range(60)], "fold": labels})
    own = {fold: scores.loc[scores["fold"] == fold, "case_id"] for fold in (0, 1)}
    findings = check_epoch_choice(scores, own)
    assert [(f.check, f.severity, len(f.cases)) for f in findings] == [
        ("epoch_chosen_on_reported_cases", "warning", 60)
    ]
    assert check_epoch_choice(scores, {0: own[1], 1: own[0]}) == []  # set aside from training
    assert check_epoch_choice(scores, {0: [], 1: []}) == []


def scan(seed: int) -> nib.Nifti1Image:
    data = np.random.default_rng(seed).integers(-1000, 2000, (6, 5, 4)).astype(np.int16)
    return nib.Nifti1Image(data, np.diag([1.0, 1.0, 3.0, 1.0]))


def test_one_scan_under_two_ids() -> None:
    original = scan(0)
    data = np.asarray(original.dataobj)
    flipped = nib.Nifti1Image(data[::-1].astype(np.float32), np.diag([-1.0, 1.0, 3.0, 1.0]))
    assert hash_scan(original) == hash_scan(flipped)  # another file, another type, another order
    assert hash_scan(original) != hash_scan(scan(1))
    hashes = pd.DataFrame(
        {
            "case_id": ["a", "b", "c"],
            "patient_id": ["p", "q", "r"],
            "split": ["development", "external", "external"],
            "content_hash": [hash_scan(original), hash_scan(flipped), hash_scan(scan(1))],
        }
    )
    assert check_patient_separation(hashes) == []  # the trap: by patient id all is well
    findings = check_duplicate_scans(hashes)
    assert [(f.severity, f.cases) for f in findings] == [("error", ("a", "b"))]
    harmless = hashes.iloc[:2].assign(patient_id="p", split="development")
    assert check_duplicate_scans(harmless)[0].severity == "warning"
    study = check_study(hashes, hashes=hashes[["case_id", "content_hash"]])
    assert "duplicated_scan" in names(study)


def test_copies_of_scans_make_noise_look_perfect_although_patients_are_apart() -> None:
    table, features = clustered_patients(4)
    renamed = table.assign(patient_id=[f"p{i}" for i in range(160)])  # each copy a "new patient"
    folds = np.arange(160) % 4
    assert check_patient_separation(renamed.assign(fold=folds)) == []
    assert out_of_fold_area(renamed, features, folds) > 0.95  # the trap
    hashes = renamed.assign(fold=folds, content_hash=table["patient_id"].astype(str))
    findings = check_duplicate_scans(hashes)
    assert {finding.severity for finding in findings} == {"error"}
    assert len({case for finding in findings for case in finding.cases}) == 160


def test_a_constant_model_can_look_accurate() -> None:
    scores = make_study(100, prevalence=0.05).scores.assign(probability=0.04)
    called = scores["probability"] >= 0.5
    assert (called == scores["lvo"]).mean() == 0.95  # the trap: 95 % of the calls are right
    assert names(check_informative(scores)) == {"constant_model"}
    one_fold = make_study(80).scores
    one_fold.loc[one_fold["fold"] == 2, "probability"] = 0.5
    assert names(check_informative(one_fold)) == {"constant_model"}


def test_shuffled_and_inverted_models() -> None:
    scores = make_study(80).scores
    assert check_informative(scores) == []
    areas = {}
    for seed in range(20):
        dealt = np.random.default_rng(seed).permutation(scores["probability"])
        areas[seed] = auc_interval(scores["lvo"], dealt).value
    lucky = max(areas, key=areas.__getitem__)
    assert areas[lucky] > 0.58  # the trap: the luckiest of a few shuffled models looks like one
    dealt = np.random.default_rng(lucky).permutation(scores["probability"])
    assert names(check_informative(scores.assign(probability=dealt))) == {"no_better_than_chance"}
    inverted = scores.assign(probability=1 - scores["probability"])
    assert names(check_informative(inverted)) == {"worse_than_chance"}


def test_a_site_that_gives_the_label_away() -> None:
    # One of two hospitals sends its occlusions to this one, whose scanner leaves a trace; the
    # features hold the trace and nothing else. A test at the same hospitals looks excellent.
    generator = np.random.default_rng(0)

    def hospital(names: list[str], shares: list[float], n: int) -> tuple[pd.DataFrame, np.ndarray]:
        site = generator.choice(names, n)
        lvo = generator.random(n) < pd.Series(site).map(dict(zip(names, shares, strict=True)))
        trace = pd.Series(site).map({"north": -1.0, "south": 1.0, "harbour": 0.0})
        features = trace.to_numpy()[:, None] + 0.2 * generator.normal(size=(n, 3))
        table = pd.DataFrame({"lvo": lvo.astype(int), "site": site})
        return table.assign(case_id=[f"{names[-1]}{i}{n}" for i in range(n)]), features

    development, seen = hospital(["north", "south"], [0.1, 0.9], 200)
    same, same_features = hospital(["north", "south"], [0.1, 0.9], 100)
    other, other_features = hospital(["harbour"], [0.5], 100)
    model = KNeighborsClassifier(9).fit(seen, development["lvo"])
    areas = [
        auc_interval(t["lvo"], model.predict_proba(f)[:, 1]).value
        for t, f in ((same, same_features), (other, other_features))
    ]
    assert areas[0] > 0.85  # the trap
    assert areas[1] < 0.65
    development = development.assign(split="development")
    shared = pd.concat([development, same.assign(split="external")])
    assert names(check_external(shared)) == {"external_shares_site"}
    assert check_external(pd.concat([development, other.assign(split="external")])) == []


def test_an_external_split_that_is_not_external() -> None:
    development, external = make_study(30).cohort, make_study(30, split="external").cohort
    assert check_external(pd.concat([development, external])) == []
    shared = external.assign(site="north")
    findings = check_external(pd.concat([development, shared]))
    assert names(findings) == {"external_shares_site"}
    assert findings[0].severity == "warning"
    assert len(findings[0].cases) == 30
    blind = pd.concat([development, external]).drop(columns=["site", "model"])
    assert names(check_external(blind)) == {"external_not_verifiable"}
    unrecorded = development.assign(site="", model=None)
    half_blind = pd.concat([unrecorded, external])
    assert names(check_external(half_blind)) == {"external_not_verifiable"}


def test_cases_that_quietly_disappear_or_change() -> None:
    study = make_study(40, separation=1.5)
    wrong = (study.scores["lvo"] - study.scores["probability"]).abs()
    hard = wrong.sort_values(ascending=False).index[:10]
    kept = study.scores.drop(index=hard)
    areas = [auc_interval(t["lvo"], t["probability"]).value for t in (study.scores, kept)]
    assert areas[0] < 0.97 < areas[1]  # the trap: without the hardest cases all looks perfect
    missing = check_same_cases(kept, study.cohort)
    assert names(missing) == {"cases_without_score"}
    assert len(missing[0].cases) == 10
    with pytest.raises(TableError, match="unknown to the cohort"):
        check_same_cases(study.scores.assign(case_id="z"), study.cohort)
    with pytest.raises(TableError, match="lvo of 40 cases"):
        check_same_cases(study.scores.assign(lvo=1 - study.scores["lvo"]), study.cohort)


def test_findings_as_a_table() -> None:
    table = findings_table([Finding("a", "note", "b", ("c", "d"))])
    assert table.to_dict("records") == [
        {"check": "a", "severity": "note", "message": "b", "cases": "c d"}
    ]


def test_errors_stop_with_all_that_is_known_about_them_and_may_be_allowed() -> None:
    mild = [Finding("a", "warning", "b"), Finding("c", "note", "d")]
    assert raise_on_errors(mild) == raise_on_errors(mild, allow_errors=True) == mild
    grave = [
        *mild,
        Finding("leak", "error", "the message", ("p", "q"), "the right way", "the remedy"),
        Finding("other", "error", "more"),
    ]
    with pytest.raises(TableError) as caught:
        raise_on_errors(grave)
    assert "leak: found the message (cases p, q); expected the right way; the remedy" in str(
        caught.value
    )
    assert "other: found more" in str(caught.value)
    assert "a: found b" not in str(caught.value)
    first, *rest = raise_on_errors(grave, allow_errors=True)
    assert rest == grave
    assert (first.severity, first.message[:10]) == ("error", "2 error(s)")
