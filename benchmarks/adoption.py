"""How often the rule that names ISLES'24's occlusions is right, on simulated heads in its layout.

``python -m benchmarks.adoption [FOLDER]``. Markers lie 4 mm beside the clot; contrast ends at the
clot, and collaterals fill what lies beyond. It shows what the rule does, not what the archive is.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import product
from pathlib import Path

import pandas as pd

from lvo_kedro.adoption import ADAPTERS
from lvo_kedro.simulation.public_layouts import Isles24Patient, write_isles24
from lvo_kedro.vocabulary import SEGMENTS, SIDES

ROUNDS = 8
"""Patients of each segment and side."""
SEED = 500


def main(folder: Path) -> None:
    """Write the folder, name every occlusion, and print how often side and segment are right."""
    kinds = list(product(SEGMENTS, SIDES)) * ROUNDS
    patients = [Isles24Patient(n, side, segment) for n, (segment, side) in enumerate(kinds, 1)]
    truth = write_isles24(folder, patients, seed=SEED, spacing_mm=2.0).set_index("subject")
    adapter = ADAPTERS["isles24"]
    archive = adapter.find(folder, adapter.options())
    cases = [archive.case(subject) for subject in archive.subjects]
    named = truth.assign(
        named_side=[case.side for case in cases],
        named=[case.segment for case in cases],
        rule=[case.derivation.rule for case in cases],
    )
    right = int((named["side"] == named["named_side"]).sum())
    unknown = int((named["named_side"] == "unknown").sum())
    print(f"sides: {right} of {len(named)} right, {unknown} unknown")
    print(pd.crosstab(named["segment"], named["named"]).to_string())
    print(pd.crosstab(named["segment"], named["rule"]).to_string())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
