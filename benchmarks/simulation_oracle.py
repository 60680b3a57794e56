"""Calibrate the simulated cohort: what a perfect reader sees, and what artefacts betray.

Run ``python benchmarks/simulation_oracle.py [cases] [preset] [spacing]``: a preset of the
simulator (``didactic``, ``realistic``, ``hard``) and the pixel edge in mm. Prints the tables of
docs/results/simulation.md.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lvo_kedro.evaluation import auc_interval
from lvo_kedro.simulation import (
    CohortOptions,
    SimulationOptions,
    artefact_features,
    case_options,
    oracle_scores,
    plan_cohort,
    simulate_case,
)

GEOMETRY = ("count", "spacing", "direction", "origin", "centre", "field")
ARTEFACTS = {
    "geometry": GEOMETRY,
    "noise": ("noise",),
    "brain volume": ("brain",),
    "file size": ("file",),
    "all of these": (*GEOMETRY, "noise", "brain", "file"),
}
"""Groups of features by the first word of their names."""


def read_cohort(cases: int, preset: str, spacing: float) -> pd.DataFrame:
    """Simulate a cohort and keep its readings."""
    simulation = SimulationOptions(difficulty=preset, spacing_mm=spacing)  # type: ignore[arg-type]
    options = CohortOptions(
        seed=7, development=cases, external=0, repeat_scans=0, simulation=simulation
    )
    rows = []
    for _, row in plan_cohort(options).iterrows():
        start = time.process_time()
        case = simulate_case(int(row["seed"]), case_options(row, options))
        seconds = time.process_time() - start
        kept = {name: row[name] for name in ("lvo", "segment", "slice_thickness_mm")}
        rows.append({**kept, "seconds": seconds, **oracle_scores(case), **artefact_features(case)})
    return pd.DataFrame(rows)


def report(name: str, labels: pd.Series, scores: np.ndarray) -> None:
    """Print one line of a table."""
    interval = auc_interval(labels, scores)
    print(f"| {name} | {interval.value:.3f} | {interval.low:.3f} - {interval.high:.3f} |")


def main(cases: int = 200, preset: str = "didactic", spacing: float = 1.5) -> None:
    """Print oracle, blind readings and artefacts."""
    table = read_cohort(cases, preset, spacing)
    lvo = table["lvo"]
    print(f"{cases} cases, {preset}, {spacing} mm, {table['seconds'][1:].median():.2f} s per case")
    print("\n| reading | AUC | 95 % interval |\n|---|---|---|")
    for name in ("oracle", "clot", "territory", "position"):
        report(name, lvo, table[name].to_numpy())
    report("constant", lvo, np.zeros(cases))
    rng = np.random.default_rng(0)
    shuffled = [auc_interval(lvo, rng.permutation(table["oracle"])).value for _ in range(200)]
    low, high = np.percentile(shuffled, [2.5, 97.5])
    print(f"| shuffled, 200 times | {np.mean(shuffled):.3f} | {low:.3f} - {high:.3f} |")
    for segment, part in table[lvo == 1].groupby("segment"):
        both = pd.concat([part, table[lvo == 0]])
        report(f"oracle, {segment}", both["lvo"], both["oracle"].to_numpy())
    print("\n| artefact | model | AUC | 95 % interval |\n|---|---|---|---|")
    models = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
        "forest": RandomForestClassifier(200, random_state=0),
    }
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    for artefact, prefixes in ARTEFACTS.items():
        features = table[[c for c in table if str(c).split("_")[0] in prefixes]]
        for name, model in models.items():
            scores = cross_val_predict(model, features, lvo, cv=folds, method="predict_proba")
            report(f"{artefact} | {name}", lvo, scores[:, 1])


if __name__ == "__main__":
    given = sys.argv[1:]
    main(*(kind(value) for kind, value in zip((int, str, float), given, strict=False)))
