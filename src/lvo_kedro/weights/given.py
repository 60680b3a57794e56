"""Weights that are given: where they lie, what is known about them, their tensors.

What is known comes from the file that describes them: ``manifest.json`` (nnU-Net, trained here),
``model.json`` (a detector trained here), ``dataset.json`` (nnU-Net's own) or the header of a
safetensors file. Errors know weights by their last name: folders above it may name a patient.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from lvo_kedro.artifacts import sha256_of
from lvo_kedro.errors import ModelError
from lvo_kedro.weights.checkpoints import read_checkpoint, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvo_kedro.options import StartOptions
    from lvo_kedro.vocabulary import Target

Kind = Literal["segmentation", "detection"]

SHIPPED: Final = Path(__file__).parent
"""Folder of the weights that come with this package."""

SUFFIX: Final = ".safetensors"
_FINAL = "checkpoint_final.pth"
_MANIFEST, _DATASET, _PLANS = "manifest.json", "dataset.json", "plans.json"
_DETECTOR, _CARD = "model.safetensors", "model.json"


class Start(NamedTuple):
    """Where given weights lie. It counts by the files' content, wherever they are.

    Attributes:
        tensors: The file with the weights.
        description: The file that says what they are, where it is another one.
        leave_out: Whether layers that do not fit may be left out.
    """

    tensors: Path
    description: Path | None = None
    leave_out: bool = False

    @property
    def name(self) -> str:
        """What errors and records call the weights: the name of the file or the model folder."""
        return self.tensors.name if self.description is None else self.description.parent.name


@dataclass(frozen=True)
class Weights:
    """Given weights and what is known about them.

    Attributes:
        start: Where they lie.
        sha256: Of the file with the weights.
        kind: Of network; None where nothing says.
        labels: Names of the labels in the order of their values, without background; None where
            nothing says, or there are none.
        channels: Names of the channels, in order; None where nothing says.
        spacing_mm: Edge of the voxels that the network was shown; None where nothing says.
        trained_on: Content hash (None where unknown) of each scan that they were trained on, by
            case id, with those of the weights that they started from.
        statement: On what they were trained, in words, where the cases alone do not say.
        architecture: Of the network, for those who want to train one that fits.
        target: What a detector answers; those of which nothing says are older than the choice.
    """

    start: Start
    sha256: str
    kind: Kind | None = None
    labels: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    spacing_mm: float | None = None
    trained_on: Mapping[str, str | None] = field(default_factory=dict)
    statement: str = ""
    architecture: Mapping[str, Any] = field(default_factory=dict)
    target: Target = "case"

    @property
    def name(self) -> str:
        """See :attr:`Start.name`."""
        return self.start.name

    @property
    def identity(self) -> dict[str, Any]:
        """What a training that starts from them depends on."""
        return {"sha256": self.sha256, "leave_out": self.start.leave_out}

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights on the CPU, by name; half precision is widened to float32.

        Raises:
            ModelError: The file cannot be read, or holds what could run code.
        """
        load = _load_safetensors if self.start.tensors.suffix == SUFFIX else _load_checkpoint
        content = load(self.start)
        return {
            name.removeprefix("module."): value.float() if value.is_floating_point() else value
            for name, value in content.items()
        }


def find_start(options: StartOptions | None) -> Start | None:
    """Return where the weights lie that a training is to start from; None where it is not.

    Args:
        options: ``start_from`` of a network's options.

    Raises:
        ModelError: No such weights, a folder of no known kind, or another sha256 than given.
    """
    if options is None:
        return None
    path = Path(options.weights)
    if path.name == options.weights and not path.suffix:
        path = SHIPPED / f"{options.weights}{SUFFIX}"
        if not path.is_file():
            shipped = ", ".join(shipped_names()) or "none"
            raise ModelError(
                f"start_from '{options.weights}', and no weights of this name in the package",
                f"one of the shipped weights ({shipped}), or a path",
                f"correct the name; a folder of the project is ./{options.weights}",
            )
    start = _locate(path.absolute())._replace(leave_out=options.leave_out)
    if options.sha256 is not None:
        found, expected = sha256_of(start.tensors), options.sha256.lower()
        if found != expected:
            raise ModelError(
                f"start_from '{start.name}' with sha256 {found}",
                f"sha256 {expected}, as the options say",
                "get the right file, or correct start_from.sha256 if this is the one you mean",
            )
    return start


