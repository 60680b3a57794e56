"""MLflow around every run."""

from __future__ import annotations

import logging
import math
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from lvo_kedro import tracking
from lvo_kedro.artifacts import sha256_of
from lvo_kedro.datasets.files import file_of, files_of
from lvo_kedro.hooks import REPORTING, data_folder
from lvo_kedro.stopping import when_stopped
from lvo_kedro.tracking import SCORER, TrackingOptions
from lvo_kedro.tracking_calls import describe_file

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from lvo_kedro.tracking_run import TrackedRun

logger = logging.getLogger(__name__)


class TrackingHooks:
    """One MLflow run per Kedro run, a child run per fold; nothing that shows a patient."""

    def __init__(self) -> None:
        self._options = TrackingOptions()
        self._project = Path.cwd()
        self._reporting = Path.cwd()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read ``mlflow.yml``."""
        self._options = TrackingOptions(**context.config_loader["mlflow"])
        self._project = Path(context.project_path)
        self._context, self._data = context, data_folder(context)
        self._reporting = self._data / REPORTING

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: CatalogProtocol) -> None:
        """Start the run, with parameters, versions, revision and the cohort table's digest."""
        tracking.end_run("KILLED")  # one that was interrupted, which Kedro tells nobody
        names = run_params.get("pipeline_names") or ["all"]
        tags = tracking.run_tags(self._project) | {
            "kedro.env": str(run_params.get("env") or "base"),
            "kedro.pipelines": ",".join(names),
            tracking.COHORT_TAG: _digest(catalog),
        }
        title = f"{run_params.get('env') or 'base'}: {', '.join(names)}"
        run = tracking.start_tracking(self._options, self._project, title, tags)
        when_stopped(lambda: tracking.end_run("KILLED"))
        tracking.log_parameters(run, catalog.load("parameters"))
        logger.info("MLflow run %s", run.place.run_id)

    @hook_impl
    def after_node_run(self, node: Node, catalog: CatalogProtocol, outputs: dict[str, Any]) -> None:
        """Log the metrics that a node returned."""
        run = tracking.current_run()
        if not run:
            return
        for name in set(node.outputs) & set(self._options.metrics):
            numbers = _numbers_in(outputs[name])
            run.metrics({f"{name}.{k}": float(v) for k, v in numbers.items() if _is_number(v)})

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Copy tables, figures and report, and the models that it made, to the run and close it."""
        run = tracking.current_run()
        if not run:
            return
        try:
            self._log_results(run, pipeline, catalog)
        except Exception:
            with suppress(Exception):  # what is wrong is said by the first of the two
                tracking.end_run("FAILED")
            raise
        tracking.end_run()

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Close the run as failed; the error's text stays out of it, since it may name a file."""
        run = tracking.current_run()
        if run:
            run.write("tag", name="error", value=type(error).__name__)
            tracking.end_run("FAILED")

    def _log_results(self, run: TrackedRun, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        made, used = pipeline.all_outputs(), pipeline.datasets()
        # what was used is copied as well: a report names files that an earlier run may have made
        for name in sorted(used & set(self._options.artifacts)):
            for path in files_of(catalog, name):
                for file in _files_below(path):
                    folder = _artifact_folder(file.resolve(), self._reporting)
                    run.write("artifact", **describe_file(file, folder))
        for name in sorted(made & set(self._options.models)):
            self._log_models(run, name, catalog)
        registered = self._options.registered_models.get(SCORER)
        if registered and "report" in made:
            self._log_scorer(run, registered)

    def _log_scorer(self, run: TrackedRun, name: str) -> None:
        """Log and register all stages as one model: what was trained, and what it was worth."""
        from lvo_kedro.scoring import models_of, write_bundle  # noqa: PLC0415 - not for each run

        folder = self._data / "06_models" / "bundle"
        shutil.rmtree(folder, ignore_errors=True)
        write_bundle(models_of(self._context), folder)
        for file in _files_below(folder):
            place = Path("model/bundle") / file.parent.relative_to(folder)
            run.write("artifact", **describe_file(file, place.as_posix()))
        run.write("signature", path=str(folder))
        run.write("register", name=name)

    def _log_models(self, run: TrackedRun, entry: str, catalog: CatalogProtocol) -> None:
        registered = self._options.registered_models.get(entry)
        for fold, case in catalog.load(entry).items():
            child = f"{entry}.{fold}"
            tracking.log_fold(run, child, case.folder, self._options.model_files)
            if registered:
                run.write("register", child, name=registered)


def _files_below(path: Path) -> list[Path]:
    """Return a file, or those of a folder; a table that is made on demand may not be there."""
    return sorted(p for p in (path, *path.rglob("*")) if p.is_file())


def _artifact_folder(path: Path, reporting: Path) -> str | None:
    """Return where in a run's artifacts a file goes: as below the reports, or at the top."""
    if not path.parent.is_relative_to(reporting):
        return None
    folder = path.parent.relative_to(reporting).as_posix()
    return None if folder == "." else folder


def _numbers_in(output: Any) -> dict[str, Any]:
    """Return the numbers by name of a node's output: of its table ``metrics``, if it has tables."""
    if "metrics" in output:
        return dict(output["metrics"].set_index("metric")["value"])
    return tracking.flatten(output)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _digest(catalog: CatalogProtocol) -> str:
    """Return the SHA-256 of the cohort table, or nothing where a run does without one."""
    for name in ("cases", "cohort"):
        if name in catalog and catalog.exists(name):
            return sha256_of(file_of(catalog, name))
    return ""
