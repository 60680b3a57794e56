"""Detection: the data path and the training step against the published way, on one machine.

    python benchmarks/detection.py --data-path [--scans 3] [--shape 512 512 91]
    python benchmarks/detection.py --step
    python benchmarks/detection.py --gpu [--batch 1]
    python benchmarks/detection.py              # all of it; the GPU where there is one

``--data-path`` needs the project's environment; ``--step`` and ``--gpu`` need torch and numpy
alone and run from a source checkout. The published way is written here from its description: four
compressed images are read, normalized and padded to 512x512x200 for every sample and epoch; a
plain contiguous network under float16 autocast with Adam. Results are printed as JSON lines.
"""

# ruff: noqa: PLC0415, S603 - the science packages are imported only where they are measured
from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).resolve().parents[1] / "src"
PUBLISHED_SHAPE = (512, 512, 200)
CHANNELS = ("ncct", "vessels", "territory", "difference")


def network_class() -> type[nn.Module]:
    """Load McResNet from its file, without the rest of the package."""
    sys.path.insert(0, str(SOURCE))
    spec = importlib.util.spec_from_file_location(
        "mcresnet", SOURCE / "lvo_kedro" / "detection" / "mcresnet.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.McResNet


def report(**values: Any) -> None:
    """Print one result."""
    print(json.dumps(values), flush=True)


# --- data path -----------------------------------------------------------------------------------


def make_scans(folder: Path, count: int, shape: tuple[int, int, int]) -> None:
    """Write scans with the four images of each, of a real head CT's size and entropy."""
    import nibabel as nib

    rng = np.random.default_rng(0)
    affine = np.diag([230 / shape[0], 230 / shape[1], 150 / shape[2], 1.0])
    axes = [np.linspace(-1.25, 1.25, n, dtype=np.float32) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    brain = x**2 / 0.6 + y**2 / 0.9 + z**2 < 1
    vessel = brain & (np.abs(y) < 0.03) & (np.abs(z) < 0.1) & (np.abs(x) < 0.6)
    sides = np.where(brain, np.where(x < 0, 1, 2), 0).astype(np.uint8)
    for number in range(count):
        noise = rng.normal(0, 4, shape).astype(np.float32)
        ncct = np.where(brain, 34 + 20 * vessel + noise, 0).astype(np.int16)
        difference = np.where(brain, np.abs(noise), 0).astype(np.float32)
        territory = np.where(brain, np.exp(-((np.abs(x) - 0.5) ** 2 + y**2 + z**2)), 0)
        images = {
            "ncct": ncct,
            "vessels": vessel.astype(np.uint8),
            "territory": territory.astype(np.float32),
            "difference": difference,
            "hemispheres": sides,
        }
        for name, data in images.items():
            nib.save(nib.Nifti1Image(data, affine), folder / f"{number}_{name}.nii.gz")


def read_published(folder: Path, number: int) -> Tensor:
    """Read one sample the published way: float32 of shape (4, 512, 512, 200)."""
    import nibabel as nib

    arrays = [
        np.asarray(nib.load(folder / f"{number}_{name}.nii.gz").dataobj, dtype=np.float32)
        for name in CHANNELS
    ]
    ncct, vessels, territory, difference = arrays
    ncct = _min_max(np.where((ncct >= 0) & (ncct <= 70), ncct, 0))
    channels = [ncct, (vessels > 0) * ncct, territory, _min_max(difference)]
    padded = []
    for channel in channels:
        spare = np.subtract(PUBLISHED_SHAPE, channel.shape)
        padded.append(np.pad(channel, [(n // 2, n - n // 2) for n in spare]))
    return torch.from_numpy(np.stack(padded).astype(np.float32))


def _min_max(data: np.ndarray) -> np.ndarray:
    present = data != 0
    if present.any():
        low, high = data[present].min(), data[present].max()
        data = np.where(present, (data - low) / max(high - low, 1e-6), 0)
    return data.astype(np.float32)


def store_samples(folder: Path, count: int, grid: str) -> None:
    """Make the stored samples of the project, once per case."""
    from types import SimpleNamespace

    import nibabel as nib

    from lvo_kedro.detection import (
        ChannelOptions,
        encode_channels,
        plan_grid,
        save_sample,
        stack_channels,
    )

    options = ChannelOptions(grid=grid, spacing_mm=2.0)
    for number in range(count):
        image = {
            name: nib.load(folder / f"{number}_{name}.nii.gz")
            for name in (*CHANNELS, "hemispheres")
        }
        priors = SimpleNamespace(
            territory_probability=image["territory"],
            hemispheres=image["hemispheres"],
            difference=image["difference"],
        )
        where = plan_grid(image["ncct"], priors, options)
        channels = stack_channels(image["ncct"], image["vessels"], priors, where, options=options)
        sample = encode_channels(channels, options.channels, where)
        save_sample(folder / f"{number}_{grid}.safetensors", sample)


def measure_reading(folder: Path, count: int, way: str, repeats: int) -> dict[str, float]:
    """Read every sample ``repeats`` times in this process; peak memory is above its idle state."""
    from lvo_kedro.detection import decode_channels, open_sample

    def read(number: int) -> Tensor:
        if way == "published way":
            return read_published(folder, number)
        return decode_channels(open_sample(folder / f"{number}_{way}.safetensors"))

    idle, began = _memory_mb("VmRSS"), time.perf_counter()
    for _ in range(repeats):
        for number in range(count):
            read(number).mean()
    seconds = time.perf_counter() - began
    return {
        "samples_per_second": count * repeats / seconds,
        "peak_mb": _memory_mb("VmHWM") - idle,
    }


def _memory_mb(field: str) -> float:
    """Read a memory field of this process (Linux): its own, unlike ``ru_maxrss`` after a fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def data_path(scans: int, shape: tuple[int, int, int]) -> None:
    """Compare the ways of reading; each in a process of its own, for its own peak memory."""
    sys.path.insert(0, str(SOURCE))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scans(folder, scans, shape)
        for grid in ("brain", "published"):
            began = time.perf_counter()
            store_samples(folder, scans, grid)
            report(stored=grid, seconds_per_case=round((time.perf_counter() - began) / scans, 2))
        gc.collect()
        results = {}
        for way, repeats in (("published way", 1), ("published", 2), ("brain", 30)):
            command = [sys.executable, __file__, "--read", name, way, str(scans), str(repeats)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results[way] = json.loads(done.stdout.splitlines()[-1])
        first = results["published way"]
        for way, result in results.items():
            size = 0.0
            if way != "published way":
                size = (folder / f"0_{way}.safetensors").stat().st_size / 2**20
            report(
                reading=way,
                samples_per_second=round(result["samples_per_second"], 3),
                peak_mb=round(result["peak_mb"], 1),
                file_mb=round(size, 1),
                times_faster=round(result["samples_per_second"] / first["samples_per_second"], 1),
                memory_share=round(result["peak_mb"] / first["peak_mb"], 4),
            )


# --- training step and inference -----------------------------------------------------------------


class Way:
    """A network with its way of stepping and of scoring."""

    def __init__(self, name: str, device: torch.device, width: int, **how: Any) -> None:
        torch.manual_seed(0)
        self.name, self.device = name, device
        self.ours = how.get("ours", False)
        self.network = network_class()(4, width).to(device)
        if self.ours:
            self.network = self.network.to(memory_format=torch.channels_last_3d)
        self.network.recompute = how.get("recompute", False)
        self.forward: Callable[[Tensor], Tensor] = self.network
        if how.get("compile", False):
            self.forward = torch.compile(self.network)
        on_gpu = device.type == "cuda"
        self.dtype = torch.bfloat16 if self.ours else torch.float16
        self.mixed = on_gpu or (self.ours and how.get("mixed", False))
        self.scaler = torch.amp.GradScaler(device.type, enabled=on_gpu and not self.ours)
        kind = torch.optim.AdamW if self.ours else torch.optim.Adam
        self.optimizer = kind(self.network.parameters(), lr=1e-5, fused=self.ours and on_gpu)

    def prepare(self, batch: Tensor) -> Tensor:
        """Put a batch where and how the network wants it."""
        batch = batch.to(self.device)
        return batch.contiguous(memory_format=torch.channels_last_3d) if self.ours else batch

    def step(self, batch: Tensor) -> None:
        """Take one training step."""
        target = (torch.arange(len(batch), device=self.device) % 2).float()
        self.network.train()
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.mixed):
            logits = self.forward(batch)[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), target)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def score(self, batch: Tensor) -> None:
        """Score a batch."""
        self.network.eval()
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.mixed):
            self.forward(batch)


def measure(way: Way, batch: Tensor, action: str, seconds: float) -> dict[str, float]:
    """Repeat an action after a warm-up and take its fastest repeat: others may use the machine.

    GPU times include the wait for the device.
    """
    act = getattr(way, action)
    batch = way.prepare(batch)
    for _ in range(3 if way.device.type == "cuda" else 1):
        act(batch)
    if way.device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began, spent = time.perf_counter(), []
    while len(spent) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        act(batch)
        if way.device.type == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() / 2**20 if way.device.type == "cuda" else 0.0
    return {"samples_per_second": len(batch) / min(spent), "peak_mb": peak}


def operations(shape: tuple[int, ...], width: int) -> float:
    """Return floating-point operations of one forward pass of one sample (convolutions)."""
    network, total = network_class()(4, width).eval().to("meta"), 0.0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv3d):
            total += 2.0 * output.numel() * module.weight[0].numel()

    for module in network.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 4, *shape, device="meta"))  # shapes alone, nothing is computed
    return total


def matrix_rate(device: torch.device) -> float:
    """Return the measured rate of a large bfloat16 matrix product in operations per second."""
    size = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    a = torch.randn(size, size, device=device, dtype=dtype)
    best, end = 0.0, time.perf_counter() + 2
    while time.perf_counter() < end:
        began = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def compare_steps(
    device: torch.device,
    cases: list[tuple[str, tuple[int, int, int], int, int, list[dict[str, Any]]]],
    seconds: float,
) -> None:
    """Time every way on every grid; the first of each list is the reference."""
    rate = matrix_rate(device)
    report(device=str(device), torch=torch.__version__, matrix_teraflops=round(rate / 1e12, 2))
    baseline: dict[str, float] = {}
    for grid, shape, batch_size, width, ways in cases:
        work = operations(shape, width)
        for how in ways:
            options = {key: value for key, value in how.items() if key != "name"}
            for action in ("step", "score"):
                try:
                    way = Way(how["name"], device, width, **options)
                    result = measure(way, torch.rand(batch_size, 4, *shape), action, seconds)
                except torch.cuda.OutOfMemoryError:
                    report(grid=grid, way=how["name"], action=action, error="out of memory")
                    continue
                finally:
                    way = None
                    gc.collect()
                    if device.type == "cuda":
                        torch.cuda.empty_cache()
                first = baseline.setdefault(action, result["samples_per_second"])
                memory = baseline.setdefault(f"{action}_mb", result["peak_mb"])
                effort = work * (3 if action == "step" else 1) * result["samples_per_second"]
                report(
                    grid=grid,
                    way=how["name"],
                    action=action,
                    batch=batch_size,
                    width=width,
                    samples_per_second=round(result["samples_per_second"], 3),
                    times_faster=round(result["samples_per_second"] / first, 2),
                    peak_mb=round(result["peak_mb"]),
                    memory_share=round(result["peak_mb"] / memory, 3) if memory else None,
                    share_of_matrix_rate=round(effort / rate, 3),
                )


PLAIN = {"name": "published network and step"}
OURS = {"name": "channels_last, bf16", "ours": True}


def gpu(batch: int) -> None:
    """Full size: 4x512x512x200 like for like, then the brain grid."""
    device = torch.device("cuda")
    torch.backends.cudnn.benchmark = True
    full = [
        PLAIN,
        OURS,
        {**OURS, "name": "the same, compiled", "compile": True},
        {**OURS, "name": "the same, recomputing", "recompute": True},
    ]
    brain = [OURS, {**OURS, "name": "the same, compiled", "compile": True}]
    cases = [
        ("512x512x200", PUBLISHED_SHAPE, batch, 64, full),
        ("brain 80x96x80", (80, 96, 80), 16, 64, brain),
    ]
    compare_steps(device, cases, seconds=5.0)


def cpu() -> None:
    """A small size that a laptop carries: an eighth of the published grid along x and y."""
    full = [
        PLAIN,
        {"name": "channels_last", "ours": True},
        {"name": "the same, recomputing", "ours": True, "recompute": True},
    ]
    cases = [
        ("128x128x48 (small)", (128, 128, 48), 1, 16, full),
        ("demo grid 52x64x48", (52, 64, 48), 8, 16, [full[1]]),
    ]
    compare_steps(torch.device("cpu"), cases, seconds=3.0)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data-path", action="store_true")
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--scans", type=int, default=3)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 91))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--read", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        folder, way, count, repeats = given.read
        sys.path.insert(0, str(SOURCE))
        report(**measure_reading(Path(folder), int(count), way, int(repeats)))
        return
    everything = not (given.data_path or given.step or given.gpu)
    if given.data_path or everything:
        data_path(given.scans, tuple(given.shape))
    if given.step or everything:
        cpu()
    if given.gpu or (everything and torch.cuda.is_available()):
        gpu(given.batch)


if __name__ == "__main__":
    main()
