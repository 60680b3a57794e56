"""Networks of the detection study, trained and scored; ``methods_report.py`` makes its tables.

    python -m benchmarks.methods train build/detectors --cohort study [--designs halves whole]
        [--seeds 3] [--cases 180] [--curve 30 60 120 240] [--nested] [--jobs 2]
    python -m benchmarks.methods score build/detectors --cohort other [--seeds 3]

``train`` simulates a cohort of ``cohorts.py`` where it is missing, measures its features, and
trains three folds of each network and seed; every training is kept and resumed. ``score`` scores a
cohort by the networks of the study and keeps the scores. Networks: ``halves`` is that of
``conf/base``; ``whole`` is McResNet of whole heads with the published four channels, as in
``ablation.py``. Simulated data: no claim about patients.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import yaml
from joblib import Parallel, delayed
from safetensors.torch import load_file, save_file
from sklearn.model_selection import StratifiedKFold

from benchmarks.ablation import ALL_FOUR, BASE, SETS
from benchmarks.cohorts import COHORTS, case_name, make_cases
from lvo_kedro.detection import TrainingOptions, load_detector, score_sides, train_fold
from lvo_kedro.features import SideFeatures, measure_sides, pack_features, unpack_features
from lvo_kedro.imaging import QualityLimits, describe_scan
from lvo_kedro.vocabulary import SEGMENT_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONF = Path(__file__).resolve().parents[1] / "conf" / "base" / "parameters_detection_training.yml"
FOLDS, STUDY = 3, 180
IMAGES = ("ncct", "brain_mask", "vessel_labels")
PRIORS = ("hemispheres", "territory_probability", "signed_difference")


def network_options(design: str, seed: int) -> TrainingOptions:
    """Return the options of a design."""
    if design == "whole":
        return BASE.model_copy(update={"channels": SETS[ALL_FOUR], "seed": seed})
    base = yaml.safe_load(CONF.read_text(encoding="utf-8"))
    options, channels = TrainingOptions(**base["detector"]), tuple(base["channels"]["channels"])
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


def part_of(cohort: Studied, table: pd.DataFrame) -> Studied:
    """Return some cases of a cohort."""
    names = table["case_id"].tolist()
    return Studied(
        table,
        {name: cohort.features[name] for name in names},
        {name: cohort.samples[name] for name in names},
    )


def deal(table: pd.DataFrame, seed: int = 0) -> list[tuple[list[str], list[str]]]:
    """Return training and held-out cases of each fold, stratified by segment."""
    split = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    names = table["case_id"].to_numpy()
    classes = [f"1{SEGMENT_CLASSES.index(s)}" if s else "0" for s in table["segment"]]
    parts = split.split(names, classes)  # those of ablation.py
    return [(names[a].tolist(), names[b].tolist()) for a, b in parts]


def inner_folds(table: pd.DataFrame, inside: list[str]) -> list[tuple[list[str], list[str]]]:
    """Return folds of a fold's training cases; those it holds out take no part."""
    return deal(table.loc[inside], seed=1)


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
                for fold, (inside, _) in enumerate(deal(chosen)):
                    for number, (few, rest) in enumerate(inner_folds(chosen, inside)):
                        own = model_folder(folder, design, seed, f"{fold}-inner{number}")
                        tasks.append(delayed(train_network)(own, cohort, few, rest, options))
    done = Parallel(given.jobs, return_as="generator_unordered")(tasks)
    for number, _ in enumerate(done, start=1):
        print(f"{number} of {len(tasks)} trained", flush=True)


def network_scores(folders: list[Path], samples: Mapping[str, Path]) -> pd.DataFrame:
    """Return the mean logit (and utilities) of networks for stored cases."""
    scores = score_sides([load_detector(folder) for folder in folders], samples)
    rows = {case: {"logit": s.logit, **(s.sides or {})} for case, s in scores.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def stored(path: Path, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return scores that are kept in a file, computed where it is missing."""
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        compute().to_csv(part)
        part.replace(path)
    return pd.read_csv(path, index_col=0)


def scores_out_of_fold(folder: Path, cohort: Studied, design: str, seed: int) -> pd.DataFrame:
    """Return the scores of a network of every fold for the cases that the fold holds out."""
    return stored(
        folder / "scores" / f"{design}-{seed}.csv",
        lambda: pd.concat(
            network_scores(
                [model_folder(folder, design, seed, fold)],
                {case: cohort.samples[case] for case in outside},
            )
            for fold, (_, outside) in enumerate(deal(cohort.table))
        ),
    )


def scores_of_new(
    folder: Path, new_folder: Path, new: Studied, design: str, seed: int
) -> pd.DataFrame:
    """Return the mean scores of a study's networks of all folds for new cases."""
    models = [model_folder(folder, design, seed, fold) for fold in range(FOLDS)]
    return stored(
        new_folder / "scores" / f"study-{design}-{seed}.csv",
        lambda: network_scores(models, new.samples),
    )


def is_trained(folder: Path, design: str, seed: int) -> bool:
    """Tell whether every fold of a network is trained."""
    models = [model_folder(folder, design, seed, fold) for fold in range(FOLDS)]
    return all((model / "model.json").is_file() for model in models)


def score(given: argparse.Namespace) -> None:
    """Score a cohort by the study's networks, which takes longest, and keep the scores."""
    folder, own = given.folder / "study", given.folder / given.cohort
    for name in sorted(path.name for path in (own / "cases").iterdir()):
        measure(own, name)
    cohort = read_cohort(own)
    study = part_of(cohort, cohort.table.iloc[: given.cases])
    for seed in range(given.seeds):
        for design in given.designs:
            if given.cohort == "study":
                scores_out_of_fold(folder, study, design, seed)
            else:
                scores_of_new(folder, own, cohort, design, seed)
            print(given.cohort, design, seed, flush=True)


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task", choices=("train", "score"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cohort", default="study", choices=list(COHORTS))
    parser.add_argument("--designs", nargs="*", default=["halves", "whole"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", type=int, default=STUDY)
    parser.add_argument("--curve", nargs="*", type=int, default=[])
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    (train if given.task == "train" else score)(given)


if __name__ == "__main__":
    main()
