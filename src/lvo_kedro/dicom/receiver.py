"""A DICOM receiver: a scanner or archive sends a study, and gets its results back.

It listens on this machine alone unless told otherwise, takes CT images from peers that are listed
and from nobody else, and acknowledges an image when it is on the disk. DICOM as it is spoken here
is not encrypted: keep it in the network of the archive, or put a tunnel around it.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING, Final

from lvo_kedro.dicom.listening import Listener
from lvo_kedro.dicom.sending import send
from lvo_kedro.dicom.spool import Spool
from lvo_kedro.errors import CaseError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lvo_kedro.dicom.options import DestinationOptions, ReceiverOptions

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 3
"""So often a study is begun that does not come to an end: the disk is full, the process dies."""


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
        self._work_at = self._send_at = 0.0
        self._held: dict[str, float] = {}  # until when what the archive refused is not sent again

    def listening(self) -> AbstractContextManager[int]:
        """Listen while the block lasts; gives the port."""
        return Listener(self.options, self.spool).listening()

    def work(self, stop: threading.Event | None = None) -> int:
        """Score the studies that are complete and send what is to be sent; return how many.

        Args:
            stop: Set to end behind the study that is being scored; the others wait.
        """
        self.spool.sweep(3 * self.options.stalled_seconds)
        studies = self.spool.complete(self.options.quiet_seconds)
        if time.monotonic() < self._work_at:
            studies = []
        for study in studies:
            if stop is not None and stop.is_set():
                break
            try:
                self._work_on(study)
                self._send_waiting()
            except OSError as error:  # of the machine, not of the study, which stays where it is
                self._work_at = time.monotonic() + self.options.retry_seconds
                logger.error("study %s is tried again: %s", study.name[:8], error.strerror)
        self._send_waiting()
        return len(studies)

    def _send_waiting(self) -> None:
        if self.options.destination is not None and time.monotonic() >= self._send_at:
            self._send(self.options.destination)

    def _work_on(self, study: Path) -> None:
        name = study.name[:8]
        if self.spool.begin(study) > ATTEMPTS:
            logger.error("study %s: begun %d times, and never ended", name, ATTEMPTS)
            self.spool.fail(study, f"begun {ATTEMPTS} times, and never ended; see the log")
            return
        logger.info("study %s: %d images", name, sum(1 for _ in study.glob("*.dcm")))
        try:
            results = self._handle(study)
        except CaseError as error:
            logger.error("study %s: %s", name, error)
            self.spool.fail(study, str(error))
        except OSError:
            raise
        except Exception as error:  # one study must not end the service for all
            # where, and not what: a message may quote a header
            place = "".join(traceback.format_tb(error.__traceback__))
            logger.error("study %s: %s\n%s", name, type(error).__name__, place)
            self.spool.fail(study, f"{type(error).__name__}; see the log")
        else:
            self.spool.done(study, results)
            logger.info("study %s: %d results", name, len(results))

    def _send(self, destination: DestinationOptions) -> None:
        """Send what waits; what one study has that the archive refuses holds up no other."""
        now = time.monotonic()
        later = now + self.options.retry_seconds
        kept = 0
        for folder in self.spool.unsent():
            if self._held.get(folder.name, now) > now:
                continue
            try:
                sent = send(sorted(folder.glob("*.dcm")), destination, self.options.ae_title)
            except ConnectionError:
                self._send_at = later
                kept += 1
                break
            except Exception as error:  # one folder must not end the service
                logger.error("study %s: %s as it was sent", folder.name[:8], type(error).__name__)
                sent = False
            if sent:
                logger.info("study %s: sent", folder.name[:8])
                self.spool.sent(folder)
                self._held.pop(folder.name, None)
            else:
                self._held[folder.name] = later
                kept += 1
        if kept:
            logger.warning("results of %d studies were not taken; they are sent again", kept)


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
            receiver.work(stop)
