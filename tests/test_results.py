"""The main metrics in a terminal."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from kedro.framework.project import settings

from lvo_kedro.results import show_results


class Catalog(dict):
    """Tables by name, as Kedro's catalog loads them."""

    def load(self, name: str) -> pd.DataFrame:
        return self[name]

    def exists(self, name: str) -> bool:
        return name in self


@pytest.mark.parametrize(("place", "shown"), [("project/data", "data"), ("mnt", "/mnt")])
def test_the_report_is_named_wherever_the_data_lie(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    shown: str,
) -> None:
    splits = {"cross_validation": "development", "external_test": "external"}
    monkeypatch.setitem(vars(settings), "EVALUATED_SPLITS", splits)
    row = {"title": "AUC", "value": 0.9, "low": 0.8, "high": 0.95, "n": 40}
    catalog = Catalog({f"{name}.summary": pd.DataFrame([row]) for name in splits})
    checks = [
        ("trainings", "error", "fold_2 did not begin"),
        ("trainings", "warning", "fine"),
        ("trained_without_controls", "warning", "occlusions alone"),
    ]
    columns = ["check", "severity", "message"]
    catalog["study"] = {"findings": pd.DataFrame(checks, columns=columns)}
    source = {"severity": ["error"], "message": ["label equals source"], "check": "sources"}
    for name in splits:
        catalog[f"{name}.detection"] = {"findings": lambda: pd.DataFrame(source)}
    catalog["cohort"] = pd.DataFrame({"simulated": [True]})
    catalog["report"] = SimpleNamespace(report=tmp_path / place / "report.html")
    show_results(catalog, tmp_path / "project", "sqlite:///x")
    out = capsys.readouterr().out
    assert "0.90 (0.80 to 0.95), n = 40" in out
    assert "Report:   " in out and f"{shown}/report.html\n" in out
    assert "Error: fold_2 did not begin\n" in out
    assert "Error: external test: label equals source\n" in out
    assert "Warning: occlusions alone\n" in out
    assert "fine" not in out
    assert "say nothing about patients" in out
