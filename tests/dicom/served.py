"""A receiver in a process of its own, which tests kill.

``python -m tests.dicom.served SPOOL OPTIONS``: options as JSON. Each study gives one result, made
slowly: a copy of its first image under another UID.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import pydicom

from lvo_kedro.dicom import Receiver, ReceiverOptions


def copy_first(study: Path) -> list[Path]:
    """Make a result that says how many images the study had."""
    images = sorted(study.glob("*.dcm"))
    time.sleep(0.6)
    dataset = pydicom.dcmread(images[0])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.ImageComments = f"{len(images)} images"
    out = study / "out"
    out.mkdir(exist_ok=True)
    dataset.save_as(out / "result.dcm")
    return [out / "result.dcm"]


def main() -> None:
    options = ReceiverOptions(**json.loads(sys.argv[2]))
    receiver = Receiver(options, Path(sys.argv[1]), copy_first)
    with receiver.listening() as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        while not threading.Event().wait(0.05):
            receiver.work()


if __name__ == "__main__":
    main()
