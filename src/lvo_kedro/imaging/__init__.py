"""From what a scanner wrote to a head CT that every later stage can rely on.

:func:`read_scan` reads NIfTI or DICOM, :func:`extract_brain` masks the brain,
:func:`describe_scan` says what is remarkable about both, :func:`refuse_scan` ends a case for it,
:func:`read_labels` and :func:`read_mask` bring annotations onto the scan's grid.
:mod:`~lvo_kedro.imaging.geometry` holds the vocabulary, :mod:`~lvo_kedro.imaging.boxes` and
:mod:`~lvo_kedro.imaging.resampling` what all other packages do with grids. What cannot be used is a
:class:`~lvo_kedro.errors.ScanError`.
"""

from lvo_kedro.imaging.brain import BrainOptions, extract_brain
from lvo_kedro.imaging.changes import ScanChange, change_mask, change_scan
from lvo_kedro.imaging.description import describe_scan, hash_scan, measure_scan
from lvo_kedro.imaging.findings import (
    find_remarkable,
    forbid_call,
    refuse_scan,
)
from lvo_kedro.imaging.hyperdensity import Hyperdensity, find_hyperdensity
from lvo_kedro.imaging.quality_limits import QualityLimits, RefusalLimits
from lvo_kedro.imaging.reading import Scan, read_labels, read_mask, read_ncct, read_scan
from lvo_kedro.imaging.rules import ScanLimits
from lvo_kedro.imaging.sides import check_side

__all__ = [
    "BrainOptions",
    "Hyperdensity",
    "QualityLimits",
    "RefusalLimits",
    "Scan",
    "ScanChange",
    "ScanLimits",
    "change_mask",
    "change_scan",
    "check_side",
    "describe_scan",
    "extract_brain",
    "find_hyperdensity",
    "find_remarkable",
    "forbid_call",
    "hash_scan",
    "measure_scan",
    "read_labels",
    "read_mask",
    "read_ncct",
    "read_scan",
    "refuse_scan",
]
