"""Dice of the vessels against the length of the training, on a finished demo cohort.

    python benchmarks/learning_curve.py [--data data/demo] [--folder build/learning_curve]
                                        [--iterations 80 200 400 800] [--fold 0]

Trains one fold with the demo's own options, anew for every length (the learning rate's cycle spans
the whole training), and measures Dice on the fold's held-out cases and on the external ones. Writes
``dice.csv`` and ``learning_curve.png``. What is there already is not computed again. Simulated
data: the numbers support no claim about patients.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import nibabel as nib
import pandas as pd
import yaml

from lvo_kedro.cohort import splits_of_cases
from lvo_kedro.datasets import RecordTable
from lvo_kedro.evaluation import measure_vessels
from lvo_kedro.nnunet import NnUNetOptions, load_predictor, prepare_dataset, train_fold
from lvo_kedro.vocabulary import OCCLUSION_LABELS, VESSEL_LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = Path(__file__).parents[1] / "conf" / "demo" / "parameters_segmentation.yml"
LARGE = "C7, M1, M2"


def main() -> None:
    """Train, measure, tabulate, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/demo"))
    parser.add_argument("--folder", type=Path, default=Path("build/learning_curve"))
    parser.add_argument("--iterations", type=int, nargs="+", default=[80, 200, 400, 800])
    parser.add_argument("--fold", type=int, default=0)
    arguments = parser.parse_args()
    options = NnUNetOptions.model_validate(
        yaml.safe_load(OPTIONS.read_text(encoding="utf-8"))["vessel_network"]
    )
    tests = prepare(arguments.data, arguments.folder, arguments.fold, options)
    rows = []
    for iterations in arguments.iterations:
        epochs = max(1, round(iterations / options.iterations_per_epoch))
        chosen = options.model_copy(update={"epochs": epochs})
        model = arguments.folder / f"iterations_{iterations}"
        train_fold(arguments.folder / "dataset", 0, model, chosen)
        done = epochs * options.iterations_per_epoch
        for split, cases in tests.items():
            table = measure(arguments.data, cases, model, chosen)
            rows.append(table.assign(split=split, iterations=done))
    dice = pd.concat(rows, ignore_index=True)
    dice.to_csv(arguments.folder / "dice.csv", index=False)
    print(summarize(dice).to_string(float_format="%.2f"))
    draw(dice).savefig(arguments.folder / "learning_curve.png", dpi=110)


def prepare(data: Path, folder: Path, fold: int, options: NnUNetOptions) -> dict[str, list[str]]:
    """Prepare the fold's dataset; return the test cases of either split."""
    tables = data / "02_intermediate"
    cohort = RecordTable(filepath=(tables / "cohort.csv").as_posix(), numbers=["fold"]).load()
    annotated = [
        case for case in cohort["case_id"] if _paths(data, case)["vessel_labels"].is_file()
    ]
    split = splits_of_cases(cohort, annotated)[fold]
    chosen = [*split["train"], *split["val"]]
    cases = {case: partial(_load, data, case) for case in chosen}
    prepare_dataset(folder / "dataset", cases, VESSEL_LABELS, [split], options)
    external = set(cohort.loc[cohort["split"] == "external", "case_id"])
    return {"held out": split["val"], "external": [c for c in annotated if c in external]}


def measure(data: Path, cases: Sequence[str], model: Path, options: NnUNetOptions) -> pd.DataFrame:
    """Return Dice, a row per case and label."""
    predictor = load_predictor([model], options)
    tables = []
    for case in cases:
        ncct, truth, mask = _load(data, case)
        table = measure_vessels(predictor.predict(ncct, mask), truth)[["label", "dice"]]
        large = table.loc[table["label"].isin(OCCLUSION_LABELS), "dice"].mean()
        together = pd.DataFrame({"label": [LARGE], "dice": [large]})
        tables.append(pd.concat([table, together]).assign(case_id=case))
    return pd.concat(tables, ignore_index=True)


def summarize(dice: pd.DataFrame) -> pd.DataFrame:
    """Return mean Dice by split and iterations, a column per label."""
    keys = ["split", "iterations"]
    means = dice.pivot_table(index=keys, columns="label", values="dice", sort=False)
    return means.assign(cases=dice.groupby(keys)["case_id"].nunique())


def draw(dice: pd.DataFrame) -> plt.Figure:
    """Draw mean Dice against iterations, a panel per split and a line per label."""
    splits = list(dict.fromkeys(dice["split"]))
    figure, panels = plt.subplots(1, len(splits), figsize=(8, 3.4), sharey=True, squeeze=False)
    for panel, split in zip(panels[0], splits, strict=True):
        part = dice[dice["split"] == split]
        for label, line in part.groupby("label", sort=False):
            mean = line.groupby("iterations")["dice"].mean()
            large = label == LARGE
            panel.plot(mean, marker="o", ms=3, lw=2.5 if large else 1.2, label=label)
        panel.set(xscale="log", xlabel="iterations", title=f"{split}, n = {part.case_id.nunique()}")
        ticks = sorted(set(dice["iterations"]))
        panel.set_xticks(ticks, [str(t) for t in ticks])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0, 0].set(ylabel="mean Dice", ylim=(0, 1))
    panels[0, -1].legend(frameon=False, fontsize=8)
    figure.suptitle("Simulated scans, one fold of the demo", fontsize=10)
    figure.tight_layout()
    return figure


def _paths(data: Path, case: str) -> dict[str, Path]:
    kinds = ("scans", "vessel_annotations")
    scan, annotation = (data / "02_intermediate" / kind / case for kind in kinds)
    return {
        "ncct": scan / "ncct.nii.gz",
        "vessel_labels": annotation / "vessel_labels.nii.gz",
        "brain_mask": scan / "brain_mask.nii.gz",
    }


def _load(data: Path, case: str) -> tuple[nib.Nifti1Image, ...]:
    return tuple(nib.load(path) for path in _paths(data, case).values())


if __name__ == "__main__":
    main()
