"""Options of the detection stage, as they stand in ``conf/*/parameters_detection*.yml``."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, get_args

from pydantic import Field, model_validator

from lvo_kedro.options import NetworkOptions, Options

ChannelName = Literal[
    "ncct",
    "vessels",
    "territory",
    "difference",
    "signed_difference",
    "hypodensity",
    "hyperdensity",
]
"""Name of a channel, see ``CHANNELS``."""

CHANNELS: Final[tuple[ChannelName, ...]] = get_args(ChannelName)
"""Every channel there is. Stored samples refer to it by position: append, never reorder."""

PUBLISHED_SHAPE: Final = (512, 512, 200)
"""Voxels along x, y and z to which the published method pads every scan."""

HU_WINDOW: Final = (0.0, 70.0)
"""Brain, blood and fresh clot; what lies outside (air, fat, bone, calcium) is set to 0."""


class ChannelOptions(Options):
    """What a sample is made of, and where it is sampled.

    Attributes:
        channels: Any of ``CHANNELS``, in any order.
        grid: ``published`` (native voxels, padded to 512x512x200) or ``brain``.
        spacing_mm: Edge of a voxel of the brain grid.
        shape: Voxels of the brain grid along x, y and z, the same for all cases.
        frame: ``midline``: the brain grid is turned and shifted so that the plane between the
            hemispheres is its middle sagittal plane. ``native``: it follows the scan's own axes.
        vessel_labels: Labels of the vessel image that count as vessel.
        vessel_pooling: How the brain grid summarises a vessel's voxels: their ``mean``, or the
            ``maximum`` after smoothing.
        difference_range_hu: Difference or hypodensity that maps to 1 on the brain grid (the
            published grid takes each scan's own range).
        hyperdensity_range_hu: The same of hyperdensity.
        signed_range_hu: A signed difference of minus and plus this maps to 0 and 1.
    """

    channels: tuple[ChannelName, ...] = ("ncct", "vessels", "territory", "difference")
    grid: Literal["published", "brain"] = "brain"
    spacing_mm: float = Field(2.0, gt=0)
    shape: tuple[int, int, int] = (80, 96, 80)
    frame: Literal["midline", "native"] = "midline"
    vessel_labels: tuple[int, ...] = (1, 2, 3, 4)
    vessel_pooling: Literal["mean", "maximum"] = "maximum"
    difference_range_hu: float = Field(30.0, gt=0)
    signed_range_hu: float = Field(30.0, gt=0)
    hyperdensity_range_hu: float = Field(20.0, gt=0)

    @model_validator(mode="after")
    def _check_channels(self) -> ChannelOptions:
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise ValueError(f"channels must be named once each, given {self.channels}")
        return self


class AugmentationOptions(Options):
    """Random changes of training samples; every range is symmetric around no change.

    Attributes:
        flip: Probability of a left-right flip of all channels.
        rotation_degrees: Around each axis.
        tilt_degrees: Around y and z instead: these turns tilt the midline's plane, one around x
            does not. None takes rotation_degrees.
        shift_mm: Along each axis.
        shift_across_mm: Along x instead, off the midline. None takes shift_mm.
        scaling: Relative change of size.
        hu_shift: Added to the brain and the vessels, in HU.
        hu_noise: Standard deviation of white noise in the brain and the vessels, in HU.
        channel_dropout: Probability that one channel is blanked (a missing prior); never the
            only one.
    """

    flip: float = Field(0.5, ge=0, le=1)
    rotation_degrees: float = Field(6.0, ge=0)
    tilt_degrees: float | None = Field(None, ge=0)
    shift_mm: float = Field(4.0, ge=0)
    shift_across_mm: float | None = Field(None, ge=0)
    scaling: float = Field(0.05, ge=0, lt=1)
    hu_shift: float = Field(2.0, ge=0)
    hu_noise: float = Field(1.0, ge=0)
    channel_dropout: float = Field(0.05, ge=0, le=1)

    @classmethod
    def none(cls) -> AugmentationOptions:
        """Return options that change nothing."""
        return cls(
            flip=0, rotation_degrees=0, shift_mm=0, scaling=0, hu_shift=0, hu_noise=0,
            channel_dropout=0,
        )  # fmt: skip

    @property
    def turns_degrees(self) -> tuple[float, float, float]:
        """Largest turn around x, y and z."""
        tilt = self.rotation_degrees if self.tilt_degrees is None else self.tilt_degrees
        return self.rotation_degrees, tilt, tilt

    @property
    def shifts_mm(self) -> tuple[float, float, float]:
        """Largest shift along x, y and z."""
        across = self.shift_mm if self.shift_across_mm is None else self.shift_across_mm
        return across, self.shift_mm, self.shift_mm


class TrainingOptions(NetworkOptions):
    """How a network is trained on one fold.

    Attributes:
        target: What the network answers. ``case``: one logit for the whole head, as published.
            ``sides``: it reads each half of the midline grid, gives it a utility, and learns which
            side is occluded, or that none is.
        base_width: Channels of McResNet's stem (64 as published).
        zero_init_residual: Whether every residual block begins as its shortcut.
        channels: Subset of the stored channels to train with; None for all.
        epochs: Passes over the training cases.
        batch_size: Cases per forward pass.
        accumulation: Batches per optimizer step.
        optimizer: ``adam`` or ``adamw``.
        learning_rate: Highest rate of the schedule.
        weight_decay: Of the optimizer.
        schedule: ``constant``, ``cosine`` (after a linear warm-up) or ``one_cycle``.
        warmup_epochs: Of the cosine schedule.
        precision: ``bfloat16`` and ``float16`` are automatic mixed precision on a GPU, float16
            with a gradient scaler. A CPU always computes in float32.
        channels_last: Store activations channel by channel at each voxel (faster).
        compile: Pass the network through ``torch.compile``.
        recompute: Trade time for memory (``McResNet.recompute``).
        clip_norm: Largest norm of the gradient; 0 for no clipping.
        balance: ``none``; ``weight`` (rarer class weighs more in the loss); ``sample`` (both
            classes equally often in an epoch).
        ema_decay: Of the running average of the weights that is then used; 0 for none.
        refresh_norms: Re-estimate BatchNorm's statistics on the training cases before weights are
            used; matters when an epoch is only a few steps.
        selection: Which epoch's weights are kept: ``last``, or the best ``loss``, ``auc`` or
            ``accuracy``.
        selection_fraction: Share of the training patients set aside to choose the epoch on. With
            0, a ``selection`` other than ``last`` reads the fold's own validation cases: then
            out-of-fold scores are optimistic (as published).
        validate_every: Epochs between looks at the validation cases (and the inner split).
        patience: Stop after so many looks without a better one; 0 never stops early.
        checkpoint_every: Epochs between checkpoints to resume from.
        augmentation: Random changes of the samples.
        test_copies: Changed copies of a case (by ``augmentation``, without flips) over which its
            score is averaged, besides the case itself.
        seed: Of initial weights, order, augmentation and dropout.
        seeds: Where given, every fold is trained once with each of them instead of ``seed``.
            Scores are means over seeds; their spread is reported.
        device, devices, start_from: See :class:`~lvo_kedro.options.NetworkOptions`.
    """

    without_influence: ClassVar[frozenset[str]] = NetworkOptions.without_influence | {
        *("compile", "recompute", "checkpoint_every"),
    }

    target: Literal["case", "sides"] = "case"
    base_width: int = Field(64, ge=1)
    zero_init_residual: bool = False
    channels: tuple[ChannelName, ...] | None = None
    epochs: int = Field(100, ge=1)
    batch_size: int = Field(8, ge=1)
    accumulation: int = Field(1, ge=1)
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    schedule: Literal["constant", "cosine", "one_cycle"] = "cosine"
    warmup_epochs: int = Field(5, ge=0)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    channels_last: bool = True
    compile: bool = False
    recompute: bool = False
    clip_norm: float = Field(1.0, ge=0)
    balance: Literal["none", "weight", "sample"] = "sample"
    ema_decay: float = Field(0.99, ge=0, lt=1)
    refresh_norms: bool = True
    selection: Literal["last", "loss", "auc", "accuracy"] = "last"
    selection_fraction: float = Field(0.0, ge=0, lt=1)
    validate_every: int = Field(5, ge=1)
    patience: int = Field(0, ge=0)
    checkpoint_every: int = Field(1, ge=1)
    augmentation: AugmentationOptions = AugmentationOptions()
    test_copies: int = Field(0, ge=0)
    seed: int = Field(0, ge=0)
    seeds: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _check_seeds(self) -> TrainingOptions:
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds, default=0) < 0:
            raise ValueError(f"seeds must be different and not negative, given {self.seeds}")
        return self

    @model_validator(mode="after")
    def _check_flip(self) -> TrainingOptions:
        if self.target == "sides" and self.augmentation.flip:
            raise ValueError(
                f"augmentation.flip must be 0 with target: sides, given {self.augmentation.flip}: "
                "a mirrored case would get the other side's label, and shows this network nothing "
                "new, as it reads both halves alike"
            )
        return self

    def trainings(self, fold: int) -> dict[str, TrainingOptions]:
        """Name the trainings of a fold: one, or one for each of ``seeds``."""
        if not self.seeds:
            return {f"fold_{fold}": self}
        return {
            f"fold_{fold}_seed_{seed}": self.model_copy(update={"seed": seed, "seeds": ()})
            for seed in self.seeds
        }
