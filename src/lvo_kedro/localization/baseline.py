"""A transparent baseline: which segment is denser than its mirror image on the other side?

No network looks for the clot. Each segment is searched in the same region on both sides: where
its vessel lies, where the other side's would lie if mirrored, and a little around. So a vessel that
was found on one side only, or not quite, is still compared. Three differences of density are read
there; a fourth number compares the territories of both sides, where an infarct begins. A choice
model weighs them: eleven possible answers, nine numbers to learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from pydantic import Field, field_validator
from scipy import ndimage
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lvo_kedro.errors import TableError
from lvo_kedro.imaging.boxes import covering_box
from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.localization.calls import (
    CLASS_OF,
    NO_OCCLUSION,
    SEGMENTS,
    SIDES,
    OcclusionCall,
)
from lvo_kedro.localization.midplane import midplane_of
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import HEMISPHERES, OCCLUSION_LABELS, SegmentClass, Side

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.localization.midplane import Midplane

FEATURES: Final = ("peak_difference", "ridge_difference", "dense_ml_difference")
"""Of a segment: its artery against the other side's."""
TISSUE: Final = "territory_difference"
"""Of a side: the territory that its arteries supply against the other side's."""
WEIGHED: Final = (*FEATURES, TISSUE)
PLACE: Final = ("x_mm", "y_mm", "z_mm")
"""World point of the densest run of a segment's artery."""
ANSWERS: Final[tuple[tuple[Side, SegmentClass], ...]] = tuple(
    (side, name) for side in SIDES for name in CLASS_OF.values()
)
"""What can be occluded; that nothing is comes last, as one answer more."""

_INVOLVED: Final = np.array([[segment in parts for segment in SEGMENTS] for parts in CLASS_OF])
_CALCIUM_HU: Final = 100.0
_MARGIN_MM: Final = 10.0


class BaselineOptions(Options):
    """How densities are read and weighed. Lengths in mm, densities in HU."""

    renamed: ClassVar[dict[str, str]] = {
        "around": "around_mm",
        "smooth": "smooth_mm",
        "calibre": "calibre_mm",
        "along": "along_mm",
        "dense": "dense_hu",
        "old_infarct": "old_infarct_hu",
    }

    around_mm: float = Field(default=1.6, ge=0)
    """How far (mm) beyond the vessels' labels is searched."""
    smooth_mm: float = Field(default=0.6, ge=0)
    """Standard deviation (mm) of the Gaussian that takes off the noise."""
    calibre_mm: float = Field(default=2.5, gt=0)
    """Radius (mm) in which the densest point stands for an artery's lumen."""
    along_mm: float = Field(default=3.0, gt=0)
    """Standard deviation (mm) of the Gaussian along the artery, about a clot's length."""
    dense_hu: float = 52.0
    """Density (HU) from which a voxel counts as dense."""
    old_infarct_hu: float = Field(default=15.0, gt=0)
    """Limit (HU) of a voxel's difference between the territories: old infarcts do not outweigh."""
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


def describe_segments(
    ncct: nib.Nifti1Image,
    vessel_labels: nib.Nifti1Image,
    priors: Mapping[str, nib.Nifti1Image],
    options: BaselineOptions = BaselineOptions(),
) -> pd.DataFrame:
    """Compare the densities of C7, M1 and M2, and of their territory, with the other side's.

    Args:
        ncct: HU, any orientation; axes at right angles.
        vessel_labels: Vessel labels on the scan's grid, predicted or annotated.
        priors: ``hemispheres``, ``territory_probability`` and ``signed_difference`` of
            :class:`lvo_kedro.priors.Priors`.
        options: Lengths and densities.

    Returns:
        A row per side and segment: ``volume_ml`` of its label, and minus the other side's value in
        the mirrored region, calcium left out: ``peak_difference`` (HU), the densest part when
        averaged along the artery; ``ridge_difference`` (HU), the same of the densest points of
        each cross section; ``dense_ml_difference``, the dense volume. ``x_mm``, ``y_mm``, ``z_mm``:
        the world point at which the ridge is densest, NaN where nothing is searched. Alike for all
        segments of a side: ``territory_difference`` (HU), the territory's mean minus the other
        side's.
    """
    midplane = midplane_of(priors["hemispheres"])
    hu, labels, mirrored, affine = _around_vessels(ncct, vessel_labels, midplane)
    index = np.moveaxis(np.indices(hu.shape), 0, -1)
    right = midplane.distance(apply_affine(affine, index)) > 0
    halves: dict[Side, NDArray[np.bool_]] = {"left": ~right, "right": right}
    lumen = _Lumen(hu, affine, options)
    tissue = _compare_territories(priors, options)
    rows: list[dict[str, Any]] = []
    for segment in SEGMENTS:
        own, other = (part == OCCLUSION_LABELS[segment] for part in (labels, mirrored))
        region = ndimage.binary_dilation(own | other, lumen.ball(options.around_mm))
        read = {side: lumen.read(region & half) for side, half in halves.items()}
        for side, opposite in (SIDES, SIDES[::-1]):
            volume = float((own & halves[side]).sum()) * lumen.voxel_ml
            (own_values, place), (other_values, _) = read[side], read[opposite]
            row = {"side": side, "segment": segment, "volume_ml": volume, TISSUE: tissue[side]}
            row |= dict(zip(FEATURES, own_values - other_values, strict=True))
            rows.append(row | dict(zip(PLACE, place, strict=True)))
    return pd.DataFrame(rows, columns=["side", "segment", "volume_ml", *WEIGHED, *PLACE])


