"""A transparent baseline: which segment is denser than its mirror image on the other side?

No network looks for the clot. Three differences of density are read at each segment, and a fourth
number compares the territories of both sides, where an infarct begins
(:mod:`lvo_kedro.features`). A choice model weighs them: eleven possible answers, nine numbers to
learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pandas as pd
from pydantic import Field, field_validator
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lvo_kedro.errors import TableError
from lvo_kedro.features import (
    PLACE,
    SEARCHED,
    TERRITORY,
)
from lvo_kedro.localization.calls import CLASS_OF, NO_OCCLUSION, OcclusionCall
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import SEGMENTS, SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from lvo_kedro.vocabulary import SegmentClass, Side

WEIGHED: Final = (*SEARCHED, TERRITORY)
"""Three numbers of a segment, its artery against the other side's; one of a side's territory."""
ANSWERS: Final[tuple[tuple[Side, SegmentClass], ...]] = tuple(
    (side, name) for side in SIDES for name in CLASS_OF.values()
)
"""What can be occluded; that nothing is comes last, as one answer more."""

_INVOLVED: Final = np.array([[segment in parts for segment in SEGMENTS] for parts in CLASS_OF])


class BaselineOptions(Options):
    """How the differences are weighed."""

    renamed: ClassVar[dict[str, str]] = {
        "around": "features.around_mm",
        "around_mm": "features.around_mm",
        "smooth": "features.smooth_mm",
        "smooth_mm": "features.smooth_mm",
        "calibre": "features.calibre_mm",
        "calibre_mm": "features.calibre_mm",
        "along": "features.along_mm",
        "along_mm": "features.along_mm",
        "dense": "features.dense_hu",
        "dense_hu": "features.dense_hu",
        "old_infarct": "features.old_infarct_hu",
        "old_infarct_hu": "features.old_infarct_hu",
    }

    penalty: float = Field(default=0.33, ge=0)
    """Strength of the penalty on the squared distance of the weights from what is expected."""
    expected: dict[str, float] = Field(default={})
    """What the weights are drawn to where cases are few, for instance those of another cohort.

    Of each feature (per HU or ml) and each class, as ``density_baselines.json`` lists them; 0 where
    nothing is given.
    """

    @field_validator("expected")
    @classmethod
    def _check_expected(cls, given: dict[str, float]) -> Mapping[str, float]:
        names = (*WEIGHED, *CLASS_OF.values())
        if given and set(given) != set(names):
            raise ValueError(f"given {', '.join(sorted(given))}; expected {', '.join(names)}")
        return given

    found_above: float = Field(default=0.5, ge=0, le=1)
    """Probability of any occlusion from which the likeliest is called."""


class SegmentBaseline:
    """A conditional logit (McFadden 1974) over what may be occluded, or nothing.

    An answer's utility is a constant of its class, plus the weighted differences of its segments,
    plus the weighted difference of its side's territory. All segments and both sides share the
    weights: few cases teach them, and left and right are treated alike. That nothing is occluded
    has utility 0.

    Args:
        options: Penalty and threshold.
    """

    def __init__(self, options: BaselineOptions = BaselineOptions()) -> None:
        self.options = options
        self._weights = np.zeros(len(WEIGHED) + len(CLASS_OF))
        self.controls = True

    def fit(
        self,
        cases: list[pd.DataFrame],
        truths: list[tuple[Side, SegmentClass] | None],
        *,
        controls: bool = True,
    ) -> SegmentBaseline:
        """Learn from the arteries of cases and from what is occluded in each.

        Args:
            cases: A table per case, of :func:`lvo_kedro.features.measure_sides`.
            truths: Side and class of each case; None where nothing is occluded.
            controls: Whether there are cases in which nothing is. Without them it learns which
                answer is right if something is occluded, and always names one.

        Raises:
            TableError: Where no case, or every case, has an occlusion; without controls, where one
                has none.
        """
        occluded = sum(truth is not None for truth in truths)
        if occluded == 0 or (occluded < len(truths)) != controls:
            wanted = "cases with and cases without one" if controls else "one in every case"
            raise TableError(
                f"an occlusion in {occluded} of {len(truths)} cases",
                wanted,
                "fit the density baseline on more cases",
            )
        self.controls = controls
        design = np.stack([_design(case) for case in cases])
        scale = np.concatenate([_spread(cases), np.ones(len(CLASS_OF))])
        design = design / scale
        names = (*WEIGHED, *CLASS_OF.values())
        expected = np.array([self.options.expected.get(name, 0.0) for name in names]) * scale
        answer = [len(ANSWERS) if t is None else ANSWERS.index(t) for t in truths]
        chosen = np.eye(len(ANSWERS) + 1)[answer]

        def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            utilities = self._utilities(design, weights)
            surplus = softmax(utilities, axis=1) - chosen
            value = -np.where(chosen, log_softmax(utilities, axis=1), 0).sum()
            away = weights - expected
            value += 0.5 * self.options.penalty * (away @ away)
            return value, np.einsum("nak,na->k", design, surplus) + self.options.penalty * away

        found = minimize(loss, expected, jac=True, method="L-BFGS-B")
        self._weights = found.x / scale
        return self

    def call(self, described: pd.DataFrame, side: Side | None = None) -> OcclusionCall:
        """Name the occlusion of one case from its six rows.

        Args:
            described: A row per side and segment.
            side: The patient's, where it is known or told by another method. Otherwise the likelier
                one, whatever the segment.

        Returns:
            The likeliest class on that side.
        """
        probability = softmax(self._utilities(_design(described), self._weights))
        of_sides = probability[:-1].reshape(len(SIDES), len(CLASS_OF))
        row = SIDES.index(side) if side else int(of_sides.sum(axis=1).argmax())
        column = int(of_sides[row].argmax())
        side, name = SIDES[row], list(CLASS_OF.values())[column]
        found = float(of_sides.sum())
        called = found >= self.options.found_above
        return OcclusionCall(
            segment=name if called else None,
            side=side if called else None,
            confidence=float(of_sides[row, column] / found) if called else 0.0,
            finding=f"{side} {name} by density" if called else NO_OCCLUSION,
            best_segment=name,
            best_side=side,
            best_point=_point_of(described, side, name),
        )

    def _utilities(
        self, design: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the utility of each answer, (..., answers); nothing is none without controls."""
        utilities = np.asarray(design @ weights)
        if not self.controls:
            utilities[..., -1] = -np.inf
        return utilities

    def to_json(self) -> dict[str, Any]:
        """Return options and weights (per HU or ml; per class) as plain values."""
        weights, constants = np.split(self._weights, [len(WEIGHED)])
        return {
            "options": self.options.model_dump(),
            "weights": dict(zip(WEIGHED, weights.tolist(), strict=True)),
            "constants": dict(zip(CLASS_OF.values(), constants.tolist(), strict=True)),
            **({} if self.controls else {"controls": False}),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SegmentBaseline:
        """Rebuild from :meth:`to_json`, also where reading was still among the options."""
        own = {k: v for k, v in content["options"].items() if k not in BaselineOptions.renamed}
        baseline = cls(BaselineOptions.model_validate(own))
        weights = [content["weights"][name] for name in WEIGHED]
        constants = [content["constants"][name] for name in CLASS_OF.values()]
        baseline.controls = bool(content.get("controls", True))
        baseline._weights = np.array([*weights, *constants], dtype=float)
        return baseline


def _design(described: pd.DataFrame) -> NDArray[np.float64]:
    """Return what multiplies the weights of one case: (answers, weighed and class constants)."""
    order = pd.MultiIndex.from_product([SIDES, SEGMENTS])
    rows = described.set_index(["side", "segment"]).loc[order]
    of_segments = rows[list(SEARCHED)].to_numpy(dtype=float).reshape(len(SIDES), len(SEGMENTS), -1)
    tissue = rows[TERRITORY].to_numpy(dtype=float).reshape(len(SIDES), -1)[:, 0]
    classes = len(CLASS_OF)
    of_class = np.einsum("cs,isf->icf", _INVOLVED.astype(float), of_segments)
    of_side = np.broadcast_to(tissue[:, None, None], (len(SIDES), classes, 1))
    constants = np.broadcast_to(np.eye(classes), (len(SIDES), classes, classes))
    answers = np.concatenate([of_class, of_side, constants], axis=-1).reshape(len(ANSWERS), -1)
    return np.concatenate([answers, np.zeros((1, answers.shape[1]))])


def _point_of(
    described: pd.DataFrame, side: Side, name: SegmentClass
) -> tuple[float, float, float] | None:
    """Return the middle of the densest places of a class's segments, None where there is none."""
    chosen = (described["side"] == side) & described["segment"].isin(name.split("+"))
    place = described.loc[chosen, list(PLACE)].mean()
    x, y, z = place.tolist()
    return None if place.isna().any() else (x, y, z)


def _spread(cases: list[pd.DataFrame]) -> NDArray[np.float64]:
    """Return the standard deviation of each weighed difference, so that one penalty suits all."""
    spread = pd.concat(cases)[list(WEIGHED)].to_numpy(dtype=float).std(axis=0)
    return np.asarray(np.maximum(spread, 1e-6))
