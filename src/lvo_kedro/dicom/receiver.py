"""A DICOM receiver: a scanner or archive sends a study, and gets its results back.

It listens on this machine alone unless told otherwise, takes CT images from peers that are listed
and from nobody else, and acknowledges an image when it is on the disk. DICOM as it is spoken here
is not encrypted: keep it in the network of the archive, or put a tunnel around it.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom
from pydantic import Field
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom import _config as pynetdicom_config

from lvo_kedro.dicom.spool import Spool
from lvo_kedro.errors import CaseError
from lvo_kedro.options import Options

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from pynetdicom.events import Event

logger = logging.getLogger(__name__)

VERIFICATION = "1.2.840.10008.1.1"
SUCCESS, NO_SPACE, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
OVERHEAD_BYTES = 1_000_000
"""What an association may say beside its images."""


class PeerOptions(Options):
    """Who may send."""

    ae_title: str = Field(min_length=1, max_length=16)
    """The application entity title by which it calls itself."""
    address: str = "127.0.0.1"
    """IP address that it calls from."""


class DestinationOptions(Options):
    """Where results go."""

    ae_title: str = Field(min_length=1, max_length=16)
    """Application entity title of the archive."""
    host: str = "127.0.0.1"
    """Its name or address."""
    port: int = Field(default=4242, ge=1, le=65535)
    """Its port."""


class ReceiverOptions(Options):
    """How studies are received and results sent."""

    ae_title: str = Field(default="LVO_KEDRO", min_length=1, max_length=16)
    """By which others call this receiver; a wrong one is refused."""
    host: str = "127.0.0.1"
    """Address to listen on. The default is reached from this machine alone."""
    port: int = Field(default=11112, ge=0, le=65535)
    """Port to listen on; 0: any that is free."""
    peers: tuple[PeerOptions, ...] = ()
    """Who may send; nobody else is answered."""
    destination: DestinationOptions | None = None
    """Where results go; null: they stay in the spool."""
    quiet_seconds: float = Field(default=15.0, gt=0)
    """A study is complete when nothing of it has come for so long."""
    max_object_mb: float = Field(default=600.0, gt=0)
    """Largest image that is taken; a sender of a larger one is cut off."""
    max_study_mb: float = Field(default=2000.0, gt=0)
    """Largest study that is taken."""
    retry_seconds: float = Field(default=30.0, gt=0)
    """After so long, results that could not be sent are sent again."""


class Receiver:
    """Receives studies, has them scored, and sends the results.

    Args:
        options: Who may send, and where results go.
        spool: Folder in which studies wait.
        handle: Makes results (DICOM files) of a folder with a study's images.
    """

    def __init__(
        self, options: ReceiverOptions, spool: Path, handle: Callable[[Path], Sequence[Path]]
    ) -> None:
        self.options = options
        self.spool = Spool(spool, round(options.max_study_mb * 1e6))
        self._handle = handle
        self._received: dict[int, int] = {}
        self._send_at = 0.0

    @contextmanager
    def listening(self) -> Iterator[int]:
        """Listen while the block lasts; gives the port."""
        pynetdicom_config.STORE_RECV_CHUNKED_DATASET = True  # to a file, not into memory
        entity = AE(self.options.ae_title)
        entity.require_called_aet = True
        entity.maximum_pdu_size = 1 << 17
        for kind in (CTImageStorage, EnhancedCTImageStorage, VERIFICATION):
            entity.add_supported_context(kind, ALL_TRANSFER_SYNTAXES)
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_DATA_RECV, self._count),
            (evt.EVT_CONN_CLOSE, self._closed),
            (evt.EVT_C_STORE, self._store),
        ]
        address = (self.options.host, self.options.port)
        server = entity.start_server(address, block=False, evt_handlers=handlers)
        try:
            yield server.server_address[1]  # type: ignore[union-attr]
        finally:
            server.shutdown()  # type: ignore[union-attr]

    def work(self) -> int:
        """Score the studies that are complete and send what is to be sent; return how many."""
        studies = self.spool.complete(self.options.quiet_seconds)
        for study in studies:
            self._work_on(study)
        self._send()
        return len(studies)

    def _work_on(self, study: Path) -> None:
        name = study.name[:8]
        logger.info("study %s: %d images", name, sum(1 for _ in study.glob("*.dcm")))
        try:
            results = self._handle(study)
        except CaseError as error:
            logger.error("study %s: %s", name, error)
            self.spool.fail(study, str(error))
            return
        except Exception as error:  # one study must not end the service for all
            logger.exception("study %s", name)
            self.spool.fail(study, f"{type(error).__name__}; see the log")
            return
        self.spool.done(study, results)
        logger.info("study %s: %d results", name, len(results))

    def _send(self) -> None:
        waiting = self.spool.unsent()
        if self.options.destination is None or not waiting or time.monotonic() < self._send_at:
            return
        for folder in waiting:
            files = sorted(folder.glob("*.dcm"))
            if not send(files, self.options.destination, self.options.ae_title):
                self._send_at = time.monotonic() + self.options.retry_seconds
                logger.warning(
                    "%d results could not be sent; they are kept, and tried again", len(waiting)
                )
                return
            logger.info("study %s: sent", folder.name[:8])
            for file in [*files, folder]:
                file.rmdir() if file.is_dir() else file.unlink()

    def _requested(self, event: Event) -> None:
        """Refuse whom nobody has listed."""
        requestor = event.assoc.requestor
        known = {(peer.ae_title, peer.address) for peer in self.options.peers}
        title = requestor.primitive.calling_ae_title.strip()  # type: ignore[union-attr]
        if (title, requestor.address) not in known:
            logger.warning("refused a sender that is not among receiver.peers")
            event.assoc.acse.send_reject(0x01, 0x01, 0x03)  # calling title not recognised
            event.assoc.kill()

    def _count(self, event: Event) -> None:
        """Cut off who sends an object that is too large, before it fills the disk."""
        key = id(event.assoc)
        self._received[key] = self._received.get(key, 0) + len(event.data)
        if self._received[key] > self.options.max_object_mb * 1e6 + OVERHEAD_BYTES:
            logger.warning("cut off a sender: an object above receiver.max_object_mb")
            event.assoc.abort()

    def _closed(self, event: Event) -> None:
        self._received.pop(id(event.assoc), None)

    def _store(self, event: Event) -> int:
        self._received[id(event.assoc)] = 0
        path = Path(event.dataset_path)
        try:
            wanted = ["StudyInstanceUID", "Rows", "Columns"]
            header = pydicom.dcmread(path, specific_tags=wanted, stop_before_pixels=True)
            study = str(header.StudyInstanceUID)
            if not header.Rows or not header.Columns:
                return NOT_UNDERSTOOD
        except Exception:  # whatever pydicom raises on what is no DICOM
            logger.warning("refused an object that is no image")
            return NOT_UNDERSTOOD
        try:
            self.spool.store(study, path)
        except (CaseError, OSError) as error:
            logger.error("an object was not taken: %s", error)
            return NO_SPACE
        return SUCCESS


def serve(receiver: Receiver, stop: threading.Event, interval: float = 1.0) -> None:
    """Receive and score until ``stop`` is set.

    Args:
        receiver: What listens.
        stop: Set it to end; the study that is being scored is finished by the next receiver.
        interval: Seconds between two looks at the spool.
    """
    with receiver.listening() as port:
        options = receiver.options
        logger.info("%s listens on %s:%d", options.ae_title, options.host, port)
        while not stop.wait(interval):
            receiver.work()


def send(files: Sequence[Path], destination: DestinationOptions, ae_title: str) -> bool:
    """Send DICOM files to an archive (C-STORE).

    Args:
        files: What to send.
        destination: Where to.
        ae_title: Who sends.

    Returns:
        Whether the archive has acknowledged all of them.
    """
    datasets = [pydicom.dcmread(file) for file in files]
    entity = AE(ae_title)
    for kind in {str(dataset.SOPClassUID) for dataset in datasets}:
        syntaxes = [d.file_meta.TransferSyntaxUID for d in datasets if d.SOPClassUID == kind]
        entity.add_requested_context(kind, sorted(set(syntaxes)))
    association = entity.associate(
        destination.host, destination.port, ae_title=destination.ae_title
    )
    if not association.is_established:
        return False
    try:
        answers = [association.send_c_store(dataset) for dataset in datasets]
    except (ValueError, RuntimeError):  # the archive takes no such object, or has gone
        return False
    finally:
        association.release()
    return all(answer and answer.Status == SUCCESS for answer in answers)
