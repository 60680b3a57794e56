"""Everything that a new scan is scored with: trained models, definitions, parameters, figures.

It comes from a project's own data folder (:func:`models_of`) or from a bundle
(:mod:`lvo_kedro.scoring.bundle`); who scores need not know which.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kedro.framework.project import pipelines
from kedro.io import CatalogConfigResolver, DataCatalog

from lvo_kedro.artifacts import digest_of, sha256_of
from lvo_kedro.datasets.cases import INDEX
from lvo_kedro.datasets.records import RECORD, read_record
from lvo_kedro.errors import ModelError
from lvo_kedro.scoring.figures import training_figures
from lvo_kedro.tracking import package_versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedro.framework.context import KedroContext
    from kedro.pipeline import Pipeline

PIPELINE: Final = "inference"
"""The one definition of what happens to a new scan."""
PREFIX: Final = "params:"
ATLAS: Final = "atlas_folder"
LOCAL: Final = ("metadata", "threads", "workers", "scheduler", "credentials", "versioned")
"""What a catalog says of the machine, not of the data."""
TRAINING: Final = {"start_from": None}
"""Options of a network that its training alone needs, and that name a user's file."""

Definition = dict[str, Any]
"""A catalog entry; its place is relative: to the models, or to the folder of one scan."""


@dataclass(frozen=True)
class Models:
    """What scores new scans.

    Attributes:
        trained: Catalog entry of each trained part; their places are absolute.
        scan: Catalog entry of what is computed for a scan; their places are names in its folder.
        parameters: Those that the pipeline takes, in plain values.
        figures: What the models were worth, of :func:`~lvo_kedro.scoring.figures.training_figures`.
        parts: SHA-256 of each file of the models, by its place in a bundle.
        versions: Of the packages that trained them.
        source: Where they come from: ``environment``, ``bundle`` or ``run``.
    """

    trained: Mapping[str, Definition]
    scan: Mapping[str, Definition]
    parameters: Mapping[str, Any]
    figures: Mapping[str, Any]
    parts: Mapping[str, str]
    versions: Mapping[str, str] = field(default_factory=dict)
    source: str = "environment"

    @property
    def sha256(self) -> str:
        """One digest of all parts and parameters, the same wherever they lie."""
        parameters = {name: v for name, v in self.parameters.items() if name != ATLAS}
        return digest_of([dict(sorted(self.parts.items())), parameters])

    @property
    def simulated(self) -> bool:
        """Whether they were trained on simulated scans."""
        return bool(self.figures["cohort"]["simulated"])


def models_of(context: KedroContext) -> Models:
    """Return the trained models of a project's environment, as they lie in its data folder.

    Args:
        context: Of a Kedro session.

    Raises:
        ModelError: One of them was never trained.
    """
    loader: Any = context.config_loader
    resolver = CatalogConfigResolver(
        loader["catalog"], default_runtime_patterns=DataCatalog.default_runtime_patterns
    )
    steps: Pipeline = pipelines[PIPELINE]
    project = Path(context.project_path)
    trained = {}
    for name in sorted(trained_inputs(steps)):
        place, definition = _entry(resolver, name)
        if not context.catalog.exists(name):
            raise ModelError(
                f"no trained '{name}'",
                "the results of a training",
                "run 'kedro run' first, or name a bundle with --models",
            )
        trained[name] = definition | {place: str((project / definition[place]).resolve())}
    scan = {}
    for name in sorted(steps.all_outputs()):
        place, definition = _entry(resolver, name)
        scan[name] = definition | {place: Path(definition[place]).name}
    parameters = _parameters(loader["parameters"], steps, project)
    files = files_of_models(trained, parameters)
    return Models(
        trained,
        scan,
        parameters,
        training_figures(context.catalog),
        {name: sha256_of(path) for name, path in files.items()},
        package_versions(),
    )


def trained_inputs(steps: Pipeline) -> set[str]:
    """Return the entries that a pipeline takes over from training."""
    return {name for name in steps.inputs() if not name.startswith(PREFIX)}


def place_of(definition: Definition) -> str:
    """Return which key of a catalog entry says where it lies."""
    return "filepath" if "filepath" in definition else "path"


def _entry(resolver: CatalogConfigResolver, name: str) -> tuple[str, Definition]:
    definition = resolver.config.get(name) or resolver.resolve_pattern(name)
    if not definition:
        raise ModelError(
            f"no catalog entry for '{name}'", "a file for each result", "add it to conf/base"
        )
    kept = {key: value for key, value in definition.items() if key not in LOCAL}
    return place_of(kept), kept


def _parameters(given: Mapping[str, Any], steps: Pipeline, project: Path) -> dict[str, Any]:
    """Return the parameters that the pipeline takes, but for the scans."""
    asked = {n.removeprefix(PREFIX).split(".")[0] for n in steps.inputs() if n.startswith(PREFIX)}
    taken = {name: given[name] for name in sorted(asked - {"new_scans"})}
    for name, value in taken.items():
        if isinstance(value, dict) and "start_from" in value:
            taken[name] = value | TRAINING
    if taken.get(ATLAS):
        taken[ATLAS] = str((project / taken[ATLAS]).resolve())
    return taken


def files_of_models(
    trained: Mapping[str, Definition], parameters: Mapping[str, Any]
) -> dict[str, Path]:
    """Return every file that scoring reads, by its place in a bundle.

    Args:
        trained: Entries with absolute places.
        parameters: With the folder of the user's own atlas, if there is one.
    """
    files = {}
    for definition in trained.values():
        path = Path(definition[place_of(definition)])
        for file in [path] if path.is_file() else _files_of_folds(path):
            files[f"models/{file.relative_to(path.parent).as_posix()}"] = file
    if parameters.get(ATLAS):
        folder = Path(parameters[ATLAS])
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                files[f"atlas/{file.relative_to(folder).as_posix()}"] = file
    return files


def _files_of_folds(folder: Path) -> list[Path]:
    """Return the list of folds, and the files that the record of each one names."""
    files = [folder / INDEX]
    for record in sorted(folder.glob(f"*/{RECORD}")):
        written = read_record(record.parent).get("written", {})
        files += [record, *(record.parent / name for name in sorted(written))]
    return files
