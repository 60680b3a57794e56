"""Thousands of damaged and hostile inputs: each ends in a result or in a named error.

    python -m benchmarks.mutations build/mutations [--each 1000] [--seed 0] [--formats zip ...]

Each input is a good one (a small simulated head) to which one thing was done: bits flipped, bytes
cut out or repeated, an attribute set to something absurd or taken away, slices swapped, links out
of the folder or in a circle, archives with names that climb out or members that unpack to a
thousandfold. It is read as a scan or imported as an export, in a process beside this one. Counted
as failures: any other exception than an error with found, expected and remedy; more than 60 s; more
than 1.5 GB beside what the process had; anything written outside the output folder, or an input
that is no longer what it was. Failures are kept with their number: the same seed makes them again.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import hashlib
import io
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pydicom
from numpy.random import Generator

from lvo_kedro.errors import CaseError
from lvo_kedro.imaging import read_scan
from lvo_kedro.simulation import SimulationOptions, simulate_case
from lvo_kedro.simulation.export_series import Series, compress
from lvo_kedro.studies import (
    LabelMapping,
    Pseudonyms,
    import_studies,
    join_labels,
    read_label_table,
)

if TYPE_CHECKING:
    import nibabel as nib

SECONDS, GROWTH_BYTES = 60.0, 1.5e9
HOSTILE = ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns",
           "RescaleSlope", "RescaleIntercept", "SliceThickness", "BitsAllocated", "BitsStored",
           "SamplesPerPixel", "SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID",
           "Modality",
           "ImageType", "InstanceNumber", "PixelRepresentation", "NumberOfFrames",
           "PhotometricInterpretation", "SpecificCharacterSet", "PatientID")  # fmt: skip
VALUES = (None, "", "NaN", "1e400", "-1", "0", "65535", "0\\0", "0\\0\\0", "9e9\\9e9\\9e9",
          "Ä" * 70, "../../etc/passwd", "\x1b[2J", "1\\2\\3\\4\\5\\6")  # fmt: skip

EVIL_NAMES = ("../../evil.dcm", "/evil.dcm", "a/../../../evil", "C:\\evil.dcm", "..\\evil", "CON",
              "a" * 300, "evil\n.dcm", ".", "a//b")  # fmt: skip


class Head(NamedTuple):
    """A good input: the files of a series, and the same as one volume."""

    slices: list[bytes]
    enhanced: bytes
    image: nib.Nifti1Image


def make_head() -> Head:
    """Return a small head, as an uncompressed and (every fourth slice) a compressed series."""
    case = simulate_case(3, SimulationOptions(spacing_mm=3.0, slice_thickness_mm=(5.0,)))
    study = {"PatientName": "Nobody^Nora", "PatientID": "N1", "StudyInstanceUID": "1.2.3",
             "FrameOfReferenceUID": "1.2.4", "AccessionNumber": "A1"}  # fmt: skip
    fields = {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "ConvolutionKernel": "H30s"}
    hu, affine = np.rint(np.asarray(case.ncct.dataobj)), np.asarray(case.ncct.affine)
    series = Series(2, "Plain 5mm", hu, affine, study, fields=fields)
    files = [compress(f) if k % 4 == 3 else f for k, f in enumerate(series.files())]
    return Head([_bytes(file) for file in files], _bytes(series.enhanced()), case.ncct)


def _bytes(file: pydicom.FileDataset) -> bytes:
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def damaged(data: bytes, rng: Generator) -> bytes:
    """Flip, cut, repeat or overwrite some bytes; half of the time near the beginning."""
    values, reach = bytearray(data), len(data) if rng.random() < 0.5 else min(len(data), 2000)
    at = int(rng.integers(reach))
    length = int(rng.integers(1, max(2, min(len(data) - at, 4000))))
    kind = rng.integers(6)
    if kind == 0:
        for _ in range(int(rng.integers(1, 50))):
            values[int(rng.integers(reach))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del values[at:]
    elif kind == 2:
        del values[at : at + length]
    elif kind == 3:
        values[at:at] = values[at : at + length]
    elif kind == 4:
        values[at : at + length] = rng.bytes(length)
    else:
        values[at : at + 4] = b"\xff\xff\xff\x7f"
    return bytes(values)


def absurd(data: bytes, rng: Generator) -> bytes:
    """Set an attribute to something that no scanner writes, or take it away."""
    file = pydicom.dcmread(io.BytesIO(data), force=True)
    name, value = str(rng.choice(HOSTILE)), VALUES[int(rng.integers(len(VALUES)))]
    tag = pydicom.tag.Tag(name)
    if value is None:
        file.pop(tag, None)
    else:
        kind = pydicom.datadict.dictionary_VR(tag)
        raw = np.uint16(sum(value.encode()) % 65536).tobytes() if kind == "US" else value.encode()
        raw += b" " * (len(raw) % 2)
        element = pydicom.dataelem.RawDataElement(tag, kind, len(raw), raw, 0, False, True)
        file._dict[tag] = element
    return _bytes(file)


def mutated_slices(head: Head, rng: Generator) -> list[bytes]:
    """Damage some slices, or put them in places that are not theirs."""
    files = list(head.slices)
    kind = rng.integers(5)
    many = int(rng.choice([1, 2, len(files)]))
    for k in rng.choice(len(files), many, replace=False):
        files[k] = absurd(files[k], rng) if kind >= 2 else damaged(files[k], rng)
    if kind == 4:
        a, b = rng.choice(len(files), 2, replace=False)
        files[a], files[b] = files[b], files[b]
    return files


def write_dicom(folder: Path, head: Head, rng: Generator) -> Path:
    """Write a series with something wrong, at times with links and strangers beside it."""
    folder.mkdir()
    for k, data in enumerate(mutated_slices(head, rng)):
        (folder / f"{k:03d}{rng.choice(['', '.dcm'])}").write_bytes(data)
    kind = rng.integers(8)
    if kind == 0:
        (folder / "circle").symlink_to(folder)
    elif kind == 1:
        (folder / "out.dcm").symlink_to("/etc/passwd")
    elif kind == 2:
        (folder / "gone.dcm").symlink_to(folder / "nowhere")
    elif kind == 3:
        os.mkfifo(folder / "pipe.dcm")
    elif kind == 4:
        (folder / "deep").mkdir()
        (folder / "deep" / "x.dcm").write_bytes(damaged(head.slices[0], rng))
    return folder


def write_enhanced(folder: Path, head: Head, rng: Generator) -> Path:
    """Write an enhanced multi-frame file with something wrong."""
    folder.mkdir()
    change = absurd if rng.random() < 0.5 else damaged
    (folder / "image").write_bytes(change(head.enhanced, rng))
    return folder


def write_nifti(folder: Path, head: Head, rng: Generator, packed: bool = True) -> Path:
    """Write a NIfTI file with something wrong in header, voxels or packing."""
    folder.mkdir()
    data = bytearray(head.image.to_bytes())
    if rng.random() < 0.5:  # a field of the header: type, shape, scale, offset, units, affine
        at = int(rng.choice([40, 42, 44, 46, 70, 72, 76, 80, 108, 112, 116, 123, 252, 254, 280]))
        raw = np.array([rng.choice([np.nan, np.inf, -1, 0, 1e30, 32767])], "<f4").tobytes()
        data[at : at + 4] = raw if rng.random() < 0.5 else rng.bytes(4)
        changed = bytes(data)
    else:
        changed = damaged(bytes(data), rng)
    if packed:
        changed = gzip.compress(changed, 1)
        changed = damaged(changed, rng) if rng.random() < 0.3 else changed
    path = folder / ("scan.nii.gz" if packed else "scan.nii")
    path.write_bytes(changed)
    return path


def evil_name(rng: Generator) -> str:
    """Return a member's name that leads somewhere else, or means something to a system."""
    return str(rng.choice(EVIL_NAMES))


