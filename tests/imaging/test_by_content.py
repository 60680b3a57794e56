"""NIfTI files that are compressed against their name: refused, unless asked for by content."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.nifti import is_compressed, open_nifti

IMAGE = make_image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_a_file_is_counts_only_where_it_is_asked_for(
    tmp_path: Path, name: str, packed: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(IMAGE.to_bytes()) if packed else IMAGE.to_bytes())
    assert is_compressed(path) == packed
    read = open_nifti(path, "mask", by_content=True)
    np.testing.assert_array_equal(np.asarray(read.dataobj), np.asarray(IMAGE.dataobj))
    if packed != name.endswith(".gz"):
        with pytest.raises(ScanError, match="rename it"):
            open_nifti(path, "mask")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("content", [b"no image", b"\x1f\x8bno archive"])
def test_damaged_files_are_errors_in_words_by_content_too(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ScanError, match="copy or export it again"):
        open_nifti(path, "mask", by_content=True)
