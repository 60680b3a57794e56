"""``kedro export-annotations`` and ``kedro take-annotations``: what a person makes of proposals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from lvo_kedro.annotation import export_proposal, read_cta, write_colours
from lvo_kedro.errors import CaseError, TableError
from lvo_kedro.hooks import data_folder
from lvo_kedro.imported_cohort import TABLE, write_table
from lvo_kedro.lock import working_on
from lvo_kedro.taken_annotations import Proposed, Taken, take_annotations
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    import nibabel as nib

_env = click.option("--env", "-e", default=None, help="Configuration, such as demo.")
_FOLDER = click.Path(file_okay=False, path_type=Path)


class Proposals(dict[str, Any]):
    """The proposals of a data folder, by case; each is read when it is asked for."""

    def __init__(self, catalog: Any) -> None:
        self._scans = catalog.load("scans")
        super().__init__(catalog.load("cta_annotations"))

    def __getitem__(self, case: str) -> Proposed:
        found = super().__getitem__(case)
        images = (found["vessel_labels"], found["occlusion_mask"])
        return Proposed(self._scans[case]["ncct"], *images, found["record"])


@click.command("export-annotations")
@click.argument("cases", nargs=-1, required=True)
@click.option("--to", type=_FOLDER, required=True, help="Folder for the files.")
@_env
def export_command(cases: tuple[str, ...], to: Path, env: str | None) -> None:
    """Write scans, angiographies and proposed labels of CASES for 3D Slicer and ITK-SNAP.

    Save a correction under the name of the file that was written.
    """
    catalog, data = _data(env)
    with working_on(data, "export-annotations", writes=False):
        proposals, cohort = Proposals(catalog), catalog.load("cohort").set_index("case_id")
        unknown = [case for case in cases if case not in proposals]
        if unknown:
            raise click.ClickException(f"no proposal for {', '.join(unknown)}")
        for case in cases:
            try:
                cta = read_cta(Path(cohort.at[case, "cta"]))
                _export(to / case, proposals[case], cta)
            except CaseError as error:
                raise click.ClickException(f"{case}: {error}") from error
        write_colours(to)
    click.echo(f"{len(cases)} cases in {to}")
    click.echo("colours: labels.ctbl for 3D Slicer, labels.txt for ITK-SNAP")


def _export(folder: Path, proposal: Proposed, cta: nib.Nifti1Image) -> None:
    images = {
        "ncct": proposal.ncct,
        "vessel_labels": proposal.vessel_labels,
        "occlusion_mask": proposal.occlusion_mask,
    }
    export_proposal(folder, images, cta, np.array(proposal.record["cta_matrix"], dtype=float))


@click.command("take-annotations")
@click.argument("decisions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--corrected", type=_FOLDER, help="Folder of corrected files.")
@_env
def take_command(decisions: Path, corrected: Path | None, env: str | None) -> None:
    """Take accepted and corrected vessel labels into the cohort, as DECISIONS (CSV) says.

    Labels go to 01_raw/annotations, cases.csv names them. What a person corrected is never replaced
    by a proposal. Ends with status 1 where a decision could not be carried out.
    """
    catalog, data = _data(env)
    with working_on(data, "take-annotations", writes=True):
        taken = _take(decisions, corrected, catalog, data / "01_raw")
    for kind, count in taken.counts.items():
        click.echo(f"{count:6d} {kind}")
    for case, name in taken.named.items():
        click.echo(f"{case}: cases.csv now says {name}, by the accepted clot")
    for case, problem in taken.problems.items():
        click.echo(f"  {case}: {problem}")
    click.echo(RESEARCH_ONLY)
    if taken.problems:
        raise click.ClickException(f"{len(taken.problems)} decisions were not carried out")


def _take(decisions: Path, corrected: Path | None, catalog: Any, folder: Path) -> Taken:
    try:
        chosen = pd.read_csv(decisions, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise click.ClickException(f"{decisions.name} is no CSV table: {error}") from error
    try:
        taken = take_annotations(
            chosen, Proposals(catalog), catalog.load("cases"), folder, corrected
        )
    except TableError as error:
        raise click.ClickException(str(error)) from error
    write_table(folder / TABLE, taken.table)
    return taken


def _data(env: str | None) -> tuple[Any, Path]:
    """Return the catalog and the data folder of the project here."""
    project = Path.cwd()
    bootstrap_project(project)
    session: Any = KedroSession.create(project, env=env)
    with session:
        context = session.load_context()
        return context.catalog, data_folder(context)
