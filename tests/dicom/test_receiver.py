"""The receiver takes what it should, nothing else, and loses nothing that it has acknowledged."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import CTImageStorage, MRImageStorage
from pynetdicom import AE, _config, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from lvo_kedro.dicom import DestinationOptions, PeerOptions, Receiver, ReceiverOptions
from lvo_kedro.errors import ScanError
from tests.dicom.conftest import straight
from tests.dicom.served import copy_first
from tests.imaging.phantoms import PATIENT_ID, PATIENT_NAME

ROOT = Path(__file__).parents[2]
PEER = PeerOptions(ae_title="SCANNER")
VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[pydicom.FileDataset]:
    series = straight(tmp_path_factory.mktemp("series"))
    series.hu = series.hu[..., :6]
    return [pydicom.dcmread(path) for path in sorted(series.write().glob("*.dcm"))]


def settings(**options) -> ReceiverOptions:
    return ReceiverOptions(port=0, peers=(PEER,), quiet_seconds=0.2, retry_seconds=0.1, **options)


@contextmanager
def association(port: int, title: str = "SCANNER", called: str = "LVO_KEDRO"):
    entity = AE(title)
    for kind in (CTImageStorage, MRImageStorage, VERIFICATION):
        entity.add_requested_context(kind)
    made = entity.associate("127.0.0.1", port, ae_title=called)
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


def statuses(port: int, datasets) -> list[int]:
    with association(port) as made:
        assert made.is_established
        return [made.send_c_store(d).get("Status", -1) for d in datasets]


@pytest.fixture
def archive(monkeypatch):
    """Something that takes results: what has come, by UID, and whether it takes anything."""
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", True)  # as receivers beside it do
    state = {"got": {}, "answer": 0x0000, "refused": set()}

    def store(event):
        dataset = pydicom.dcmread(event.dataset_path)
        if str(dataset.SOPInstanceUID) in state["refused"]:
            return 0xA900
        if state["answer"] in (0, 0xB000):
            state["got"][str(dataset.SOPInstanceUID)] = dataset
        return state["answer"]

    entity = AE("ARCHIVE")
    entity.add_supported_context(CTImageStorage)
    handlers = [(evt.EVT_C_STORE, store)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    state["destination"] = DestinationOptions(ae_title="ARCHIVE", port=server.server_address[1])
    yield state
    server.shutdown()


def wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_study_is_taken_scored_and_its_results_come_back(tmp_path, images, archive):
    receiver = Receiver(settings(destination=archive["destination"]), tmp_path / "s", copy_first)
    with receiver.listening() as port:
        with association(port) as made:
            assert made.send_c_echo().Status == 0
        assert statuses(port, images) == [0] * 6
        assert statuses(port, images[:2]) == [0, 0]  # sent twice: counted once
        assert receiver.work() == 0  # more of it may come
        time.sleep(0.25)
        assert receiver.work() == 1
    assert archive["got"]["1.2.3.4"].ImageComments == "6 images"
    assert [p for p in (tmp_path / "s").rglob("*") if p.is_file()] == []


def test_results_wait_until_the_archive_takes_them(tmp_path, images, archive):
    receiver = Receiver(settings(destination=archive["destination"]), tmp_path / "s", copy_first)
    archive["answer"] = 0xA700
    with receiver.listening() as port:
        statuses(port, images)
    time.sleep(0.25)
    receiver.work()
    receiver.work()
    assert archive["got"] == {}
    archive["answer"] = 0
    # also in the next receiver on the same spool
    again = Receiver(settings(destination=archive["destination"]), tmp_path / "s", copy_first)
    again.work()
    assert list(archive["got"]) == ["1.2.3.4"]


def test_an_archive_without_a_name_and_an_empty_folder_do_not_end_the_service(tmp_path, images):
    def made(study: Path) -> list[Path]:
        return sorted(study.glob("*.dcm"))

    away = DestinationOptions(ae_title="ARCHIVE", host="nosuch.invalid", port=104)
    receiver = Receiver(settings(destination=away), tmp_path / "s", made)
    (tmp_path / "s" / "results" / "empty-0").mkdir()
    with receiver.listening() as port:
        statuses(port, [changed(images[0], StudyInstanceUID="1.2.3")])
    time.sleep(0.25)
    receiver.work()
    (waiting,) = receiver.spool.unsent()
    assert [path.suffix for path in waiting.iterdir()] == [".dcm"]


def test_images_go_in_one_step_and_a_stop_waits_for_one_study_alone(tmp_path, images):
    stop, seen = threading.Event(), []

    def one(study: Path) -> list[Path]:
        seen.append(study.name)
        stop.set()
        return sorted(study.glob("*.dcm"))

    receiver = Receiver(settings(), tmp_path / "s", one)
    with receiver.listening() as port:
        statuses(port, [changed(images[0], StudyInstanceUID=f"1.2.{n}") for n in (1, 2)])
    time.sleep(0.25)
    receiver.work(stop)
    assert len(seen) == 1
    assert len(list((tmp_path / "s" / "working").iterdir())) == 1
    assert not list((tmp_path / "s" / "arriving").iterdir())


def test_an_object_that_the_archive_refuses_holds_up_no_other_study(tmp_path, images, archive):
    def named(study: Path) -> list[Path]:
        (file,) = study.glob("*.dcm")
        dataset = pydicom.dcmread(file)
        dataset.SOPInstanceUID = dataset.StudyInstanceUID
        (study / "out").mkdir()
        dataset.save_as(study / "out" / "result.dcm")
        return [study / "out" / "result.dcm"]

    receiver = Receiver(settings(destination=archive["destination"]), tmp_path / "s", named)
    archive["refused"] = {"1.2.1"}
    archive["answer"] = 0xB000  # taken, with a warning
    for number in (1, 2):
        with receiver.listening() as port:
            statuses(port, [changed(images[0], StudyInstanceUID=f"1.2.{number}")])
        time.sleep(0.25)
        receiver.spool.complete(0.2)
    receiver.work()
    assert set(archive["got"]) == {"1.2.2"}
    assert len(receiver.spool.unsent()) == 1
    archive["refused"] = set()
    time.sleep(0.15)
    receiver.work()
    assert set(archive["got"]) == {"1.2.1", "1.2.2"}
    assert receiver.spool.unsent() == []


@pytest.mark.parametrize(
    ("title", "called", "address"),
    [
        ("ELSEWHERE", "LVO_KEDRO", "127.0.0.1"),
        ("SCANNER", "OTHER", "127.0.0.1"),
        ("SCANNER", "LVO_KEDRO", "10.0.0.7"),
    ],
)
def test_unknown_peers_are_refused(tmp_path, images, title, called, address):
    options = ReceiverOptions(port=0, peers=(PeerOptions(ae_title="SCANNER", address=address),))
    receiver = Receiver(options, tmp_path / "s", copy_first)
    with receiver.listening() as port, association(port, title, called) as made:
        assert not made.is_established
    assert list((tmp_path / "s" / "incoming").iterdir()) == []


def changed(dataset: pydicom.FileDataset, **values) -> pydicom.FileDataset:
    other = pydicom.dcmread(dataset.filename)
    for name, value in values.items():
        setattr(other, name, value)
    return other


def announced(dataset: pydicom.FileDataset) -> C_STORE:
    """A request to store, which says of an object that it is a CT image."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = CTImageStorage
    request.AffectedSOPInstanceUID = dataset.SOPInstanceUID
    request.DataSet = BytesIO(encode(dataset, True, True))
    return request


