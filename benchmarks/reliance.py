"""Which channels do the detectors of a finished run rely on?

    python benchmarks/reliance.py --data data/demo

Scores every case again (a development case with the fold that has not seen its patient, the others
with all folds) with one channel blanked, and with all but one blanked, and prints the AUC of each
split. Beside it stands the AUC of the channel's mean over the grid: what no network is needed for.
A blanked channel is unlike anything seen in training, so this is a hint and no ablation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch

from lvo_kedro.datasets import RecordTable
from lvo_kedro.detection import Detector, decode_channels, load_detector, open_sample
from lvo_kedro.detection.channels import neutral
from lvo_kedro.evaluation import auc_interval


def score_variants(detectors: list[Detector], sample: Path) -> dict[str, float]:
    """Return the mean logit as it is, without each channel and with each alone, and the means."""
    names = detectors[0].channels
    channels = decode_channels(open_sample(sample), names)[None]
    empty = neutral(names).expand_as(channels[0])[None]
    variants = {"all": channels}
    for index, name in enumerate(names):
        without, alone = channels.clone(), empty.clone()
        without[:, index], alone[:, index] = empty[:, index], channels[:, index]
        variants |= {f"without {name}": without, f"{name} alone": alone}
    batch = torch.cat(list(variants.values()))
    logits = torch.stack([d.score(batch) for d in detectors]).mean(dim=0).tolist()
    means = {f"mean of {n}": float(channels[0, i].mean()) for i, n in enumerate(names)}
    return dict(zip(variants, logits, strict=True)) | means


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    file = data / "07_model_output" / "detection_scores.csv"
    scores = RecordTable(filepath=file.as_posix(), numbers=["lvo", "fold"]).load()
    folders = sorted((data / "06_models" / "detectors").glob("fold_*"))
    detectors = {folder.name: load_detector(folder) for folder in folders}
    rows = []
    for row in scores.to_dict("records"):
        own = "" if pd.isna(row["fold"]) else f"fold_{int(row['fold'])}"
        blind = [d for name, d in detectors.items() if not own or f"{name}_".startswith(f"{own}_")]
        sample = data / "04_feature" / "channels" / row["case_id"] / "channels.safetensors"
        rows.append(row | score_variants(blind, sample))
    table = pd.DataFrame(rows)
    variants = list(table.columns[len(scores.columns) :])
    areas = {
        split: {name: str(auc_interval(part["lvo"], part[name])) for name in variants}
        for split, part in table.groupby("split")
    }
    print(pd.DataFrame(areas).to_string())


if __name__ == "__main__":
    main()
