"""Which channel helps, and do the base settings beat the published ones?

    python -m benchmarks.ablation --folder build/ablation [--cases 180] [--seeds 3] [--epochs 40]
        [--train 60] [--compare channels settings] [--sets ncct "all four" ...]
        [--difficulty realistic] [--jobs 1]

Simulates a development cohort, computes the real priors (with the simulator's own brain masks and
vessel labels: a perfect stage 1), stores all channels once, and trains three folds for each row and
seed. ``--compare channels`` trains every channel set with the base settings; ``--compare settings``
trains all four channels with the base and with the published settings, both with the same small
network, the same number of epochs and the weights of the last one. ``--train`` trains each fold on
that many of its cases only and scores the same held-out ones.

Every sample, fold and set of scores is kept in the folder. A stopped run goes on where it was, and
later runs with other rows add to it; ``scores.csv``, ``ablation.md`` and ``ablation.png`` are
written anew after every row and seed. ``readers.py`` and ``sides.py`` look further into the folder.
Simulated data: no claim about patients.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from joblib import Parallel, delayed
from sklearn.model_selection import StratifiedKFold, train_test_split

from benchmarks.cohorts import FIRST_SEED, SCANNER, Cohort, make_cases
from lvo_kedro.detection import (
    TrainingOptions,
    load_detector,
    score_cases,
    train_fold,
)
from lvo_kedro.evaluation import auc_interval, paired_delong
from lvo_kedro.vocabulary import SEGMENT_CLASSES

if TYPE_CHECKING:
    from lvo_kedro.detection import ChannelName

ALL_FOUR = "all four"
SETS: dict[str, tuple[ChannelName, ...]] = {
    "ncct": ("ncct",),
    "ncct + vessels": ("ncct", "vessels"),
    "ncct + territory": ("ncct", "territory"),
    "ncct + difference": ("ncct", "difference"),
    ALL_FOUR: ("ncct", "vessels", "territory", "difference"),
    "signed instead": ("ncct", "vessels", "territory", "signed_difference"),
    "hypodensity instead": ("ncct", "vessels", "territory", "hypodensity"),
}
"""Name of each channel set in tables and plots."""

BASE = TrainingOptions(base_width=16, epochs=40, checkpoint_every=10)
FOLDS = 3
PUBLISHED = Path(__file__).resolve().parents[1] / "conf" / "published" / "parameters.yml"


class Row(NamedTuple):
    """One training of all folds."""

    channels: str
    settings: str
    train: int
    epochs: int
    seed: int

    @property
    def file(self) -> str:
        """Name of the file of its scores."""
        return re.sub(r"[^a-z0-9]+", "-", " ".join(map(str, self))) + ".csv"


def settings(row: Row) -> TrainingOptions:
    """Return base settings, or the published ones at the same size, epochs and kept epoch."""
    chosen = BASE
    if row.settings != "base":
        chosen = TrainingOptions(**yaml.safe_load(PUBLISHED.read_text())["detector"])
    changes = {
        "base_width": BASE.base_width,
        "epochs": row.epochs,
        "selection": "last",
        "validate_every": row.epochs,
        "checkpoint_every": BASE.checkpoint_every,
        "channels": SETS[row.channels],
        "seed": row.seed,
    }
    return chosen.model_copy(update=changes)


def out_of_fold(folder: Path, cases: int, row: Row) -> None:
    """Train all folds of a row and write their scores, one line per case."""
    path = folder / "scores" / row.file
    if path.is_file():
        return
    names = [f"case-{number:03d}" for number in range(cases)]
    samples = {name: folder / "samples" / f"{name}.safetensors" for name in names}
    labels = {name: number % 2 for number, name in enumerate(names)}
    classes = [f"{n % 2}{n // 2 % len(SEGMENT_CLASSES) if n % 2 else ''}" for n in range(cases)]
    lines = []
    split = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for fold, (rest, held_out) in enumerate(split.split(names, classes)):
        model = folder / "models" / path.stem / str(fold)
        train = draw_cases(rest, [classes[i] for i in rest], row.train)
        inside, outside = [names[i] for i in train], [names[i] for i in held_out]
        train_fold(model, samples, labels, inside, outside, settings(row))
        loss = float(pd.read_csv(model / "history.csv")["train_loss"].iloc[-1])
        detector = load_detector(model)
        for name, logit in score_cases(detector, {name: samples[name] for name in outside}).items():
            line = {**row._asdict(), "case": name, "fold": fold, "train_loss": loss}
            lines.append({**line, "lvo": labels[name], "logit": logit})
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    pd.DataFrame(lines).to_csv(partial, index=False)
    partial.replace(path)


def draw_cases(cases: np.ndarray, classes: list[str], number: int) -> np.ndarray:
    """Draw so many cases with each class in its proportion; all of them if there are no more."""
    if number >= len(cases):
        return cases
    return train_test_split(cases, train_size=number, stratify=classes, random_state=0)[0]


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC of the logits averaged over seeds, and each seed's, per kind of training.

    ``difference`` is to all four channels with the base settings, on the same cases and seeds and
    with as much training. ``train_loss`` is the mean of the last epoch's.
    """
    rows = []
    kind = [name for name in Row._fields if name != "seed"]
    for key, group in scores.groupby(kind, sort=False):
        row = dict(zip(kind, key, strict=True))
        own = _mean_over_seeds(group)
        auc = auc_interval(own["lvo"], own["logit"])
        seeds = [auc_interval(one["lvo"], one["logit"]).value for _, one in group.groupby("seed")]
        alike = {**row, "channels": ALL_FOUR, "settings": "base"}
        same = scores[np.all([scores[name] == value for name, value in alike.items()], axis=0)]
        same = same[same["seed"].isin(group["seed"])]
        against = ""
        if len(same) == len(group) and row != alike:
            gap = paired_delong(own["lvo"], own["logit"], _mean_over_seeds(same)["logit"])
            low, high = gap.difference.low, gap.difference.high
            against = f"{gap.difference.value:+.3f} ({low:+.3f} to {high:+.3f})"
        rows.append(
            {
                **row,
                "auc": auc.value,
                "low": auc.low,
                "high": auc.high,
                "single seeds": ", ".join(f"{value:.3f}" for value in seeds),
                "difference": against,
                "train_loss": group["train_loss"].mean(),
            }
        )
    return pd.DataFrame(rows).sort_values(["train", "epochs"], kind="stable", ignore_index=True)


