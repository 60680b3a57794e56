"""Does a detector's Grad-CAM lie on the occluded side?

    python -m benchmarks.sides --folder build/ablation [--layer layer1]

For every training that ``benchmarks/ablation.py`` finished in the folder: of the held-out occluded
cases that were detected (logit above 0), how many maps of the network that has not seen the case
have more mass on the occluded than on the other side of the head? Half would be a coin's. Simulated
data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.ablation import Row, write_markdown
from benchmarks.cohorts import side_of
from lvo_kedro.detection import explain, load_detector, mass_by_side, open_sample, sample_grid
from lvo_kedro.evaluation import wilson_interval
from lvo_kedro.imaging.geometry import Grid, make_image
from lvo_kedro.vocabulary import HEMISPHERES


def halve(grid: Grid) -> np.ndarray:
    """Return the patient's sides of a grid whose middle plane is the midline, as labels."""
    x = np.indices(grid.shape)[0]
    right = (x + 0.5 > grid.shape[0] / 2) == (grid.affine[0, 0] > 0)
    return np.where(right, HEMISPHERES["right"], HEMISPHERES["left"]).astype(np.uint8)


def count_sides(folder: Path, file: Path, layer: str) -> dict[str, object]:
    """Count the maps of one training that lie on the occluded side."""
    scores = pd.read_csv(file)
    found = scores[(scores["lvo"] == 1) & (scores["logit"] > 0)]
    on_side = 0
    for fold, cases in found.groupby("fold"):
        detector = load_detector(folder / "models" / file.stem / str(fold))
        for case in cases["case"]:
            sample = open_sample(folder / "samples" / f"{case}.safetensors")
            grid = sample_grid(sample)
            halves = make_image(halve(grid), grid.affine)
            mass = mass_by_side(explain(detector, sample, halves, layer), halves)
            on_side += mass[side_of(int(case.split("-")[1]))] > sum(mass.values()) / 2
    kind = {name: scores[name].iloc[0] for name in Row._fields}
    share = str(wilson_interval(on_side, len(found))) if len(found) else ""
    return {**kind, "detected": len(found), "on the side": on_side, "share": share}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--layer", default="layer1")
    given = parser.parse_args()
    files = sorted((given.folder / "scores").glob("*.csv"))
    table = pd.DataFrame([count_sides(given.folder, file, given.layer) for file in files])
    write_markdown(given.folder / f"sides-{given.layer}.md", table)
    print(table.to_string())


if __name__ == "__main__":
    main()
