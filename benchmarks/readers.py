"""What do the channels hold before any network learns from them?

    python benchmarks/readers.py --folder build/ablation

Reads the samples that ``benchmarks/ablation.py`` stored (odd cases are occluded) and prints the AUC
of single numbers, none of them fitted. All but the last compare the two sides of the head, voxel by
voxel on the grid whose middle plane is the midline, because an occlusion is on one side. A channel
whose number tells cases apart while a network that is given the channel does no better than without
it holds information that the network has not learnt to use. Simulated data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from lvo_kedro.detection import decode_channels, open_sample
from lvo_kedro.detection.options import HU_WINDOW
from lvo_kedro.evaluation import auc_interval

CHANNELS = ("ncct", "vessels", "territory", "difference", "signed_difference")
TISSUE_HU = (20.0, 60.0)
"""Neither fluid nor calcium."""
DENSEST = 20
"""Voxels of a side that stand for its arteries: half a millilitre at 3 mm."""


def read_sample(path: Path) -> dict[str, float]:
    """Return one number for each way to read the channels."""
    values = decode_channels(open_sample(path), CHANNELS).double().numpy()
    middle = values.shape[1] // 2
    sides = {
        name: (channel[:middle], channel[middle:][::-1])
        for name, channel in zip(CHANNELS, values, strict=True)
    }
    ncct, other = (side * HU_WINDOW[1] for side in sides["ncct"])
    territory = (sides["territory"][0] + sides["territory"][1]) / 2
    low, high = TISSUE_HU
    tissue = ((ncct > low) & (ncct < high) & (other > low) & (other < high)).astype(float)
    difference = (sides["difference"][0] + sides["difference"][1]) / 2
    signed = sides["signed_difference"][0] - 0.5
    densest = [_densest(side) for side in sides["vessels"]]
    return {
        "NCCT: mean of a side against the other": abs(_mean(ncct - other, tissue)),
        "NCCT in the territory: the same": abs(_mean(ncct - other, tissue * territory)),
        "vessels: densest voxels of a side against the other": abs(densest[0] - densest[1]),
        "difference: mean": _mean(difference, difference > 0),
        "difference in the territory: mean": _mean(difference, territory),
        "signed difference in the territory: mean": abs(_mean(signed, sides["territory"][0])),
        "territory alone: its volume": float(territory.sum()),
    }


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total else 0.0


def _densest(vessels: np.ndarray) -> float:
    return float(np.sort(vessels, axis=None)[-DENSEST:].mean())


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    paths = sorted((parser.parse_args().folder / "samples").glob("case-*.safetensors"))
    if not paths:
        raise SystemExit("no samples there: run benchmarks/ablation.py with this folder first")
    occluded = np.array([int(path.stem.split("-")[1]) % 2 for path in paths])
    table = pd.DataFrame([read_sample(path) for path in paths])
    print(f"{len(paths)} cases, {occluded.sum()} occluded\n\n| reading | AUC |\n|---|---|")
    for name in table:
        print(f"| {name} | {auc_interval(occluded, table[name])} |")


if __name__ == "__main__":
    main()
