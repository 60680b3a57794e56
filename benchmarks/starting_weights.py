"""What the shipped starting weights bring: Dice and AUC against the number of training cases.

    python benchmarks/starting_weights.py [--folder build/starting_weights] [--cases 10 20 40 80]
                                          [--seeds 3]

A ``realistic`` simulated cohort (seed 31, no patient of which is behind the weights) is computed
with the demo's settings. Of its development cases 40 are kept for testing; networks of the demo's
kind are trained on a draw of the others, with and without the weights, a draw and training anew for
each seed. They are tested on the 40 and on 40 external cases of another simulated scanner. The
vessels that the detector sees are the whole method's, out of fold. Writes ``results.csv``; what is
there already is not computed again. Simulated data: the numbers support no claim about patients.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # trainings go side by side

import joblib
import numpy as np
import pandas as pd
import yaml
from sklearn.metrics import roc_auc_score

from benchmarks.learning_curve import LARGE, _load, _paths, measure
from lvo_kedro.datasets import RecordTable
from lvo_kedro.detection import TrainingOptions, load_detector, score_cases
from lvo_kedro.detection import train_fold as train_detector
from lvo_kedro.nnunet import NnUNetOptions, prepare_dataset, train_fold
from lvo_kedro.vocabulary import VESSEL_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[1]
SEED, DEVELOPMENT, EXTERNAL, TESTED = 31, 120, 40, 40
STEPS = 200
"""Optimizer steps of the detector, with eight cases each."""
FROM_NOTHING = {
    "vessels": {
        "start_from": None,
        "learning_rate": 8e-3,
        "epochs": 10,
        "iterations_per_epoch": 40,
    },
    "detector": {"start_from": None, "learning_rate": 1e-3},
}
STARTED = {"vessels": {"epochs": 5, "iterations_per_epoch": 20}, "detector": {}}
"""What is changed in the demo's options: from nothing more steps at a higher rate are needed."""


