"""Options written into nnU-Net's plans: the planner decides what nobody chose."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from lvo_kedro.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvo_kedro.nnunet.options import NnUNetOptions

NETWORKS = re.compile(r"dynamic_network_architectures\.architectures\.\w+\.[A-Z]\w*")
LAYERS = re.compile(r"torch\.nn\.(modules\.[a-z]+\.)?[A-Z]\w*")
"""What plans may name. nnU-Net imports and calls whatever they do, which could be anything."""


def refuse_foreign_classes(plans: Mapping[str, Any], configuration: str) -> None:
    """Raise where a model folder's plans name other classes than networks and their layers.

    Args:
        plans: Those of a model folder, which may come from anywhere.
        configuration: The one that the model is of.

    Raises:
        ModelError: They name another class, or do not describe a network at all.
    """
    try:
        network = plans["configurations"][configuration]["architecture"]
        name, given = network["network_class_name"], network["arch_kwargs"]
        layers = [given[argument] for argument in network["_kw_requires_import"]]
        wrong = [] if NETWORKS.fullmatch(name) else [name]
        wrong += [layer for layer in layers if layer and not LAYERS.fullmatch(layer)]
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"plans.json without the network of {configuration} ({type(error).__name__})",
            "plans as nnU-Net wrote them at this model's training",
            "train the model again, or copy the whole folder again",
        ) from error
    if wrong:
        raise ModelError(
            f"plans.json that asks to import other code ({', '.join(wrong)[:200]}); nothing of it "
            "was imported",
            "a network of dynamic_network_architectures with layers of torch.nn",
            "do not use this model unless you know who made it",
        )


def adapt_plans(plans: Mapping[str, Any], options: NnUNetOptions) -> dict[str, Any]:
    """Return nnU-Net's plans with the chosen patch, batch, features and intensity window.

    Raises:
        ModelError: Where the planner has no such configuration or the patch cannot be halved as
            often as the network has stages.
    """
    adapted = deepcopy(dict(plans))
    configurations = adapted["configurations"]
    if options.configuration not in configurations:
        raise ModelError(
            f"plans for {sorted(configurations)}",
            f"configuration {options.configuration}",
            "choose a configuration that suits the images: single slices allow only 2d",
        )
    adapted["configurations"] = {options.configuration: configurations[options.configuration]}
    chosen = adapted["configurations"][options.configuration]
    for name in ("patch_size", "batch_size", "batch_dice"):
        value = getattr(options, name)
        if value is not None:
            chosen[name] = list(value) if isinstance(value, tuple) else value
    _adapt_network(chosen["architecture"]["arch_kwargs"], chosen, options)
    if options.window_hu is not None:
        _fix_window(adapted, options)
    return adapted


def _adapt_network(
    network: dict[str, Any], configuration: Mapping[str, Any], options: NnUNetOptions
) -> None:
    features = options.features_per_stage
    dimensions = len(configuration["patch_size"])
    if features is not None:
        stages = len(features)
        network["n_stages"] = stages
        network["features_per_stage"] = list(features)
        network["kernel_sizes"] = [[3] * dimensions for _ in range(stages)]
        network["strides"] = [[1 if stage == 0 else 2] * dimensions for stage in range(stages)]
    for name, shorter in (
        ("n_conv_per_stage", 0),
        ("n_blocks_per_stage", 0),
        ("n_conv_per_stage_decoder", 1),
    ):
        if name in network:
            count = network["n_stages"] - shorter
            planned = list(network[name])
            # of images so small that one stage is planned there is no decoder: nnU-Net's own number
            depth = (planned + (planned[-1:] or [2]) * count)[:count]
            chosen = options.convolutions_per_stage
            network[name] = depth if chosen is None else [chosen] * count
    _check_patch(configuration["patch_size"], network["strides"])


def _check_patch(patch: list[int], strides: list[list[int]]) -> None:
    for axis, size in enumerate(patch):
        factor = 1
        for stride in strides:
            factor *= stride[axis]
        if size % factor:
            raise ModelError(
                f"a patch of {patch}",
                f"{len(strides)} stages to divide it: axis {axis} must be a multiple of {factor}",
                "choose another patch_size or fewer features_per_stage",
            )


def _fix_window(plans: dict[str, Any], options: NnUNetOptions) -> None:
    """Make the window's lower end 0 after normalization, which is also what nnU-Net pads with."""
    low, high = options.window_hu or (0.0, 0.0)
    properties = plans["foreground_intensity_properties_per_channel"]
    for channel, name in enumerate(options.channel_names):
        if name.casefold() == "ct":
            properties[str(channel)] = {
                "mean": low,
                "median": low,
                "std": (high - low) / 4,
                "min": low,
                "max": high,
                "percentile_00_5": low,
                "percentile_99_5": high,
            }
