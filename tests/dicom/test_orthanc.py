"""An archive that nobody here wrote (Orthanc): a study goes out, its SEG and SR come back."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from email import message_from_bytes
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import requests
from pynetdicom import AE

from lvo_kedro.dicom import (
    DestinationOptions,
    DicomResult,
    PeerOptions,
    Receiver,
    ReceiverOptions,
    labels_on_frames,
    read_source,
    write_results,
)
from lvo_kedro.imaging import read_scan
from tests.dicom.conftest import tilted
from tests.dicom.test_receiver import wait_for
from tests.dicom.test_results import as_vessels

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.skipif(
        not ORTHANC or not PLUGIN.is_file(),
        reason="Orthanc is not installed (Debian: orthanc, orthanc-dicomweb)",
    ),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Archive:
    """An Orthanc of its own, on loopback, with the receiver among its modalities."""

    def __init__(self, folder: Path, receiver_port: int) -> None:
        self.http, self.dicom = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}"
        folder.mkdir()
        config = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "HttpServerEnabled": True,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "DicomModalities": {"lvo": ["LVO_KEDRO", "127.0.0.1", receiver_port]},
        }
        (folder / "orthanc.json").write_text(json.dumps(config))
        self.log = (folder / "log").open("wb")
        command = [str(ORTHANC), str(folder / "orthanc.json")]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)  # noqa: S603
        wait_for(self._answers)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/system", timeout=2).ok
        except requests.ConnectionError:
            return False

    def get(self, path: str, **headers: str) -> requests.Response:
        answer = requests.get(f"{self.url}/dicom-web/{path}", headers=headers, timeout=20)
        answer.raise_for_status()
        return answer

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def objects(answer: requests.Response) -> list[bytes]:
    """The parts of a WADO-RS answer."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    return [
        p.get_payload(decode=True) for p in message_from_bytes(head + answer.content).get_payload()
    ]


def test_a_study_sent_to_the_receiver_comes_back_as_seg_and_sr(tmp_path):
    series = tilted(tmp_path / "series")
    series.changes = {"FrameOfReferenceUID": pydicom.uid.generate_uid()}
    series.write()
    out = tmp_path / "out"

    def handle(study: Path) -> list[Path]:
        vessels = as_vessels(read_scan(study).ncct)
        result = DicomResult(vessels, probability=0.7, calls={"youden": "occlusion"}, models="1")
        return write_results(study, result, out)

    port = free_port()
    archive = Archive(tmp_path / "orthanc", port)
    try:
        options = ReceiverOptions(
            port=port,
            peers=(PeerOptions(ae_title="ORTHANC"),),
            destination=DestinationOptions(ae_title="ORTHANC", port=archive.dicom),
            quiet_seconds=0.3,
        )
        receiver = Receiver(options, tmp_path / "spool", handle)
        with receiver.listening():
            _store(archive.dicom, series.folder)
            (study,) = requests.get(f"{archive.url}/studies", timeout=5).json()
            sent = requests.post(f"{archive.url}/modalities/lvo/store", data=study, timeout=60)
            assert sent.json()["FailedInstancesCount"] == 0
            time.sleep(0.4)
            assert receiver.work() == 1

        found = archive.get(
            f"studies/{series.study}/series", Accept="application/dicom+json"
        ).json()
        kinds = {item["00080060"]["Value"][0]: item["0020000E"]["Value"][0] for item in found}
        assert set(kinds) == {"CT", "SEG", "SR"}
        for kind, name in (("SEG", "vessels"), ("SR", "report")):
            path = f"studies/{series.study}/series/{kinds[kind]}"
            answer = archive.get(path, Accept='multipart/related; type="application/dicom"')
            (data,) = objects(answer)
            back, original = pydicom.dcmread(BytesIO(data)), pydicom.dcmread(out / f"{name}.dcm")
            assert back == original
        seg = hd.seg.segread(out / "vessels.dcm")
        source = read_source(series.folder)
        frames = labels_on_frames(as_vessels(read_scan(series.folder).ncct), source.slices)
        shown = {
            str(f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
            for f in seg.PerFrameFunctionalGroupsSequence
        }
        labelled = {
            str(d.SOPInstanceUID)
            for d, frame in zip(source.datasets, frames, strict=True)
            if np.any(frame)
        }
        assert shown == labelled
    finally:
        archive.stop()


def _store(port: int, folder: Path) -> None:
    datasets = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    entity = AE("SCANNER")
    entity.add_requested_context(datasets[0].SOPClassUID)
    association = entity.associate("127.0.0.1", port, ae_title="ORTHANC")
    assert [association.send_c_store(d).Status for d in datasets] == [0] * len(datasets)
    association.release()
