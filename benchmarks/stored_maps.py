"""What it costs and saves to store the priors' maps in whole steps.

    python -m benchmarks.ablation build/ablation ...    # keeps cases with their maps
    python -m benchmarks.stored_maps build/ablation/cases

Every number that the side model may weigh, and the network's channels, are made once from the maps
as they were computed and once as they come back from the files that the catalog names.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml

from lvo_kedro.datasets import NiftiDataset
from lvo_kedro.detection import ChannelOptions, plan_grid, stack_channels
from lvo_kedro.features import measure_sides
from lvo_kedro.imaging import describe_scan
from lvo_kedro.priors import Priors

CATALOG = Path(__file__).parents[1] / "conf" / "base" / "catalog_priors.yml"
MAPS = ("territory_probability", "hemispheres", "signed_difference")


def stored(case: Path, folder: Path) -> tuple[dict[str, nib.Nifti1Image], dict[str, int]]:
    """Write a case's maps as the catalog says; return them read back, and the bytes of each."""
    files = yaml.safe_load(CATALOG.read_text())["priors"]["files"]
    found, size = {}, {}
    for name in MAPS:
        options = {k: v for k, v in (files[f"{name}.nii.gz"] or {}).items() if k != "type"}
        dataset = NiftiDataset(filepath=str(folder / f"{name}.nii.gz"), **options)
        dataset.save(nib.load(case / f"{name}.nii.gz"))
        found[name], size[name] = dataset.load(), (folder / f"{name}.nii.gz").stat().st_size
    return found, size


def numbers(case: Path, maps: dict[str, nib.Nifti1Image]) -> dict[str, np.ndarray]:
    """Return everything that is made of the maps of a case."""
    ncct, brain, vessels = (
        nib.load(case / f"{name}.nii.gz") for name in ("ncct", "brain_mask", "vessel_labels")
    )
    features = measure_sides(ncct, vessels, brain, maps, quality=describe_scan(ncct, brain))
    options = ChannelOptions(channels=("territory", "signed_difference"))
    priors = Priors(**maps, quality={})
    grid = plan_grid(ncct, priors, options, brain)
    channels = stack_channels(ncct, vessels, priors, grid, options=options, brain_mask=brain)
    return {
        "territory against the other side's (HU)": features.arteries["territory_difference"],
        "statistics of the territory (HU)": features.tissue.statistics,
        "blocks of tissue (HU)": features.tissue.blocks * (features.tissue.shares > 0),
        "channel territory (0 to 1)": channels[0],
        "channel signed difference (-1 to 1)": channels[1],
    }


def main() -> None:
    """Print sizes and changes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    cases = sorted(path for path in parser.parse_args().cases.iterdir() if path.is_dir())
    changes: dict[str, list[float]] = {}
    before, after = dict.fromkeys(MAPS, 0), dict.fromkeys(MAPS, 0)
    for case in cases:
        given = {name: nib.load(case / f"{name}.nii.gz") for name in MAPS}
        with tempfile.TemporaryDirectory() as folder:
            found, size = stored(case, Path(folder))
        for name in MAPS:
            before[name] += (case / f"{name}.nii.gz").stat().st_size
            after[name] += size[name]
        as_given, as_stored = numbers(case, given), numbers(case, found)
        for name, values in as_given.items():
            change = np.abs(np.asarray(values, float) - np.asarray(as_stored[name], float))
            changes.setdefault(name, []).append(float(np.nanmax(change)))
    print(f"{len(cases)} cases")
    for name in MAPS:
        print(
            f"{name:<40}{before[name] / len(cases) / 1000:>8.0f} kB"
            f"{after[name] / len(cases) / 1000:>8.0f} kB"
        )
    for name, found in changes.items():
        print(f"{name:<40}largest change {max(found):.4f}, median of cases {np.median(found):.4f}")


if __name__ == "__main__":
    main()
