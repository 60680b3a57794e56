"""Stops a run in which too many cases fail, before models are trained on what is left of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click import ClickException
from kedro.framework.hooks import hook_impl

from lvo_kedro.datasets import CaseDataset

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol

SETTING = "max_failed_share"
SHOWN = 3
"""Errors that are shown of all."""


class TooManyFailuresError(ClickException):
    """More cases of a step failed than the cohort may lose; shown on the command line as it is."""

    def __init__(self, step: str, failed: dict[str, str], cases: int, limit: float) -> None:
        shown = "\n".join(f"  {case}: {error}" for case, error in list(failed.items())[:SHOWN])
        super().__init__(
            f"{step}: {len(failed)} of {cases} cases failed, more than '{SETTING}' ({limit:g}) in "
            f"conf/local/globals.yml allows; the first:\n\n{shown}\n\n"
            "  What was computed is kept. Correct the cause and start the same run again, or raise "
            "the limit."
        )


class FailureHooks:
    """Compares the share of failed cases of every step with the limit.

    New scans are shown one by one with their errors, and are no cohort.
    """

    def __init__(self) -> None:
        self._limit = 1.0
        self._catalog: CatalogProtocol | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read the limit."""
        self._limit = float(context.config_loader["globals"][SETTING])

    @hook_impl
    def before_pipeline_run(self, catalog: CatalogProtocol) -> None:
        """Remember where the results go."""
        self._catalog = catalog

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Look at the cases of a step that has just been computed."""
        dataset = self._catalog.get(dataset_name) if self._catalog else None
        if not isinstance(dataset, CaseDataset) or dataset_name.startswith("new."):
            return
        cases = dataset.load()
        count = len(cases) + len(cases.failed)
        if len(cases.failed) > self._limit * count:
            raise TooManyFailuresError(dataset_name, cases.failed, count, self._limit)
