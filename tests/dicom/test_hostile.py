"""What a sender does that is careless or means harm: it costs the others nothing."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time

from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt

from lvo_kedro.dicom import Receiver
from tests.dicom.served import copy_first
from tests.dicom.test_receiver import association, changed, images, settings, statuses, wait_for

__all__ = ["images"]


def test_no_peer_says_what_a_file_here_is_called(tmp_path, images):
    evil = "../../../../tmp/evil"
    receiver = Receiver(settings(), tmp_path / "s", copy_first)
    with receiver.listening() as port:
        found = statuses(
            port,
            [
                changed(images[0], StudyInstanceUID=evil),
                changed(images[1], SOPInstanceUID=generate_uid()),
            ],
        )
    assert found[1] == 0
    files = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.dcm")]
    assert len(files) == found.count(0)
    assert all(f.startswith("s/incoming/") and ".." not in f for f in files)


def test_what_is_too_large_is_not_taken(tmp_path, images):
    small = Receiver(settings(max_object_mb=0.001), tmp_path / "a", copy_first)
    large = changed(
        images[0], ImageComments="x", PixelData=bytes(3_000_000), Rows=1500, Columns=1000
    )
    with small.listening() as port, association(port) as made:
        assert made.send_c_store(large).get("Status") is None  # cut off
    assert list((tmp_path / "a" / "incoming").iterdir()) == []
    (half,) = (tmp_path / "a" / "arriving").iterdir()
    small.work()
    assert half.exists()  # more of it might come
    os.utime(half, (0, 0))
    small.work()
    assert not half.exists()
    study = Receiver(settings(max_study_mb=0.02), tmp_path / "b", copy_first)
    with study.listening() as port:
        found = statuses(port, images)
    assert found[0] == 0
    assert found[-1] == 0xA700


def is_cut(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection; waits for it."""
    connection.settimeout(10)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_block_of_absurd_size_is_not_waited_for(tmp_path):
    receiver = Receiver(settings(), tmp_path / "s", copy_first)
    with receiver.listening() as port, socket.create_connection(("127.0.0.1", port)) as made:
        made.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(1000))
        assert is_cut(made)


def test_senders_that_say_nothing_more_keep_nobody_out(tmp_path, images):
    receiver = Receiver(settings(stalled_seconds=1.0), tmp_path / "s", copy_first)
    with receiver.listening() as port:
        stalled = [socket.create_connection(("127.0.0.1", port)) for _ in range(12)]
        for made in stalled:
            made.sendall(struct.pack(">BBL", 1, 0, 500) + b"x")
        assert all(is_cut(made) for made in stalled)
        assert statuses(port, images) == [0] * 6
        for made in stalled:
            made.close()


def test_images_that_a_few_bytes_could_blow_up_are_not_taken(tmp_path):
    entity = AE("SCANNER")
    entity.add_requested_context(CTImageStorage, DeflatedExplicitVRLittleEndian)
    with Receiver(settings(), tmp_path / "s", copy_first).listening() as port:
        made = entity.associate("127.0.0.1", port, ae_title="LVO_KEDRO")
        assert made.accepted_contexts == []
        made.abort()


def recorded(port: int, dataset) -> list[bytes]:
    """What a good sender sends for an image, block by block."""
    blocks: list[bytes] = []
    entity = AE("SCANNER")
    entity.add_requested_context(CTImageStorage)
    handlers = [(evt.EVT_DATA_SENT, lambda event: blocks.append(bytes(event.data)))]
    made = entity.associate("127.0.0.1", port, ae_title="LVO_KEDRO", evt_handlers=handlers)
    assert made.send_c_store(dataset).Status == 0
    made.release()
    return blocks


def mutated(blocks: list[bytes], rng: random.Random) -> list[bytes]:
    """The same with something wrong in one block: bits, a length, its end, its place."""
    blocks = list(blocks)
    at = rng.randrange(len(blocks))
    block = bytearray(blocks[at])
    kind = rng.choice(["bits", "length", "cut", "twice", "left out", "noise"])
    if kind == "bits":
        for _ in range(rng.choice([1, 8, 64])):
            block[rng.randrange(min(len(block), 400))] ^= 1 << rng.randrange(8)
    elif kind == "length":
        start = rng.choice([2, 6, 74, 78]) % (len(block) - 4)
        block[start : start + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
    elif kind == "cut":
        return [*blocks[:at], bytes(block[: rng.randrange(len(block))])]
    elif kind == "noise":
        block = bytearray(rng.randbytes(rng.randrange(1, 3000)))
    blocks[at : at + 1] = {"twice": [bytes(block)] * 2, "left out": []}.get(kind, [bytes(block)])
    return blocks


def tell(port: int, blocks: list[bytes]) -> None:
    """Send blocks as they are, and hang up."""
    with socket.create_connection(("127.0.0.1", port)) as made:
        made.settimeout(0.25)
        for number, block in enumerate(blocks):
            try:
                made.sendall(block)
                if number == 0:
                    made.recv(1 << 16)  # whether they are taken as a sender
            except OSError:
                return


def test_mutated_conversations_harm_nobody(tmp_path, images):
    receiver = Receiver(settings(stalled_seconds=1.0), tmp_path / "s", copy_first)
    threads = threading.active_count()
    with receiver.listening() as port:
        blocks = recorded(port, images[0])
        rng = random.Random(18)  # noqa: S311
        for _ in range(25):
            tell(port, mutated(blocks, rng))
        wait_for(lambda: threading.active_count() <= threads + 1)  # the one that listens
        assert statuses(port, images) == [0] * 6
    files = [p.relative_to(tmp_path / "s") for p in (tmp_path / "s").rglob("*") if p.is_file()]
    assert {p.parts[0] for p in files} <= {"incoming", "arriving"}
    assert [p for p in tmp_path.iterdir()] == [tmp_path / "s"]
    time.sleep(0.25)
    assert receiver.work() >= 1
    assert list((tmp_path / "s" / "incoming").iterdir()) == []
