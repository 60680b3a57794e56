"""Network, side model and both together, side by side, and against the published design.

    python -m benchmarks.methods train build/detectors --cohort study [--designs halves whole]
        [--seeds 3] [--cases 180] [--jobs 2]
    python -m benchmarks.methods report build/detectors [--new other mimic hard]
    python -m benchmarks.methods picture|speed build/detectors

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
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import yaml
from joblib import Parallel, delayed
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from benchmarks.ablation import ALL_FOUR, BASE, SETS
from benchmarks.cohorts import COHORTS, case_name, make_cases
from benchmarks.cohorts import PRIORS as PRIOR_OPTIONS
from lvo_kedro.detection import (
    DetectionOptions,
    SideModel,
    TrainingOptions,
    average_contributions,
    calibrate,
    choose_operating_points,
    combine,
    draw_contributions,
    fit_side_models,
    judge_case,
    load_detector,
    score_sides,
    tabulate_contributions,
    train_fold,
)
from lvo_kedro.detection.side_model import answer_of
from lvo_kedro.evaluation import auc_interval, paired_delong
from lvo_kedro.features import (
    CORE,
    SIDES,
    SideFeatures,
    leave_out,
    measure_sides,
    pack_features,
    unpack_features,
)
from lvo_kedro.imaging import QualityLimits, describe_scan
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.midplane import split_mask
from lvo_kedro.priors import compute_priors, load_atlas
from lvo_kedro.reporting import plot_contributions
from lvo_kedro.simulation import SimulationOptions, simulate_case
from lvo_kedro.vocabulary import SEGMENT_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
                for fold, (inside, _) in enumerate(deal(chosen)):
                    for number, (few, rest) in enumerate(inner_folds(chosen, inside)):
                        own = model_folder(folder, design, seed, f"{fold}-inner{number}")
                        tasks.append(delayed(train_network)(own, cohort, few, rest, options))
    done = Parallel(given.jobs, return_as="generator_unordered")(tasks)
    for number, _ in enumerate(done, start=1):
        print(f"{number} of {len(tasks)} trained", flush=True)


def inner_folds(table: pd.DataFrame, inside: list[str]) -> list[tuple[list[str], list[str]]]:
    """Return folds of a fold's training cases; those it holds out take no part."""
    return deal(table.loc[inside], seed=1)


def side_scores(
    cohort: Studied,
    splits: list[tuple[list[str], list[str]]],
    *,
    labels: pd.DataFrame | None = None,
    change: Callable[[SideFeatures], SideFeatures] = lambda features: features,
) -> pd.DataFrame:
    """Return the side model's utilities for every held-out case, and the evidence of NIHSS and age.

    Args:
        cohort: Features and truth.
        splits: Training and held-out cases of each fold.
        labels: What to learn from instead of the truth.
        change: What is done to the features first, in training and scoring.
    """
    taught = (cohort.table if labels is None else labels).reset_index(drop=True)
    rows = []
    for inside, outside in splits:
        measured = {case: change(cohort.features[case]) for case in inside}
        known = taught[taught["case_id"].isin(inside)]
        fitted = [fit_side_models(measured, known, clinical=("nihss", "age"))]
        rows += [judged_row(fitted, cohort, case, change) for case in outside]
    return pd.DataFrame(rows).set_index("case_id")


def judged_row(
    fitted: list[dict[str, Any]],
    cohort: Studied,
    case: str,
    change: Callable[[SideFeatures], SideFeatures] = lambda features: features,
) -> dict[str, Any]:
    """Return what side models say about a case."""
    judged = judge_case(fitted, change(cohort.features[case]), cohort.table.loc[case].to_dict())
    return {
        "case_id": case,
        **judged["sides"],
        "clinical": judged["clinical"],
        "against": "; ".join(judged["against"]),
    }


