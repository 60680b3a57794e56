"""The side model: what it finds, what it is worth without sides or vessels, and how it is kept."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lvo_kedro.detection import (
    DetectionOptions,
    ScopeOptions,
    SideModel,
    SideModelOptions,
    chosen_of,
    combine,
    fit_side_models,
    judge_case,
)
from lvo_kedro.detection.scope import describe_case, learn_scope, reasons_against
from lvo_kedro.detection.side_model import _loss, answer_of
from lvo_kedro.errors import ModelError, TableError
from lvo_kedro.features import (
    CORE,
    leave_out,
)
from lvo_kedro.vocabulary import SIDES

from ..features.conftest import measured

TURNED = {"left": "right", "right": "left"}


def cohort(first: int, count: int) -> tuple[list, list]:
    """Heads in turn: a clot, an infarct, both, on either side; nothing in every second."""
    cases, answers = [], []
    for number in range(count):
        side = SIDES[number // 2 % 2]
        clot = (("M1",), (), ("M2",))[number % 3] if number % 2 else ()
        infarct = side if number % 2 and number % 3 else ""
        cases.append(measured(clot, side, seed=first + number, infarct=infarct))
        answers.append(side if clot or infarct else "none")
    return cases, answers


@pytest.fixture(scope="module")
def training() -> tuple[list, list]:
    return cohort(0, 36)


@pytest.fixture(scope="module")
def unseen() -> tuple[list, list]:
    return cohort(100, 12)


@pytest.fixture(scope="module")
def model(training) -> SideModel:
    return SideModel().fit(*training)


def right_side(utilities: np.ndarray, answers: list[str]) -> list[bool]:
    found = [SIDES[row.argmax()] for row in utilities]
    return [side == a for side, a in zip(found, answers, strict=True) if a != "none"]


def area(logits: np.ndarray, answers: list[str]) -> float:
    return float(roc_auc_score([a != "none" for a in answers], logits))


def test_it_tells_occlusion_and_side(model, unseen) -> None:
    cases, answers = unseen
    assert area(model.logits(cases), answers) > 0.95
    assert all(right_side(model.utilities(cases), answers))


def test_sides_that_are_not_known_teach_as_well(training, unseen) -> None:
    cases, answers = training
    unsided = ["either" if a != "none" else a for a in answers]
    model = SideModel().fit(cases, unsided)
    assert area(model.logits(unseen[0]), unseen[1]) > 0.95
    assert all(right_side(model.utilities(unseen[0]), unseen[1]))
    mixed = [a if n % 4 else u for n, (a, u) in enumerate(zip(answers, unsided, strict=True))]
    assert area(SideModel().fit(cases, mixed).logits(unseen[0]), unseen[1]) > 0.95


@pytest.mark.parametrize("word", ["both", "unknown"])
def test_the_words_for_no_one_side_teach_what_an_empty_side_does(training, unseen, word) -> None:
    """Known answer: no one-side term. A wrong side in its place would give another model."""
    cases, answers = training
    names = [f"case-{n}" for n in range(len(cases))]
    labels = pd.DataFrame({"case_id": names, "lvo": [int(a != "none") for a in answers]})
    known = np.array(["" if a == "none" else a for a in answers], dtype=object)
    unsided = (labels["lvo"] == 1) & (labels.index % 4 == 1)
    of = dict(zip(names, cases, strict=True))
    models = {
        told: fit_side_models(of, labels.assign(side=np.where(unsided, told, known)))
        for told in ("", word, "left")
    }
    assert models[word]["sha256"] == models[""]["sha256"] != models["left"]["sha256"]
    known_sides = int((labels["lvo"] == 1).sum() - unsided.sum())
    assert models[word]["training"]["sides_known"] == known_sides
    judged = [judge_case([models[word]], case, {})["sides"] for case in unseen[0]]
    assert all(right_side(np.array([list(s.values()) for s in judged]), unseen[1]))


def test_turned_round_it_is_turned_round(model, training, unseen) -> None:
    """Both sides share their weights: labels and features exchanged give the same model."""
    cases, answers = training
    other = SideModel().fit([turn(case) for case in cases], [TURNED.get(a, a) for a in answers])
    ours = model.utilities(unseen[0])
    assert np.allclose(
        other.utilities([turn(case) for case in unseen[0]])[:, ::-1], ours, atol=0.02
    )


def turn(features):
    """Exchange the rows of both sides."""
    tissue = features.tissue._replace(
        **{n: getattr(features.tissue, n)[::-1] for n in ("statistics", "blocks", "shares")}
    )
    arteries = features.arteries.assign(side=features.arteries["side"].map(TURNED))
    return features._replace(arteries=arteries, tissue=tissue)


def test_arteries_that_were_not_found_say_nothing(model, unseen) -> None:
    infarct = next(
        c for c, a in zip(*unseen, strict=True) if a != "none" and c.tissue.blocks.min() < -3
    )
    blind = leave_out(infarct, "vessels")
    parts = {p.source: p.utility for p in model.contributions(blind)}
    assert parts["C7"] == parts["M1"] == parts["M2"] == 0
    assert np.isfinite(model.utilities([blind])).all()
    only_one = infarct._replace(
        arteries=infarct.arteries.assign(
            **{CORE: infarct.arteries[CORE].where(infarct.arteries["side"] == "left")}
        )
    )
    assert np.isfinite(model.utilities([only_one])).all()


def test_a_call_can_be_taken_apart(model, unseen) -> None:
    cases, answers = unseen
    for case, answer in zip(cases, answers, strict=True):
        parts = model.contributions(case)
        for row, side in enumerate(SIDES):
            total = sum(p.utility for p in parts if p.side == side) + model.constant
            assert total == pytest.approx(model.utilities([case])[0, row])
        if answer != "none":
            strongest = max(parts, key=lambda p: p.utility)
            assert strongest.side == answer


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    design, weights = rng.normal(size=(6, 2, 3)), rng.normal(size=4)
    allowed = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 1], [1, 1, 0]], bool)
    value, gradient = _loss(weights, design, allowed, 0.7)
    for place in range(4):
        step = np.eye(4)[place] * 1e-6
        slope = (_loss(weights + step, design, allowed, 0.7)[0] - value) / 1e-6
        assert slope == pytest.approx(gradient[place], rel=1e-3, abs=1e-4)
    # by hand: with weights of 0 each answer has a chance of 1/3, both sides together 2/3
    plain, _ = _loss(np.zeros(4), design, allowed, 0.7)
    assert plain == pytest.approx(4 * np.log(3) + 2 * np.log(3 / 2))


def test_the_gradient_without_controls_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(1)
    design, weights = rng.normal(size=(3, 2, 3)), rng.normal(size=4)
    allowed = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]], bool)
    value, gradient = _loss(weights, design, allowed, 0.7, controls=False)
    for place in range(4):
        step = np.eye(4)[place] * 1e-6
        slope = (_loss(weights + step, design, allowed, 0.7, controls=False)[0] - value) / 1e-6
        assert slope == pytest.approx(gradient[place], rel=1e-3, abs=1e-4)
    # by hand: each side has a chance of 1/2, and an unknown side teaches nothing
    plain, _ = _loss(np.zeros(4), design, allowed, 0.7, controls=False)
    assert plain == pytest.approx(2 * np.log(2))


def test_plain_numbers_give_it_back(model, unseen) -> None:
    again = SideModel.from_json(json.loads(json.dumps(model.to_json())))
    assert np.array_equal(again.utilities(unseen[0]), model.utilities(unseen[0]))
    cut = model.to_json() | {"weights": [0.0]}
    with pytest.raises(ModelError, match="fit the side models again"):
        SideModel.from_json(cut)


@pytest.mark.parametrize("answers", [["none", "none"], ["left", "either"]])
def test_one_kind_of_case_is_not_enough(training, answers) -> None:
    with pytest.raises(TableError, match="of 2 cases"):
        SideModel().fit(training[0][:2], answers)


@pytest.fixture(scope="module")
def one_class(training) -> SideModel:
    """Fitted on the occlusions alone."""
    occluded = [(c, a) for c, a in zip(*training, strict=True) if a != "none"]
    return SideModel().fit(*map(list, zip(*occluded, strict=True)), controls=False)


def test_without_controls_it_tells_the_side_of_an_occlusion(one_class, unseen) -> None:
    assert all(right_side(one_class.utilities(unseen[0]), unseen[1]))
    assert one_class.constant == 0


def test_without_controls_sides_mirror_each_other(one_class) -> None:
    left, right = (one_class.utilities([measured(("M1",), s, seed=3)])[0] for s in SIDES)
    assert (left[0] > left[1]) and (right[1] > right[0])


def test_it_is_kept_that_there_were_no_controls(one_class, model, unseen) -> None:
    again = SideModel.from_json(json.loads(json.dumps(one_class.to_json())))
    assert not again.controls
    np.testing.assert_array_equal(again.utilities(unseen[0]), one_class.utilities(unseen[0]))
    assert "controls" not in model.to_json()  # as before there was a choice


@pytest.mark.parametrize("answers", [["none", "left"], ["either", "either"]])
def test_without_controls_there_are_occlusions_alone_and_a_side(training, answers) -> None:
    with pytest.raises(TableError, match="a model without controls"):
        SideModel().fit(training[0][:2], answers, controls=False)


def test_the_same_cases_give_the_same_model(model, training) -> None:
    assert SideModel().fit(*training).to_json() == model.to_json()
    assert SideModel(SideModelOptions(penalty=1e6)).fit(*training).weights == pytest.approx(
        0, abs=1e-3
    )


def test_other_features_than_in_training_are_refused(model, unseen) -> None:
    case = unseen[0][0]
    small = case._replace(tissue=case.tissue._replace(blocks=case.tissue.blocks[:, :2, :2, :2]))
    with pytest.raises(ModelError, match="options of the training"):
        model.logits([small])


def fitted(training, clinical=(), **columns) -> dict:
    cases, answers = training
    names = [f"case-{n}" for n in range(len(cases))]
    rng = np.random.default_rng(0)
    labels = pd.DataFrame({"case_id": names, "lvo": [int(a != "none") for a in answers]})
    labels["side"] = ["" if a == "none" else a for a in answers]
    labels = labels.assign(**columns)
    labels["nihss"] = labels["lvo"] * 10 + rng.normal(5, 2, len(labels))
    measured_cases = dict(zip(names, cases, strict=True))
    return fit_side_models(measured_cases, labels, clinical=clinical)


def test_cases_like_those_of_the_training_are_in_scope(training, unseen) -> None:
    content = [fitted(training)]
    assert not [
        judge_case(content, case, {})["against"]
        for case in training[0]
        if judge_case(content, case, {})["against"]
    ]
    assert sum(bool(judge_case(content, case, {})["against"]) for case in unseen[0]) <= 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scan": {"brain_median_hu": 45.0}}, "density of the brain is 45.0 HU"),
        ({"scan": {"noise_hu": 12.0}}, "noise is 12.0 HU"),
        ({"scan": {"slice_thickness_mm": 5.0}}, "thickness is 5.0 mm, expected 0.0 to 2.5"),
        ({"blood": 25.0}, "density of the blood in the large arteries is"),
        ({"arteries": True}, "found on both sides is 0.0 of 6, expected 3.0 to 6.0"),
        ({"tissue": True}, "from the training cases' is"),
    ],
)
def test_a_scan_of_another_kind_gets_no_call_and_the_reason(
    training, unseen, change, reason
) -> None:
    case = unseen[0][0]
    if "scan" in change:
        case = case._replace(scan={**case.scan, **change["scan"]})
    if "blood" in change:
        case = case._replace(arteries=case.arteries.assign(blood_hu=case.arteries["blood_hu"] + 25))
    if "arteries" in change:
        case = leave_out(case, "vessels")
    if "tissue" in change:  # a large old infarct, and arteries of another kind
        blocks = case.tissue.blocks + np.array([-8, 8])[:, None, None, None]
        statistics = case.tissue.statistics + np.array([-12, 12])[:, None]
        case = case._replace(tissue=case.tissue._replace(blocks=blocks, statistics=statistics))
    against = judge_case([fitted(training)], case, {})["against"]
    assert len(against) == 1
    assert reason in against[0]


def against(training, case, patient, **columns) -> list[str]:
    return judge_case([fitted(training, **columns)], case, patient)["against"]


def test_a_patient_of_another_age_gets_no_call(training, unseen) -> None:
    case, ages = unseen[0][0], np.linspace(40, 90, len(training[0]))
    for age, expected in ((72.0, []), (31.0, []), (99.0, []), (float("nan"), [])):
        assert against(training, case, {"age": age}, age=ages) == expected
    assert against(training, case, {"age": 25.0}, age=ages) == [
        "age of the patient is 25.0 years, expected 30.0 to 100.0"
    ]
    # where the training cases' ages are not known nothing is said
    assert against(training, case, {"age": 3.0}) == []
    few = np.where(np.arange(len(ages)) < 3, ages, np.nan)
    assert against(training, case, {"age": 3.0}, age=few) == []


@pytest.mark.parametrize("patient", [{"age": 9.0}, {}])
def test_a_child_gets_no_call_if_the_cohort_had_none(training, unseen, patient) -> None:
    """Its age is in the cohort table, or its scan's header says that it is a child."""
    child = unseen[0][0]._replace(scan={**unseen[0][0].scan, "child": 1.0})
    adults = np.linspace(20, 90, len(training[0]))
    told = against(training, child, patient, age=adults)
    assert told[-1] == "the patient is under 18 years, the training cases are adults"
    with_children = np.append(adults[1:], 8.0)
    assert against(training, child, patient, age=with_children) == []
    assert against(training, child, {}) == []  # nothing is known of the cohort


