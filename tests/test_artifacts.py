"""Files that are there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from lvo_kedro.artifacts import (
    clear_parts,
    digest_of,
    replacing,
    sha256_of,
    write_json,
    write_rows,
    write_text,
)

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_interrupted_writer_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(file) as part:
        part.write_bytes(b"ne")
        assert file.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["model.bin"]


def test_what_cannot_be_written_at_all_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    write_json(file, {"state": "done"})
    with pytest.raises(TypeError, match="serializable"):
        write_json(file, {"state": object()})
    with pytest.raises(FileNotFoundError), replacing(file):
        pass  # a writer that writes nothing
    assert json.loads(file.read_text()) == {"state": "done"}
    assert names(tmp_path) == ["record.json"]


KILLED = """
import os, signal, sys
from pathlib import Path
from lvo_kedro.artifacts import replacing

with replacing(Path(sys.argv[1])) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_killed_writer_leaves_the_old_file_and_its_rest_is_cleared(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")
    run = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)  # noqa: S603
    assert run.returncode == -signal.SIGKILL
    assert file.read_text() == "old"
    assert len(names(tmp_path)) == 2
    (tmp_path / ".case.part").mkdir()  # a folder is somebody's work
    clear_parts(tmp_path)
    assert names(tmp_path) == [".case.part", "a.txt"]


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    file, both = tmp_path / "a.txt", threading.Barrier(2)

    def write(letter: str) -> None:
        with replacing(file) as part, part.open("w") as stream:
            stream.write(letter * 1000)
            stream.flush()
            both.wait(timeout=30)  # both are half done
            stream.write(letter * 1000)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert file.read_text() in {"a" * 2000, "b" * 2000}
    assert names(tmp_path) == ["a.txt"]


def test_text_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "µ–ä")
    assert (tmp_path / "a.txt").read_bytes() == "µ–ä".encode()


def test_rows_may_lack_columns(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", [{"epoch": 0}, {"epoch": 1, "auc": 0.5}])
    assert (tmp_path / "a.csv").read_text().split() == ["epoch,auc", "0,", "1,0.5"]


def test_digests_are_known(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than one block
    (tmp_path / "a.bin").write_bytes(content)
    assert sha256_of(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()
    assert digest_of({"b": 1, "a": [2]}) == digest_of({"a": [2], "b": 1})
    assert digest_of({"a": 1}) == hashlib.sha256(b'{"a": 1}').hexdigest()
