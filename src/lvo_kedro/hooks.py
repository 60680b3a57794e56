"""What surrounds every run: a clear word where data are missing, its lock, its log."""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from click import ClickException
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines

from lvo_kedro import progress
from lvo_kedro.console import Log
from lvo_kedro.datasets.files import file_of
from lvo_kedro.lock import working_on
from lvo_kedro.results import show_results
from lvo_kedro.stopping import when_stopped

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)

NEW_FOLDER = "new_folder"
"""Parameter that names the folder of one run on new scans, below ``07_model_output/new``."""

REPORTING = "08_reporting"
"""Below the data folder: tables, pictures and the report."""
LOGS, SECONDS = "logs", "seconds.json"
"""Below the data folder: the log of its runs, and what their steps took."""

NO_COHORT = """no cohort table at {path}.

  To see the whole method on a simulated cohort:      make demo
  For your own scans: put them below {folder} and list them in
  {path}; data/README.md says how."""


class MissingDataError(ClickException):
    """The run needs files that nothing has written yet; shown on the command line as it is."""


class CohortHooks:
    """Says what to put where, before anything is computed."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Refuse to start on an empty data folder, or without the results of earlier pipelines."""
        for name in sorted(pipeline.inputs()):
            if name.startswith("params:") or name == "parameters" or catalog.exists(name):
                continue
            path = file_of(catalog, name)
            if name == "cases":
                raise MissingDataError(NO_COHORT.format(path=path, folder=path.parent))
            raise MissingDataError(
                f"'{name}' ({path}) is missing or incomplete; run the pipeline that makes it first "
                f"(kedro registry describe shows which), or plain 'kedro run' for all"
            )


class LockHooks:
    """A run that writes has the data folder to itself; each run on new scans writes elsewhere."""

    def __init__(self) -> None:
        self._data = Path.cwd()
        self._named = False
        self._held = threading.local()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find the data folder, and give new scans that this run is called with their own place."""
        given: dict[str, Any] = context.config_loader.runtime_params
        if given.get("new_scans"):
            given = {NEW_FOLDER: new_folder()} | given  # not into what may serve for another run
            context.config_loader.runtime_params = given
        self._named = NEW_FOLDER in given
        self._data = data_folder(context)

    @hook_impl(wrapper=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> Generator[None, Any, Any]:
        """Lock before anything else, and until all others have done what is theirs."""
        self._release()  # of a run that was interrupted, which Kedro tells nobody
        own = _own_folder(pipeline, catalog) if self._named else None
        title = ", ".join(run_params.get("pipeline_names") or ["all pipelines"])
        with ExitStack() as locks:
            locks.enter_context(working_on(self._data, title, writes=own is None))
            with _made(own) if own else nullcontext():
                result = yield
            self._held.locks = locks.pop_all()
        when_stopped(self._held.locks.close)
        return result

    @hook_impl(wrapper=True)
    def after_pipeline_run(self) -> Generator[None, Any, Any]:
        """Unlock."""
        try:
            return (yield)
        finally:
            self._release()

    @hook_impl(wrapper=True)
    def on_pipeline_error(self) -> Generator[None, Any, Any]:
        """Unlock after a failure as well."""
        try:
            return (yield)
        finally:
            self._release()

    def _release(self) -> None:
        locks: ExitStack | None = vars(self._held).pop("locks", None)
        if locks:
            locks.close()


def data_folder(context: KedroContext) -> Path:
    """Return the folder that ``data`` in ``globals.yml`` names."""
    return (Path(context.project_path) / context.config_loader["globals"]["data"]).resolve()


def new_folder() -> str:
    """Return a name for the results of one call that no other call has."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def _own_folder(pipeline: Pipeline, catalog: CatalogProtocol) -> Path | None:
    """Return the folder of new scans, if a run writes nowhere else."""
    outputs = pipeline.all_outputs()
    if not all(name.startswith("new.") for name in outputs):
        return None
    (folder,) = {file_of(catalog, name).parent for name in outputs}
    return folder


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a run's own folder, and take it away again where the run does not come to start."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise MissingDataError(
            f"there is a folder {folder} already; each run on new scans has one of its own: leave "
            f"'{NEW_FOLDER}' out, or take another name"
        ) from error
    try:
        yield
    except BaseException:
        folder.rmdir()
        raise


class ProgressHooks:
    """Says, for every line of the log, where the run is and how long it will still take."""

    def __init__(self) -> None:
        self._data = Path.cwd()
        self._expected: dict[str, float] = {}
        self._writes = False
        self._homes: dict[str, str] = {}
        self._log = Log()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read what steps take where nobody has run them yet (``progress.yml``)."""
        self._data = data_folder(context)
        self._expected = dict(context.config_loader["progress"]["expected_seconds"])
        self._log.take_over()

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Start the clock."""
        homes = self._homes = _homes(run_params.get("pipeline_names") or [])
        steps = [progress.Step(homes.get(node.name, ""), node.name) for node in pipeline.nodes]
        self._writes = _own_folder(pipeline, catalog) is None
        known = progress.read_seconds(self._data / LOGS / SECONDS)
        progress.start(steps, self._expected | known)
        self._log.begin(self._data / LOGS if self._writes else None)
        when_stopped(self.on_pipeline_error)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Begin a step; the one before has ended when its results are stored."""
        progress.clock().end()
        progress.clock().begin(node.name)
        logger.info("%s", node.name.removeprefix(f"{self._homes.get(node.name, '')}."))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Say what each pipeline took."""
        took = self._end()
        parts = ", ".join(f"{name} {progress.duration(s)}" for name, s in took.items())
        logger.info("done in %s (%s)", progress.duration(sum(took.values())), parts)
        self._log.end()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Keep what the steps took that have ended."""
        self._end()
        self._log.end()

    def _end(self) -> dict[str, float]:
        """Stop the clock; return the seconds of each pipeline."""
        clock = progress.clock()
        clock.end()
        if self._writes:
            progress.write_seconds(self._data / LOGS / SECONDS, clock.seconds())
        took: dict[str, float] = {}
        for step in clock.steps:
            seconds = clock.measured.get(step.node, 0.0)
            took[step.pipeline] = took.get(step.pipeline, 0.0) + seconds
        return took


def _homes(requested: Sequence[str]) -> dict[str, str]:
    """Return the pipeline of each node: one that was asked for, or else the first that has it."""
    order = [name for name in [*requested, *pipelines] if name != "__default__"]
    return {node.name: name for name in reversed(order) for node in pipelines[name].nodes}


class ResultHooks:
    """Shows the main metrics at the end of a run that wrote the report."""

    def __init__(self) -> None:
        self._project = Path.cwd()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the project's folder."""
        self._project = Path(context.project_path)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print them."""
        if "report" in pipeline.all_outputs():
            show_results(catalog, self._project, mlflow.get_tracking_uri())