def test_slices_thicker_than_trained_on(training) -> None:
    described = [
        {**describe_case(case, 1.0), "slice_thickness_mm": thickness}
        for case, thickness in zip(training[0], np.tile([0.6, 1.0, 3.0], 99), strict=False)
    ]
    ranges = learn_scope(described, ScopeOptions(thickness_margin_mm=0.7))
    assert ranges["slice_thickness_mm"] == pytest.approx((0.0, 3.7))
    for thickness, out in ((0.5, False), (3.6, False), (5.0, True)):
        reasons = reasons_against(described[0] | {"slice_thickness_mm": thickness}, ranges)
        assert ("slice_thickness_mm" in reasons) == out


def test_each_method_has_its_score_and_the_chosen_one_counts(training, unseen) -> None:
    judged = judge_case([fitted(training), fitted(training)], unseen[0][1], {})
    assert len(judged["each"]) == 2
    assert judged["clinical"] is None
    network = {"logit": 2.0, "sides": {"left": 1.9, "right": -1.0}}
    options = DetectionOptions(method="ensemble", network_weight=0.5)
    scores = combine(network, judged["sides"], None, options)
    assert set(scores) == {"network", "sides", "ensemble"}
    logit = np.logaddexp(*judged["sides"].values())
    assert scores["sides"]["logit"] == pytest.approx(logit)
    assert chosen_of(scores, options)["logit"] == pytest.approx(logit + 1.0)
    assert scores["network"]["likely_side"] == "left"
    whole = combine({"logit": 2.0}, judged["sides"], None, options)
    assert whole["network"]["likely_side"] == ""
    assert whole["ensemble"]["likely_side"] == scores["sides"]["likely_side"]
    assert set(combine(None, judged["sides"], None, DetectionOptions())) == {"sides"}
    with pytest.raises(ValueError, match=r"needs detection\.network"):
        DetectionOptions(method="network", network=False)


