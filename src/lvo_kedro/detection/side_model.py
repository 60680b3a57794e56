"""A detector without a network: which side of this head looks occluded, or does neither?

A conditional logit (McFadden, "Conditional logit analysis of qualitative choice behavior", 1974)
over three answers: left, right, nothing. One linear utility is shared by both sides, so left and
right are treated alike; that nothing is occluded has utility 0. It weighs the densities of the
arteries against the patient's own blood, the territory's numbers, and the difference of each block
of tissue to its mirror image. All of it is plain numbers, and each call can be taken apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from lvo_kedro.errors import ModelError, TableError
from lvo_kedro.features import (
    CORE,
    STATISTICS,
    SideFeatures,
)
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import SEGMENTS, SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lvo_kedro.vocabulary import Side

    Floats = NDArray[np.float64]

Answer = Literal["left", "right", "either", "none"]
"""What a case teaches; ``either``: there is an occlusion, and its side is not known."""

_ALLOWED: Final[dict[Answer, tuple[bool, bool, bool]]] = {
    "left": (True, False, False),
    "right": (False, True, False),
    "either": (True, True, False),
    "none": (False, False, True),
}
_OTHER: Final = " against the other side"
ARTERIES: Final = tuple(f"{name} {CORE}" for name in (*SEGMENTS, "densest"))
NUMBERS: Final = tuple(
    f"{name}{suffix}" for part in (ARTERIES, STATISTICS) for suffix in ("", _OTHER) for name in part
)
"""Names of the columns before the blocks."""


LEAST_SPREAD_HU: Final = 0.1
"""Deviation that a number has at least: what is alike in few training cases is not so in others."""


class SideModelOptions(Options):
    """How the side model is fitted."""

    penalty: float = Field(default=10.0, gt=0)
    """Strength of the penalty on the squared weights of standardised numbers."""
    least_share: float = Field(default=0.25, ge=0, le=1)
    """Share of a block that the territory must fill on average for the block to count."""


class Contribution(NamedTuple):
    """What one number adds to a side's utility, against a side that is average in it.

    Attributes:
        side: The patient's.
        source: Such as ``M1``, ``territory`` or ``block``.
        block: Place of the block in :class:`~lvo_kedro.features.tissue.Tissue`, None for others.
        utility: Above 0: speaks for an occlusion on this side.
    """

    side: Side
    source: str
    block: tuple[int, int, int] | None
    utility: float


class SideModel:
    """The fitted model.

    Args:
        options: Penalty, and which blocks count.
    """

    def __init__(self, options: SideModelOptions = SideModelOptions()) -> None:
        self.options = options
        self.blocks: NDArray[np.int64] = np.zeros((0, 3), dtype=int)
        self.mean = self.scale = self.weights = np.zeros(0)
        self.constant = 0.0
        self.controls = True

    def fit(
        self, cases: Sequence[SideFeatures], answers: Sequence[Answer], *, controls: bool = True
    ) -> SideModel:
        """Learn from cases and where each is occluded; the same cases give the same model.

        Args:
            cases: Of :func:`lvo_kedro.features.measure_sides`, all with the same options.
            answers: One per case.
            controls: Whether there are cases without an occlusion. Without them the model learns
                which side is occluded if one is, and nothing about whether one is.

        Returns:
            Itself.

        Raises:
            TableError: Where no case, or every case, has an occlusion; without controls, where a
                case has none or no case has a known side.
        """
        _check_answers(answers, controls)
        self.controls = controls
        shares = np.mean([case.tissue.shares.mean(axis=0) for case in cases], axis=0)
        self.blocks = np.argwhere(shares > self.options.least_share)
        design = self._design(cases)
        flat = design.reshape(-1, design.shape[-1])
        with np.errstate(invalid="ignore"):
            known = np.asarray(~np.isnan(flat).all(axis=0))
            self.mean = np.where(known, _over_cases(np.nanmean, flat, known), 0)
            spread = np.where(known, _over_cases(np.nanstd, flat, known), 0)
        self.scale = np.maximum(spread, LEAST_SPREAD_HU)
        allowed = np.array([_ALLOWED[answer] for answer in answers])
        found = minimize(
            _loss,
            np.zeros(design.shape[-1] + 1),
            args=(self._standardise(design), allowed, self.options.penalty, controls),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 1000},
        )
        self.weights = found.x[:-1]
        self.constant = float(found.x[-1]) if controls else 0.0  # then it cancels out
        return self

    def utilities(self, cases: Sequence[SideFeatures]) -> Floats:
        """Return the utility that each side is occluded.

        Args:
            cases: As in :meth:`fit`.

        Returns:
            (case, 2): the patient's left and right. The log odds of any occlusion are their
            ``logsumexp``; of a model without controls only their difference means anything.
        """
        self._check(cases)
        return self._standardise(self._design(cases)) @ self.weights + self.constant

    def logits(self, cases: Sequence[SideFeatures]) -> Floats:
        """Return the log odds of an occlusion on any side, (case,).

        Args:
            cases: As in :meth:`fit`.
        """
        return np.asarray(logsumexp(self.utilities(cases), axis=1))

    def distances(self, cases: Sequence[SideFeatures]) -> Floats:
        """Return how many deviations each case's numbers lie off the training cases', (case,).

        The root of the mean square over the numbers of a side, of the farther side. Labels have no
        part in it.

        Args:
            cases: As in :meth:`fit`.
        """
        self._check(cases)
        squares = self._standardise(self._design(cases)) ** 2
        return np.asarray(np.sqrt(squares.mean(axis=2)).max(axis=1))

    def contributions(self, case: SideFeatures) -> list[Contribution]:
        """Take the utilities of one case apart; with the constant, those of a side add up to it.

        Args:
            case: As in :meth:`fit`.

        Returns:
            One entry per side for each segment, for the ``territory`` as a whole, and for each
            block.
        """
        self._check([case])
        rows = self._rows(case)
        parts = self._standardise(rows[None])[0] * self.weights
        found: list[Contribution] = []
        for side, row, values in zip(SIDES, rows, parts, strict=True):
            numbers, blocks = np.split(values, [len(NUMBERS)])
            own, other = numbers[: len(ARTERIES)], numbers[len(ARTERIES) : 2 * len(ARTERIES)]
            arteries = own + other
            core = row[: len(SEGMENTS)]
            if not np.isnan(core).all():  # the densest of them is one of them
                arteries[np.nanargmax(core)] += arteries[-1]
            for segment, value in zip(SEGMENTS, arteries, strict=False):
                found.append(Contribution(side, segment, None, float(value)))
            tissue = float(numbers[2 * len(ARTERIES) :].sum())
            found.append(Contribution(side, "territory", None, tissue))
            for (i, j, k), value in zip(self.blocks.tolist(), blocks.tolist(), strict=True):
                found.append(Contribution(side, "block", (i, j, k), value))
        return found

    def to_json(self) -> dict[str, Any]:
        """Return options, blocks and weights as plain values."""
        return {
            "options": self.options.model_dump(mode="json"),
            "numbers": list(NUMBERS),
            "blocks": self.blocks.tolist(),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "weights": self.weights.tolist(),
            "constant": self.constant,
            **({} if self.controls else {"controls": False}),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SideModel:
        """Rebuild from :meth:`to_json`.

        Args:
            content: Plain values.

        Raises:
            ModelError: Numbers that do not fit one another.
        """
        model = cls(SideModelOptions.model_validate(content["options"]))
        model.blocks = np.array(content["blocks"], dtype=int).reshape(-1, 3)
        model.mean, model.scale, model.weights = (
            np.array(content[name], dtype=float) for name in ("mean", "scale", "weights")
        )
        model.constant = float(content["constant"])
        model.controls = bool(content.get("controls", True))
        expected = len(NUMBERS) + len(model.blocks)
        lengths = {len(model.mean), len(model.scale), len(model.weights)}
        if content["numbers"] != list(NUMBERS) or lengths != {expected}:
            raise ModelError(
                f"a side model of {sorted(lengths)} weights",
                f"{expected}, for {len(NUMBERS)} numbers and {len(model.blocks)} blocks",
                "fit the side models again",
            )
        return model

    def _design(self, cases: Sequence[SideFeatures]) -> Floats:
        """Return (case, side, number); NaN where an artery was not found."""
        return np.stack([self._rows(case) for case in cases])

    def _rows(self, case: SideFeatures) -> Floats:
        arteries = case.arteries.set_index(["side", "segment"])[CORE]
        core = np.array([[arteries[side, s] for s in SEGMENTS] for side in SIDES], dtype=float)
        found = ~np.isnan(core)
        densest = np.where(found, core, -np.inf).max(axis=1)
        densest = np.where(found.any(axis=1), densest, np.nan)
        core = np.column_stack([core, densest])
        numbers = np.asarray(case.tissue.statistics, dtype=float)
        i, j, k = self.blocks.T
        blocks = np.asarray(case.tissue.blocks, dtype=float)[:, i, j, k]
        parts = [core, core - core[::-1], numbers, numbers - numbers[::-1], blocks]
        return np.concatenate(parts, axis=1)

    def _standardise(self, design: Floats) -> Floats:
        """Scale to mean 0 and deviation 1; what is not known says nothing."""
        return np.nan_to_num((design - self.mean) / self.scale, nan=0.0)

    def _check(self, cases: Sequence[SideFeatures]) -> None:
        if len(self.weights) == 0:
            raise ModelError("a side model without weights", "a fitted one", "fit it first")
        reach = self.blocks.max(axis=0) if len(self.blocks) else np.zeros(3, dtype=int)
        for case in cases:
            shape = case.tissue.blocks.shape[1:]
            if (reach >= shape).any():
                raise ModelError(
                    f"tissue of {shape} blocks",
                    f"more than {tuple(reach.tolist())} blocks along the axes, as in training",
                    "measure the sides with the options of the training",
                )


def answer_of(lvo: int, side: str) -> Answer:
    """Return what a case teaches.

    Args:
        lvo: 1 with, 0 without an occlusion.
        side: The patient's; anything else means that it is not known.
    """
    if not lvo:
        return "none"
    return "left" if side == "left" else "right" if side == "right" else "either"


def _check_answers(answers: Sequence[Answer], controls: bool) -> None:
    occluded = sum(answer != "none" for answer in answers)
    if controls and occluded in (0, len(answers)):
        raise TableError(
            f"an occlusion in {occluded} of {len(answers)} cases",
            "some cases with and some without an occlusion",
            "fit the side model on more cases",
        )
    known = sum(answer in SIDES for answer in answers)
    if not controls and (occluded < len(answers) or not known):
        raise TableError(
            f"{len(answers) - occluded} cases without an occlusion and {known} with a known side "
            "for a model without controls",
            "occlusions alone, some of them with a known side",
            "fit it with controls, or on cases whose side is known",
        )


def _over_cases(function: Any, flat: Floats, known: NDArray[np.bool_]) -> Floats:
    values = np.zeros(flat.shape[1])
    values[known] = function(flat[:, known], axis=0)
    return values


def _loss(
    weights: Floats,
    design: Floats,
    allowed: NDArray[np.bool_],
    penalty: float,
    controls: bool = True,
) -> tuple[float, Floats]:
    """Return the penalised negative log (marginal) likelihood and its gradient.

    Without controls it is that of the side, given an occlusion; the constant then cancels out.
    """
    slopes = weights[:-1]
    sides = design @ slopes + weights[-1]
    nothing = np.full(len(sides), 0.0 if controls else -np.inf)
    chances = log_softmax(np.column_stack([sides, nothing]), axis=1)
    of_truth = logsumexp(np.where(allowed, chances, -np.inf), axis=1)
    given_truth = np.where(allowed, np.exp(chances - of_truth[:, None]), 0)
    surplus = (np.exp(chances) - given_truth)[:, :2]
    gradient = np.einsum("cs,csn->n", surplus, design) + penalty * slopes
    value = -of_truth.sum() + 0.5 * penalty * (slopes @ slopes)
    return float(value), np.append(gradient, surplus.sum())
