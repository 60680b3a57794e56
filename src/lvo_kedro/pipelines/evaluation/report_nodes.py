"""Nodes of the evaluation pipeline that draw, and write the report and what goes with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.detection import knows_controls
from lvo_kedro.evaluation import WITHOUT_CONTROLS, EvaluationOptions, choose_cases
from lvo_kedro.imaging.midplane import midplane_of
from lvo_kedro.localization import ProjectionOptions, mark_called, project_vessels
from lvo_kedro.options import Options
from lvo_kedro.pipelines.evaluation.nodes import StoredTables
from lvo_kedro.reporting import (
    CasePictures,
    GalleryPicture,
    ReportContent,
    SplitTables,
    plot_case,
    plot_confusion,
    plot_roc,
    render_checklist,
    render_model_card,
    render_report,
)
from lvo_kedro.settings import EVALUATED_SPLITS
from lvo_kedro.stages import each_case
from lvo_kedro.truth import NO_CLASS, NO_SIDE

REPORTING = "08_reporting"
"""Folder of all tables that the report shows, below the data folder."""
SPLIT_NOTES = {
    "development": "Each case was scored by models that had not seen its patient.",
    "external": "Scored once by all folds together, at operating points fixed before.",
}


class ReportOptions(Options):
    """What the report shows beyond its tables."""

    title: str = "Large-vessel occlusion on non-contrast CT"
    """Its heading."""
    gallery: int = 0
    """Pictures of so many cases. They show patients: 0 unless you mean it."""


def draw_roc(detection: StoredTables) -> Figure:
    """Draw the ROC curve with its band and the operating points."""
    return plot_roc({name: load() for name, load in detection.items()})


def draw_confusion(localization: StoredTables, options: EvaluationOptions) -> Figure:
    """Draw the confusion matrix of the five segment classes, end to end."""
    tables = {name: load() for name, load in localization.items()}
    return plot_confusion(tables, operating_point=options.operating_point)


def choose_gallery(
    localization: Case, detection: Case, options: ReportOptions, **evaluated: StoredTables
) -> pd.DataFrame:
    """Choose whose pictures the report shows: the worst wrong calls and some correct ones.

    Out: a row per picture: case, what kind of call, what was called, a caption in words.
    """
    failures = pd.concat([tables["failures"]() for tables in evaluated.values()])
    scores, calls = detection["scores"], localization["calls"]
    chosen = choose_cases(failures, scores, options.gallery)
    scored = scores[["case_id", "probability"]].merge(calls, on="case_id")
    rows = chosen.merge(scored, on="case_id").to_dict("records")
    places = [f"{name}_{axis}" for name in ("point", "clot") for axis in "xyz"]
    named = ["case_id", "kind", "probability", "called_side", "called_segment", "caption"]
    columns = [*named, *places]
    told = knows_controls(detection["calibration"])
    captions = [row | {"caption": _caption(row, with_probability=told)} for row in rows]
    return pd.DataFrame(captions, columns=columns)


def _caption(row: Mapping[Any, Any], *, with_probability: bool) -> str:
    truth = f"{row['side']} {row['segment']}" if row["lvo"] == 1 else "no LVO"
    if row["side"] in NO_SIDE or row["segment"] in NO_CLASS:
        truth = f"side {row['side']}, segment {row['segment']}"
    named = f"{row['called_side']} {row['called_segment']}".strip() or "nothing"
    probability = f"; probability {row['probability']:.2f}" if with_probability else ""
    return f"{row['kind'].capitalize()}; truth: {truth}; named: {named}{probability}"


def draw_gallery(
    gallery: pd.DataFrame, scans: Cases, vessels: Cases, priors: Cases, localization: Case
) -> dict[str, Task]:
    """Draw the chosen cases: the scan, its projected vessels with the call, the difference map.

    Pictures of patients: none unless asked for, and none goes to a tracking server.
    """
    projection = ProjectionOptions(**localization["options"]["projection"]["options"])
    rows = gallery.set_index("case_id").to_dict("index")
    return each_case(draw_case, rows, scans, vessels, priors, options=projection)


def draw_case(
    row: Mapping[str, Any], scan: Case, vessels: Case, priors: Case, options: ProjectionOptions
) -> dict[str, Any]:
    """Draw one case."""
    ncct, called = scan["ncct"], (row["called_side"], row["called_segment"])
    projection = project_vessels(ncct, vessels["vessel_labels"], options)
    pictures = CasePictures(
        case_id=scan.name,
        caption=row["caption"],
        ncct=ncct,
        projection=projection.mip,
        call=mark_called(projection.labels, midplane_of(priors["hemispheres"]), *called),
        difference=priors["signed_difference"],
        point=_place(row, "point"),
        clot=_place(row, "clot"),
    )
    return {"picture": plot_case(pictures), "caption": row["caption"]}


def _place(row: Mapping[str, Any], name: str) -> tuple[float, float, float] | None:
    x, y, z = (float(row[f"{name}_{axis}"]) for axis in "xyz")
    return (x, y, z) if not math.isnan(x) else None


def write_report(
    study: Case, gallery_pictures: Cases, options: ReportOptions, **evaluated: StoredTables
) -> dict[str, str]:
    """Write report (one HTML file that needs nothing else), model card and reporting checklist.

    In: the tables of the study and of each split, the pictures of the chosen cases.
    """
    known = study["provenance"]
    evaluation = EvaluationOptions(**known["options"]["evaluation"])
    splits = [_split_tables(name, evaluated) for name in EVALUATED_SPLITS]
    explanations = [s.localization["explanation"].assign(split=s.name) for s in splits]
    content = ReportContent(
        title=options.title,
        splits=splits,
        cohort=study["cohort"],
        simulated="simulated" in study["cohort"],
        exclusions=study["exclusions"],
        vessels=study["vessels"],
        quality=study["quality"],
        findings=study["findings"],
        history=study["history"],
        source=f"{REPORTING}/{study.name}",
        explanations=pd.concat(explanations),
        gallery=[
            GalleryPicture(case, picture["caption"], picture.path("picture").read_bytes())
            for case, picture in gallery_pictures.items()
        ],
        parameters=known["options"],
        operating_points_from=(
            "On nothing: without cases without an occlusion to learn from, every case is taken for "
            "occluded."
            if (study["findings"]["check"] == WITHOUT_CONTROLS).any()
            else "On out-of-fold scores of the development cases: for external cases on all of "
            "them, for a development case on those of the other folds."
        ),
        versions=known["versions"],
        provenance=known["origin"],
        given_weights=bool(known["starts"]),
        operating_point=evaluation.operating_point,
        confidence=evaluation.confidence,
    )
    return {
        "report": render_report(content),
        "model_card": render_model_card(content),
        "checklist": render_checklist(content),
    }


def _split_tables(name: str, evaluated: Mapping[str, StoredTables]) -> SplitTables:
    tables = {
        part: {key: load() for key, load in evaluated[f"{name}.{part}"].items()}
        for part in ("detection", "localization")
    }
    split = EVALUATED_SPLITS[name]
    return SplitTables(
        name=name.replace("_", " ").capitalize(),
        detection=tables["detection"],
        localization=tables["localization"],
        split=split,
        note=SPLIT_NOTES.get(split, ""),
        source=f"{REPORTING}/{name}",
    )