def network_scores(folders: list[Path], samples: Mapping[str, Path]) -> pd.DataFrame:
    """Return the mean logit (and utilities) of networks for stored cases."""
    scores = score_sides([load_detector(folder) for folder in folders], samples)
    rows = {case: {"logit": s.logit, **(s.sides or {})} for case, s in scores.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def all_methods(
    networks: Mapping[str, pd.DataFrame], sides: pd.DataFrame, options: DetectionOptions
) -> pd.DataFrame:
    """Return the logit and the likelier side of each method, as columns, for every case."""
    rows = {}
    for case, own in sides.iterrows():
        network = networks["halves"].loc[case]
        score = {"logit": network["logit"], "sides": network[list(SIDES)].to_dict()}
        utilities = {side: float(own[side]) for side in SIDES}
        methods = combine(score, utilities, float(own["clinical"]), options)
        row = {name: one["logit"] for name, one in methods.items()}
        row |= {f"{name}_side": one["likely_side"] for name, one in methods.items()}
        if "whole" in networks:
            row |= {"whole": networks["whole"].loc[case, "logit"], "whole_side": ""}
        rows[case] = row
    return pd.DataFrame.from_dict(rows, orient="index")


METHODS = {
    "whole": "network of whole heads, four channels (published design)",
    "network": "network of halves (`conf/base`)",
    "sides": "side model",
    "ensemble": "ensemble",
    "ensemble_clinical": "ensemble with NIHSS and age",
}


def compare(table: pd.DataFrame, seeds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a row per method: AUC of the mean over seeds, each seed's, by segment; the side."""
    rows = []
    lvo = table["lvo"].to_numpy()
    for name, title in METHODS.items():
        own = [scores.loc[table["case_id"], name] for scores in seeds if name in scores]
        if not own:
            continue
        mean = np.mean(own, axis=0)
        row = {"method": title, "AUC (95 %)": words(auc_interval(lvo, mean))}
        row["single seeds"] = ", ".join(f"{auc_interval(lvo, one).value:.3f}" for one in own)
        for segment in SEGMENT_CLASSES:
            chosen = (table["segment"] == segment).to_numpy() | (lvo == 0)
            row[segment] = f"{auc_interval(lvo[chosen], mean[chosen]).value:.2f}"
        sides = [scores.loc[table["case_id"], f"{name}_side"] for scores in seeds if name in scores]
        right = [(s == table["side"])[lvo == 1].mean() for s in sides]
        row["side"] = "" if name == "whole" else ", ".join(f"{r:.2f}" for r in right)
        row["difference to the first"] = ""
        if name != "whole" and "whole" in seeds[0]:
            reference = np.mean([scores.loc[table["case_id"], "whole"] for scores in seeds], axis=0)
            test = paired_delong(lvo, mean, reference)
            row["difference to the first"] = (
                f"{words(test.difference, '+')}, p = {test.p_value:.2g}"
            )
        rows.append(row)
    return pd.DataFrame(rows)


def words(interval: Any, sign: str = "") -> str:
    """Return a value with its interval."""
    return f"{interval.value:{sign}.3f} ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"


def fixed_calls(
    fixed: tuple[pd.DataFrame, pd.DataFrame], new: tuple[pd.DataFrame, pd.DataFrame]
) -> pd.DataFrame:
    """Return sensitivity and specificity on new cases at the points fixed on others.

    Args:
        fixed: Truth and scores of the cases that the points were chosen on, out of fold.
        new: The same of the new cases.
    """
    rows = []
    for name, title in METHODS.items():
        if name not in fixed[1] or name not in new[1]:
            continue
        known, logits = fixed[0]["lvo"].to_numpy(), fixed[1].loc[fixed[0]["case_id"], name]
        calibration = calibrate(known, logits)
        chances = calibration.apply(logits)
        points = choose_operating_points(known, chances) | {"0.5": 0.5}
        truth = new[0]["lvo"].to_numpy()
        scored = calibration.apply(new[1].loc[new[0]["case_id"], name])
        for point, threshold in points.items():
            rows.append(
                {
                    "method": title,
                    "point": point,
                    "sensitivity, fixed on": f"{(chances >= threshold)[known == 1].mean():.2f}",
                    "specificity, fixed on": f"{(chances < threshold)[known == 0].mean():.2f}",
                    "sensitivity, new": f"{(scored >= threshold)[truth == 1].mean():.2f}",
                    "specificity, new": f"{(scored < threshold)[truth == 0].mean():.2f}",
                }
            )
    return pd.DataFrame(rows)


def shuffled(cohort: Studied, splits: list[tuple[list[str], list[str]]], deals: int) -> str:
    """Return the AUC of side models that learned labels dealt out at random."""
    areas = []
    for seed in range(deals):
        order = np.random.default_rng(seed).permutation(len(cohort.table))
        dealt = cohort.table.copy()
        dealt[["lvo", "side"]] = cohort.table[["lvo", "side"]].to_numpy()[order]
        dealt["lvo"] = dealt["lvo"].astype(int)
        scores = side_scores(cohort, splits, labels=dealt)
        logits = np.logaddexp(scores["left"], scores["right"])
        areas.append(auc_interval(dealt.loc[scores.index, "lvo"], logits).value)
    half = 1.96 * np.std(areas, ddof=1) / np.sqrt(deals)
    return f"{np.mean(areas):.3f} ({np.mean(areas) - half:.3f} to {np.mean(areas) + half:.3f})"


def part_of(cohort: Studied, table: pd.DataFrame) -> Studied:
    """Return some cases of a cohort."""
    names = table["case_id"].tolist()
    return Studied(
        table,
        {name: cohort.features[name] for name in names},
        {name: cohort.samples[name] for name in names},
    )


def seeds_of(folder: Path) -> list[int]:
    """Return the seeds of which every fold of the base's network is trained."""
    whole = [
        seed
        for seed in range(20)
        if all(
            (model_folder(folder, "halves", seed, fold) / "model.json").is_file()
            for fold in range(FOLDS)
        )
    ]
    if not whole:
        raise SystemExit(f"no trained networks in {folder}; expected some; run `train` first")
    return whole


def out_of_fold(folder: Path, cohort: Studied, options: DetectionOptions) -> list[pd.DataFrame]:
    """Return the scores of every method out of fold, one table per seed of the networks."""
    splits = deal(cohort.table)
    sides = side_scores(cohort, splits)
    found = []
    for seed in seeds_of(folder):
        networks = {}
        for design in ("halves", "whole"):
            models = [model_folder(folder, design, seed, fold) for fold in range(FOLDS)]
            if all((model / "model.json").is_file() for model in models):
                parts = [
                    network_scores([model], {case: cohort.samples[case] for case in outside})
                    for model, (_, outside) in zip(models, splits, strict=True)
                ]
                networks[design] = pd.concat(parts)
        found.append(all_methods(networks, sides, options))
    return found


def applied(
    folder: Path, study: Studied, new: Studied, options: DetectionOptions
) -> list[pd.DataFrame]:
    """Return the scores of new cases by the models of all folds of the study."""
    known = study.table.reset_index(drop=True)
    fitted = [
        fit_side_models(
            {case: study.features[case] for case in inside},
            known[known["case_id"].isin(inside)],
            clinical=("nihss", "age"),
        )
        for inside, _ in deal(study.table)
    ]
    rows = [judged_row(fitted, new, case) for case in new.features]
    sides = pd.DataFrame(rows).set_index("case_id")
    found = []
    for seed in seeds_of(folder):
        networks = {}
        for design in ("halves", "whole"):
            models = [model_folder(folder, design, seed, fold) for fold in range(FOLDS)]
            if all((model / "model.json").is_file() for model in models):
                networks[design] = network_scores(models, new.samples)
        found.append(all_methods(networks, sides, options).assign(against=sides["against"]))
    return found


def nested_stack(folder: Path, cohort: Studied) -> pd.Series:
    """Return the logits of a stack whose weights each fold learns from its own inner folds."""
    parts = []
    for fold, (inside, outside) in enumerate(deal(cohort.table)):
        few = part_of(cohort, cohort.table.loc[inside])
        inner = inner_folds(cohort.table, inside)
        models = [
            model_folder(folder, "halves", 0, f"{fold}-inner{number}") for number in range(FOLDS)
        ]
        networks = pd.concat(
            network_scores([model], {case: cohort.samples[case] for case in rest})
            for model, (_, rest) in zip(models, inner, strict=True)
        )
        learned = design_of(side_scores(few, inner), networks)
        stack = LogisticRegression().fit(learned, few.table.loc[learned.index, "lvo"])
        outer = network_scores(
            [model_folder(folder, "halves", 0, fold)],
            {case: cohort.samples[case] for case in outside},
        )
        scored = design_of(side_scores(cohort, [(inside, outside)]), outer)
        parts.append(pd.Series(stack.decision_function(scored), index=scored.index))
    return pd.concat(parts)


def design_of(sides: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """Return what a stack weighs: the log odds of both members."""
    logits = pd.Series(np.logaddexp(sides["left"], sides["right"]), index=sides.index)
    return pd.DataFrame({"sides": logits, "network": networks.loc[sides.index, "logit"]})


def variants(cohort: Studied, splits: list[tuple[list[str], list[str]]]) -> pd.DataFrame:
    """Return what the side model is worth with less to learn from."""
    unsided = cohort.table.assign(side="")
    half = cohort.table.assign(
        side=[side if n % 4 < 2 else "" for n, side in enumerate(cohort.table["side"])]
    )
    rows = {
        "as it is": side_scores(cohort, splits),
        "other deals of the folds, seed 1": side_scores(cohort, deal(cohort.table, 1)),
        "other deals of the folds, seed 2": side_scores(cohort, deal(cohort.table, 2)),
        "no side is known": side_scores(cohort, splits, labels=unsided),
        "every second side is known": side_scores(cohort, splits, labels=half),
        "no vessels": side_scores(cohort, splits, change=lambda f: leave_out(f, "vessels")),
        "no tissue": side_scores(cohort, splits, change=lambda f: leave_out(f, "territory")),
        "M1 never found": side_scores(cohort, splits, change=without_m1),
    }
    table = []
    for name, scores in rows.items():
        truth = cohort.table.loc[scores.index]
        logits = np.logaddexp(scores["left"], scores["right"])
        side = np.where(scores["left"] >= scores["right"], "left", "right")
        right = (side == truth["side"])[truth["lvo"] == 1].mean()
        area = words(auc_interval(truth["lvo"], logits))
        table.append({"side model": name, "AUC (95 %)": area, "side": f"{right:.2f}"})
    return pd.DataFrame(table)


def without_m1(features: SideFeatures) -> SideFeatures:
    """Return features of a case whose M1 were not found."""
    arteries = features.arteries
    lost = arteries.assign(**{CORE: arteries[CORE].where(arteries["segment"] != "M1")})
    return features._replace(arteries=lost)


def curve(folder: Path, study: Studied, new: Studied, options: DetectionOptions) -> pd.DataFrame:
    """Return the AUC on new cases by the number of training cases."""
    rows = []
    known = study.table.reset_index(drop=True)
    for count in (30, 60, 120, 240):
        few = known.iloc[:count]
        measured = {case: study.features[case] for case in few["case_id"]}
        fitted = [fit_side_models(measured, few, clinical=("nihss", "age"))]
        sides = pd.DataFrame([judged_row(fitted, new, case) for case in new.features])
        networks = {}
        for design in ("halves", "whole"):
            model = model_folder(folder, design, 0, f"first{count}")
            if (model / "model.json").is_file():
                networks[design] = network_scores([model], new.samples)
        scores = all_methods(networks, sides.set_index("case_id"), options)
        row: dict[str, Any] = {"training cases": count}
        for name, title in METHODS.items():
            if name in scores:
                row[title] = words(
                    auc_interval(new.table["lvo"], scores.loc[new.table.index, name])
                )
        rows.append(row)
    return pd.DataFrame(rows)


def losses(folder: Path) -> pd.DataFrame:
    """Return the last training loss of every network, and that of guessing."""
    rows = []
    for card in sorted((folder / "models").glob("*/model.json")):
        summary = json.loads(card.read_text(encoding="utf-8"))["summary"]
        rows.append(
            {
                "network": card.parent.name,
                "last loss": f"{summary['train_loss']:.2f}",
                "guessing": f"{summary['chance_loss']:.2f}",
            }
        )
    return pd.DataFrame(rows)


def speed(given: argparse.Namespace) -> None:
    """Time the features of a head of full resolution, and the training of a thousand cases."""
    case = simulate_case(5, SimulationOptions(lvo=True, spacing_mm=0.45, slice_thickness_mm=(2.5,)))
    ncct = make_image(case.ncct.get_fdata(dtype=np.float32), case.ncct.affine)
    priors = compute_priors(ncct, case.brain_mask, load_atlas(), PRIOR_OPTIONS)
    maps = {name: getattr(priors, name) for name in PRIORS}
    quality = describe_scan(ncct, case.brain_mask, QualityLimits())
    times = []
    for _ in range(5):
        began = time.perf_counter()
        measure_sides(ncct, case.vessel_labels, case.brain_mask, maps, quality=quality)
        times.append(time.perf_counter() - began)
    print(f"features of {ncct.shape} voxels: median {np.median(times):.2f} s of 5")
    study = read_cohort(given.folder / "study")
    drawn = np.random.default_rng(0).choice(study.table["case_id"], 1000)
    cases = {f"{case}.{n}": study.features[case] for n, case in enumerate(drawn)}
    labels = study.table.loc[drawn].assign(case_id=list(cases))
    began = time.perf_counter()
    fit_side_models(cases, labels.reset_index(drop=True))
    print(f"side model of 1000 cases: {time.perf_counter() - began:.1f} s")


def picture(given: argparse.Namespace) -> None:
    """Draw what the call of an M1 occlusion is made of: the one of median score, out of fold."""
    study = read_cohort(given.folder / "study")
    inside, outside = deal(study.table)[0]
    learned = [answer_of(study.table.loc[c, "lvo"], study.table.loc[c, "side"]) for c in inside]
    model = SideModel().fit([study.features[case] for case in inside], learned)
    chosen = study.table.loc[outside].query("segment == 'M1'")["case_id"]
    logits = {case: float(model.logits([study.features[case]])[0]) for case in chosen}
    case = sorted(logits, key=lambda name: logits[name])[len(logits) // 2]
    names = ("ncct", "brain_mask", "vessel_labels")
    own = given.folder / "study" / "cases" / case
    ncct, brain, vessels = (nib.load(own / f"{name}.nii.gz") for name in names)
    features = study.features[case]
    parts = average_contributions([model], features)
    halves = split_mask(brain, features.tissue.midplane)
    drawn = draw_contributions(parts, features, vessels, halves)
    side = study.table.loc[case, "side"]
    title = f"simulated, {side} M1 occluded: log odds of {logits[case]:.1f}"
    figure = plot_contributions(title, ncct, drawn, tabulate_contributions(parts), vessels)
    figure.savefig(given.folder / "contributions.png", dpi=110)


def as_markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def report(given: argparse.Namespace) -> None:
    """Write all tables."""
    options = DetectionOptions(method="ensemble", clinical=("nihss", "age"))
    folder = given.folder / "study"
    whole = read_cohort(folder)
    study = part_of(whole, whole.table.iloc[: given.cases])
    scores = out_of_fold(folder, study, options)
    splits = deal(study.table)
    parts = {"Out of fold, study": compare(study.table, scores)}
    parts["Side model with less to learn from"] = variants(study, splits)
    parts["Last losses"] = losses(folder)
    parts["Labels dealt out at random, ten times"] = pd.DataFrame(
        [{"mean AUC of the side model": shuffled(study, splits, 10)}]
    )
    if (model_folder(folder, "halves", 0, "2-inner2") / "model.json").is_file():
        stacked = nested_stack(folder, study).loc[study.table.index]
        pooled = scores[0].loc[study.table.index, "ensemble"]
        test = paired_delong(study.table["lvo"], stacked, pooled)
        area = words(auc_interval(study.table["lvo"], stacked))
        row = {"nested stacking, seed 0": area, "against the pool": words(test.difference, "+")}
        parts["Ensemble by nested stacking"] = pd.DataFrame([row])
    for name in given.new:
        new = read_cohort(given.folder / name)
        found = applied(folder, study, new, options)
        parts[f"Trained on study, scored once: {name}"] = compare(new.table, found)
        mean = [sum(t.select_dtypes("number") for t in found) / len(found)]
        fixed = sum(t.select_dtypes("number") for t in scores) / len(scores)
        parts[f"Operating points fixed on study: {name}"] = fixed_calls(
            (study.table, fixed), (new.table, mean[0])
        )
        out = found[0]["against"] != ""
        parts[f"Out of scope of study: {name}"] = pd.DataFrame(
            [{"cases": len(out), "out of scope": int(out.sum())}]
        )
        if name == "other":
            parts["Learning curve, scored on other"] = curve(folder, whole, new, options)
    if (given.folder / "hard" / "models").is_dir():
        hard = read_cohort(given.folder / "hard")
        parts["Out of fold, hard"] = compare(
            hard.table, out_of_fold(given.folder / "hard", hard, options)
        )
    text = "\n\n".join(
        f"## {title}\n\n{table.to_markdown(index=False)}" for title, table in parts.items()
    )
    (given.folder / "methods.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task", choices=("train", "report", "picture", "speed"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cohort", default="study", choices=list(COHORTS))
    parser.add_argument("--designs", nargs="*", default=["halves", "whole"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", type=int, default=STUDY)
    parser.add_argument("--curve", nargs="*", type=int, default=[])
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--new", nargs="*", default=[], choices=list(COHORTS))
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    {"train": train, "report": report, "picture": picture, "speed": speed}[given.task](given)


if __name__ == "__main__":
    main()
