"""DICOM files, sent to an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pydicom
from pynetdicom import AE
from pynetdicom.status import code_to_category

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lvo_kedro.dicom.options import DestinationOptions

CONNECTION_SECONDS: Final = 15
TAKEN: Final = ("Success", "Warning")
"""Kinds of answers of an archive that has kept an object; with a warning, it has changed it."""


def send(files: Sequence[Path], destination: DestinationOptions, ae_title: str) -> bool:
    """Send DICOM files to an archive (C-STORE).

    Args:
        files: What to send.
        destination: Where to.
        ae_title: Who sends.

    Returns:
        Whether the archive has taken all of them.

    Raises:
        ConnectionError: It cannot be reached, or does not talk to this sender.
    """
    if not files:
        return True
    datasets = [pydicom.dcmread(file) for file in files]
    entity = AE(ae_title)
    entity.connection_timeout = CONNECTION_SECONDS
    for kind in {str(dataset.SOPClassUID) for dataset in datasets}:
        syntaxes = [d.file_meta.TransferSyntaxUID for d in datasets if d.SOPClassUID == kind]
        entity.add_requested_context(kind, sorted(set(syntaxes)))
    try:
        association = entity.associate(
            destination.host, destination.port, ae_title=destination.ae_title
        )
    except OSError as error:  # its name is not known just now
        raise ConnectionError("the archive cannot be reached") from error
    if not association.is_established:
        raise ConnectionError("no association with the archive")
    try:
        return all([_is_taken(association.send_c_store(dataset)) for dataset in datasets])
    except (ValueError, RuntimeError):  # the archive takes no such object, or has gone
        return False
    finally:
        association.release()


def _is_taken(answer: pydicom.Dataset) -> bool:
    return "Status" in answer and code_to_category(answer.Status) in TAKEN
