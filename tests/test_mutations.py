"""A few of the damaged and hostile inputs of ``benchmarks.mutations``: none does harm."""

from __future__ import annotations

import pytest
from benchmarks.mutations import FORMATS, run

pytestmark = pytest.mark.long


@pytest.mark.slow
def test_no_damaged_or_hostile_input_does_harm(tmp_path):
    few = run(tmp_path / "few", 3, 1, ["folder", "zip", "tar.gz"], told=lambda _: None)
    many = run(tmp_path / "many", 20, 1, ["dicom", "enhanced", "nii", "nii.gz", "labels"],
               told=lambda _: None)  # fmt: skip
    found = few | many
    assert set(found) == set(FORMATS)
    assert not [w for counts in found.values() for w in counts if w.startswith("!")], found
    # they are not all alike
    assert all(len(many[name]) > 1 for name in many), found
