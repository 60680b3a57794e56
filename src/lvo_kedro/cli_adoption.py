"""``kedro adopt``: from a public cohort as it was downloaded to a cohort folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from pydantic import ValidationError

from lvo_kedro.adopted_cohort import DERIVATIONS, SOURCES, Adopted, adopt_cohort
from lvo_kedro.adopted_files import CaseWriter
from lvo_kedro.adopted_material import Gathered, gather_material
from lvo_kedro.adoption import Material, adapter_named, verify_checksums
from lvo_kedro.disk import storage_error
from lvo_kedro.errors import CaseError
from lvo_kedro.hooks import data_folder
from lvo_kedro.imported_cohort import TABLE
from lvo_kedro.lock import working_on
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvo_kedro.adoption import Adapter

RAW = "01_raw"
"""Folder of the cohort, below the data folder."""


@click.command("adopt")
@click.argument("name")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the cohort.  [default: 01_raw in the data folder of conf/NAME]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Another rule than the default one; repeatable (docs/public_cohorts.md).",
)
@click.option("--link", is_flag=True, help="Link files where possible: saves space.")
def adopt_command(name: str, folder: Path, out: Path | None, **given: Any) -> None:
    """Make a cohort of FOLDER, the public cohort NAME as it was downloaded and unpacked.

    Nothing in FOLDER is changed. Writes cases.csv, adoption.csv (why each label is what it is) and
    source.json (licence). Ends with status 1 where a subject failed; all others are adopted.
    """
    try:
        adapter = adapter_named(name).at(folder)
        options = _options(adapter, given["settings"])
        _introduce(adapter)
        out = (out or _default_folder(name)).resolve()
        _check_apart(folder, out)
        data = out.parent if out.name == RAW else out
        with working_on(data, f"adopt {name}", writes=True):
            found = _find(adapter, folder, options)
            out.mkdir(parents=True, exist_ok=True)
            if isinstance(adapter, Material):
                gathered = gather_material(adapter, found, options, out, _told())
                failed = _report_gathered(gathered, out / adapter.table)
            else:
                writer = CaseWriter(adapter, found, options, out, given["link"])
                adopted = adopt_cohort(writer, _told())
                failed = _report(adopted, out)
    except CaseError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        known = storage_error(error, out or Path.cwd())
        raise known or click.ClickException(f"the system says: {error.strerror}") from error
    if failed:
        raise click.ClickException(f"{failed} subjects failed; see the reasons above")


def _find(adapter: Adapter | Material, folder: Path, options: Any) -> Any:
    """Verify a folder where it can be verified, and say what was found in it."""
    verified = verify_checksums(folder, lambda file: click.echo(f"checksum of {file}", err=True))
    archive = adapter.find(folder, options)
    if verified:
        click.echo(f"{len(verified)} files are as checksums.md5 lists them")
    else:
        click.echo("no checksums.md5 in the folder: the download was not verified")
    click.echo(f"found: {archive.version}, {len(archive.subjects)} subjects")
    for note in archive.notes:
        click.echo(f"  {note}")
    return archive


def _options(adapter: Adapter | Material, settings: tuple[str, ...]) -> Any:
    given = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set {setting}: write OPTION=VALUE")
        read = yaml.safe_load(value)
        # centres are words, although they look like numbers
        given[name] = [str(item) for item in read] if isinstance(read, list) else read
    try:
        return adapter.options(**given)
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(sorted(adapter.options.model_fields)) or "none"
        where = ".".join(map(str, first["loc"]))
        raise click.UsageError(f"--set {where}: {first['msg']}. Options: {known}") from error


def _default_folder(name: str) -> Path:
    """Return the cohort folder that the configuration of a public cohort names."""
    project = Path.cwd()
    if not (project / "conf" / name).is_dir():
        raise click.UsageError(f"no conf/{name} here: name the folder of the cohort with --out")
    bootstrap_project(project)
    session: Any = KedroSession.create(project, env=name)
    with session:
        return data_folder(session.load_context()) / RAW


def _check_apart(folder: Path, out: Path) -> None:
    if out.is_relative_to(folder.resolve()):
        raise click.UsageError(
            f"{out} lies in the archive, which stays as it is: use another --out"
        )


def _introduce(adapter: Adapter | Material) -> None:
    source = adapter.source
    click.echo(f"{source.title}, {source.licence}")
    for record in source.records:
        click.echo(f"  {record}")
    click.echo(f"Attribution: {source.attribution}")
    if source.citation:
        click.echo(f"Cite: {source.citation}")
    click.echo(f"This adapter was checked against: {source.checked}")


def _told() -> Callable[[int, int], None]:
    """Say how far it is, in one line where a person looks on."""
    lively = sys.stderr.isatty()

    def told(done: int, of: int) -> None:
        words = f"{done} of {of} subjects"
        if lively:
            click.echo(f"\r{words:<40}", nl=done == of, err=True)
        elif done == of or done % max(1, of // 20) == 0:
            click.echo(words, err=True)

    return told


def _report(adopted: Adopted, out: Path) -> int:
    """Print what became of the cohort and what a person should look at; return what failed."""
    for column in ("split", "side", "segment", "rule"):
        counts = ", ".join(f"{word} {count}" for word, count in adopted.counts(column).items())
        click.echo(f"{column + ':':<9} {counts}")
    for row in adopted.derivations.to_dict("records"):
        if row.get("missing"):
            click.echo(f"  {row['case_id']} lacks {row['missing']}")
    for row in adopted.derivations.to_dict("records"):
        if row.get("review_by_eye"):
            click.echo(f"  review by eye: {row['case_id']} ({row['review_by_eye']})")
    for subject, why in adopted.failed.items():
        click.echo(f"  failed: {subject}: {why}")
    if adopted.changed_by_hand:
        click.echo(f"{len(adopted.changed_by_hand)} cases keep what was changed by hand in {TABLE}")
    if adopted.kept:
        click.echo(f"{adopted.kept:6d} cases were there already")
    click.echo(f"{len(adopted.table):6d} cases in {out / TABLE}")
    click.echo(f"Why each label is what it is: {out / DERIVATIONS}; licence: {out / SOURCES}")
    click.echo(RESEARCH_ONLY)
    return len(adopted.failed)


def _report_gathered(gathered: Gathered, table: Path) -> int:
    """Print what became of data that are no cohort; return how many subjects failed."""
    for subject, why in gathered.left_out.items():
        click.echo(f"  left out: {subject}: {why}")
    for subject, why in gathered.failed.items():
        click.echo(f"  failed: {subject}: {why}")
    if gathered.kept:
        click.echo(f"{gathered.kept:6d} were there already")
    click.echo(f"{len(gathered.rows):6d} in {table}; licence: {table.with_name(SOURCES)}")
    click.echo(RESEARCH_ONLY)
    return len(gathered.failed)
