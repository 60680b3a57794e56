"""Network, side model and both together, side by side, and against the published design.

    python -m benchmarks.methods train build/detectors --cohort study [--designs halves whole]
        [--seeds 3] [--cases 180] [--jobs 2]
    python -m benchmarks.methods report build/detectors

``train`` simulates a cohort of ``cohorts.py`` where it is missing, measures its features, and
trains three folds of each network and seed; every training is kept and resumed. ``report`` fits the
side models, which takes a moment, and writes ``methods.md`` with the tables that the trainings
allow for.
Networks: ``halves`` is that of ``conf/base``; ``whole`` is McResNet of whole heads with the
published four channels, as in ``ablation.py``. Simulated data: no claim about patients.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import yaml
from joblib import Parallel, delayed
from safetensors.torch import load_file, save_file
from sklearn.model_selection import StratifiedKFold

from benchmarks.ablation import ALL_FOUR, BASE, SETS
from benchmarks.cohorts import COHORTS, case_name, make_cases
from lvo_kedro.detection import (
    TrainingOptions,
    train_fold,
)
from lvo_kedro.features import (
    SideFeatures,
    measure_sides,
    pack_features,
    unpack_features,
)
from lvo_kedro.imaging import QualityLimits, describe_scan
from lvo_kedro.vocabulary import SEGMENT_CLASSES

CONF = Path(__file__).resolve().parents[1] / "conf" / "base" / "parameters_detection_training.yml"
FOLDS, STUDY = 3, 180
IMAGES = ("ncct", "brain_mask", "vessel_labels")
PRIORS = ("hemispheres", "territory_probability", "signed_difference")


def network_options(design: str, seed: int) -> TrainingOptions:
    """Return the options of a design."""
    if design == "whole":
        return BASE.model_copy(update={"channels": SETS[ALL_FOUR], "seed": seed})
    options = TrainingOptions(**yaml.safe_load(CONF.read_text(encoding="utf-8"))["detector"])
    channels = ("ncct", "vessels", "territory", "hypodensity")
    return options.model_copy(update={"channels": channels, "seed": seed, "checkpoint_every": 5})


class Studied(NamedTuple):
    """One cohort, ready to learn from or to be scored."""

    table: pd.DataFrame
    features: dict[str, SideFeatures]
    samples: dict[str, Path]


def measure(folder: Path, name: str) -> None:
    """Measure one stored case's features, unless they are there."""
    own = folder / "cases" / name
    target = own / "tissue.safetensors"
    if target.is_file():
        return
    images = {}
    for part in (*IMAGES, *PRIORS):
        stored = nib.load(own / f"{part}.nii.gz")
        images[part] = nib.Nifti1Image(np.asarray(stored.dataobj), stored.affine)
    quality = describe_scan(images["ncct"], images["brain_mask"], QualityLimits())
    packed = pack_features(
        measure_sides(
            images["ncct"], images["vessel_labels"], images["brain_mask"], images, quality=quality
        )
    )
    packed["arteries"].to_csv(own / "arteries.csv", index=False)
    (own / "scan.json").write_text(json.dumps(packed["scan"]), encoding="utf-8")
    save_file(packed["tissue"], str(target))


def read_cohort(folder: Path) -> Studied:
    """Read what :func:`measure` and ``cohorts.py`` left of a cohort."""
    rows, features = [], {}
    for own in sorted((folder / "cases").iterdir()):
        rows.append(json.loads((own / "case.json").read_text(encoding="utf-8")))
        stored = {
            "arteries": pd.read_csv(own / "arteries.csv"),
            "tissue": load_file(str(own / "tissue.safetensors")),
            "scan": json.loads((own / "scan.json").read_text(encoding="utf-8")),
        }
        features[own.name] = unpack_features(stored)
    table = pd.DataFrame(rows).fillna({"side": "", "segment": ""}).set_index("case_id", drop=False)
    samples = {name: folder / "samples" / f"{name}.safetensors" for name in features}
    return Studied(table.assign(lvo=table["lvo"].astype(int)), features, samples)


def deal(table: pd.DataFrame, seed: int = 0) -> list[tuple[list[str], list[str]]]:
    """Return training and held-out cases of each fold, stratified by segment."""
    split = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    names = table["case_id"].to_numpy()
    classes = [f"1{SEGMENT_CLASSES.index(s)}" if s else "0" for s in table["segment"]]
    parts = split.split(names, classes)  # those of ablation.py
    return [(names[a].tolist(), names[b].tolist()) for a, b in parts]


def train_network(
    folder: Path, cohort: Studied, inside: list[str], outside: list[str], options: TrainingOptions
) -> None:
    """Train one network, or go on with it."""
    labels, sides = cohort.table["lvo"].to_dict(), cohort.table["side"].to_dict()
    train_fold(folder, cohort.samples, labels, inside, outside, options, sides=sides)


def model_folder(folder: Path, design: str, seed: int, fold: int | str) -> Path:
    """Return where a training lies."""
    return folder / "models" / f"{design}-{seed}-{fold}"


def train(given: argparse.Namespace) -> None:
    """Train what the command line asks for."""
    folder = given.folder / given.cohort
    make_cases(folder, COHORTS[given.cohort], given.jobs)
    names = [case_name(n) for n in range(COHORTS[given.cohort].cases)]
    Parallel(given.jobs)(delayed(measure)(folder, name) for name in names)
    cohort = read_cohort(folder)
    chosen = cohort.table.iloc[: given.cases]
    tasks = []
    for seed in range(given.seeds):
        for design in given.designs:
            options = network_options(design, seed)
            for fold, (inside, outside) in enumerate(deal(chosen)):
                own = model_folder(folder, design, seed, fold)
                tasks.append(delayed(train_network)(own, cohort, inside, outside, options))
            for count in given.curve:
                own = model_folder(folder, design, seed, f"first{count}")
                inside = cohort.table["case_id"].tolist()[:count]
                tasks.append(delayed(train_network)(own, cohort, inside, [], options))
            if given.nested:
                for fold, (inside, outside) in enumerate(deal(chosen)):
                    for number, (few, rest) in enumerate(pairs(chosen, inside, outside)):
                        own = model_folder(folder, design, seed, f"{fold}-inner{number}")
                        tasks.append(delayed(train_network)(own, cohort, few, rest, options))
    done = Parallel(given.jobs, return_as="generator_unordered")(tasks)
    for number, _ in enumerate(done, start=1):
        print(f"{number} of {len(tasks)} trained", flush=True)


def pairs(
    table: pd.DataFrame, inside: list[str], outside: list[str]
) -> list[tuple[list[str], list[str]]]:
    """Return inner folds of a fold's training cases: the held-out ones take no part."""
    del outside
    return deal(table.loc[inside], seed=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task", choices=("train", "report"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cohort", default="study", choices=list(COHORTS))
    parser.add_argument("--designs", nargs="*", default=["halves", "whole"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", type=int, default=STUDY)
    parser.add_argument("--curve", nargs="*", type=int, default=[])
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    train(parser.parse_args())