def main() -> None:
    """Compute the cohort, train, test, tabulate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/starting_weights"))
    parser.add_argument("--cases", type=int, nargs="+", default=[10, 20, 40, 80])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    folder = given.folder.resolve()
    compute_cohort(folder)
    jobs = [
        joblib.delayed(measured)(folder, part, way, count, seed)
        for seed in range(given.seeds)
        for count in sorted(given.cases)
        for part in ("vessels", "detector")
        for way in ("from nothing", "starting weights")
    ]
    tables = joblib.Parallel(given.workers, return_as="generator_unordered")(jobs)
    rows = []
    for number, table in enumerate(tables, start=1):
        rows.append(table)
        print(f"{number} of {len(jobs)}", flush=True)
    results = pd.concat(rows, ignore_index=True)
    results.to_csv(folder / "results.csv", index=False)
    print(summarize(results).to_string())


def compute_cohort(folder: Path) -> None:
    """Run the method's first stages on the cohort, with the demo's settings."""
    conf = folder / "conf"
    shutil.rmtree(conf, ignore_errors=True)
    shutil.copytree(ROOT / "conf", conf, ignore=shutil.ignore_patterns("local"))
    (conf / "local").mkdir()
    settings = conf / "demo" / "globals.yml"
    data = f"data: {(folder / 'data').as_posix()}"
    settings.write_text(re.sub("^data: .*$", data, settings.read_text(), flags=re.M))
    simulation = {
        "seed": SEED,
        "development": DEVELOPMENT,
        "external": EXTERNAL,
        "external_prevalence": 0.5,
        "vessel_labels": 1.0,
        "repeat_scans": 0,
        "simulation": {"difficulty": "realistic"},
    }
    file = conf / "demo" / "parameters_simulation.yml"
    file.write_text(yaml.safe_dump({"simulation": simulation}))
    pipelines = "simulation,preprocessing,segmentation,priors,detection_training"
    command = [sys.executable, "-m", "kedro", "run", "--env", "demo", "--pipelines", pipelines]
    command += ["--conf-source", str(conf), "--params", "explanation.enabled=false"]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603


def measured(folder: Path, part: str, way: str, count: int, seed: int) -> pd.DataFrame:
    """Train and test one network; a row per test set."""
    file = folder / "rows" / f"{part} {way} {count} {seed}.csv"
    if not file.is_file():
        train = {"vessels": vessel_rows, "detector": detector_rows}[part]
        place = folder / "models" / f"{part}_{way.replace(' ', '_')}_{count}_{seed}"
        rows = train(folder / "data", place, way, count, seed)
        table = pd.DataFrame(rows, columns=["tested on", "n", "value"])
        file.parent.mkdir(parents=True, exist_ok=True)
        table.assign(part=part, way=way, cases=count, seed=seed).to_csv(file, index=False)
    return pd.read_csv(file)


def vessel_rows(
    data: Path, place: Path, way: str, count: int, seed: int
) -> list[tuple[str, int, float]]:
    """Return the mean Dice of C7, M1 and M2 on each test set."""
    train, tests = draw(data, count, seed, lambda case: _paths(data, case)["vessel_labels"])
    options = NnUNetOptions.model_validate(demo("segmentation", "vessel_network"))
    changes = (FROM_NOTHING if way == "from nothing" else STARTED)["vessels"]
    options = NnUNetOptions.model_validate(options.model_dump() | changes | {"seed": seed})
    watched = tests["held out"][:1]  # nnU-Net wants one; nothing is chosen by it
    cases = {case: partial(_load, data, case) for case in [*train, *watched]}
    split = [{"train": train, "val": watched}]
    prepare_dataset(place / "dataset", cases, VESSEL_LABELS, split, options)
    train_fold(place / "dataset", 0, place / "model", options)
    rows = []
    for name, chosen in tests.items():
        dice = measure(data, chosen, place / "model", options)
        rows.append((name, len(chosen), float(dice.loc[dice["label"] == LARGE, "dice"].mean())))
    shutil.rmtree(place / "dataset")
    return rows


def detector_rows(
    data: Path, place: Path, way: str, count: int, seed: int
) -> list[tuple[str, int, float]]:
    """Return the AUC on each test set."""
    channels = data / "04_feature" / "channels"
    train, tests = draw(data, count, seed, lambda case: channels / case / "channels.safetensors")
    cohort = read_cohort(data).set_index("case_id")
    labels = {case: int(value) for case, value in cohort["lvo"].items()}
    options = TrainingOptions.model_validate(demo("detection_training", "detector"))
    changes = (FROM_NOTHING if way == "from nothing" else STARTED)["detector"]
    epochs = -(-STEPS // -(-count // options.batch_size))
    changes = changes | {"seed": seed, "epochs": epochs, "validate_every": epochs}
    options = TrainingOptions.model_validate(options.model_dump() | changes)
    used = [*train, *tests["held out"], *tests["external"]]
    samples = {case: channels / case / "channels.safetensors" for case in used}
    train_detector(place, samples, labels, train, [], options)
    rows = []
    for name, chosen in tests.items():
        scores = score_cases(load_detector(place), {case: samples[case] for case in chosen})
        truth = [labels[case] for case in chosen]
        rows.append((name, len(chosen), float(roc_auc_score(truth, list(scores.values())))))
    return rows


def draw(data: Path, count: int, seed: int, file: Any) -> tuple[list[str], dict[str, list[str]]]:
    """Draw training cases, half of them with an occlusion, and return the test cases."""
    cohort = read_cohort(data)
    there = cohort[[file(case).is_file() for case in cohort["case_id"]]]
    development = there[there["split"] == "development"]
    fixed = np.random.default_rng(0)
    kept = set(balanced(development, TESTED, fixed))
    rest = development[~development["case_id"].isin(kept)]
    train = balanced(rest, count, np.random.default_rng(seed + 1))
    external = there.loc[there["split"] == "external", "case_id"].tolist()
    return train, {"held out": sorted(kept), "external": external}


def balanced(cohort: pd.DataFrame, count: int, rng: np.random.Generator) -> list[str]:
    """Draw cases, half with and half without an occlusion."""
    halves: Iterable[pd.DataFrame] = (cohort[cohort["lvo"] == value] for value in (0, 1))
    drawn = [rng.permutation(half["case_id"].to_numpy())[: count // 2] for half in halves]
    return [str(case) for case in np.concatenate(drawn)]


def read_cohort(data: Path) -> pd.DataFrame:
    """Read the cohort table."""
    path = (data / "02_intermediate" / "cohort.csv").as_posix()
    return RecordTable(filepath=path, numbers=["lvo"]).load()


def demo(pipeline: str, block: str) -> dict[str, Any]:
    """Return a block of the demo's parameters."""
    file = ROOT / "conf" / "demo" / f"parameters_{pipeline}.yml"
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))[block]
    return content


def summarize(results: pd.DataFrame) -> pd.DataFrame:
    """Return mean (lowest to highest) over the seeds."""
    keys = ["part", "tested on", "cases", "way"]
    spread = results.groupby(keys)["value"].agg(["mean", "min", "max"])
    text = spread.apply(lambda r: f"{r['mean']:.2f} ({r['min']:.2f} to {r['max']:.2f})", axis=1)
    return text.unstack("way")


if __name__ == "__main__":
    main()
