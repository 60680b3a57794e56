"""How a network lies in memory, and in which precision a CPU computes it."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from lvo_kedro.nnunet.options import NnUNetOptions


def to_channels_last(network: nn.Module) -> None:
    """Store weights channels last, which CPU convolutions are several times faster with."""
    first = next(p for p in network.parameters() if p.ndim >= 4)
    layout = torch.channels_last if first.ndim == 4 else torch.channels_last_3d
    cast("Any", network).to(memory_format=layout)


def normalize_as_stored(network: nn.Module) -> None:
    """Let instance normalizations work on channels-last values as they lie in memory.

    Torch's own turns them round and back. Used for prediction, where no gradient is needed.
    Mean and variance are taken in float32 and in two passes. Torch's group normalization, which
    gives the same in exact arithmetic, would be faster by a twentieth and off by up to 2e-2.
    """
    for module in network.modules():
        # without weights, or with statistics of its own, a layer computes something else
        kind = isinstance(module, nn.InstanceNorm2d | nn.InstanceNorm3d)
        if kind and module.affine and not module.track_running_stats:
            cast("Any", module).forward = MethodType(_normalize, module)


def _normalize(norm: nn.InstanceNorm3d, values: torch.Tensor) -> torch.Tensor:
    axes = tuple(range(2, values.ndim))
    shape = (1, -1, *(1 for _ in axes))
    wide = values.float()
    centred = wide - wide.mean(axes, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(axes, keepdim=True) + norm.eps)
    scaled = torch.addcmul(norm.bias.view(shape), centred, scale * norm.weight.view(shape))
    return scaled.to(values.dtype)


def cpu_autocast(device: torch.device, options: NnUNetOptions) -> torch.autocast:
    """Return the context in which a CPU computes in bfloat16, where that is asked for and built in.

    nnU-Net itself uses mixed precision on CUDA alone.
    """
    asked = options.accelerate and options.precision == "bfloat16"
    wanted = asked and device.type == "cpu" and _has_bfloat16()
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=wanted)


def _has_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 by itself; emulated it would be slower.

    Where ``ATEN_CPU_CAPABILITY`` tells torch to do without AVX-512, as on an older processor, the
    instructions that are there do not count.
    """
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    there = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return bool(there) and torch.backends.cpu.get_cpu_capability() not in {"DEFAULT", "AVX2"}
