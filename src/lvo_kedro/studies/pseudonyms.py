"""Ids that stand for studies and patients, and the secret and the table that lead back to them.

An id is a keyed hash: the same study gets the same id in every import with the same secret, and
without the secret nobody can find out whether an id belongs to a known study by trying.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lvo_kedro.errors import PrivacyError

if TYPE_CHECKING:
    import pandas as pd

SECRET_BYTES: Final = 32
ID_BYTES: Final = 10
"""80 bits: two of 10,000 studies share an id with a probability below 10^-16."""


class Pseudonyms:
    """Ids that follow from one secret.

    Args:
        secret: Of :func:`read_secret`.

    Raises:
        PrivacyError: The secret is too short to keep anyone from trying.

    Examples:
        >>> names = Pseudonyms(bytes(range(32)))
        >>> names.case_id("1.2.3") == names.case_id("1.2.3") != names.patient_id("1.2.3")
        True
        >>> len(names.case_id("1.2.3"))
        21
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES:
            raise PrivacyError(
                f"a secret of {len(secret)} bytes",
                f"at least {SECRET_BYTES} random bytes",
                "let the import make one: name a file that does not exist yet",
            )
        self._secret = secret

    def __repr__(self) -> str:
        return "Pseudonyms(...)"  # the secret must not get into a log

    def case_id(self, study_uid: str) -> str:
        """Return the id of a study.

        Args:
            study_uid: Its StudyInstanceUID, or whatever else is its own.

        Returns:
            ``case-`` and 16 letters and digits, a valid id of the cohort table.
        """
        return f"case-{self._name('case', study_uid)}"

    def patient_id(self, patient_key: str) -> str:
        """Return the id of a patient.

        Args:
            patient_key: What all studies of the patient share, such as PatientID and its issuer.

        Returns:
            ``pat-`` and 16 letters and digits, a valid id of the cohort table.
        """
        return f"pat-{self._name('patient', patient_key)}"

    def _name(self, domain: str, key: str) -> str:
        digest = self._digest(domain, key.strip())[:ID_BYTES]
        return base64.b32encode(digest).decode("ascii").lower()

    def _digest(self, domain: str, key: str) -> bytes:
        """HMAC-SHA256; the domain in front keeps a study and a patient of one name apart."""
        message = f"lvo_kedro/{domain}/{key}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).digest()


def read_secret(path: Path, data_folder: Path) -> bytes:
    """Return the secret that a file holds; where there is none yet, a random one is made.

    Args:
        path: Of the file, which its owner alone may read.
        data_folder: The secret must lie outside: whoever gets the data must not get it.

    Returns:
        The secret's bytes.

    Raises:
        PrivacyError: The file lies in the data folder, may be read by others, or holds no secret.
    """
    _check_outside(path, data_folder, "the secret")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(secrets.token_hex(SECRET_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) or mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise PrivacyError(
                f"a secret that others may use (mode {stat.S_IMODE(mode):o})",
                "a file that its owner alone may read (mode 600)",
                "chmod 600 the file; if others may have read it, make a new secret, and with it "
                "new ids",
            )
        text = file.read(4096)
    try:
        secret = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:  # neither text nor hexadecimal digits
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise PrivacyError(
            "a file for the secret that holds something else, or ends early",
            f"{2 * SECRET_BYTES} hexadecimal digits, as the import writes them",
            "name another file, which is then made, or put the former one in its place again",
        )
    return secret


def write_link_table(path: Path, rows: pd.DataFrame, data_folder: Path) -> None:
    """Write the table that leads from ids back to patients, readable by its owner alone.

    Args:
        path: Where, outside the data folder. A former table is replaced at once or not at all.
        rows: One per study, such as case id, patient id, study UID, accession number.
        data_folder: Of the cohort.

    Raises:
        PrivacyError: The path lies in the data folder.
    """
    _check_outside(path, data_folder, "the link table")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".link-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            rows.to_csv(file, index=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _check_outside(path: Path, data_folder: Path, what: str) -> None:
    """Refuse a place in the data folder, also one that a link leads to."""
    inside = path.resolve().is_relative_to(data_folder.resolve())
    if inside or path.absolute().is_relative_to(data_folder.absolute()):
        raise PrivacyError(
            f"a place for {what} inside the data folder",
            "one outside: the data folder is what gets copied and shared",
            "name a file in another folder, such as one in your home folder",
        )
