"""The examples in docstrings of the public packages run and give what they say."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module

import pytest

WITH_EXAMPLE = {
    "imaging": {"read_ncct", "extract_brain", "describe_scan"},
    "priors": {"load_atlas", "compute_priors"},
    "detection": {"load_detector", "McResNet"},
    "localization": {"project_vessels"},
    "evaluation": {"auc_interval", "evaluate_detection"},
    "reporting": {"plot_roc"},
    "simulation": {"simulate_case"},
}
"""What notebooks and the README call first; others may have an example as well."""


@pytest.mark.long
@pytest.mark.parametrize("package", WITH_EXAMPLE)
def test_examples(package):
    public = import_module(f"lvo_kedro.{package}")
    tried = set()
    for name in public.__all__:
        exported = getattr(public, name)
        if ">>>" not in (inspect.getdoc(exported) or ""):
            continue
        home = inspect.getmodule(exported)
        runner = doctest.DocTestRunner()
        output: list[str] = []
        finder = doctest.DocTestFinder(recurse=False)
        for test in finder.find(exported, name, module=home, globs=dict(vars(home))):
            runner.run(test, out=output.append)
        assert not runner.failures, "".join(output)
        tried.add(name)
    assert tried >= WITH_EXAMPLE[package]