def _compare_territories(
    priors: Mapping[str, nib.Nifti1Image], options: BaselineOptions
) -> dict[Side, float]:
    """Return each side's territory minus the other's, in HU; 0 where a side has none."""
    sides = np.asarray(priors["hemispheres"].dataobj)
    difference = np.asarray(priors["signed_difference"].dataobj, dtype=np.float32)
    # 0 is not a difference but a place that cannot be compared, beside fluid or at calcium
    compared = (np.asarray(priors["territory_probability"].dataobj) > 0.5) & (difference != 0)
    limited = np.clip(difference, -options.old_infarct_hu, options.old_infarct_hu)
    means = {}
    for side, label in HEMISPHERES.items():
        values = limited[compared & (sides == label)]
        means[side] = float(values.mean()) if values.size else 0.0
    half = (means["left"] - means["right"]) / 2
    return {"left": half, "right": -half}


def _around_vessels(
    ncct: nib.Nifti1Image, vessel_labels: nib.Nifti1Image, midplane: Midplane
) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Return scan (HU), labels, mirrored labels and affine of the box around the vessels."""
    labels = np.asarray(vessel_labels.dataobj)
    grid, mirror = grid_of(ncct), midplane.mirror()
    index = np.argwhere(np.isin(labels, list(OCCLUSION_LABELS.values())))
    points = apply_affine(grid.affine, index if len(index) else np.zeros((1, 3)))
    both = np.concatenate([points, apply_affine(mirror, points)])
    box = covering_box(both, grid, np.ceil(_MARGIN_MM / np.asarray(grid.spacing)))
    hu, part = np.asarray(ncct.dataobj[box], dtype=np.float32), grid.part(box)
    mirrored = resample(make_image(labels, mirror @ grid.affine), part, order=0)
    return hu, labels[box], np.asarray(mirrored.dataobj), part.affine


class _Lumen:
    """Reads densities of arteries off a scan."""

    def __init__(
        self, hu: NDArray[np.float32], affine: NDArray[np.float64], options: BaselineOptions
    ) -> None:
        self.affine = affine
        self.spacing = np.linalg.norm(affine[:3, :3], axis=0)
        self.voxel_ml = float(self.spacing.prod()) / 1000
        self.options = options
        self.usable = ~ndimage.binary_dilation(hu > _CALCIUM_HU)
        smooth = ndimage.gaussian_filter(
            np.clip(hu, 0, _CALCIUM_HU), options.smooth_mm / self.spacing
        )
        self.density = np.where(self.usable, smooth, 0)
        self.ridge = ndimage.maximum_filter(self.density, footprint=self.ball(options.calibre_mm))

    def read(self, region: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return peak and ridge (HU), dense volume (ml) and where the ridge is densest (world mm).

        Where nothing is, the values are 0 and the place is NaN.
        """
        usable = region & self.usable
        if not usable.any():
            return np.zeros(len(FEATURES)), np.full(len(PLACE), np.nan)
        weight = usable.astype(np.float32)
        sigma = self.options.along_mm / self.spacing
        total = np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-6)
        peak, ridge = (
            (ndimage.gaussian_filter(weight * values, sigma) / total)[usable]
            for values in (self.density, self.ridge)
        )
        dense = (self.density[usable] > self.options.dense_hu).sum() * self.voxel_ml
        place = apply_affine(self.affine, np.argwhere(usable)[ridge.argmax()])
        return np.array([peak.max(), ridge.max(), dense], dtype=float), place

    def ball(self, radius: float) -> NDArray[np.bool_]:
        """Return the voxels within ``radius`` mm of one."""
        reach = np.floor(radius / self.spacing + 1e-6).astype(int)
        steps = [np.arange(-n, n + 1) * mm for n, mm in zip(reach, self.spacing, strict=True)]
        x, y, z = np.meshgrid(*steps, indexing="ij")
        return np.asarray(x**2 + y**2 + z**2 <= radius**2 + 1e-6)


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

    def fit(
        self, cases: list[pd.DataFrame], truths: list[tuple[Side, SegmentClass] | None]
    ) -> SegmentBaseline:
        """Learn from cases described by :func:`describe_segments` and what is occluded in each.

        Args:
            cases: A table per case.
            truths: Side and class of each case; None where nothing is occluded.

        Raises:
            TableError: Where no case, or every case, has an occlusion.
        """
        occluded = sum(truth is not None for truth in truths)
        if occluded in (0, len(truths)):
            raise TableError(
                f"an occlusion in {occluded} of {len(truths)} cases",
                "some cases with and some without an occlusion",
                "fit the density baseline on more cases",
            )
        design = np.stack([_design(case) for case in cases])
        scale = np.concatenate([_spread(cases), np.ones(len(CLASS_OF))])
        design = design / scale
        names = (*WEIGHED, *CLASS_OF.values())
        expected = np.array([self.options.expected.get(name, 0.0) for name in names]) * scale
        answer = [len(ANSWERS) if t is None else ANSWERS.index(t) for t in truths]
        chosen = np.eye(len(ANSWERS) + 1)[answer]

        def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            utilities = design @ weights
            surplus = softmax(utilities, axis=1) - chosen
            value = -(chosen * log_softmax(utilities, axis=1)).sum()
            away = weights - expected
            value += 0.5 * self.options.penalty * (away @ away)
            return value, np.einsum("nak,na->k", design, surplus) + self.options.penalty * away

        found = minimize(loss, expected, jac=True, method="L-BFGS-B")
        self._weights = found.x / scale
        return self

    def call(self, described: pd.DataFrame) -> OcclusionCall:
        """Name the occlusion of one case from its six rows.

        The side is the likelier one, whatever the segment; then the likeliest class on it.
        """
        probability = softmax(_design(described) @ self._weights)
        of_sides = probability[:-1].reshape(len(SIDES), len(CLASS_OF))
        row = int(of_sides.sum(axis=1).argmax())
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

    def to_json(self) -> dict[str, Any]:
        """Return options and weights (per HU or ml; per class) as plain values."""
        weights, constants = np.split(self._weights, [len(WEIGHED)])
        return {
            "options": self.options.model_dump(),
            "weights": dict(zip(WEIGHED, weights.tolist(), strict=True)),
            "constants": dict(zip(CLASS_OF.values(), constants.tolist(), strict=True)),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SegmentBaseline:
        """Rebuild from :meth:`to_json`, also where options were stored under former names."""
        former = BaselineOptions.renamed
        options = {former.get(name, name): value for name, value in content["options"].items()}
        baseline = cls(BaselineOptions.model_validate(options))
        weights = [content["weights"][name] for name in WEIGHED]
        constants = [content["constants"][name] for name in CLASS_OF.values()]
        baseline._weights = np.array([*weights, *constants], dtype=float)
        return baseline


def _design(described: pd.DataFrame) -> NDArray[np.float64]:
    """Return what multiplies the weights of one case: (answers, weighed and class constants)."""
    order = pd.MultiIndex.from_product([SIDES, SEGMENTS])
    rows = described.set_index(["side", "segment"]).loc[order]
    of_segments = rows[list(FEATURES)].to_numpy(dtype=float).reshape(len(SIDES), len(SEGMENTS), -1)
    tissue = rows[TISSUE].to_numpy(dtype=float).reshape(len(SIDES), -1)[:, 0]
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
