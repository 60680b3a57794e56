"""One report for all tests of this folder."""

from __future__ import annotations

from base64 import b64decode

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from lvo_kedro.evaluation import (
    EvaluationOptions,
    check_study,
    compare_methods,
    count_flow,
    evaluate_detection,
    evaluate_localization,
    evaluate_robustness,
    evaluate_vessels,
    findings_table,
)
from lvo_kedro.reporting import (
    CasePictures,
    GalleryPicture,
    ReportContent,
    SplitTables,
    plot_case,
    render_report,
    report,
    split_views,
    to_png,
    views,
)
from tests.synthetic_study import OPERATING_POINTS, Study, make_study

HOSTILE = "<script>alert('x')</script>"
OPTIONS = EvaluationOptions(resamples=200)


def split_tables(
    study: Study,
    name: str,
    split: str,
    cohort: pd.DataFrame,
    exclusions: pd.DataFrame,
    *,
    options: EvaluationOptions = OPTIONS,
    controls: bool = True,
) -> SplitTables:
    detection = evaluate_detection(
        study.scores,
        study.cohort,
        OPERATING_POINTS,
        options,
        quality=study.quality,
        controls=controls,
    )
    localization = evaluate_localization(study.calls, study.scores, OPERATING_POINTS, OPTIONS)
    methods = compare_methods(study.calls, study.scores, OPERATING_POINTS, OPTIONS)
    flow = count_flow(cohort[cohort["split"] == split], study.scores, exclusions)
    return SplitTables(
        name,
        detection.tables() | {"flow": flow},
        localization.tables() | {"methods": methods},
        split,
        source=f"08_reporting/{split}",
    )


def make_robustness(study: Study) -> pd.DataFrame:
    """What noise would do to the study's external cases: scores drawn towards one half."""
    ids = study.scores["case_id"]
    origin = pd.DataFrame({"case_id": ids + ".noise_10", "original": ids, "change": "noise_10"})
    changed = study.scores.assign(
        case_id=ids + ".noise_10",
        probability=0.5 + 0.4 * (study.scores["probability"] - 0.5),
    )
    calls = study.calls.assign(case_id=study.calls["case_id"] + ".noise_10")
    unchanged = (study.scores, study.calls)
    return evaluate_robustness(origin, (changed, calls), unchanged, OPERATING_POINTS, OPTIONS)[0]


def make_pictures() -> CasePictures:
    """A head of 40 x 48 x 10 voxels stored LAS, with a bright clot on the patient's left."""
    affine = np.diag([-4.0, 4.0, 8.0, 1.0])
    data = np.full((40, 48, 10), -1000, dtype=np.float32)
    data[6:34, 6:42, 1:9] = 35
    clot = np.zeros_like(data)
    clot[28:31, 22:26, 4:6] = 1  # x falls with the index: a high index is the patient's left
    data[clot > 0] = 65
    plane = np.array(data.max(axis=2, keepdims=True))

    def image(array: np.ndarray) -> nib.Nifti1Image:
        return nib.Nifti1Image(array.astype(np.float32), affine)

    return CasePictures(
        "dev001",
        image(data),
        f"missed {HOSTILE}",
        projection=image(plane),
        call=image(clot.max(axis=2, keepdims=True)),
        occlusion=image(clot),
        difference=image(15 * clot),
        explanation=image(0.5 * clot),
    )


def drawn_png() -> bytes:
    return b64decode(to_png(plot_case(make_pictures())).partition(",")[2])


@pytest.fixture(scope="session")
def content() -> ReportContent:
    development = make_study(48)
    external = make_study(24, split="external", seed=3, prevalence=0.4)
    lost = development.cohort.iloc[:2].assign(case_id=["lost1", "lost2"], patient_id=["l1", "l2"])
    cohort = pd.concat([development.cohort, lost, external.cohort], ignore_index=True)
    folds = development.scores[["case_id", "patient_id", "fold"]]
    history = pd.DataFrame(
        [
            {"fold": fold, "step": step, "metric": "train_loss", "value": 1 / (1 + step)}
            for fold in range(2)
            for step in range(5)
        ]
    )
    exclusions = pd.DataFrame(
        {
            "case_id": ["lost1", "lost2"],
            "stage": "preprocessing",
            "error": f"found {HOSTILE}; expected a head; look at it",
        }
    )
    return ReportContent(
        title=f"Study {HOSTILE}",
        splits=[
            split_tables(development, "Cross-validation", "development", cohort, exclusions),
            split_tables(external, "External test", "external", cohort, exclusions),
        ],
        source="08_reporting",
        cohort=cohort,
        simulated=True,
        exclusions=exclusions,
        vessels=evaluate_vessels(development.vessels, OPTIONS),
        quality=pd.concat([development.quality, external.quality]),
        findings=findings_table(check_study(cohort, folds)),
        history=history,
        operating_points_from="Cross-fitted on other folds.",
        gallery=[GalleryPicture("dev001", f"missed {HOSTILE}", drawn_png())],
        parameters={"detector": {"epochs": 7, "selection": "last", "note": HOSTILE}},
        versions={"torch": "2.13.0"},
        provenance={"MLflow run": "run-4711", "Git revision": "abc123"},
    )


@pytest.fixture(scope="session")
def html(content: ReportContent) -> str:
    return render_report(content)


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out of a further rendering: they take nearly all of its time."""

    def described(make: object, *words: str, source: str = "", wide: bool = False) -> views.Picture:
        return views.Picture("data:,", *words, wide=wide, origin=source)

    monkeypatch.setattr(views, "draw", described)
    monkeypatch.setattr(report, "draw", views.draw)
    monkeypatch.setattr(split_views, "draw", views.draw)
