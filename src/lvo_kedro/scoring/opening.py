"""A scorer for a command: whose models, and where results go."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import mlflow
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from mlflow.exceptions import MlflowException

from lvo_kedro.dicom import ReceiverOptions
from lvo_kedro.errors import CaseError, RunError
from lvo_kedro.hooks import data_folder, new_folder
from lvo_kedro.lock import working_on
from lvo_kedro.scoring.bundle import open_bundle
from lvo_kedro.scoring.models import models_of
from lvo_kedro.scoring.scorer import Scorer
from lvo_kedro.tracking import TrackingOptions, use_tracking
from lvo_kedro.tracking_server import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

SCORED: Final = "07_model_output/new"
"""Below the data folder: results of calls that name no other place."""
PLACE: Final = "model"
"""Below a run's artifacts: the bundle, with what MLflow wants to load it."""


@contextmanager
def scorer_for(
    env: str | None, out: Path | None, bundle: Path | None, run: str | None, device: str | None
) -> Iterator[Scorer]:
    """Give a scorer, and hold the data folder as long as its models are read there.

    Args:
        env: Kedro's environment.
        out: For the results; None: below the data folder, a new one for each call.
        bundle: Folder of a bundle; None and no run: the environment's own models.
        run: Id of an MLflow run with a bundle.
        device: Of the networks.
    """
    bootstrap_project(Path.cwd())
    with ExitStack() as stack:
        session: Any = stack.enter_context(KedroSession.create(Path.cwd(), env=env))
        context = session.load_context()
        data = data_folder(context)
        own = not (bundle or run)
        stack.enter_context(working_on(data, "score", writes=False) if own else nullcontext())
        try:
            if run:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                bundle = fetch_bundle(context, run, folder)
            source = "run" if run else "bundle"
            models = open_bundle(bundle, source) if bundle else models_of(context)
            place = out.absolute() if out else data / SCORED / new_folder()
            yield Scorer(models, place, device)
        except CaseError as error:
            raise click.ClickException(str(error)) from error


def fetch_bundle(context: Any, run: str, folder: Path) -> Path:
    """Download the bundle of an MLflow run.

    Args:
        context: Kedro's, which knows the tracking server.
        run: Its id.
        folder: Where it goes.

    Raises:
        RunError: There is no such run, or it has no bundle.
    """
    project = Path(context.project_path)
    use_tracking(TrackingOptions(**context.config_loader["mlflow"]), project)
    try:
        found = mlflow.artifacts.download_artifacts(
            run_id=run, artifact_path=f"{PLACE}/bundle", dst_path=str(folder)
        )
    except (MlflowException, OSError) as error:
        raise RunError(
            f"no run {run!r} with a bundle in {shown(mlflow.get_tracking_uri())}",
            "a run of the whole method with 'registered_models: {scorer: NAME}' in mlflow.yml",
            "take another run, or a bundle with --models",
        ) from error
    return Path(found)


def receiver_options(env: str | None) -> tuple[ReceiverOptions, Path]:
    """Return what ``receiver.yml`` says, and the data folder.

    Args:
        env: Kedro's environment.
    """
    session: Any = KedroSession.create(Path.cwd(), env=env)
    with session:
        context = session.load_context()
        return ReceiverOptions(**context.config_loader["receiver"]), data_folder(context)
