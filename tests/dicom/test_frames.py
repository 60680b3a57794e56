"""Labels lie on the original frames where anatomy lies, however these are tilted and spaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from lvo_kedro.dicom import labels_on_frames, read_source
from lvo_kedro.imaging import read_scan
from lvo_kedro.imaging.geometry import Grid, make_image, world_axis
from lvo_kedro.imaging.pixels import read_hu
from tests.dicom.conftest import MARKER
from tests.imaging.phantoms import Series


def thresholded(image, low):
    return make_image((np.asarray(image.dataobj) > low).astype(np.uint8), image.affine)


def beside(folder: Path) -> np.ndarray:
    """How far the voxel whose label a pixel got lies from that pixel, in voxels along each axis.

    A label is the voxel's own index along an axis; the pixel's place is worked out from the header.
    """
    ncct = read_scan(folder).ncct
    source, to_voxel = read_source(folder), np.linalg.inv(ncct.affine)
    gaps = []
    for axis in range(3):
        own = np.arange(ncct.shape[axis]) % 250 + 1
        values = np.broadcast_to(
            np.expand_dims(own, [a for a in range(3) if a != axis]), ncct.shape
        )
        labels = make_image(values.astype(np.uint8), ncct.affine)
        for dataset, frame in zip(
            source.datasets, labels_on_frames(labels, source.slices), strict=True
        ):
            lps = places(dataset, np.argwhere(frame))
            ras = lps * [-1, -1, 1]
            where = (ras @ to_voxel[:3, :3].T + to_voxel[:3, 3])[:, axis]
            gap = where - (frame[frame > 0].astype(float) - 1)
            gaps.append(np.abs(gap - 250 * np.rint(gap / 250)))
    return np.concatenate(gaps)


def places(dataset: pydicom.Dataset, pixels: np.ndarray) -> np.ndarray:
    """World (LPS, mm) of pixels (row, column), as the DICOM standard defines it."""
    row, column = np.reshape(np.asarray(dataset.ImageOrientationPatient, float), (2, 3))
    down, along = (float(v) for v in dataset.PixelSpacing)
    start = np.asarray(dataset.ImagePositionPatient, float)
    return start + pixels[:, 1:] * along * row + pixels[:, :1] * down * column


def offsets(folder: Path) -> np.ndarray:
    """Distance in pixels, frame by frame, between the head in the original and its label.

    Both are thresholded: the original frame in its own pixels, the straight volume in its voxels.
    """
    source = read_source(folder)
    found = labels_on_frames(thresholded(read_scan(folder).ncct, 20.0), source.slices)
    distances = []
    for item, label in zip(source.slices, found, strict=True):
        original = read_hu(item, 4000.0) > 20
        if original.any() and label.any():
            gap = np.argwhere(original).mean(axis=0) - np.argwhere(label).mean(axis=0)
            distances.append(np.linalg.norm(gap))
    return np.array(distances)


def test_each_pixel_gets_the_label_of_the_voxel_that_it_lies_in(series: Series) -> None:
    assert beside(series.folder).max() <= 0.501


def test_labels_lie_on_the_head_in_the_original_frames(series: Series) -> None:
    # single frames: between steps of 7 mm, or where a tilt is straightened, edges are blended
    assert np.median(offsets(series.folder)) <= 0.5


@pytest.mark.long
@pytest.mark.shared
def test_labels_lie_on_the_frames_of_a_real_tilted_uneven_series(shared: Path) -> None:
    folder = shared / "data" / "ncct_ge_hispeed_dicom"
    assert beside(folder).max() <= 0.51  # directions in the headers are rounded
    assert np.median(offsets(folder)) <= 0.6  # pixels of 0.49 mm


def ball_on(folder: Path) -> np.ndarray:
    """Mark a ball of 8 mm around the marker in the straight volume; return its place on frames."""
    ncct = read_scan(folder).ncct
    index = np.argwhere(np.ones(ncct.shape, bool))
    world = index @ ncct.affine[:3, :3].T + ncct.affine[:3, 3]
    ball = (np.linalg.norm(world - MARKER, axis=1) <= 8.0).reshape(ncct.shape)
    source = read_source(folder)
    frames = labels_on_frames(make_image(ball.astype(np.uint8), ncct.affine), source.slices)
    pairs = zip(source.datasets, frames, strict=True)
    return np.concatenate([places(dataset, np.argwhere(frame)) for dataset, frame in pairs])


def test_left_stays_the_patients_left_by_the_headers_own_numbers(series: Series) -> None:
    lps = ball_on(series.folder).mean(axis=0)  # DICOM: x to the left, y to the back
    assert lps == pytest.approx([35.0, -45.0, 10.0], abs=2.0)


def rod(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Density of a leaning rod with soft edges, HU above the brain."""
    beside = (x + 5 - 0.15 * z) ** 2 + (y - 10 - 0.2 * z) ** 2
    return 110.0 * np.exp(-beside / (2 * 15.0**2))


def test_a_rod_lies_where_it_lies_on_every_original_frame(series: Series) -> None:
    steps = np.arange(series.hu.shape[2])[:, None] * series.affine[:3, 2]
    starts = series.affine[:3, 3] + steps if series.positions is None else series.positions
    i, j, k = np.indices(series.hu.shape)
    x, y, z = (starts[k, a] + i * series.affine[a, 0] + j * series.affine[a, 1] for a in range(3))
    dense = rod(x, y, z)
    series.hu = np.where(dense > 3, np.round(34 + dense), series.hu)
    shutil.rmtree(series.folder)
    series.write()

    source, ncct = read_source(series.folder), read_scan(series.folder).ncct
    near = rod(*(world_axis(Grid(ncct.shape, ncct.affine), axis) for axis in range(3))) > 10
    label = make_image(((np.asarray(ncct.dataobj) > 85) & near).astype(np.uint8), ncct.affine)
    offsets = []
    for dataset, frame in zip(source.datasets, labels_on_frames(label, source.slices), strict=True):
        indices = np.argwhere(np.ones_like(frame))
        lps = places(dataset, indices)
        if abs(lps[:, 2].mean()) < 40:
            there = indices[rod(*(lps * [-1, -1, 1]).T) > 51]  # from the formula alone
            offsets.append(np.argwhere(frame).mean(axis=0) - there.mean(axis=0))
    # both are made of whole pixels of 3 mm; a volume that is half of one beside is seen at once
    assert len(offsets) >= 12
    assert np.linalg.norm(offsets, axis=1).max() < 0.75
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.15
