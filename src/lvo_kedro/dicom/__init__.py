"""Results as DICOM objects that refer to the original images, and studies that come by network.

>>> from lvo_kedro.dicom import DicomResult, write_results
>>> result = DicomResult(vessels, occlusion, {"probability": 0.93}, ...)    # doctest: +SKIP
>>> write_results(Path("series"), result, Path("out"))                      # doctest: +SKIP
"""

from lvo_kedro.dicom.options import DestinationOptions, PeerOptions, ReceiverOptions
from lvo_kedro.dicom.receiver import Receiver, serve
from lvo_kedro.dicom.results import DicomResult, write_results
from lvo_kedro.dicom.sending import send
from lvo_kedro.dicom.source import SourceSeries, labels_on_frames, read_source

__all__ = [
    "DestinationOptions",
    "DicomResult",
    "PeerOptions",
    "Receiver",
    "ReceiverOptions",
    "SourceSeries",
    "labels_on_frames",
    "read_source",
    "send",
    "serve",
    "write_results",
]
