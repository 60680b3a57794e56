from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lvo_kedro.evaluation import auc_interval
from lvo_kedro.simulation import artefact_features

pytestmark = pytest.mark.long

NOT_ARTEFACTS = ["lvo", "clot", "territory", "oracle", "position"]


def test_true_masks_tell_nearly_everything(readings: pd.DataFrame) -> None:
    assert auc_interval(readings["lvo"], readings["oracle"]).value >= 0.97
    assert auc_interval(readings["lvo"], readings["clot"]).value >= 0.8
    assert auc_interval(readings["lvo"], readings["territory"]).value >= 0.8


def test_blind_readings_tell_nothing(readings: pd.DataFrame) -> None:
    interval = auc_interval(readings["lvo"], readings["position"])
    assert interval.low <= 0.5 <= interval.high
    assert auc_interval(readings["lvo"], np.zeros(len(readings))).value == 0.5
    rng = np.random.default_rng(0)
    shuffled = [
        auc_interval(readings["lvo"], rng.permutation(readings["oracle"])).value for _ in range(50)
    ]
    assert np.mean(shuffled) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
        RandomForestClassifier(100, random_state=0),
    ],
)
def test_no_artefact_gives_the_answer_away(readings: pd.DataFrame, model: object) -> None:
    features = readings.drop(columns=NOT_ARTEFACTS)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, features, readings["lvo"], cv=folds, method="predict_proba")[
        :, 1
    ]
    interval = auc_interval(readings["lvo"], scores)
    assert interval.low <= 0.5 <= interval.high


def test_artefacts_are_read_from_the_scan(occluded: object) -> None:
    features = artefact_features(occluded)  # type: ignore[arg-type]
    assert features["spacing_x"] == pytest.approx(1.5)
    assert 900 < features["brain_ml"] < 1750
    assert 1 < features["noise_brain"] < 10
