"""Given weights that a training may start from: found, checked, put into a network, shipped.

Weights of a folder or file of the user's own, or shipped with this package: the files
``<name>.safetensors`` beside this one. Nothing in a file is executed::

    start = find_start(StartOptions(weights="models/fold_0"))
    weights = read_weights(start)
    refuse_known_scans(weights, content_hashes)
    put_into(network, weights, Shape("segmentation", labels, channels))
"""

from lvo_kedro.weights.fitting import Shape, put_into
from lvo_kedro.weights.given import Start, Weights, find_start, read_weights
from lvo_kedro.weights.lineage import refuse_known_scans, trained_on
from lvo_kedro.weights.shipping import write_weights

__all__ = [
    "Shape",
    "Start",
    "Weights",
    "find_start",
    "put_into",
    "read_weights",
    "refuse_known_scans",
    "trained_on",
    "write_weights",
]
