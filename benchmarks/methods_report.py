"""Network, side model and both together, side by side: the tables of the detection study.

    python -m benchmarks.methods_report report build/detectors [--new other mimic hard]
    python -m benchmarks.methods_report picture build/detectors
    python -m benchmarks.methods_report speed build/detectors

``report`` fits the side models, which takes a moment, and writes ``methods.md`` with the tables
that the trainings of ``methods.py`` allow for. ``picture`` draws what a call is made of. Simulated
data: no claim about patients.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from benchmarks.cohorts import COHORTS
from benchmarks.cohorts import PRIORS as PRIOR_OPTIONS
from benchmarks.methods import (
    FOLDS,
    PRIORS,
    STUDY,
    Studied,
    deal,
    inner_folds,
    is_trained,
    model_folder,
    network_scores,
    part_of,
    read_cohort,
    scores_of_new,
    scores_out_of_fold,
)
from lvo_kedro.detection import (
    DetectionOptions,
    SideModel,
    average_contributions,
    calibrate,
    choose_operating_points,
    combine,
    draw_contributions,
    fit_side_models,
    judge_case,
    tabulate_contributions,
)
from lvo_kedro.detection.side_model import answer_of
from lvo_kedro.evaluation import auc_interval, paired_delong
from lvo_kedro.features import (
    CORE,
    SideFeatures,
    leave_out,
    measure_sides,
)
from lvo_kedro.imaging import QualityLimits, describe_scan
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.midplane import split_mask
from lvo_kedro.priors import compute_priors, load_atlas
from lvo_kedro.reporting import plot_contributions
from lvo_kedro.simulation import SimulationOptions, simulate_case
from lvo_kedro.vocabulary import SEGMENT_CLASSES, SIDES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

METHODS = {
    "whole": "network of whole heads, four channels (published design)",
    "network": "network of halves (`conf/base`)",
    "sides": "side model",
    "ensemble": "ensemble",
    "ensemble_clinical": "ensemble with NIHSS and age",
}


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


def all_methods(
    networks: Mapping[str, pd.DataFrame], sides: pd.DataFrame, options: DetectionOptions
) -> pd.DataFrame:
    """Return the logit and the likelier side of each method, as columns, for every case."""
    rows = {}
    for case, own in sides.iterrows():
        score = None
        if "halves" in networks:
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


def seeds_of(folder: Path) -> list[int]:
    """Return the seeds of which every fold of the base's network is trained."""
    whole = [seed for seed in range(20) if is_trained(folder, "halves", seed)]
    if not whole:
        raise SystemExit(f"no trained networks in {folder}; expected some; run `train` first")
    return whole


def out_of_fold(folder: Path, cohort: Studied, options: DetectionOptions) -> list[pd.DataFrame]:
    """Return the scores of every method out of fold, one table per seed of the networks."""
    splits = deal(cohort.table)
    sides = side_scores(cohort, splits)
    found = []
    for seed in seeds_of(folder):
        networks = {
            design: scores_out_of_fold(folder, cohort, design, seed)
            for design in ("halves", "whole")
            if is_trained(folder, design, seed)
        }
        found.append(all_methods(networks, sides, options))
    return found


def applied(
    folder: Path, study: Studied, new_folder: Path, new: Studied, options: DetectionOptions
) -> list[pd.DataFrame]:
    """Return the scores of new cases by the models of all folds of the study."""
    kept = (new_folder / "scores").glob("study-halves-*.csv")
    seeds = {int(path.stem.rpartition("-")[2]) for path in kept} or {0}
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
            if is_trained(folder, design, seed) and seed in seeds:
                networks[design] = scores_of_new(folder, new_folder, new, design, seed)
        if "halves" in networks:
            scores = all_methods(networks, sides, options)
            found.append(scores.assign(against=sides["against"]))
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
        found = applied(folder, study, given.folder / name, new, options)
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
    text = "\n\n".join(f"## {title}\n\n{as_markdown(table)}" for title, table in parts.items())
    (given.folder / "methods.md").write_text(text + "\n", encoding="utf-8")
    print(text)


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


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task", choices=("report", "picture", "speed"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=STUDY)
    parser.add_argument("--new", nargs="*", default=[], choices=list(COHORTS))
    given = parser.parse_args()
    {"report": report, "picture": picture, "speed": speed}[given.task](given)


if __name__ == "__main__":
    main()