def test_other_objects_are_not_taken(tmp_path, images):
    receiver = Receiver(settings(), tmp_path / "s", copy_first)
    report = changed(images[0])
    del report.Rows
    nameless = changed(images[0])
    del nameless.StudyInstanceUID
    with receiver.listening() as port:
        other = changed(images[0])
        other.SOPClassUID = MRImageStorage  # announced as CT
        with association(port) as made:
            kinds = {c.abstract_syntax: c.context_id for c in made.accepted_contexts}
            assert set(kinds) == {CTImageStorage, VERIFICATION}
            made._reactor_checkpoint.clear()  # or the answer goes to the association's own thread
            wait_for(lambda: made._is_paused)
            made.dimse.send_msg(announced(other), kinds[CTImageStorage])
            assert made.dimse.get_msg(block=True)[1].Status == 0xA900
            made._reactor_checkpoint.set()
        assert statuses(port, [report, nameless]) == [0xC000, 0xC000]
        with association(port) as made:
            assert [c.abstract_syntax for c in made.rejected_contexts] == [MRImageStorage]
    assert [p for p in (tmp_path / "s").rglob("*") if p.is_file()] == []


def test_a_sender_that_stops_half_way_costs_nobody_else_anything(tmp_path, images):
    receiver = Receiver(settings(), tmp_path / "s", copy_first)
    with receiver.listening() as port:
        with association(port) as made:
            assert made.send_c_store(images[0]).Status == 0
            made.abort()
        with association(port) as made:  # the connection breaks without a word
            made.dul.socket.close()
        assert statuses(port, images[1:]) == [0] * 5
        time.sleep(0.25)
        assert receiver.work() == 1
    assert [p.parent.parent.name for p in (tmp_path / "s").rglob("*.dcm")] == ["results"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ScanError("6 slices", "at least 10", "send the whole series"), "found 6 slices"),
        (RuntimeError("in /data/DOE^JANE"), "RuntimeError; see the log"),
    ],
)
def test_a_study_that_cannot_be_scored_is_put_aside_with_the_reason(
    tmp_path, images, error, said, caplog
):
    caplog.set_level(logging.DEBUG)

    def refuse(study: Path) -> list[Path]:
        raise error

    receiver = Receiver(settings(), tmp_path / "s", refuse)
    with receiver.listening() as port:
        statuses(port, images)
    time.sleep(0.25)
    assert receiver.work() == 1
    assert receiver.work() == 0
    (reason,) = (tmp_path / "s" / "failed").rglob("reason.json")
    assert json.loads(reason.read_text())["reason"].startswith(said)
    assert len(list(reason.parent.glob("*.dcm"))) == 6
    for secret in ("DOE", PATIENT_NAME, PATIENT_ID, str(images[0].StudyInstanceUID)):
        assert secret not in caplog.text


