"""An atlas or weights that cannot be used end a run before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from safetensors.torch import save_file

from lvo_kedro.detection import DetectionOptions, TrainingOptions
from lvo_kedro.given_files import GivenFileError, GivenFilesHooks
from lvo_kedro.nnunet import NnUNetOptions
from lvo_kedro.options import StartOptions


def check(output: str, **parameters: object) -> None:
    """Do what happens before a run of one step with these parameters starts."""
    names = [f"params:{name}" for name in parameters]
    pipeline = Pipeline([node(lambda *_: None, names, output, name="step")])
    catalog = DataCatalog({f"params:{k}": MemoryDataset(value) for k, value in parameters.items()})
    GivenFilesHooks().before_pipeline_run(pipeline, catalog)


def test_an_atlas_folder_is_read_first(tmp_path: Path) -> None:
    check("priors", atlas_folder=None)
    with pytest.raises(GivenFileError, match=r"no folder 'atlas' as the parameter atlas_folder"):
        check("priors", atlas_folder=str(tmp_path / "atlas"))
    (tmp_path / "atlas").mkdir()
    with pytest.raises(GivenFileError, match=r"no template in the atlas folder.*nothing was"):
        check("priors", atlas_folder=str(tmp_path / "atlas"))
    (tmp_path / "atlas" / "template.nii.gz").write_bytes(b"no image")
    with pytest.raises(GivenFileError, match=r"template\.nii\.gz that cannot be read"):
        check("priors", atlas_folder=str(tmp_path / "atlas"))


@pytest.mark.parametrize("network", ["vessel_network", "detector", "occlusion_network"])
def test_weights_are_read_where_a_network_is_to_start_from_them(
    tmp_path: Path, network: str
) -> None:
    entry = {"vessel_network": "vessel_models", "detector": "permutation_1.detectors"}
    output = entry.get(network, "occlusion_models")
    kind = TrainingOptions if network == "detector" else NnUNetOptions
    path = tmp_path / "w.safetensors"
    options = kind(start_from=StartOptions(weights=str(path)))
    check(output, **{network: kind()})
    with pytest.raises(GivenFileError, match=f"in {network}: start_from 'w.safetensors'"):
        check(output, **{network: options})
    path.write_bytes(b"no weights")
    with pytest.raises(GivenFileError, match="cannot be read as weights"):
        check(output, **{network: options})
    check("scores", **{network: options})  # a trained model needs them no more
    save_file({"layer": torch.zeros(2)}, str(path))
    check(output, **{network: options})


def test_weights_of_a_network_that_is_not_trained_are_not_asked_for(tmp_path: Path) -> None:
    missing = TrainingOptions(start_from=StartOptions(weights=str(tmp_path / "w.safetensors")))
    with pytest.raises(GivenFileError, match="in detector"):
        check("detectors", detector=missing, detection=DetectionOptions(network=True))
    check("detectors", detector=missing, detection=DetectionOptions(network=False))