def shipped_names() -> list[str]:
    """Return the names of the weights that come with this package."""
    return sorted(path.stem for path in SHIPPED.glob(f"*{SUFFIX}"))


def read_weights(start: Start) -> Weights:
    """Read what is known about given weights; their tensors are read when they are asked for.

    A model folder's files must be those that it lists.

    Args:
        start: Of :func:`find_start`.

    Returns:
        Shapes, labels, channels, the cases that they were trained on, sha256.

    Raises:
        ModelError: A file is missing, unreadable or altered.
    """
    described = None if start.description is None else start.description.name
    reader = {_MANIFEST: _from_manifest, _CARD: _from_card, _DATASET: _from_dataset}
    try:
        digest = sha256_of(start.tensors)
        known = reader[described](start, digest) if described else _from_header(start)
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"start_from '{start.name}' whose {described or 'header'} cannot be read "
            f"({type(error).__name__})",
            "a description as this project or nnU-Net writes it",
            "copy the whole model again",
        ) from error
    return Weights(start, digest, **known)


def _locate(path: Path) -> Start:
    """Find the weights that a path means, and the file that describes them."""
    if path.name == _DETECTOR and (path.parent / _CARD).is_file():
        path = path.parent  # a detector's own file: its card knows what it was trained on
    if path.is_file() and path.suffix == SUFFIX:
        return Start(path)
    if (path / _CARD).is_file():
        return _whole(Start(path / _DETECTOR, path / _CARD))
    if (path / _MANIFEST).is_file():
        return _whole(Start(_own_checkpoint(path), path / _MANIFEST))
    folds = [path] if (path / _FINAL).is_file() else sorted(path.glob(f"fold_*/{_FINAL}"))
    folder = path.parent if folds == [path] else path
    if (folder / _MANIFEST).is_file():
        return _locate(folder)
    described = (folder / _DATASET).is_file() and (folder / _PLANS).is_file()
    if len(folds) == 1 and described:
        return Start(folder / folds[0].relative_to(folder).parts[0] / _FINAL, folder / _DATASET)
    found = "that is not there"
    if path.exists():
        found = f"with {len(folds)} trained folds" if described else "of no known kind"
    raise ModelError(
        f"start_from '{path.name}' {found}",
        f"a model folder of this project ({_MANIFEST} or {_CARD}), an nnU-Net model folder "
        f"({_PLANS}, {_DATASET} and one fold_* with {_FINAL}) or such a fold, or a "
        f"{SUFFIX} file",
        "correct start_from.weights: an absolute path, or one from the project folder",
    )


def _own_checkpoint(folder: Path) -> Path:
    try:
        fold = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["fold"]
    except (OSError, ValueError, KeyError, TypeError):
        fold = "?"
    return folder / f"fold_{fold}" / _FINAL


def _whole(start: Start) -> Start:
    if not start.tensors.is_file():
        raise ModelError(
            f"start_from '{start.name}' without {start.tensors.name}",
            "a model folder with its weights",
            "train it to its end, or copy the whole folder again",
        )
    return start


def _read_json(path: Path | None) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path else None


def _refuse_altered(start: Start, wrong: list[str]) -> None:
    if wrong:
        raise ModelError(
            f"start_from '{start.name}' whose {', '.join(wrong)} is missing or was altered",
            "the files (sha256) that its description lists",
            "copy the whole folder again, or train it again",
        )


