"""A transparent baseline: which segment is denser than its mirror image on the other side?

No network looks for the clot. Each segment of each side is described by a few densities read off
the scan inside the 3D vessel labels, and by how they differ from the other side's; one logistic
regression a segment weighs them. Its coefficients can be read and are kept as plain numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lvo_kedro.errors import TableError
from lvo_kedro.localization.calls import (
    CLASS_OF,
    NO_OCCLUSION,
    SEGMENTS,
    SIDES,
    OcclusionCall,
)
from lvo_kedro.localization.vessel_metrics import split_by_side
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import OCCLUSION_LABELS, Segment, Side

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib

    from lvo_kedro.localization.midplane import Midplane

STATISTICS: Final = ("mean", "upper", "dense_ml", "volume_ml")
FEATURES: Final = (*STATISTICS, *(f"{name}_difference" for name in STATISTICS), "neighbours")
_DENSE_HU = 52.0
_CALCIUM_HU = 100.0
_PATENT_HU = 40.0


class BaselineOptions(Options):
    """How the baseline decides."""

    regularization: float = 1.0
    """Inverse strength of the penalty on coefficients."""
    found_above: float = 0.5
    """Probability of the likeliest class against no occlusion from which it is called."""


def describe_segments(
    ncct: nib.Nifti1Image,
    vessel_labels: nib.Nifti1Image,
    midplane: Midplane | nib.Nifti1Image,
) -> pd.DataFrame:
    """Read the densities of C7, M1 and M2 on both sides.

    Args:
        ncct: HU.
        vessel_labels: Vessel labels on the scan's grid, predicted or annotated.
        midplane: Parts left from right.

    Returns:
        A row a side and segment: ``mean`` and ``upper`` (90th percentile) HU after light smoothing
        and without calcium, ``dense_ml`` above 52 HU, ``volume_ml``; each minus the other
        side's; and ``neighbours``, the densest adjoining segment's ``upper`` minus its mirror's.
    """
    hu = np.asarray(ncct.dataobj, dtype=np.float32)
    calcium = ndimage.binary_dilation(hu > _CALCIUM_HU)
    smooth = ndimage.gaussian_filter(np.clip(hu, 0, _CALCIUM_HU), 0.6)
    voxel_ml = float(abs(np.linalg.det(ncct.affine[:3, :3]))) / 1000
    read: dict[tuple[Side, Segment], dict[str, float]] = {}
    for side, image in split_by_side(vessel_labels, midplane).items():
        labels = np.asarray(image.dataobj)
        for segment in SEGMENTS:
            values = smooth[(labels == OCCLUSION_LABELS[segment]) & ~calcium]
            read[side, segment] = _statistics(values, voxel_ml)
    rows = [
        {"side": side, "segment": segment, **_compared(read, side, segment)}
        for side in SIDES
        for segment in SEGMENTS
    ]
    return pd.DataFrame(rows, columns=["side", "segment", *FEATURES])


class SegmentBaseline:
    """Logistic regression a segment on :func:`describe_segments`.

    Args:
        options: Penalty and thresholds.
    """

    def __init__(self, options: BaselineOptions = BaselineOptions()) -> None:
        self.options = options
        self._models: dict[str, dict[str, Any]] = {}

    def fit(self, described: pd.DataFrame) -> SegmentBaseline:
        """Learn from the rows of many cases with a column ``occluded`` (0 or 1).

        Raises:
            TableError: Where a segment is occluded in no case, or in all.
        """
        for segment in SEGMENTS:
            rows = described[described["segment"] == segment]
            target = rows["occluded"].to_numpy(dtype=int)
            if target.min() == target.max():
                raise TableError(
                    f"{segment} occluded in {int(target.sum())} of {len(target)} sides",
                    "some that are and some that are not",
                    "train the baseline on more cases",
                )
            model = make_pipeline(
                StandardScaler(),
                LogisticRegression(C=self.options.regularization, class_weight="balanced"),
            ).fit(rows[list(FEATURES)].to_numpy(), target)
            scaler, regression = model[0], model[1]
            slope = regression.coef_[0] / scaler.scale_
            self._models[segment] = {
                "coefficients": dict(zip(FEATURES, slope.tolist(), strict=True)),
                "intercept": float(regression.intercept_[0] - slope @ scaler.mean_),
            }
        return self

    def call(self, described: pd.DataFrame) -> OcclusionCall:
        """Name the occlusion of one case from its six rows."""
        logits = self._logits(described)
        # segments are judged independently: the logit of a class against no occlusion is the sum
        evidence = {
            (side, name): sum(logits[side][segment] for segment in segments)
            for side in SIDES
            for segments, name in CLASS_OF.items()
        }
        side, name = max(evidence, key=lambda key: evidence[key])
        probability = 1 / (1 + float(np.exp(-np.clip(evidence[side, name], -30, 30))))
        called = probability >= self.options.found_above
        return OcclusionCall(
            segment=name if called else None,
            side=side if called else None,
            confidence=probability if called else 0.0,
            finding=f"{side} {name} by density" if called else NO_OCCLUSION,
            best_segment=name,
            best_side=side,
        )

    def to_json(self) -> dict[str, Any]:
        """Return options and coefficients as plain values."""
        return {"options": self.options.model_dump(), "models": self._models}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SegmentBaseline:
        """Rebuild from :meth:`to_json`."""
        baseline = cls(BaselineOptions.model_validate(content["options"]))
        baseline._models = dict(content["models"])
        return baseline

    def _logits(self, described: pd.DataFrame) -> dict[Side, dict[Segment, float]]:
        logits: dict[Side, dict[Segment, float]] = {"left": {}, "right": {}}
        for row in described.to_dict("records"):
            model = self._models[row["segment"]]
            weights = model["coefficients"].items()
            side: Side = "left" if row["side"] == "left" else "right"
            logits[side][row["segment"]] = model["intercept"] + sum(
                weight * row[name] for name, weight in weights
            )
        return logits


def _statistics(values: np.ndarray, voxel_ml: float) -> dict[str, float]:
    if values.size == 0:
        return {"mean": _PATENT_HU, "upper": _PATENT_HU, "dense_ml": 0.0, "volume_ml": 0.0}
    return {
        "mean": float(values.mean()),
        "upper": float(np.percentile(values, 90)),
        "dense_ml": float((values > _DENSE_HU).sum()) * voxel_ml,
        "volume_ml": values.size * voxel_ml,
    }


def _compared(
    read: Mapping[tuple[Side, Segment], Mapping[str, float]], side: Side, segment: Segment
) -> dict[str, float]:
    opposite: Side = "right" if side == "left" else "left"
    adjoining: dict[Segment, tuple[Segment, ...]] = {
        "C7": ("M1",),
        "M1": ("C7", "M2"),
        "M2": ("M1",),
    }
    here, there = read[side, segment], read[opposite, segment]
    beside = [read[side, s]["upper"] - read[opposite, s]["upper"] for s in adjoining[segment]]
    difference = {f"{name}_difference": here[name] - there[name] for name in STATISTICS}
    return {**here, **difference, "neighbours": max(beside)}
