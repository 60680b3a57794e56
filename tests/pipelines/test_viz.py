"""The pipelines can be looked at in kedro-viz, with previews of tables and figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(300)]


def test_kedro_viz_builds_a_site_with_previews(tiny):
    pytest.importorskip("kedro_viz")
    command = [sys.executable, "-m", "kedro", "viz", "build", "--include-previews"]
    environment = os.environ | {"KEDRO_ENV": "tiny"}
    built = subprocess.run(  # noqa: S603
        command, cwd=tiny.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    api = tiny.folder / "build" / "api"
    main = json.loads((api / "main").read_text())
    names = {node["name"] for node in main["nodes"]}
    assert {"cohort", "priors", "vessel_models", "report"} <= names
    assert {"preprocessing", "evaluation.external_test"} <= set(main["modular_pipelines"])
    # kedro-viz shows no layers at all where data flow back from a later layer to an earlier one
    layers = [
        "1_cohort_and_scans",
        "2_vessels_and_priors",
        "3_detection_and_localization",
        "4_evaluation",
    ]
    assert main["layers"] == layers
    for name, groups in (
        ("comparison", {"run_a", "run_b"}),
        ("robustness", {"changed_scans", "missing_channels"}),
    ):
        part = json.loads((api / "pipelines" / name).read_text())
        assert set(part["layers"]) <= set(layers)
        assert "4_evaluation" in part["layers"], name
        assert groups <= set(part["modular_pipelines"])
    previews = [json.loads(path.read_text()) for path in (api / "nodes").iterdir()]
    assert any(p.get("preview") for p in previews)
