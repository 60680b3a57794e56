"""Everything about a segmentation network that a user may choose, in one place.

The defaults are nnU-Net's own. ``None`` always means "as nnU-Net's planner decides".
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lvo_kedro.options import NetworkOptions

Mirroring = Literal["all", "left_right", "none"]


class NnUNetOptions(NetworkOptions):
    """How a dataset is prepared, and how a network is trained and applied."""

    without_influence: ClassVar[frozenset[str]] = NetworkOptions.without_influence | {
        *("compile", "workers", "augmentation_workers", "checkpoint_every"),
    }
    """Fields that say where and how fast, not what; ``start_from`` counts by its content."""

    renamed: ClassVar[dict[str, str]] = {
        "spacing": "spacing_mm",
        "crop_margin": "crop_margin_mm",
        "window": "window_hu",
        "save_every": "checkpoint_every",
        "compile_network": "compile",
        "bfloat16": "precision",
    }

    configuration: Literal["3d_fullres", "2d"] = "3d_fullres"
    """nnU-Net's configuration; ``2d`` treats every slice along the last axis by itself."""
    planner: str = "ExperimentPlanner"
    """Class name of the planner, for instance ``nnUNetPlannerResEncM``, ``...L``, ``...XL``."""
    gpu_memory_gb: float | None = Field(default=None, gt=0)
    """Memory that the planner may plan for."""
    channel_names: tuple[str, ...] = ("CT",)
    """A name per channel; ``CT``, ``zscore``, ``noNorm``, ``rescale_to_0_1`` are normalizations."""

    spacing_mm: float | None = Field(default=None, gt=0)
    """Cubic voxel edge to which scans are brought before nnU-Net sees them."""
    crop_margin_mm: float | None = Field(default=None, ge=0)
    """Where set, only the box around the mask, this much wider, is shown to nnU-Net."""
    window_hu: tuple[float, float] | None = None
    """Fixed window for ``CT`` channels instead of percentiles of the dataset's foreground.

    It also keeps every statistic of held-out cases out of training.
    """

    patch_size: tuple[int, ...] | None = None
    """Edges (voxels) along nnU-Net's axes (z, y, x), or (y, x) for ``2d``."""
    batch_size: int | None = Field(default=None, ge=1)
    """Patches in a batch."""
    features_per_stage: tuple[int, ...] | None = None
    """Channels at each resolution; gives the number of stages too (stride 2, kernel 3)."""
    convolutions_per_stage: int | None = Field(default=None, ge=1)
    """Convolutions at each resolution, down and up."""
    batch_dice: bool | None = None
    """Dice loss over the whole batch rather than per patch."""

    epochs: int = Field(default=1000, ge=1)
    """An epoch is a number of iterations; nothing else depends on it but log and checkpoints."""
    iterations_per_epoch: int = Field(default=250, ge=1)
    """Training batches in an epoch."""
    validation_iterations: int = Field(default=50, ge=1)
    """Validation batches in an epoch."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """``sgd``: Nesterov momentum 0.99; ``adamw``: decoupled weight decay."""
    schedule: Literal["poly", "one_cycle"] = "poly"
    """``poly`` falls from epoch to epoch; ``one_cycle`` rises and falls from batch to batch."""
    learning_rate: float = Field(default=1e-2, gt=0)
    """Initial (``poly``) or highest (``one_cycle``) learning rate."""
    weight_decay: float = Field(default=3e-5, ge=0)
    """Weight decay of the optimizer."""
    deep_supervision: bool = True
    """Loss at the lower resolutions as well."""
    background_weight: float = Field(default=1.0, gt=0)
    """Weight of background in the cross-entropy; below 1 favours small structures."""
    foreground_oversampling: float = Field(default=0.33, ge=0, le=1)
    """Share of patches centred on a labelled voxel."""
    augmentation: Literal["full", "light", "none"] = "full"
    """``full`` is nnU-Net's; ``light`` leaves out what is slow: rotation, scaling, blurring."""
    mirror_training: Mirroring = "all"
    """Axes along which training patches are flipped."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Epochs between checkpoints from which a killed training goes on."""
    seed: int = 0
    """On CPU and with ``augmentation_workers=0`` the same seed gives the same network."""

    mirror_prediction: Mirroring = "all"
    """Axes along which predictions are flipped and averaged; ``all`` costs 8x in 3D."""
    step_size: float = Field(default=0.5, gt=0, le=1)
    """Step of the sliding window as a share of the patch."""
    smallest_island_ml: float = Field(default=0.0, ge=0)
    """Connected foreground of less volume is removed from predicted labels; 0 keeps all."""

    accelerate: bool = True
    """Use :mod:`lvo_kedro.nnunet.acceleration`; without it nnU-Net computes in its own, slower way.

    Labels are the same but for voxels where two labels are equally likely to the last digit.
    """
    compile: bool = False
    """Let torch compile the network (CUDA only)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of a CPU: ``bfloat16`` is used where it has instructions for it, and about twice as fast.

    A part of the acceleration. On CUDA nnU-Net's own mixed precision (float16) is always used.
    """
    workers: int = Field(default=0, ge=0)
    """Processes for fingerprint and preprocessing; 0 works in this process."""
    augmentation_workers: int = Field(default=0, ge=0)
    """Processes for augmentation; 0 is deterministic."""

    def preparation(self) -> NnUNetOptions:
        """Return these options with everything that does not touch the dataset at its default."""
        return self._only(PREPARATION_FIELDS | {"workers", "accelerate"})

    def training(self) -> NnUNetOptions:
        """Return these options with everything that matters for prediction alone at its default."""
        return self._only(frozenset(type(self).model_fields) - PREDICTION_FIELDS)

    def prediction(self) -> NnUNetOptions:
        """Return these options with everything at its default that a trained model brings along."""
        return self._only(PREDICTION_FIELDS | {"device", "precision", "accelerate"})

    def _only(self, names: frozenset[str]) -> NnUNetOptions:
        return NnUNetOptions.model_validate(self.model_dump(include=set(names)))


PREPARATION_FIELDS = frozenset(
    {
        *("configuration", "planner", "gpu_memory_gb", "channel_names", "spacing_mm"),
        *(
            "crop_margin_mm",
            "window_hu",
            "patch_size",
            "batch_size",
            "features_per_stage",
            "convolutions_per_stage",
        ),
        "batch_dice",
    }
)
"""Options that the prepared dataset depends on."""

PREDICTION_FIELDS = frozenset({"mirror_prediction", "step_size", "smallest_island_ml"})
"""Options that matter for prediction alone."""

MACHINE_FIELDS = NnUNetOptions.without_influence
"""Options that do not count by themselves."""
