"""``kedro evaluate-infarcts``: does the hemispheric difference show infarcts that were drawn?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from lvo_kedro.disk import storage_error
from lvo_kedro.errors import CaseError
from lvo_kedro.hooks import data_folder
from lvo_kedro.infarct_evaluation import InfarctEvaluationOptions, evaluate_infarcts
from lvo_kedro.lock import working_on
from lvo_kedro.priors import load_atlas
from lvo_kedro.vocabulary import RESEARCH_ONLY

_OPTIONS = ("scan_limits", "brain_mask", "priors", "infarcts")


@click.command("evaluate-infarcts")
@click.option("--env", "-e", default="cpaisd", show_default=True, help="Configuration.")
def infarcts_command(env: str) -> None:
    """Measure the hemispheric difference in the infarcts of 01_raw/infarcts.csv.

    Writes 08_reporting/infarcts/cases.csv and summary.csv. Ends with status 1 where a case failed.
    """
    project = Path.cwd()
    bootstrap_project(project)
    session: Any = KedroSession.create(project, env=env)
    with session:
        context = session.load_context()
        data, given = data_folder(context), context.params
    out = data / "08_reporting" / "infarcts"
    try:
        chosen = {name: given[name] for name in _OPTIONS if name in given}
        options = InfarctEvaluationOptions(**chosen)
        atlas = load_atlas(Path(given["atlas_folder"]) if given["atlas_folder"] else None)
        with working_on(data, "evaluate-infarcts", writes=True):
            found = evaluate_infarcts(data / "01_raw", out, atlas, options, _told)
    except CaseError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        known = storage_error(error, out)
        raise known or click.ClickException(f"the system says: {error.strerror}") from error
    for row in found.summary.to_dict("records"):
        limits = f"{row['low']:.3f} to {row['high']:.3f}"
        click.echo(f"{row['metric']:<28} {row['value']:8.3f} ({limits}), n = {row['n']}")
    for case, why in found.failed.items():
        click.echo(f"  failed: {case}: {why}")
    click.echo(f"{len(found.cases)} cases in {out}")
    if "source" in found.cases and found.cases["source"].str.endswith("-simulated").any():
        click.echo("SIMULATED: these numbers support no statement about patients")
    click.echo(RESEARCH_ONLY)
    if found.failed:
        raise click.ClickException(f"{len(found.failed)} cases failed")


def _told(done: int, of: int) -> None:
    if done == of or done % max(1, of // 20) == 0:
        click.echo(f"{done} of {of} cases", err=True)
