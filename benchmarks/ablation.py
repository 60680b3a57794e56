"""Which channel helps, and do the base settings beat the published ones?

    python benchmarks/ablation.py --folder build/ablation [--cases 60] [--seeds 3] [--jobs 1]
                                  [--difficulty realistic] [--sets ncct all ...]

Simulates a development cohort, computes the real priors (with the simulator's own brain masks and
vessel labels: a perfect stage 1), stores all channels once, and trains three folds for each channel
set and seed. Writes ``scores.csv``, ``ablation.md`` and ``ablation.png`` into the folder. Every
step is skipped where its result is there, so a stopped run goes on. Simulated data: the figures
support no claim about patients.
"""

from __future__ import annotations

import argparse
import json
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.model_selection import StratifiedKFold

from lvo_kedro.detection import (
    CHANNELS,
    ChannelOptions,
    TrainingOptions,
    encode_channels,
    load_detector,
    plan_grid,
    save_sample,
    score_cases,
    stack_channels,
    train_fold,
)
from lvo_kedro.evaluation import auc_interval
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.priors import Atlas, compute_priors, load_atlas
from lvo_kedro.simulation import SimulationOptions, simulate_case
from lvo_kedro.vocabulary import SEGMENT_CLASSES

if TYPE_CHECKING:
    from lvo_kedro.detection import ChannelName

SETS: dict[str, tuple[ChannelName, ...]] = {
    "ncct": ("ncct",),
    "ncct + vessels": ("ncct", "vessels"),
    "ncct + territory": ("ncct", "territory"),
    "ncct + difference": ("ncct", "difference"),
    "all four": ("ncct", "vessels", "territory", "difference"),
    "signed instead": ("ncct", "vessels", "territory", "signed_difference"),
}
"""Name of each channel set in tables and figures."""

BASE = TrainingOptions(base_width=16, epochs=40, validate_every=40, checkpoint_every=10)
GRID = ChannelOptions(channels=CHANNELS, spacing_mm=3.0, shape=(52, 64, 48))
FOLDS = 3


def settings(name: str, epochs: int) -> TrainingOptions:
    """Return base settings, or the published ones at the same size, epochs and kept epoch."""
    if name == "base":
        return BASE.model_copy(update={"epochs": epochs, "validate_every": epochs})
    changes = {
        "base_width": BASE.base_width,
        "epochs": epochs,
        "selection": "last",
        "validate_every": epochs,
        "checkpoint_every": 10,
    }
    return TrainingOptions.published().model_copy(update=changes)


def make_case(folder: Path, number: int, difficulty: str, atlas: Atlas) -> None:
    """Simulate one case and store all of its channels."""
    path = folder / "samples" / f"case-{number:03d}.safetensors"
    if path.is_file():
        return
    lvo = number % 2 == 1
    rng = np.random.default_rng([77, number])
    options = SimulationOptions(
        difficulty=difficulty,
        lvo=lvo,
        segment=SEGMENT_CLASSES[number // 2 % len(SEGMENT_CLASSES)] if lvo else None,
        side=str(rng.choice(["left", "right"])) if lvo else None,
    )
    case = simulate_case(40_000 + number, options)
    ncct = make_image(case.ncct.get_fdata(dtype=np.float32), case.ncct.affine)
    priors = compute_priors(ncct, case.brain_mask, atlas)
    grid = plan_grid(ncct, priors, GRID, case.brain_mask)
    channels = stack_channels(
        ncct, case.vessel_labels, priors, grid, options=GRID, brain_mask=case.brain_mask
    )
    save_sample(path, encode_channels(channels, GRID.channels, grid))


def out_of_fold(folder: Path, cases: int, options: TrainingOptions) -> pd.DataFrame:
    """Train all folds with these options; return one row a case."""
    names = [f"case-{number:03d}" for number in range(cases)]
    samples = {name: folder / "samples" / f"{name}.safetensors" for name in names}
    labels = {name: number % 2 for number, name in enumerate(names)}
    split = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    classes = [f"{n % 2}{n // 2 % len(SEGMENT_CLASSES) if n % 2 else ''}" for n in range(cases)]
    rows = []
    for fold, (train, held_out) in enumerate(split.split(names, classes)):
        digest = blake2b(options.model_dump_json().encode(), digest_size=8).hexdigest()
        model = folder / "models" / digest / str(fold)
        inside, outside = [names[i] for i in train], [names[i] for i in held_out]
        train_fold(model, samples, labels, inside, outside, options)
        scores = score_cases(load_detector(model), {name: samples[name] for name in outside})
        rows += [
            {"case": name, "fold": fold, "lvo": labels[name], "logit": logit}
            for name, logit in scores.items()
        ]
    return pd.DataFrame(rows)


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return, per set and settings, the AUC of the logits averaged over seeds, and each seed's."""
    rows = []
    for (channels, way), group in scores.groupby(["channels", "settings"], sort=False):
        mean = group.groupby("case").agg(lvo=("lvo", "first"), logit=("logit", "mean"))
        interval = auc_interval(mean["lvo"], mean["logit"])
        seeds = [auc_interval(one["lvo"], one["logit"]).value for _, one in group.groupby("seed")]
        rows.append(
            {
                "channels": channels,
                "settings": way,
                "auc": interval.value,
                "low": interval.low,
                "high": interval.high,
                "single seeds": ", ".join(f"{value:.3f}" for value in seeds),
            }
        )
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the AUC and its interval for each row."""
    figure, axis = plt.subplots(figsize=(7, 0.5 * len(table) + 1.2), layout="constrained")
    rows = np.arange(len(table))[::-1]
    error = [table["auc"] - table["low"], table["high"] - table["auc"]]
    axis.errorbar(table["auc"], rows, xerr=error, fmt="o", color="black", capsize=3)
    axis.set_yticks(
        rows, [f"{a} ({b})" for a, b in zip(table["channels"], table["settings"], strict=True)]
    )
    axis.axvline(0.5, color="grey", linestyle=":")
    axis.set_xlim(0.3, 1.02)
    axis.set_xlabel("out-of-fold AUC, 95 % interval (simulated data)")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=BASE.epochs)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--difficulty", default="realistic")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    atlas = load_atlas()
    Parallel(given.jobs)(
        delayed(make_case)(given.folder, number, given.difficulty, atlas)
        for number in range(given.cases)
    )
    runs = [(name, "base", seed) for name in given.sets for seed in range(given.seeds)]
    if "all four" in given.sets:
        runs += [("all four", "published", seed) for seed in range(given.seeds)]
    tables = Parallel(given.jobs)(
        delayed(out_of_fold)(
            given.folder,
            given.cases,
            settings(way, given.epochs).model_copy(update={"channels": SETS[name], "seed": seed}),
        )
        for name, way, seed in runs
    )
    scores = pd.concat(
        table.assign(channels=name, settings=way, seed=seed)
        for (name, way, seed), table in zip(runs, tables, strict=True)
    )
    scores.to_csv(given.folder / "scores.csv", index=False)
    table = summarise(scores)
    draw(table, given.folder / "ablation.png")
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in table.round(3).to_numpy()]
    head = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
    (given.folder / "ablation.md").write_text("\n".join([*head, *lines]) + "\n")
    print(json.dumps(table.round(3).to_dict("records"), indent=1))


if __name__ == "__main__":
    main()
