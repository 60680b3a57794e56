"""``kedro score`` and ``kedro bundle``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from lvo_kedro.dicom import Receiver, serve
from lvo_kedro.errors import CaseError
from lvo_kedro.hooks import data_folder
from lvo_kedro.lock import working_on
from lvo_kedro.scoring.batch import Scored, score_all, write_summary
from lvo_kedro.scoring.bundle import write_bundle
from lvo_kedro.scoring.models import Models, models_of
from lvo_kedro.scoring.opening import receiver_options, scorer_for
from lvo_kedro.scoring.receiving import StudyHandler
from lvo_kedro.scoring.scorer import Scorer, quiet
from lvo_kedro.scoring.sources import find_sources
from lvo_kedro.scoring.watching import QUIET, DropFolder, stopped_by_signals, watch
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Sequence

SPOOL = "spool"
"""Below the data folder: studies that were received."""
scans_argument = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
env_option = click.option("--env", "-e", default=None, help="Configuration, such as demo.")

device_option = click.option(
    "--device", help="Of the nnU-Nets: auto, cpu, cuda:0...; otherwise as they were trained."
)


@click.command()
@scans_argument
@env_option
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="For the results.")
@click.option(
    "--models",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A bundle, as kedro bundle writes it; otherwise the environment's own models.",
)
@click.option("--run", help="Id of an MLflow run that a bundle was logged in.")
@click.option(
    "--device", help="Of the nnU-Nets: auto, cpu, cuda:0...; otherwise as they were trained."
)
@click.option("--watch", "watches", is_flag=True, help="Score what is put into a folder.")
@click.option("--quiet-seconds", default=QUIET, show_default=True, help="With --watch.")
def score(
    *,
    paths: tuple[Path, ...],
    env: str | None,
    out: Path | None,
    models: Path | None,
    run: str | None,
    device: str | None,
    watches: bool,
    quiet_seconds: float,
) -> None:
    """Run trained models on new scans: NIfTI files, DICOM series, whole studies, archives of them.

    Of a study with several series the plain head CT is chosen as kedro import-studies does.
    Each scan gets a folder with result.json, report.html and maps. Ends with status 1 where a scan
    could not be used; the others' results are shown all the same. A scan that is unlike those that
    the models were trained on gets no call, and the reason.
    """
    if models and run:
        raise click.UsageError("--models and --run name two sources of models: give one")
    if watches and (out is None or len(paths) != 1 or not paths[0].is_dir()):
        raise click.UsageError("--watch takes one folder, and --out for its results")
    with quiet(), scorer_for(env, out, models, run, device) as scorer:
        if watches:
            _watch(scorer, paths[0], quiet_seconds)
            return
        done = []
        sources = [source for path in paths for source in find_sources(path.absolute())]
        for item in score_all(scorer, sources, lambda text: click.echo(text, err=True)):
            done.append(item)
            _show(item)
    _conclude(scorer, done)


def _watch(scorer: Scorer, folder: Path, quiet_seconds: float) -> None:
    click.echo(f"watching {folder} until Ctrl-C; results go to {scorer.out}", err=True)
    with stopped_by_signals() as stop:
        for item in watch(scorer, DropFolder(folder.absolute(), scorer.out, quiet_seconds), stop):
            _show(item)
    click.echo("stopped; what was not scored yet is scored by the next watch", err=True)


@click.command()
@env_option
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="For pages, records and maps."
)
@click.option("--models", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--run", help="Id of an MLflow run that a bundle was logged in.")
@click.option(
    "--device", help="Of the nnU-Nets: auto, cpu, cuda:0...; otherwise as they were trained."
)
@click.option(
    "--spool",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which studies wait.  [default: <data>/spool]",
)
def receive(
    *,
    env: str | None,
    out: Path | None,
    models: Path | None,
    run: str | None,
    device: str | None,
    spool: Path | None,
) -> None:
    """Receive DICOM studies (conf/<env>/receiver.yml), score them and send the results back.

    Listens on this machine alone unless the configuration says otherwise, until Ctrl-C or SIGTERM.
    """
    with (
        quiet(),
        scorer_for(env, out, models, run, device) as scorer,
        stopped_by_signals() as stop,
    ):
        options, data = receiver_options(env)
        if not options.peers:
            raise click.ClickException(
                "receiver.yml lists no peers, so that nobody may send: name title and address of "
                "those who may (docs/dicom.md)"
            )
        folder = (spool or data / SPOOL).absolute()
        click.echo(f"{options.ae_title} on {options.host}:{options.port}, until Ctrl-C", err=True)
        click.echo(RESEARCH_ONLY, err=True)
        serve(Receiver(options, folder, StudyHandler(scorer)), stop)


def _show(item: Scored) -> None:
    """Print what came of one scan."""
    record = item.result.record if item.result else {"case_id": "not read"}
    click.echo(f"\n{item.scan}  ({record['case_id']})")
    if item.result is None:
        click.echo(f"  {'failed':<28}{item.error}")
        return
    for name, value in _lines(record):
        if value is not None and value != "":
            click.echo(f"  {name:<28}{value:.3g}" if isinstance(value, float) else
                       f"  {name:<28}{value}")  # fmt: skip
    click.echo(f"  {'files':<28}{item.result.folder}")


def _lines(record: dict[str, Any]) -> list[tuple[str, Any]]:
    point = record["point_mm"]
    return [
        *((name.replace("_", " "), record[name]) for name in ("failed", "no_call")),
        *((n.replace("_", " "), record[n]) for n in ("probability", "unreliable_probability")),
        *((f"at {p['name'].replace('_', ' ')}", p["call"]) for p in record["operating_points"]),
        *((name, record[name]) for name in ("side", "segment", "confidence")),
        ("localization", record["localization"] if record["status"] == "scored" else ""),
        ("point mm", " ".join(f"{x:.0f}" for x in point) if point else ""),
        ("findings", "; ".join(record["findings"])),
        ("seconds", record["seconds"]["total"]),
    ]


def _conclude(scorer: Scorer, done: Sequence[Scored]) -> None:
    """Print what the batch came to; its failures are the command's."""
    summary = write_summary(done, scorer.out)
    if summary["no_call"]:
        click.echo(
            f"\n{summary['no_call']} of {len(done)} scans got no call; see above for the reasons."
        )
    if scorer.models.simulated:
        click.echo(
            "\nThe models were trained on simulated scans: on a real one this means nothing."
        )
    seconds = summary["seconds"]
    if seconds["median"] is not None:
        click.echo(
            f"\nSeconds: first {seconds['first']:.1f}, others {seconds['median']:.1f} (median), "
            f"{seconds['p95']:.1f} (P95)"
        )
    click.echo(f"\nMasks, maps and pictures: {scorer.out}")
    click.echo(RESEARCH_ONLY)
    if summary["failed"]:
        raise click.ClickException(
            f"{summary['failed']} of {len(done)} scans could not be used; see above"
        )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@env_option
def bundle(folder: Path, env: str | None) -> None:
    """Write the trained models as one folder that scores scans on another machine."""
    bootstrap_project(Path.cwd())
    session: Any = KedroSession.create(Path.cwd(), env=env)
    with session:
        context = session.load_context()
        with working_on(data_folder(context), "bundle", writes=False):
            try:
                models: Models = models_of(context)
                write_bundle(models, folder)
            except CaseError as error:
                raise click.ClickException(str(error)) from error
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    click.echo(f"{folder}: {len(models.parts)} parts, {size / 1e6:.1f} MB")
    click.echo(f"models (SHA-256): {models.sha256}")
    if models.simulated:
        click.echo("The models were trained on simulated scans: on a real one they mean nothing.")
    click.echo(RESEARCH_ONLY)