def _mean_over_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.groupby("case").agg(lvo=("lvo", "first"), logit=("logit", "mean"))


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the AUC and its interval for each row, a colour for each amount of training."""
    figure, axis = plt.subplots(figsize=(7, 0.5 * len(table) + 1.2), layout="constrained")
    heights = pd.Series(np.arange(len(table))[::-1], table.index)
    for (train, epochs), part in table.groupby(["train", "epochs"]):
        error = [part["auc"] - part["low"], part["high"] - part["auc"]]
        label = f"{train} training cases, {epochs} epochs"
        axis.errorbar(part["auc"], heights[part.index], xerr=error, fmt="o", capsize=3, label=label)
    axis.set_yticks(
        heights, [f"{a} ({b})" for a, b in zip(table["channels"], table["settings"], strict=True)]
    )
    axis.axvline(0.5, color="grey", linestyle=":")
    axis.set_xlim(0.3, 1.02)
    axis.set_xlabel("out-of-fold AUC, 95 % interval (simulated data)")
    axis.legend(loc="lower left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def write_results(folder: Path) -> pd.DataFrame:
    """Gather the scores that are there, of this run and earlier ones, into table and figure."""
    files = sorted((folder / "scores").glob("*.csv"))
    scores = pd.concat([pd.read_csv(file) for file in files])
    order = {name: number for number, name in enumerate(SETS)}
    scores = scores.sort_values(
        "channels", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )
    scores.to_csv(folder / "scores.csv", index=False)
    table = summarise(scores)
    draw(table, folder / "ablation.png")
    write_markdown(folder / "ablation.md", table)
    return table


def write_markdown(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Markdown."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in table.round(3).to_numpy()]
    head = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
    path.write_text("\n".join([*head, *lines]) + "\n")


def check_folder(folder: Path, study: dict[str, Any]) -> None:
    """Refuse to mix results of different studies in one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "study.json"
    if record.is_file() and json.loads(record.read_text()) != study:
        raise SystemExit(f"{folder} holds another study: {record.read_text()}; expected {study}")
    record.write_text(json.dumps(study))


def rows_of(given: argparse.Namespace) -> list[Row]:
    """List what is to be trained, seed by seed, so that an early stop leaves whole comparisons."""
    kinds = [(name, "base") for name in given.sets] if "channels" in given.compare else []
    if "settings" in given.compare:
        kinds += [(ALL_FOUR, way) for way in ("base", "published")]
    train = given.train or given.cases - given.cases // FOLDS
    return [
        Row(*kind, train, given.epochs, seed)
        for seed in range(given.seeds)
        for kind in dict.fromkeys(kinds)
    ]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=180)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=BASE.epochs)
    parser.add_argument("--train", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--difficulty", default="realistic", choices=("didactic", "realistic"))
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    both = ("channels", "settings")
    parser.add_argument("--compare", nargs="+", default=both, choices=both)
    given = parser.parse_args()
    check_folder(given.folder, {name: getattr(given, name) for name in ("cases", "difficulty")})
    cohort = Cohort(given.cases, (FIRST_SEED,), {"difficulty": given.difficulty, **SCANNER})
    make_cases(given.folder, cohort, given.jobs)
    rows = rows_of(given)
    trained = Parallel(given.jobs, return_as="generator_unordered")(
        delayed(out_of_fold)(given.folder, given.cases, row) for row in rows
    )
    for number, _ in enumerate(trained, start=1):
        table = write_results(given.folder)
        print(f"{number} of {len(rows)} trained", flush=True)
    print(json.dumps(table.round(3).to_dict("records"), indent=1))


if __name__ == "__main__":
    main()
