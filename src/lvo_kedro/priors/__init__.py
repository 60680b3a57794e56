"""What is known of a brain before looking for an occlusion.

An atlas in template space (:func:`load_atlas`) is registered to a scan, and the scan to its own
mirror image: :func:`compute_priors` gives the probability of the middle cerebral artery's
territory, the hemispheres, and the difference of each voxel from its counterpart on the other
side, all on the scan's grid.
"""

from lvo_kedro.priors.atlas import Atlas, load_atlas
from lvo_kedro.priors.compute import Priors, compute_priors, register_atlas
from lvo_kedro.priors.embedded import model_territory
from lvo_kedro.priors.options import DifferenceOptions, PriorLimits, PriorOptions, StartLimits
from lvo_kedro.priors.quality import find_faults, lacks_coverage

__all__ = [
    "Atlas",
    "DifferenceOptions",
    "PriorLimits",
    "PriorOptions",
    "Priors",
    "StartLimits",
    "compute_priors",
    "find_faults",
    "lacks_coverage",
    "load_atlas",
    "model_territory",
    "register_atlas",
]
