"""What a run would compute and why, found out without computing it.

The digest of a case is known before the case is: it stands for what goes into it. So the pipeline's
nodes can say what their cases would be made of while nothing of it is there yet. Nodes that make
tables are called where all they read is there; what needs a result that is still to come cannot be
told.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from kedro.io import DatasetError

from lvo_kedro.datasets.cases import Case, CaseDataset, Cases
from lvo_kedro.datasets.records import FAILED, read_record
from lvo_kedro.datasets.tables import ContinuedTable
from lvo_kedro.datasets.work import Job, options_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node


EVALUATION = "evaluation"
"""Namespace of what every run makes anew: tables, figures, pictures, the report."""


class NotYetError(LookupError):
    """A node asked for what is still to be computed."""


class PlannedCase(Case):
    """A case that is to be computed: what goes into it is known, its files are not there."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.name, job.folder, job.files, job.fingerprint)
        self._options = options_of(job.task)

    def __getitem__(self, field: str) -> Any:
        raise NotYetError(self.folder.parent.name)

    @property
    def options(self) -> dict[str, Any]:
        """The options that it will be computed with."""
        return self._options


class PlannedCases(Cases):
    """Cases of which some are to be computed."""

    def __init__(self, jobs: list[Job], reasons: Mapping[str, str]) -> None:
        done: dict[str, Case] = {}
        failed = {}
        for job in jobs:
            record = {} if reasons[job.name] else read_record(job.folder)
            if reasons[job.name]:
                done[job.name] = PlannedCase(job)
            elif record["state"] == FAILED:
                failed[job.name] = record["error"]
            else:
                done[job.name] = Case(job.name, job.folder, job.files, job.fingerprint)
        super().__init__(done, failed)
        self.are_there = not any(reasons.values())


class Step(NamedTuple):
    """What a node would compute.

    Attributes:
        node: Its name.
        dataset: Where its cases go.
        cases: How many there are.
        due: How many would be computed for each reason.
        waits_for: A result without which that cannot be told; empty otherwise.
    """

    node: str
    dataset: str
    cases: int = 0
    due: Mapping[str, int] = {}
    waits_for: str = ""

    def __str__(self) -> str:
        if self.waits_for:
            return f"told when {self.waits_for} are there"
        if not self.due:
            return f"nothing of {self.cases}"
        parts = "; ".join(f"{count} {reason}" for reason, count in self.due.items())
        return f"{sum(self.due.values())} of {self.cases}: {parts}"


def plan(pipeline: Pipeline, catalog: CatalogProtocol) -> Iterator[Step]:
    """Yield what each node that computes cases or trains would do, in the order of the run.

    Args:
        pipeline: What would be run.
        catalog: Where its results lie, and its parameters.

    Raises:
        CaseError: What a node refuses, such as a wrong cohort table.
    """
    own = [node for node in pipeline.nodes if node.namespace != EVALUATION]
    computing = [node.name for node in own if _case_output(node, catalog)]
    values: dict[str, Any] = {}
    for node in pipeline.to_nodes(*computing).nodes if computing else []:
        name = _case_output(node, catalog)
        try:
            given = {item: _load(item, values, catalog) for item in node.inputs}
            if name is None:
                values |= _tables(node, given, catalog)
                continue
            step, values[name] = _cases(node, name, given, catalog)
        except NotYetError as error:
            values |= {output: error for output in node.outputs}
            step = Step(node.name, name or "", waits_for=str(error))
        if name:
            yield step


def _case_output(node: Node, catalog: CatalogProtocol) -> str | None:
    return next((n for n in node.outputs if isinstance(catalog.get(n), CaseDataset)), None)


def _load(name: str, values: Mapping[str, Any], catalog: CatalogProtocol) -> Any:
    if name in values:
        if isinstance(values[name], NotYetError):
            raise values[name]
        return values[name]
    try:
        return catalog.load(name)
    except DatasetError as error:
        raise NotYetError(name) from error


def _tables(node: Node, given: dict[str, Any], catalog: CatalogProtocol) -> dict[str, Any]:
    """Return what a node that makes tables would; nothing where cases that it reads are to come."""
    for name, value in given.items():
        if isinstance(value, PlannedCases) and not value.are_there:
            raise NotYetError(name)
    return {name: _as_loaded(value, catalog.get(name)) for name, value in node.run(given).items()}


def _as_loaded(value: Any, dataset: Any) -> Any:
    """Return what loading would give after saving: a table that goes on is given as a function."""
    return value(dataset.load()) if isinstance(dataset, ContinuedTable) else value


def _cases(
    node: Node, name: str, given: dict[str, Any], catalog: CatalogProtocol
) -> tuple[Step, PlannedCases]:
    dataset: Any = catalog.get(name)
    jobs = dataset.jobs(node.run(given)[name], remember=False)
    reasons = {job.name: dataset.reason(job) for job in jobs}
    due = Counter(reason for reason in reasons.values() if reason)
    return Step(node.name, name, len(jobs), due), PlannedCases(jobs, reasons)