def test_what_the_machine_could_not_do_is_tried_again(tmp_path, images):
    tries = []

    def full(study: Path) -> list[Path]:
        tries.append(study)
        if len(tries) == 1:
            raise OSError(28, "No space left on device")
        return copy_first(study)

    receiver = Receiver(settings(), tmp_path / "s", full)
    with receiver.listening() as port:
        statuses(port, images)
    time.sleep(0.25)
    receiver.work()
    assert len(list((tmp_path / "s" / "working").glob("*/*.dcm"))) == 6
    receiver.work()
    assert len(tries) == 1  # not at once
    time.sleep(0.15)
    receiver.work()
    assert len(list((tmp_path / "s" / "results").glob("*/*.dcm"))) == 1
    assert list((tmp_path / "s" / "begun").iterdir()) == []


def test_a_study_that_never_comes_to_an_end_makes_way(tmp_path, images):
    def full(study: Path) -> list[Path]:
        raise OSError(28, "No space left on device")

    with Receiver(settings(), tmp_path / "s", full).listening() as port:
        statuses(port, images)
    time.sleep(0.25)
    for _ in range(4):  # each time a receiver that begins anew
        assert list((tmp_path / "s" / "failed").iterdir()) == []
        Receiver(settings(), tmp_path / "s", full).work()
    (study,) = (tmp_path / "s" / "failed").iterdir()
    assert "never ended" in (study / "reason.json").read_text()
    # put back, it is scored as if it came for the first time
    study.replace(tmp_path / "s" / "working" / study.name)
    again = Receiver(settings(), tmp_path / "s", copy_first)
    again.work()
    assert len(list((tmp_path / "s" / "results").glob("*/*.dcm"))) == 1


class Served:
    """A receiver in a process of its own."""

    def __init__(self, spool: Path, options: ReceiverOptions) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.dicom.served",
            str(spool),
            options.model_dump_json(),
        ]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


@pytest.mark.long
@pytest.mark.slow
def test_nothing_that_was_acknowledged_is_lost_when_the_receiver_is_killed(
    tmp_path, images, archive
):
    spool = tmp_path / "s"
    options = settings(destination=archive["destination"]).model_copy(update={"quiet_seconds": 8.0})
    served = Served(spool, options)
    answers = statuses(served.port, images[:3])
    served.kill()  # in the middle of the study
    served = Served(spool, options)
    answers += statuses(served.port, images[3:])
    wait_for(lambda: list((spool / "working").iterdir()))
    served.kill()  # while it is scored
    assert answers == [0] * 6
    assert archive["got"] == {}
    served = Served(spool, options)
    wait_for(lambda: archive["got"])
    served.kill()
    assert archive["got"]["1.2.3.4"].ImageComments == "6 images"
