"""One scan after another through the inference pipeline, with models that stay in memory."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.framework.project import pipelines
from kedro.io import AbstractDataset, DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner
from kedro.validation.parameter_validator import ParameterValidator

from lvo_kedro.cohort import scan_id
from lvo_kedro.datasets.cases import CaseDataset
from lvo_kedro.detection import DetectionOptions
from lvo_kedro.errors import CaseError, ScanError, without_score
from lvo_kedro.scoring.models import PIPELINE, PREFIX, Models, place_of
from lvo_kedro.scoring.record import Computed, make_record
from lvo_kedro.scoring.writing import write_result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)

SIDES = "sides"
"""The method in whose score no network takes part."""
WORK = ".work-"
"""Begins the name of the folder in which a scan is computed."""


CHANGED = (
    "found that the scan was changed while it was scored; expected one that stays as it is; score "
    "it again when nothing writes to it any more"
)


class Result(NamedTuple):
    """What came of one scan.

    Attributes:
        record: As in ``result.json``.
        folder: Of its files.
    """

    record: dict[str, Any]
    folder: Path

    @property
    def failed(self) -> bool:
        """Whether the scan could not be used."""
        return bool(self.record["status"] == "failed")


class Scorer:
    """Scores scans; the first one loads the models, and they stay.

    Args:
        models: Of :func:`~lvo_kedro.scoring.models_of` or
            :func:`~lvo_kedro.scoring.open_bundle`.
        out: Folder in which each scan gets a folder of its own, named by its id.
        device: Of the networks (``auto``, ``cpu``, ``cuda:0``...); None: as they were trained.

    Examples:
        >>> from lvo_kedro.scoring import Scorer, open_bundle  # doctest: +SKIP
        >>> scorer = Scorer(open_bundle(Path("models")), Path("results"))  # doctest: +SKIP
        >>> scorer.score(Path("scan.nii.gz")).record["probability"]  # doctest: +SKIP
    """

    def __init__(self, models: Models, out: Path, device: str | None = None) -> None:
        self.models, self.out = models, out
        self._pipeline: Pipeline = pipelines[PIPELINE]
        given = _on_device(dict(models.parameters), device)
        validator = ParameterValidator({PIPELINE: self._pipeline})
        self._parameters = validator.validate_raw_params(given)
        self._trained = {
            name: AbstractDataset.from_config(name, dict(definition)).load()
            for name, definition in models.trained.items()
        }

    def score(self, scan: Path) -> Result:
        """Score one scan and write its folder.

        Args:
            scan: NIfTI file or folder with one DICOM series.

        Returns:
            The result; also of a scan that cannot be used, with the reason.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=WORK, dir=self.out))
        clock, start = StepClock(), time.monotonic()
        try:
            computed = self._compute(scan, work, clock)
            steps = clock.seconds | {
                "other": time.monotonic() - start - sum(clock.seconds.values())
            }
            record = make_record(computed, self.models, steps)
            return Result(*write_result(computed, record, self.out, start))
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _compute(self, scan: Path, work: Path, clock: StepClock) -> Computed:
        """Run the pipeline; where it ends with a failure of the scan, that is its outcome."""
        try:
            case = scan_id(str(scan.resolve()))
        except OSError as error:
            raise ScanError(
                f"a scan that cannot be read ({error.strerror})", "a readable file", "look at it"
            ) from error
        catalog = self._catalog(scan, work)
        manager = _create_hook_manager()
        manager.register(clock)
        try:
            with quiet():
                SequentialRunner().run(self._pipeline, catalog, hook_manager=manager)
            (outcome,) = catalog.load("new.outcome").to_dict("records")
            if outcome["case_id"] != case:  # it got its id a moment later than here
                outcome = {"case_id": case, "failed": CHANGED}
        except DatasetError as error:
            outcome = {"case_id": case, **without_score(_reason(catalog, case, error))}
        return Computed(case, scan, outcome, catalog)

    def _catalog(self, scan: Path, work: Path) -> DataCatalog:
        memory = {f"{PREFIX}{name}": value for name, value in self._parameters.items()}
        memory |= {f"{PREFIX}new_scans": [str(scan.resolve())], **self._trained}
        # as they are: a copy of the models for each scan would cost more than the scan
        held: dict[str, Any] = {n: MemoryDataset(v, copy_mode="assign") for n, v in memory.items()}
        stored = {
            name: AbstractDataset.from_config(
                name, dict(definition) | {place: str(work / definition[place])}
            )
            for name, definition in self.models.scan.items()
            for place in [place_of(definition)]
        }
        return DataCatalog(datasets=held | stored)


class StepClock:
    """Measures what each step of the pipeline takes, its results stored."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._when = time.monotonic()

    @hook_impl
    def before_node_run(self) -> None:
        """Begin, or go on: nodes follow one another."""
        self._when = time.monotonic()

    @hook_impl
    def after_dataset_saved(self, node: Node) -> None:
        """Note the step, with the time that its tasks took when they were saved."""
        self.seconds[node.name.rpartition(".")[2]] = time.monotonic() - self._when


@contextmanager
def quiet() -> Iterator[None]:
    """Leave what each step of each scan has to say out of the log; failures are in the results."""
    before = {name: logging.getLogger(name).level for name in ("kedro", "lvo_kedro.datasets")}
    for name in before:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _on_device(parameters: dict[str, Any], device: str | None) -> dict[str, Any]:
    """Give every network the device that was asked for, and ask for the map of the score."""
    for name, value in parameters.items():
        if isinstance(value, dict) and name.endswith("_network") and device:
            parameters[name] = value | {"device": device}
    # a map of the score that counts: Grad-CAMs of other networks would be the longest step of all
    counts = (parameters.get("detection") or {}).get("method", DetectionOptions().method)
    wanted = {"enabled": True, "networks": counts != SIDES}
    parameters["explanation"] = (parameters.get("explanation") or {}) | wanted
    return parameters


def _reason(catalog: DataCatalog, case: str, error: DatasetError) -> str:
    """Return why a scan could not be used; anything else that went wrong goes on."""
    for name in list(catalog):
        dataset = catalog.get(name)
        if isinstance(dataset, CaseDataset) and dataset.exists():
            failed = dataset.load().failed
            if case in failed:
                return failed[case]
    cause = error.__cause__
    if isinstance(cause, CaseError) and cause.of_case:
        return str(cause)
    raise error
