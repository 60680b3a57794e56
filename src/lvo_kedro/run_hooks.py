"""What keeps a run in order: misspelt parameters, being told to stop, a disk that is full."""

from __future__ import annotations

import difflib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from click import ClickException
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from omegaconf import OmegaConf

from lvo_kedro.disk import storage_error
from lvo_kedro.hooks import NEW_FOLDER, data_folder
from lvo_kedro.stopping import Stoppable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from kedro.framework.context import KedroContext
    from omegaconf import DictConfig


class UnknownParameterError(ClickException):
    """A parameter that nothing takes; shown on the command line as it is.

    Args:
        unknown: Their names.
        known: All names that something takes.
        files: Where they may be set.
    """

    def __init__(self, unknown: Iterable[str], known: Iterable[str], files: str) -> None:
        lines = []
        for name in sorted(unknown):
            close = difflib.get_close_matches(name, list(known), n=1)
            lines.append(f"  {name}" + (f" (did you mean {close[0]}?)" if close else ""))
        listing = "\n".join(lines)
        super().__init__(
            f"nothing takes\n\n{listing}\n\n  It was set in {files}. docs/options.md lists all "
            "names; one that begins with '_' may serve your own files."
        )


class ParameterHooks:
    """Refuses parameters that nothing takes, before anything is computed."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the parameters come from."""
        self._context = context

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Refuse to start with a name that nothing takes."""
        check_names(self._context)


def check_names(context: KedroContext) -> None:
    """See to it that something takes every parameter, and every setting of ``globals.yml``.

    Raises:
        UnknownParameterError: A name that no pipeline and no configuration knows.
    """
    loader: Any = context.config_loader  # typed by Kedro as its abstract parent
    base = Path(loader.conf_source) / str(loader.base_env)
    inputs = {name for pipeline in pipelines.values() for name in pipeline.inputs()}
    taken = {n.removeprefix("params:").split(".")[0] for n in inputs if n.startswith("params:")}
    taken |= _top_level(base, "parameters") | {NEW_FOLDER}
    environment = f"conf/{loader.env or loader.default_run_env}"
    given: dict[str, Any] = context.catalog.load("parameters")
    _refuse(set(given), taken, f"{environment}/parameters*.yml or with --params")
    settings = set(loader["globals"])
    _refuse(settings, _top_level(base, "globals"), f"{environment}/globals.yml")


def _refuse(given: set[str], known: set[str], files: str) -> None:
    unknown = {name for name in given - known if not name.startswith("_")}
    if unknown:
        raise UnknownParameterError(unknown, known, files)


def _top_level(folder: Path, kind: str) -> set[str]:
    """Return the names that the files of one kind in a folder set."""
    files = folder.rglob(f"{kind}*.yml")
    return {str(key) for file in files for key in cast("DictConfig", OmegaConf.load(file))}


class StoppingHooks:
    """Lets a run be stopped by a signal, from before its first step until after its last."""

    def __init__(self) -> None:
        self._tracking = Path.cwd()
        self._held = threading.local()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find where open runs are listed."""
        folder = context.config_loader["mlflow"]["folder"]
        self._tracking = (Path(context.project_path) / folder).resolve()

    @hook_impl(wrapper=True)
    def before_pipeline_run(self) -> Generator[None, Any, Any]:
        """Begin, and end where the run does not come to start."""
        left: Stoppable | None = vars(self._held).pop("run", None)
        if left:  # interrupted, which Kedro tells nobody
            left.clean_up()
        self._held.run = Stoppable(self._tracking)
        self._held.run.begin()
        try:
            return (yield)
        except Exception:
            self._held.run.clean_up()
            raise

    @hook_impl(wrapper=True)
    def after_pipeline_run(self) -> Generator[None, Any, Any]:
        """End."""
        return (yield from self._end())

    @hook_impl(wrapper=True)
    def on_pipeline_error(self) -> Generator[None, Any, Any]:
        """End after a failure as well."""
        return (yield from self._end())

    def _end(self) -> Generator[None, Any, Any]:
        run: Stoppable = vars(self._held).pop("run")
        try:
            result = yield
        except Exception:
            run.clean_up()
            raise
        run.end()
        return result


class StorageHooks:
    """Says in plain words what is wrong with the disk, wherever around a run that shows."""

    def __init__(self) -> None:
        self._data = Path.cwd()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find the data folder."""
        self._data = data_folder(context)

    @hook_impl(wrapper=True)
    def before_pipeline_run(self) -> Generator[None, Any, Any]:
        """Say it at the start, and likewise around each step and at the end."""
        try:
            return (yield)
        except Exception as error:
            clear = storage_error(error, self._data)
            if clear is None or clear is error:
                raise
            raise clear from error

    before_node_run = after_node_run = after_pipeline_run = before_pipeline_run

    @hook_impl(wrapper=True)
    def on_pipeline_error(self, error: Exception) -> Generator[None, Any, Any]:
        """After a failure, of which the disk may have been the reason."""
        yield from self.before_pipeline_run()
        clear = storage_error(error, self._data)
        if clear:
            raise clear from error
