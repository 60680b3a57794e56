"""Agreement of vessel labels: in one case, on tubes whose values are known, and over cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from monai.metrics.utils import get_edge_surface_distance

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import EvaluationOptions, evaluate_vessels, measure_vessels
from lvo_kedro.evaluation.vessels import LARGE_VESSELS
from lvo_kedro.imaging.geometry import make_image

FAST = EvaluationOptions(resamples=200)


def tube(shift: int = 0, length: int = 30, spacing=(1.0, 1.0, 1.0)):
    data = np.zeros((40, 20, 20), dtype=np.uint8)
    data[5 : 5 + length, 8 + shift : 13 + shift, 8:13] = 1
    return make_image(data, np.diag([*spacing, 1.0]))


def row(found, truth):
    return measure_vessels(found, truth, {"M1": 1}).iloc[0]


def test_perfect_agreement() -> None:
    result = row(tube(), tube())
    assert result["dice"] == result["cldice"] == 1
    assert result["hd95_mm"] == result["msd_mm"] == result["volume_error"] == 0
    assert not result["missing"]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 2.5, 1.0)])
def test_a_shifted_tube(spacing) -> None:
    result = row(tube(1, spacing=spacing), tube(spacing=spacing))
    assert result["dice"] == pytest.approx(0.8)
    assert result["cldice"] == pytest.approx(1)  # the centre line is still inside
    assert result["hd95_mm"] == pytest.approx(spacing[1])
    assert 0 < result["msd_mm"] < spacing[1]
    assert result["volume_error"] == 0


def test_half_a_tube() -> None:
    result = row(tube(length=15), tube())
    assert result["dice"] == pytest.approx(2 / 3)
    assert result["volume_error"] == pytest.approx(-0.5)
    assert result["hd95_mm"] > 10


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy")
def test_distances_are_those_of_monais_surfaces() -> None:
    spacing = (0.5, 0.7, 2.0)
    generator = np.random.default_rng(0)
    found, truth = (generator.random((16, 14, 12)) > share for share in (0.8, 0.9))
    _, ways, _ = get_edge_surface_distance(
        torch.from_numpy(found), torch.from_numpy(truth), spacing=spacing, symmetric=True
    )
    expected = torch.cat(ways).numpy()
    images = (make_image(m.astype(np.uint8), np.diag([*spacing, 1.0])) for m in (found, truth))
    result = row(*images)
    assert result["hd95_mm"] == pytest.approx(np.percentile(expected, 95), rel=1e-5)
    assert result["msd_mm"] == pytest.approx(expected.mean(), rel=1e-5)


def test_missing_and_absent_labels() -> None:
    empty = make_image(np.zeros((40, 20, 20), dtype=np.uint8), np.eye(4))
    result = row(empty, tube())
    assert result["missing"]
    assert result["dice"] == 0
    assert np.isnan(result["hd95_mm"])
    assert result["volume_error"] == -1
    nothing = row(empty, empty)
    assert np.isnan(nothing["dice"])
    assert not nothing["missing"]


def test_vessel_table_by_hand() -> None:
    metrics = pd.DataFrame(
        {
            "case_id": ["a", "a", "a", "b", "b", "b"],
            "split": "development",
            "label": ["C7", "M1", "M2"] * 2,
            "dice": [0.6, 0.8, 0.4, 0.8, 0.6, 0.0],
            "hd95_mm": [2.0, 3.0, 4.0, 4.0, 5.0, np.nan],  # nothing found to measure from
            "missing": [0, 0, 0, 0, 0, 1],
        }
    )
    table = evaluate_vessels(metrics, FAST).set_index(["label", "metric"])
    assert table.loc[("C7", "dice"), "value"] == pytest.approx(0.7)
    assert table.loc[(LARGE_VESSELS, "dice"), "value"] == pytest.approx((0.6 + 1.4 / 3) / 2)
    assert table.loc[("C7", "dice"), "sd"] == pytest.approx(0.2 / np.sqrt(2))
    assert table.loc[("C7", "hd95_mm"), "median"] == 3
    assert table.loc[("M2", "hd95_mm"), "n"] == 1
    together = table.loc[(LARGE_VESSELS, "hd95_mm")]
    assert (together["value"], together["n"]) == (3, 1)  # not 3.75 of two, M2 of b left out
    assert np.isnan(table.loc[("M2", "hd95_mm"), "sd"])
    assert table.loc[("M2", "missing"), "value"] == 0.5
    with pytest.raises(TableError, match="label"):
        evaluate_vessels(metrics.drop(columns="label"), FAST)