def write_zip(folder: Path, head: Head, rng: Generator) -> Path:
    """Write a zip archive with something wrong."""
    folder.mkdir()
    path, kind = folder / "export.zip", rng.integers(6)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for k, data in enumerate(mutated_slices(head, rng) if kind == 0 else head.slices):
            archive.writestr(f"study/{k:03d}", data)
        if kind == 1:
            archive.writestr(evil_name(rng), head.slices[0])
        elif kind == 2:
            archive.writestr("bomb", bytes(int(rng.integers(50, 300)) * 1_000_000))
        elif kind == 3:
            link = zipfile.ZipInfo("link")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
    if kind >= 4:
        path.write_bytes(damaged(path.read_bytes(), rng))
    return path


def write_tar(folder: Path, head: Head, rng: Generator) -> Path:
    """Write a tar.gz archive with something wrong."""
    folder.mkdir()
    path, kind = folder / "export.tar.gz", rng.integers(6)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for k, data in enumerate(mutated_slices(head, rng) if kind == 0 else head.slices):
            member = tarfile.TarInfo(f"study/{k:03d}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        member = tarfile.TarInfo("member")
        if kind == 1:
            member.name, member.size = evil_name(rng), len(head.slices[0])
            archive.addfile(member, io.BytesIO(head.slices[0]))
        elif kind == 2:
            member.type = rng.choice(
                [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
            )
            member.linkname = "/etc/passwd"
            archive.addfile(member)
        elif kind == 3:
            member.size = int(rng.integers(50, 300)) * 1_000_000
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    if kind >= 4:
        path.write_bytes(damaged(path.read_bytes(), rng))
    return path


def write_tree(folder: Path, head: Head, rng: Generator) -> Path:
    """Write an export: a series with something wrong, among many small files, links, depths."""
    folder.mkdir()
    write_dicom(folder / "series", head, rng)
    for k in range(int(rng.choice([0, 100, 3000]))):
        (folder / f"small{k}").write_bytes(rng.bytes(int(rng.integers(0, 200))))
    if rng.random() < 0.3:
        (folder / "a").mkdir()
        (folder / "a" / "b").symlink_to(folder)
    if rng.random() < 0.2:
        deep = folder.joinpath(*["d"] * 60)
        deep.mkdir(parents=True)
        (deep / "x").write_bytes(head.slices[0])
    return folder


def write_labels(folder: Path, head: Head, rng: Generator) -> Path:
    """Write a spreadsheet with something wrong."""
    folder.mkdir()
    words = [
        "A1",
        "R M1",
        "=cmd|' /C calc'!A0",
        "ICA-T links",
        "",
        "NaN",
        "9" * 400,
        "Ä\x1b[2J",
        "\0",
    ]
    rows = {name: rng.choice(words, 20) for name in ("accession", "occlusion", "side", "segment")}
    table, excel = pd.DataFrame(rows), rng.random() < 0.5
    path = folder / ("labels.xlsx" if excel else "labels.csv")
    if excel:
        table = table.map(lambda text: re.sub(r"[\x00-\x1f]", "", text))
        table.to_excel(path, index=False)
    else:
        table.to_csv(path, index=False, sep=str(rng.choice([",", ";", "\t", "|"])))
    if rng.random() < 0.7:
        path.write_bytes(damaged(path.read_bytes(), rng))
    return path


def as_scan(path: Path, _out: Path) -> None:
    """Read it as a scan."""
    read_scan(path)


def as_export(path: Path, out: Path) -> None:
    """Import it as an export; studies that fail must say why."""
    imported = import_studies([path], out / "raw", out / "work", Pseudonyms(b"0" * 32))
    unforeseen = [p for o in imported.outcomes for p in o.problems if "unforeseen" in p]
    if unforeseen:
        raise RuntimeError(unforeseen[0])


def as_labels(path: Path, _out: Path) -> None:
    """Read it as labels and join them."""
    studies = pd.DataFrame({"study_uid": ["1.2.3"], "accession": ["A1"], "patient_id": ["N1"]})
    join_labels(read_label_table(path), LabelMapping(), studies)


Writer = Callable[[Path, Head, Generator], Path]
Reader = Callable[[Path, Path], None]
FORMATS: dict[str, tuple[Writer, Reader]] = {
    "dicom": (write_dicom, as_scan),
    "enhanced": (write_enhanced, as_scan),
    "nii.gz": (write_nifti, as_scan),
    "nii": (lambda *given: write_nifti(*given, packed=False), as_scan),
    "folder": (write_tree, as_export),
    "zip": (write_zip, as_export),
    "tar.gz": (write_tar, as_export),
    "labels": (write_labels, as_labels),
}


def attempt(name: str, path: Path, out: Path) -> str:
    """Read one input; return ``ok``, the error's first words, or ``!`` and what went wrong."""
    try:
        FORMATS[name][1](path, out)
    except CaseError as error:
        if not (error.found and error.expected and error.remedy):
            return f"!{type(error).__name__} without found, expected or remedy"
        return type(error).__name__
    except Exception as error:
        return f"!{type(error).__name__}: {error}"
    return "ok"


def serve(pipe: Any) -> None:
    """Read inputs in a process of its own, which may not outgrow its limit."""
    sys.stderr = sys.stdout = Path(os.devnull).open("w")  # what readers warn of
    while True:
        name, path, out = pipe.recv()
        found = attempt(name, Path(path), Path(out))
        pipe.send((found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


class Victim:
    """The process that reads; another one where it hangs or dies."""

    def __init__(self) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        self.before = 0.0

    def read(self, name: str, path: Path, out: Path) -> str:
        """Return how reading ended."""
        self.pipe.send((name, str(path), str(out)))
        if not self.pipe.poll(SECONDS):
            self.process.kill()
            return "!hangs"
        try:
            found, peak = self.pipe.recv()
        except EOFError:
            return "!crashed"
        grown, self.before = peak - (self.before or peak), max(peak, self.before)
        return f"!grew by {grown / 1e9:.1f} GB" if grown > GROWTH_BYTES else str(found)


def contents(folder: Path) -> str:
    """Return a digest of every name and file below a folder, links as links."""
    lines = []
    for path in sorted(folder.rglob("*")):
        plain = path.is_file() and not path.is_symlink()
        lines.append(f"{path} {hashlib.sha256(path.read_bytes()).hexdigest() if plain else ''}")
    return hashlib.sha256("\n".join(lines).encode(errors="replace")).hexdigest()


def run(
    folder: Path, each: int, seed: int, formats: list[str], told: Callable[[str], object] = print
) -> dict[str, collections.Counter[str]]:
    """Make and read inputs; keep those that fail.

    Args:
        folder: Gets ``failed`` and what is written meanwhile.
        each: Inputs of each format.
        seed: Decides what is done to them.
        formats: Of :data:`FORMATS`.
        told: Is given a line for each format.

    Returns:
        How often what happened, by format; failures begin with ``!``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "failed").mkdir(parents=True)
    head, victim, found = make_head(), Victim(), {}
    for name in formats:
        counts: collections.Counter[str] = collections.Counter()
        began = time.monotonic()
        for number in range(each):
            rng = np.random.default_rng([seed, list(FORMATS).index(name), number])
            place, out = folder / "now" / "in", folder / "now" / "out"
            shutil.rmtree(folder / "now", ignore_errors=True)
            out.mkdir(parents=True)
            path = FORMATS[name][0](place, head, rng)
            before = contents(place)
            outcome = victim.read(name, path, out)
            around = {p.name for p in (folder / "now").iterdir()} | {
                p.name for p in folder.iterdir()
            }
            if contents(place) != before or around != {"in", "out", "now", "failed"}:
                outcome = "!changed its input, or wrote beside its output"
            counts[outcome.split(":")[0]] += 1
            if outcome.startswith("!"):
                shutil.move(folder / "now" / "in", folder / "failed" / f"{name}-{number}")
                told(f"  {name} {number}: {outcome}")
                if not victim.process.is_alive():
                    victim = Victim()
        found[name] = counts
        seconds = time.monotonic() - began
        told(f"{name:<9}{each:>6} inputs, {seconds:.0f} s: {dict(counts.most_common())}")
    victim.process.kill()
    return found


def main() -> None:
    """Try every format; status 1 where an input did harm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    given = parser.parse_args()
    found = run(given.folder, given.each, given.seed, given.formats)
    harm = sum(n for counts in found.values() for what, n in counts.items() if what[0] == "!")
    print(f"{harm} of {given.each * len(found)} did harm")
    sys.exit(harm > 0)


if __name__ == "__main__":
    main()
