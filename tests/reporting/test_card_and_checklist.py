"""Model card and checklist: filled from the run, blanks marked."""

from __future__ import annotations

import dataclasses
import re

from lvo_kedro.folds import FoldOptions
from lvo_kedro.reporting import ReportContent, render_checklist, render_model_card
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.card_and_checklist import ITEMS
from lvo_kedro.vocabulary import RESEARCH_ONLY

BLANK = re.compile(r"\[TO BE COMPLETED: [^\]]+\]")


def test_the_card_has_figures_limits_and_blanks(content: ReportContent) -> None:
    card = render_model_card(content)
    assert RESEARCH_ONLY in card
    assert "SIMULATED DATA" in card
    for split in content.splits:
        auc = w.pick(split.detection["summary"], "auc")
        assert auc is not None
        assert w.with_interval(auc) in card
    for limit in content.all_limits:
        assert limit in card
    assert len(BLANK.findall(card)) == 2
    assert "run-4711" in card
    assert "<script" not in card


def test_the_checklist_has_every_item_and_leaves_the_authors_theirs(content: ReportContent) -> None:
    checklist = render_checklist(content)
    rows = re.findall(r"^\| (\d+) \|", checklist, re.MULTILINE)
    assert [int(row) for row in rows] == list(range(1, len(ITEMS) + 1))
    assert "Ethics approval and consent | [TO BE COMPLETED: ethics" in checklist
    assert "48 evaluated, 24 with LVO" in checklist
    assert "SIMULATED DATA" in checklist
    blanks = len(BLANK.findall(checklist))
    assert 10 < blanks < len(ITEMS) - 15


def test_the_checklist_tells_training_selection_and_methods(
    content: ReportContent,
) -> None:
    checklist = render_checklist(content)
    assert "number of models | Detector: epochs 7; all parameters are listed" in checklist
    assert "A fixed schedule: the weights of the last epoch" in checklist
    assert "95 % intervals: DeLong (AUC)" in checklist
    assert "Controlled changes of the scans: on a page of their own" in checklist
    assert "the kind of AI method]" in checklist
    settings = {"epochs": 50, "selection": "accuracy", "selection_fraction": 0}
    published = dataclasses.replace(
        content,
        confidence=0.9,
        parameters={"detector": settings, "folds": FoldOptions(count=4)},
    )
    checklist = render_checklist(published)
    assert "trained in 4 folds; Detector: epochs 50" in checklist
    assert "best accuracy on the fold's own validation cases, so that cross-val" in checklist
    assert "90 % intervals" in checklist
    unknown = render_checklist(dataclasses.replace(content, parameters={}))
    assert "[TO BE COMPLETED: how the final model was selected]" in unknown


def test_facts_given_by_the_authors_win(content: ReportContent) -> None:
    facts = {"Ethics approval and consent": "Board 12/34 | waived", "model": "Another model"}
    checklist = render_checklist(content, facts)
    assert "Board 12/34 \\| waived" in checklist
    assert "Another model" in checklist


def test_real_data_are_not_called_simulated(content: ReportContent) -> None:
    real = dataclasses.replace(content, simulated=False)
    assert "simulated" not in render_checklist(real).lower()
    assert "simulated" not in render_model_card(real).lower()


def test_given_weights_are_no_random_initialization(content: ReportContent) -> None:
    assert "Random (Kaiming normal), seeded." in render_checklist(content)
    start = {"Start of detectors fold_0": "w.safetensors (SHA-256 1234)"}
    started = dataclasses.replace(
        content, given_weights=True, provenance={**content.provenance, **start}
    )
    assert "| Given weights, named model by model" in render_checklist(started)
    assert "| Start of detectors fold_0 | w.safetensors (SHA-256 1234) |" in (
        render_model_card(started)
    )