def _from_manifest(start: Start, digest: str) -> dict[str, Any]:
    manifest, folder = _read_json(start.description), start.tensors.parent.parent
    listed = {name: folder / name for name in sorted(manifest["files"])}
    own = start.tensors.relative_to(folder).as_posix()
    found = {n: sha256_of(p) if n != own else digest for n, p in listed.items() if p.is_file()}
    wrong = [name for name in listed if found.get(name) != manifest["files"][name]]
    _refuse_altered(start, wrong if own in listed else [own, *wrong])
    options, labels = manifest["options"], manifest["labels"]
    plans = _read_json(folder / _PLANS)
    return {
        "kind": "segmentation",
        "labels": tuple(sorted(labels, key=labels.__getitem__)),
        "channels": tuple(options["channel_names"]),
        "spacing_mm": options.get("spacing_mm", options.get("spacing")),  # as it once was named
        "trained_on": _cases(manifest, manifest["training_cases"]),
        "statement": manifest.get("start", {}).get("statement", ""),
        "architecture": plans["configurations"][manifest["configuration"]]["architecture"],
    }


def _from_card(start: Start, digest: str) -> dict[str, Any]:
    card = _read_json(start.description)
    _refuse_altered(start, [start.tensors.name] if digest != card["sha256"] else [])
    training = card["training"]
    seen = training["train"]
    if training["options"]["selection"] != "last":
        seen = [*seen, *training["chosen_on"]]
    return {
        "kind": "detection",
        "channels": tuple(card["input"]["channels"]),
        "spacing_mm": card["input"]["spacing_mm"],
        "trained_on": _cases(card, seen),
        "statement": card.get("start", {}).get("statement", ""),
        "architecture": card["network"],
        "target": card.get("target", "case"),
    }


def _cases(record: Mapping[str, Any], ids: list[str]) -> dict[str, str | None]:
    """Return the hash of each case; models trained before hashes were kept know ids alone."""
    return dict(record.get("trained_on") or dict.fromkeys(ids))


def _from_dataset(start: Start, _: str) -> dict[str, Any]:
    labels, channels = names_of(_read_json(start.description))
    return {
        "kind": "segmentation",
        "labels": labels,
        "channels": channels,
        "statement": "not recorded: nnU-Net does not list the cases",
    }


def names_of(dataset: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of labels (without background) and channels of nnU-Net's dataset.json."""
    labels, channels = dataset["labels"], dataset["channel_names"]
    names = [name for name in labels if name not in ("background", "ignore")]
    if all(isinstance(labels[name], int) for name in names):  # else regions, in their order
        names = sorted(names, key=labels.__getitem__)
    return tuple(names), tuple(channels[number] for number in sorted(channels, key=int))


def _from_header(start: Start) -> dict[str, Any]:
    try:
        with safe_open(str(start.tensors), framework="pt") as file:
            header = file.metadata() or {}
    except SafetensorError as error:
        raise _unreadable(start, error) from error
    if "kind" not in header:
        return {"statement": "not recorded: a file of weights alone"}
    known = {name: json.loads(header[name]) for name in header if name in _HEADER}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in known.items()}


_HEADER = (
    *("kind", "labels", "channels", "spacing_mm", "trained_on", "statement", "architecture"),
    "target",
)
"""What the header of a safetensors file that was written here says, each as JSON."""


def _load_safetensors(start: Start) -> dict[str, Tensor]:
    try:
        content: dict[str, Tensor] = load_file(str(start.tensors))
    except (OSError, SafetensorError) as error:
        raise _unreadable(start, error) from error
    return content


def _load_checkpoint(start: Start) -> dict[str, Tensor]:
    content = read_checkpoint(start.tensors, f"start_from '{start.name}'")
    weights = content.get("network_weights") if isinstance(content, dict) else None
    tensors = isinstance(weights, dict) and all(isinstance(v, Tensor) for v in weights.values())
    if not tensors or not weights:
        raise ModelError(
            f"start_from '{start.name}' whose {start.tensors.name} has no network_weights",
            "a checkpoint of nnU-Net",
            "give a model folder of nnU-Net, or save the weights as a safetensors file",
        )
    return dict(weights)


def _unreadable(start: Start, error: Exception) -> ModelError:
    return unreadable(start.tensors, f"start_from '{start.name}'", error)
