"""``kedro import-studies``: from an export of an archive to a cohort."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lvo_kedro.disk import storage_error
from lvo_kedro.errors import CaseError
from lvo_kedro.imported_cohort import ROWS, TABLE, Cohort, cohort_of, page_lines, write_table
from lvo_kedro.lock import working_on
from lvo_kedro.progress import Clock, Step, duration
from lvo_kedro.reporting.import_page import write_import_page
from lvo_kedro.studies import (
    ChoiceOptions,
    Imported,
    ImportOptions,
    LabelMapping,
    Pseudonyms,
    Wanted,
    choices_table,
    import_studies,
    join_labels,
    read_choices,
    read_label_table,
    read_mapping,
    read_secret,
    write_link_table,
)
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from lvo_kedro.studies.labels import Joined

SECRET = Path.home() / ".lvo_kedro" / "secret"
CHOICES = "choices.csv"
IMPORT = "import"
"""Folder of what the import writes beside the scans."""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW = click.Path(dir_okay=False, path_type=Path)


@click.command("import-studies")
@click.argument("exports", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--labels", type=_FILE, help="Spreadsheet of labels (CSV, Excel).")
@click.option("--mapping", type=_FILE, help="Which column of it holds what (YAML).")
@click.option("--series", multiple=True, help="SeriesInstanceUID of a plain scan; repeatable.")
@click.option("--choices", type=_FILE, help="choices.csv with your choices, if not in its place.")
@click.option(
    "--secret",
    type=_NEW,
    default=SECRET,
    show_default="~/.lvo_kedro/secret",
    help="Key of the ids, outside the data folder; made if it is not there.",
)
@click.option("--link-table", type=_NEW, help="Where to write which id is which study.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data/01_raw"),
    show_default=True,
    help="Folder of the cohort.",
)
@click.option(
    "--split",
    type=click.Choice(["development", "external"]),
    help="Of studies whose label names none.  [default: development]",
)
@click.option("--age-and-sex", is_flag=True, help="Keep age band and sex from the headers.")
@click.option("--deface", is_flag=True, help="Take the face off the written scans.")
@click.option("--headers-only", is_flag=True, help="Choose without looking at pixels: quicker.")
@click.option("--forget", is_flag=True, help="Remove the index at the end; then nothing resumes.")
def import_command(exports: tuple[Path, ...], out: Path, **given: Any) -> None:
    """Make a cohort of an export: folders, DICOMDIR, zip, tar, BIDS or NIfTI.

    Chooses the plain head CT of every study (and its angiography), writes it without names, joins
    labels, and writes cases.csv, import/choices.csv to edit and import/import.html to look at.
    Ends with status 1 where a study failed or a person must decide; all others are imported.
    """
    if given["mapping"] and not given["labels"]:
        raise click.UsageError("--mapping says how to read --labels, which is missing")
    data = out.resolve().parent if out.name == "01_raw" else out.resolve()
    try:
        with working_on(data, "import-studies", writes=True):
            imported, cohort, joined = _import(exports, out.resolve(), data, given)
    except CaseError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # its own words name a file of the export
        known = storage_error(error, data)
        raise known or click.ClickException(f"the system says: {error.strerror}") from None
    waiting = _report(imported, cohort, joined, out, labelled=bool(given["labels"]))
    if waiting:
        raise click.ClickException(f"{waiting} studies wait for you; see import/import.html")


def _import(
    exports: tuple[Path, ...], out: Path, data: Path, given: dict[str, Any]
) -> tuple[Imported, Cohort, Joined | None]:
    names = Pseudonyms(read_secret(given["secret"], data))
    chosen = _chosen(out, given["choices"])
    table = read_label_table(given["labels"]) if given["labels"] else None
    mapping = read_mapping(given["mapping"]) if given["mapping"] else LabelMapping()
    if given["split"]:
        mapping = mapping.model_copy(update={"split": given["split"]})
    work = given["secret"].resolve().parent / "imports" / _name_of(exports, out)
    imported = import_studies(
        exports,
        out,
        work,
        names,
        options=ImportOptions(
            choice=ChoiceOptions(look_at_pixels=not given["headers_only"]), deface=given["deface"]
        ),
        wanted=Wanted(chosen, frozenset(given["series"])),
        told=_told(),
    )
    joined = None if table is None else join_labels(table, mapping, imported.studies)
    labels = None if joined is None else joined.labels
    cohort = cohort_of(imported, labels, out, with_age_and_sex=given["age_and_sex"])
    _write(imported, cohort, joined, out, chosen)
    if given["link_table"]:
        write_link_table(given["link_table"], _links(imported), data)
    if given["forget"]:
        for path in work.iterdir():
            path.unlink()
        work.rmdir()
    return imported, cohort, joined


def _name_of(exports: tuple[Path, ...], out: Path) -> str:
    """Name of the folder of an index: the same export into the same cohort finds it again."""
    paths = [str(out), *sorted(str(export.resolve()) for export in exports)]
    return hashlib.sha256("\n".join(paths).encode()).hexdigest()[:16]


def _chosen(out: Path, given: Path | None) -> dict[tuple[str, str], str]:
    """Return what a person chose, here and in the table that is there already."""
    own = out / IMPORT / CHOICES
    chosen = read_choices(own) if own.is_file() else {}
    return chosen | (read_choices(given) if given else {})


def _write(
    imported: Imported,
    cohort: Cohort,
    joined: Joined | None,
    out: Path,
    chosen: dict[tuple[str, str], str],
) -> None:
    folder = out / IMPORT
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / CHOICES, choices_table(imported.outcomes, chosen))
    if joined is not None and not cohort.table.empty:
        write_table(out / TABLE, cohort.table)
        write_table(out / ROWS, cohort.made)
    problems = [] if joined is None else [f"labels: {problem}" for problem in joined.problems]
    problems += [
        f"{count} file(s) passed over: {why}" for why, count in imported.passed_over.items()
    ]
    simulated = any(outcome.simulated for outcome in imported.outcomes)
    write_import_page(folder, page_lines(imported, cohort, out), problems, simulated=simulated)


def _links(imported: Imported) -> pd.DataFrame:
    patients = [outcome.patient_id for outcome in imported.outcomes]
    table = imported.studies.drop(columns="patient_key")
    return table.rename(columns={"patient_id": "dicom_patient_id"}).assign(patient_id=patients)


def _told() -> Callable[[str, int, int], None]:
    """Say how far the import is, in one line where a person looks on."""
    clock = Clock((Step("import", "index"), Step("import", "choose")))
    lively = sys.stderr.isatty()

    def told(step: str, done: int, of: int) -> None:
        if clock.step is None or clock.step.node != step:
            clock.begin(step)
        clock.advance(done / of if of else 0.0)
        left = clock.left().step
        words = f"{done} files indexed" if step == "index" else f"{done} of {of} studies"
        words += f", {duration(left)} left" if of and left is not None else ""
        if lively:
            click.echo(f"\r{words:<60}", nl=done == of, err=True)
        elif step == "index" or done == of or done % max(1, of // 20) == 0:
            click.echo(words, err=True)

    return told


def _report(
    imported: Imported, cohort: Cohort, joined: Joined | None, out: Path, *, labelled: bool
) -> int:
    """Print what became of the export; return how many studies wait for a person."""
    states = Counter(outcome.state for outcome in imported.outcomes)
    words = {"written": "written", "undecided": "to be decided by you (import/choices.csv)",
             "failed": "failed", "none": "without a plain head CT"}  # fmt: skip
    for state, said in words.items():
        if states[state]:
            click.echo(f"{states[state]:6d} studies {said}")
    for outcome in imported.outcomes:
        for problem in outcome.problems:
            click.echo(f"  {outcome.case_id}: {problem}")
    for why, count in imported.passed_over.items():
        click.echo(f"{count:6d} files passed over: {why}")
    if joined is not None:
        for row in joined.problems:
            click.echo(f"  labels: {row}")
    reasons = Counter(cohort.left_out.values())
    for why, count in sorted(reasons.items()):
        click.echo(f"{count:6d} studies not in {TABLE}: {why}")
    if not labelled:
        click.echo(f"{TABLE} takes labels: run again with --labels; nothing is read twice")
    click.echo(f"{len(cohort.table):6d} cases in {out / TABLE}")
    click.echo(f"What was chosen and why: {out / IMPORT / 'import.html'}")
    click.echo(RESEARCH_ONLY)
    return states["failed"] + states["undecided"]
