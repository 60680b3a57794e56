"""Detection of large-vessel occlusion: channels, McResNet, training, scores.

A case becomes channels on a grid (:func:`stack_channels`), which are stored compactly
(:func:`encode_channels`). :func:`train_fold` trains a network per fold from the stored samples,
:func:`score_cases` gives logits, :func:`calibrate` and :func:`choose_operating_points` turn them
into probabilities and calls, :func:`explain` shows where they come from.
"""

from lvo_kedro.detection.augmentation import augment, flip_sides
from lvo_kedro.detection.blanking import blank_channel
from lvo_kedro.detection.calibration import (
    Calibration,
    calibrate,
    choose_operating_points,
)
from lvo_kedro.detection.channels import plan_grid, stack_channels
from lvo_kedro.detection.contributions import (
    average_contributions,
    draw_contributions,
    tabulate_contributions,
)
from lvo_kedro.detection.detector import Detector, load_detector
from lvo_kedro.detection.explanation import ExplanationOptions, explain, mass_by_side
from lvo_kedro.detection.halves import SidesNetwork, require_midline
from lvo_kedro.detection.mcresnet import McResNet, load_published_checkpoint
from lvo_kedro.detection.methods import DetectionOptions, chosen_of, combine
from lvo_kedro.detection.options import (
    CHANNELS,
    AugmentationOptions,
    ChannelName,
    ChannelOptions,
    TrainingOptions,
)
from lvo_kedro.detection.scope import ScopeOptions
from lvo_kedro.detection.scores import (
    CalibrationOptions,
    add_probabilities,
    cross_fit_calibration,
    knows_controls,
    tabulate_logits,
)
from lvo_kedro.detection.scoring import Score, score_cases, score_sides
from lvo_kedro.detection.side_model import SideModel, SideModelOptions
from lvo_kedro.detection.side_training import SIDE_MODEL, fit_side_models, judge_case
from lvo_kedro.detection.storage import (
    Sample,
    decode_channels,
    encode_channels,
    open_sample,
    sample_grid,
    save_sample,
)
from lvo_kedro.detection.training import train_fold

__all__ = [
    "CHANNELS",
    "SIDE_MODEL",
    "AugmentationOptions",
    "Calibration",
    "CalibrationOptions",
    "ChannelName",
    "ChannelOptions",
    "DetectionOptions",
    "Detector",
    "ExplanationOptions",
    "McResNet",
    "Sample",
    "ScopeOptions",
    "Score",
    "SideModel",
    "SideModelOptions",
    "SidesNetwork",
    "TrainingOptions",
    "add_probabilities",
    "augment",
    "average_contributions",
    "blank_channel",
    "calibrate",
    "choose_operating_points",
    "chosen_of",
    "combine",
    "cross_fit_calibration",
    "decode_channels",
    "draw_contributions",
    "encode_channels",
    "explain",
    "fit_side_models",
    "flip_sides",
    "judge_case",
    "knows_controls",
    "load_detector",
    "load_published_checkpoint",
    "mass_by_side",
    "open_sample",
    "plan_grid",
    "require_midline",
    "sample_grid",
    "save_sample",
    "score_cases",
    "score_sides",
    "stack_channels",
    "tabulate_contributions",
    "tabulate_logits",
    "train_fold",
]
