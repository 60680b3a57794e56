"""Is a clot that nnU-Net segments evidence that the side model lacks? Simulated patients.

    python -m benchmarks.clots build/detectors [--cases 180] [--jobs 2]

On the cohort of ``methods.py``, in the same folds: a 3D nnU-Net learns ``occlusion_mask`` from the
scan and its mirror image about the midplane, in a box around C7, M1 and M2 (annotated). Of a
held-out case the largest probability and the volume on either side are kept. They are then added,
with several weights, to the side model's utilities. The best of the weights is chosen on what it is
measured on, which flatters the clot.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from benchmarks.methods import STUDY, deal, measure, part_of, read_cohort
from benchmarks.methods_report import as_markdown, side_scores, words
from lvo_kedro.evaluation import auc_interval, paired_delong
from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.imaging.midplane import midplane_of
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.nnunet import NnUNetOptions, load_predictor, prepare_dataset, train_fold
from lvo_kedro.vocabulary import SEGMENT_CLASSES, SIDES

OPTIONS = NnUNetOptions(
    channel_names=("CT", "CT"),
    spacing_mm=1.5,
    crop_margin_mm=12.0,
    window_hu=(0.0, 100.0),
    patch_size=(32, 64, 64),
    batch_size=2,
    features_per_stage=(8, 16, 32, 64),
    convolutions_per_stage=2,
    batch_dice=True,
    epochs=30,
    iterations_per_epoch=40,
    validation_iterations=2,
    optimizer="adamw",
    schedule="one_cycle",
    learning_rate=2e-3,
    deep_supervision=False,
    foreground_oversampling=1.0,
    augmentation="light",
    mirror_training="left_right",
    mirror_prediction="left_right",
    step_size=0.75,
    checkpoint_every=5,
    precision="bfloat16",
)
"""The size that two cores train, as in ``conf/realistic``."""
WEIGHTS = (0.1, 0.25, 0.5, 1.0)


def load_case(folder: Path) -> tuple[nib.Nifti1Image, nib.Nifti1Image, nib.Nifti1Image]:
    """Return scan and mirrored scan (X, Y, Z, 2), clot (0, 1), vessels."""
    ncct = nib.load(folder / "ncct.nii.gz")
    data = np.asarray(ncct.dataobj, dtype=np.float32)
    mirror = midplane_of(nib.load(folder / "hemispheres.nii.gz")).mirror()
    turned = resample(make_image(data, mirror @ ncct.affine), grid_of(ncct))
    both = np.stack([data, np.asarray(turned.dataobj)], axis=-1)
    clot = np.asarray(nib.load(folder / "occlusion_mask.nii.gz").dataobj) > 0
    vessels = nib.load(folder / "vessel_labels.nii.gz")
    return (
        make_image(both, ncct.affine),
        make_image(clot.astype(np.uint8), ncct.affine),
        make_image((np.asarray(vessels.dataobj) > 0).astype(np.uint8), vessels.affine),
    )


def train(folder: Path, fold: int) -> None:
    """Train the network of one fold."""
    train_fold(folder / "dataset", fold, folder / "models" / f"fold_{fold}", OPTIONS)


def score(folder: Path, cases: Path, fold: int, names: list[str]) -> list[dict[str, object]]:
    """Return the clot's probability and volume on both sides of held-out cases."""
    predictor = load_predictor([folder / "models" / f"fold_{fold}"], OPTIONS)
    rows = []
    for name in names:
        image, _, vessels = load_case(cases / name)
        clot = predictor.predict_probabilities(image, vessels).get_fdata(dtype=np.float32)[..., 1]
        halves = nib.load(cases / name / "hemispheres.nii.gz").get_fdata()
        row: dict[str, object] = {"case_id": name}
        for number, side in enumerate(SIDES, start=1):
            own = clot[halves == number]
            row[f"{side}_peak"] = float(own.max())
            volume = float(own.sum()) * abs(np.linalg.det(image.affine[:3, :3])) / 1000
            row[f"{side}_ml"] = volume
        rows.append(row)
    return rows


def tabulate(clots: pd.DataFrame, sides: pd.DataFrame, truth: pd.DataFrame) -> str:
    """Return the table: the clot alone, and added to the side model."""
    lvo = truth["lvo"].to_numpy()
    evidence = {
        kind: pd.DataFrame({s: np.log(clots[f"{s}_{kind}"] + least) for s in SIDES})
        for kind, least in (("peak", 1e-3), ("ml", 1e-2))
    }
    candidates = {f"clot, {kind} alone": values for kind, values in evidence.items()}
    candidates["side model"] = sides
    for kind, values in evidence.items():
        spread = values.to_numpy().std()
        for weight in WEIGHTS:
            added = weight * (values - values.to_numpy().mean()) / spread
            candidates[f"side model + {weight:g} clot, {kind}"] = sides + added
    logits = {name: np.logaddexp(u["left"], u["right"]) for name, u in candidates.items()}
    rows = []
    for name, values in candidates.items():
        row = {"evidence": name, "AUC (95 %)": words(auc_interval(lvo, logits[name]))}
        for segment in SEGMENT_CLASSES:
            chosen = (truth["segment"] == segment).to_numpy() | (lvo == 0)
            row[segment] = f"{auc_interval(lvo[chosen], logits[name][chosen]).value:.2f}"
        likely = np.where(values["left"] >= values["right"], "left", "right")
        row["side"] = f"{(likely == truth['side'])[lvo == 1].mean():.2f}"
        test = paired_delong(lvo, logits[name], logits["side model"])
        row["against the side model"] = words(test.difference, "+")
        rows.append(row)
    return as_markdown(pd.DataFrame(rows))


def main() -> None:
    """Prepare, train, score, tabulate; everything that is there is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=STUDY)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    study, own = given.folder / "study", given.folder / "clots"
    for path in sorted((study / "cases").iterdir()):
        measure(study, path.name)
    cohort = read_cohort(study)
    cohort = part_of(cohort, cohort.table.iloc[: given.cases])
    folds = deal(cohort.table)
    loaders = {c: partial(load_case, study / "cases" / c) for c in cohort.table["case_id"]}
    splits = [{"train": inside, "val": outside[:8]} for inside, outside in folds]
    prepare_dataset(own / "dataset", loaders, {"clot": 1}, splits, OPTIONS)
    began = time.perf_counter()
    Parallel(given.jobs)(delayed(train)(own, fold) for fold in range(len(folds)))
    print(f"trained in {time.perf_counter() - began:.0f} s", flush=True)
    stored, began = own / "scores.json", time.perf_counter()
    if not stored.is_file():
        tasks = [delayed(score)(own, study / "cases", n, f[1]) for n, f in enumerate(folds)]
        rows = [row for part in Parallel(given.jobs)(tasks) for row in part]
        stored.write_text(json.dumps(rows), encoding="utf-8")
        print(f"scored in {time.perf_counter() - began:.0f} s", flush=True)
    clots = pd.DataFrame(json.loads(stored.read_text(encoding="utf-8"))).set_index("case_id")
    sides = side_scores(cohort, folds)
    clots = clots.loc[sides.index]
    print(tabulate(clots, sides[list(SIDES)].astype(float), cohort.table.loc[sides.index]))


if __name__ == "__main__":
    main()
