"""What is measured on either side of a head: densities of its arteries, and its tissue.

:func:`measure_sides` reads a case once, for everything that weighs such numbers: the detector of
:mod:`lvo_kedro.detection.side_model` and the density baseline of :mod:`lvo_kedro.localization`.
"""

from lvo_kedro.features.arteries import (
    BLOOD,
    CORE,
    PLACE,
    SEARCHED,
    ArteryCores,
    describe_arteries,
)
from lvo_kedro.features.measuring import (
    TERRITORY,
    SideFeatures,
    leave_out,
    measure_sides,
    pack_features,
    unpack_features,
)
from lvo_kedro.features.options import FeatureOptions
from lvo_kedro.features.tissue import STATISTICS, Tissue, block_box, compare_tissue

__all__ = [
    "BLOOD",
    "CORE",
    "PLACE",
    "SEARCHED",
    "STATISTICS",
    "TERRITORY",
    "ArteryCores",
    "FeatureOptions",
    "SideFeatures",
    "Tissue",
    "block_box",
    "compare_tissue",
    "describe_arteries",
    "leave_out",
    "measure_sides",
    "pack_features",
    "unpack_features",
]
