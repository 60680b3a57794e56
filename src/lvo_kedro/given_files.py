"""Atlas and starting weights that a user gives are read before anything is computed.

Else each case, or the training after hours of preprocessing, would find out for itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from click import ClickException
from kedro.framework.hooks import hook_impl

from lvo_kedro.errors import AtlasError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

ATLAS: Final = "params:atlas_folder"
DETECTION: Final = "params:detection"
TRAINED: Final[Mapping[str, str]] = {
    "vessel_models": "params:vessel_network",
    "detectors": "params:detector",
    "occlusion_models": "params:occlusion_network",
}
"""Entries of trained networks, and the options of those; a namespace may stand before an entry."""


class GivenFileError(ClickException):
    """A file that a parameter names cannot be used; shown on the command line as it is."""


class GivenFilesHooks:
    """Reads, before a run starts, what its parameters name beside the cohort."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Refuse to start where the atlas, or the weights that a training starts from, are unfit.

        Raises:
            GivenFileError: They are missing, cannot be read or are not what they should be.
        """
        made = {name.rpartition(".")[2] for name in pipeline.all_outputs()}
        networks = {options for entry, options in TRAINED.items() if entry in made}
        needed = pipeline.inputs()
        if DETECTION in needed and not catalog.load(DETECTION).network:
            networks.discard(TRAINED["detectors"])
        try:
            if ATLAS in needed:
                _read_atlas(catalog.load(ATLAS))
            for options in sorted(networks & needed):
                _read_start(catalog.load(options), options.removeprefix("params:"))
        except (AtlasError, ModelError) as error:
            raise GivenFileError(f"{error}; nothing was computed") from error


def _read_atlas(folder: str | None) -> None:
    from lvo_kedro.priors import load_atlas  # noqa: PLC0415 - not for each command

    if folder is None:
        return
    if not Path(folder).is_dir():
        raise AtlasError(
            f"no folder '{Path(folder).name}' as the parameter atlas_folder says",
            "a folder with the files that atlases/README.md names",
            "correct atlas_folder (absolute, or from the project folder), or set it to null for "
            "the embedded atlas",
        )
    load_atlas(folder)


def _read_start(options: Any, block: str) -> None:
    from lvo_kedro.weights import find_start, read_weights  # noqa: PLC0415 - not for each command

    try:
        start = find_start(options.start_from)
        if start is not None:
            read_weights(start).tensors()
    except ModelError as error:
        raise ModelError(f"in {block}: {error.found}", error.expected, error.remedy) from error