def test_the_patients_values_count_where_asked_for(training, unseen) -> None:
    options = {"method": "ensemble", "clinical": ("nihss",)}
    content = [fitted(training, ("nihss",))]
    evidence = [judge_case(content, unseen[0][0], {"nihss": v})["clinical"] for v in (2, 18)]
    assert evidence[0] < 0 < evidence[1]
    unknown = judge_case(content, unseen[0][0], {"nihss": float("nan")})["clinical"]
    assert evidence[0] < unknown < evidence[1]
    sides = judge_case(content, unseen[0][0], {})["sides"]
    chosen = DetectionOptions(**options)
    scores = combine({"logit": 0.0}, sides, 1.5, chosen)
    assert chosen_of(scores, chosen)["logit"] == pytest.approx(scores["ensemble"]["logit"] + 1.5)
    with pytest.raises(TableError, match="no values of age"):
        fitted(training, ("age",))


def test_labels_of_held_out_cases_change_none_of_their_scores(training) -> None:
    """The trap: were anything fitted on scores of other folds, these labels would leak into it."""
    cases, answers = training
    held_out = range(0, len(cases), 3)
    inside = [n for n in range(len(cases)) if n not in held_out]
    scores = []
    for flipped in (False, True):
        told = list(answers)
        if flipped:
            for n in held_out:
                told[n] = "left" if told[n] == "none" else "none"
        content = [fitted(([cases[n] for n in inside], [told[n] for n in inside]))]
        judged = [judge_case(content, cases[n], {}) for n in held_out]
        scores.append(
            [combine({"logit": 0.3}, j["sides"], None, DetectionOptions()) for j in judged]
        )
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("lvo", "side", "answer"),
    [
        (0, "", "none"),
        (0, "left", "none"),
        (1, "left", "left"),
        (1, "right", "right"),
        (1, "", "either"),
        (1, "both", "either"),
        (1, "unknown", "either"),
    ],
)
def test_what_a_case_teaches(lvo, side, answer) -> None:
    assert answer_of(lvo, side) == answer
