"""The side of the receiver that others talk to: who may send, and what is taken.

pynetdicom speaks DICOM; what it would leave to the good will of a sender is bounded here: how large
a block is and how long it may take, how large an object, what kind it is of.
"""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pydicom
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom import _config as pynetdicom_config

from lvo_kedro.errors import CaseError
from lvo_kedro.imaging.pixels import quiet_pydicom

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pynetdicom.association import Association
    from pynetdicom.events import Event
    from pynetdicom.transport import AssociationSocket

    from lvo_kedro.dicom.options import ReceiverOptions
    from lvo_kedro.dicom.spool import Spool

logger = logging.getLogger(__name__)

VERIFICATION: Final = "1.2.840.10008.1.1"
IMAGES: Final = (CTImageStorage, EnhancedCTImageStorage)
SYNTAXES: Final = [
    *(ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless),
    *(*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes),
]
"""Forms that images are read in; not the deflated one, in which a few bytes fill the memory."""
SUCCESS, NO_SPACE, OTHER_KIND, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
MAX_BLOCK_BYTES: Final = 1_000_000
"""Of one PDU. 128 kB are agreed on; its length says up to 4 GB, and it is read into memory."""
GREETING_SECONDS: Final = 5.0
"""Within which a sender says who it is; a few that do not (health checks) keep no other out."""
OVERHEAD_BYTES: Final = 1_000_000
"""What an association may say beside its images."""


class Listener:
    """Takes images from listed peers into the spool.

    Args:
        options: Who may send, and how much.
        spool: Where images go.
    """

    def __init__(self, options: ReceiverOptions, spool: Spool) -> None:
        self._options = options
        self._spool = spool
        self._bounds: dict[int, _Bounds] = {}

    @contextmanager
    def listening(self) -> Iterator[int]:
        """Listen while the block lasts; gives the port."""
        pynetdicom_config.STORE_RECV_CHUNKED_DATASET = True  # to a file, not into memory
        seconds = self._options.stalled_seconds
        entity = AE(self._options.ae_title)
        entity.require_called_aet = True
        entity.maximum_pdu_size = 1 << 17
        entity.dimse_timeout = entity.network_timeout = seconds
        entity.acse_timeout = min(seconds, GREETING_SECONDS)
        for kind in (*IMAGES, VERIFICATION):
            entity.add_supported_context(kind, SYNTAXES)
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_CONN_CLOSE, self._closed),
            (evt.EVT_C_STORE, self._store),
        ]
        address = (self._options.host, self._options.port)
        with _said_by_nobody_else(), _temporary_files_in(self._spool.arriving):
            server = entity.start_server(address, block=False, evt_handlers=handlers)
            try:
                yield server.server_address[1]  # type: ignore[union-attr]
            finally:
                server.shutdown()  # type: ignore[union-attr]

    def _opened(self, event: Event) -> None:
        socket: Any = event.assoc.dul.socket
        self._bounds[id(event.assoc)] = bounds = _Bounds(socket, self._options)
        socket.recv = bounds.receive
        machine: Any = event.assoc.dul.state_machine
        machine.do_action = partial(_act, event.assoc, machine.do_action)

    def _closed(self, event: Event) -> None:
        self._bounds.pop(id(event.assoc), None)

    def _requested(self, event: Event) -> None:
        """Refuse whom nobody has listed."""
        requestor = event.assoc.requestor
        known = {(peer.ae_title, peer.address) for peer in self._options.peers}
        title = requestor.primitive.calling_ae_title.strip()  # type: ignore[union-attr]
        if (title, requestor.address) not in known:
            logger.warning(
                "refused a sender at %s that is not among receiver.peers", requestor.address
            )
            event.assoc.acse.send_reject(0x01, 0x01, 0x03)  # calling title not recognised
            event.assoc.kill()

    def _store(self, event: Event) -> int:
        if bounds := self._bounds.get(id(event.assoc)):
            bounds.next_object()
        path = Path(event.dataset_path)
        try:
            wanted = ["SOPClassUID", "StudyInstanceUID", "Rows", "Columns"]
            header = pydicom.dcmread(path, specific_tags=wanted, stop_before_pixels=True)
            kind, study = str(header.SOPClassUID), str(header.StudyInstanceUID)
            has_pixels = header.Rows and header.Columns and study
        except Exception:  # whatever pydicom raises on what is no DICOM
            has_pixels = False
        if not has_pixels:
            logger.warning("refused an object that is no image")
            return NOT_UNDERSTOOD
        if kind not in IMAGES:
            logger.warning("refused an object that is not of the kind it was announced as")
            return OTHER_KIND
        try:
            self._spool.store(study, path)
        except (CaseError, OSError) as error:
            logger.error("an object was not taken: %s", error)
            return NO_SPACE
        return SUCCESS


def _act(association: Association, act: Callable[[str], None], event: str) -> None:
    """Go on with a conversation; end it where what was said makes no sense."""
    try:
        act(event)
    except Exception as error:  # pynetdicom would leave the connection open, and print the message
        logger.warning("cut off a sender: a message against the rules (%s)", type(error).__name__)
        socket: Any = association.dul.socket
        socket.close()
        association.dul.kill_dul()


class _Bounds:
    """How much and how slowly one sender may send; pynetdicom would take whatever comes.

    Args:
        socket: What pynetdicom reads from.
        options: The bounds.
    """

    def __init__(self, socket: AssociationSocket, options: ReceiverOptions) -> None:
        self._socket = socket
        self._seconds = options.stalled_seconds
        self._most = round(options.max_object_mb * 1e6) + OVERHEAD_BYTES
        self._left = self._most

    def next_object(self) -> None:
        """Count anew: an object has come to its end."""
        self._left = self._most

    def receive(self, count: int) -> bytearray:
        """Read a number of bytes, in place of the method of pynetdicom's socket.

        Returns:
            The bytes; fewer where the other side has closed the connection.

        Raises:
            OSError: They are too many, or do not come; the connection is closed.
        """
        connection: Any = self._socket.socket
        self._left -= count
        try:
            if count > MAX_BLOCK_BYTES:
                raise OSError("a block that is larger than was agreed on")
            if self._left < 0:
                raise OSError("an object above receiver.max_object_mb")
            return self._read(connection, count)
        except OSError as error:
            logger.warning("cut off a sender: %s", error)
            connection.close()
            raise

    def _read(self, connection: Any, count: int) -> bytearray:
        received, end = bytearray(), time.monotonic() + self._seconds
        while len(received) < count:
            connection.settimeout(max(end - time.monotonic(), 0.001))
            part = connection.recv(min(count - len(received), 1 << 16))
            if not part:
                break
            received += part
        connection.settimeout(self._seconds)  # for what is sent
        return received


@contextmanager
def _said_by_nobody_else() -> Iterator[None]:
    """Keep the log to what is said here: pynetdicom and pydicom quote what headers hold."""
    pynetdicom = logging.getLogger("pynetdicom")
    before = pynetdicom.level
    pynetdicom.setLevel(logging.CRITICAL + 1)
    try:
        with quiet_pydicom():
            yield
    finally:
        pynetdicom.setLevel(before)


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Let images that arrive lie where the next receiver finds those that did not come to the end.

    pynetdicom asks for no folder, and leaves behind what was cut off.
    """
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
