"""What predicted vessels cost the side model: the same patients, read with annotated ones as well.

    kedro run --env realistic --pipelines simulation,__default__
    python -m benchmarks.predicted_vessels data/realistic [--jobs 2]

Everything but the vessels is the same: scans, registered priors, folds, options. Development cases
are scored out of fold, external ones by the models of all folds. Simulated data: no claim about
patients.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from safetensors.torch import load_file

from lvo_kedro.detection import fit_side_models, judge_case
from lvo_kedro.evaluation import paired_delong
from lvo_kedro.features import SideFeatures, measure_sides, unpack_features
from lvo_kedro.vocabulary import SIDES

PRIORS = ("hemispheres", "territory_probability", "signed_difference")


def annotated_features(data: Path, case: str) -> SideFeatures:
    """Measure a case with its annotated vessels."""
    scan, priors = data / "02_intermediate" / "scans" / case, data / "03_primary" / "priors" / case
    annotated = data / "02_intermediate" / "vessel_annotations" / case / "vessel_labels.nii.gz"
    return measure_sides(
        nib.load(scan / "ncct.nii.gz"),
        nib.load(annotated),
        nib.load(scan / "brain_mask.nii.gz"),
        {name: nib.load(priors / f"{name}.nii.gz") for name in PRIORS},
        quality=json.loads((scan / "quality.json").read_text(encoding="utf-8")),
    )


def predicted_features(data: Path, case: str) -> SideFeatures:
    """Read what the pipeline measured with the predicted vessels."""
    own = data / "04_feature" / "side_features" / case
    return unpack_features(
        {
            "arteries": pd.read_csv(own / "arteries.csv"),
            "tissue": load_file(str(own / "tissue.safetensors")),
            "scan": json.loads((own / "scan.json").read_text(encoding="utf-8")),
        }
    )


def score(features: dict[str, SideFeatures], cohort: pd.DataFrame) -> pd.DataFrame:
    """Return logit and likelier side of every case, none by a model that learned from it."""
    development = cohort[cohort["split"] == "development"]
    fitted, rows = [], []
    for fold in sorted(development["fold"].unique()):
        inside = development[development["fold"] != fold]
        fitted.append(fit_side_models({c: features[c] for c in inside["case_id"]}, inside))
        rows += [
            judged(case, [fitted[-1]], features)
            for case in development.loc[development["fold"] == fold, "case_id"]
        ]
    external = cohort.loc[cohort["split"] == "external", "case_id"]
    rows += [judged(case, fitted, features) for case in external]
    return pd.DataFrame(rows).set_index("case_id")


def judged(case: str, fitted: list, features: dict[str, SideFeatures]) -> dict[str, object]:
    """Return what side models say about one case."""
    sides = judge_case(fitted, features[case], {"case_id": case})["sides"]
    logit = float(np.logaddexp(*(sides[side] for side in SIDES)))
    return {"case_id": case, "logit": logit, "side": max(SIDES, key=lambda side: sides[side])}


def main() -> None:
    """Score with both kinds of vessels and print a row per split."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    cohort = pd.read_csv(given.data / "02_intermediate" / "cohort.csv").fillna({"side": ""})
    names = cohort["case_id"].tolist()
    measured = Parallel(given.jobs)(delayed(annotated_features)(given.data, n) for n in names)
    annotated = score(dict(zip(names, measured, strict=True)), cohort)
    predicted = score({name: predicted_features(given.data, name) for name in names}, cohort)
    rows = []
    for split, own in cohort.groupby("split"):
        one, other = (scores.loc[own["case_id"]] for scores in (predicted, annotated))
        test = paired_delong(own["lvo"], one["logit"], other["logit"])
        ill = (own["lvo"] == 1).to_numpy()
        row: dict[str, object] = {"split": split, "cases": len(own)}
        for name, scores in {"predicted": one, "annotated": other}.items():
            area = test.auc_a if scores is one else test.auc_b
            right = (scores["side"].to_numpy() == own["side"].to_numpy())[ill].mean()
            row |= {f"AUC, {name}": round(area, 3), f"side, {name}": round(right, 2)}
        low, high = test.difference.low, test.difference.high
        row["difference (95 %)"] = f"{test.difference.value:+.3f} ({low:+.3f} to {high:+.3f})"
        rows.append(row)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
