"""What the software knows about a study, in words, for the checklist and the model card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lvo_kedro import __version__
from lvo_kedro.adoption import Source, attributions
from lvo_kedro.evaluation import WITHOUT_CONTROLS
from lvo_kedro.evaluation.scope import SCOPE
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.detectors import chosen_detector
from lvo_kedro.reporting.views import flatten, flow_of

if TYPE_CHECKING:
    import pandas as pd

    from lvo_kedro.reporting.content import ReportContent, SplitTables

NETWORKS: Final = ("vessel_network", "detector", "occlusion_network")
MCRESNET: Final = "a 3D residual network with attention (McResNet) on four channels"
SIDE_MODEL: Final = (
    "a conditional logit over left, right and no occlusion on densities of the arteries and the "
    "tissue of both sides (side model)"
)
SIDES_ALONE: Final = (
    "a logistic model of left against right, given an occlusion, on densities of the arteries and "
    "the tissue of both sides (side model)"
)
DETECTORS: Final = {
    "network": MCRESNET,
    "sides": SIDE_MODEL,
    "ensemble": f"the weighted sum of the log odds of two detectors: {MCRESNET}; {SIDE_MODEL}",
}
TRAINING: Final = (
    "epochs",
    "iterations_per_epoch",
    "batch_size",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "schedule",
    "augmentation",
    "augmentation.flip",
    "augmentation.rotation_degrees",
    "augmentation.shift_mm",
    "augmentation.scaling",
    "augmentation.hu_shift",
    "augmentation.hu_noise",
    "seed",
    "seeds",
)
"""Parameters of a network that the checklist names; the report lists all of them."""


def public_sources(cohort: pd.DataFrame) -> list[Source]:
    """Return the public cohorts that a cohort table names in its column ``source``.

    Args:
        cohort: A row per case.
    """
    return attributions(cohort["source"].dropna()) if "source" in cohort else []


def without_controls(content: ReportContent) -> bool:
    """Tell whether the models have learned from occlusions alone."""
    found = content.findings
    return found is not None and bool((found["check"] == WITHOUT_CONTROLS).any())


def run_facts(content: ReportContent) -> dict[str, str]:
    """What the software knows, by the key of the checklist's items."""
    flows = "; ".join(f"{split.name}: {flow_text(split)}" for split in content.splits) + "."
    alone = without_controls(content)
    excluded = 0 if content.exclusions is None else content.exclusions["case_id"].nunique()
    facts = {
        "goal": "Side and segment of a known large-vessel occlusion on non-contrast head CT."
        if alone
        else "Detection of large-vessel occlusion on non-contrast head CT; side and segment.",
        "preprocessing": "RAS+ orientation, HU, brain mask; parameters are listed in the report.",
        "flow": flows,
        "missing": f"{excluded} cases could not be processed"
        + ("; each is listed with its reason." if excluded else "."),
        "partitions": "One fold table by patient, stratified, used by all stages; external cases "
        "by the column split of the cohort table.",
        "disjoint": "Patient; checked for folds, splits and copies of a scan.",
        "external": "; ".join(s.name for s in content.splits if s.split == "external"),
        "model": "Vessel segmentation (nnU-Net), territory and asymmetry priors, "
        f"{_detector(content, alone=alone)}, localization on a projection (2D nnU-Net). "
        + (
            "Output: side and segment, given an occlusion; no probability."
            if alone
            else "Output: probability of LVO, side, segment."
        ),
        "versions": ", ".join(f"{name} {value}" for name, value in content.versions.items()),
        "initialization": "Given weights, named model by model under provenance; what they do not "
        "give, and all other models: random (Kaiming normal), seeded."
        if content.given_weights
        else "Random (Kaiming normal), seeded.",
        "training": _training(content),
        "selection": _selection(content),
        "ensemble": "External cases: mean over the models of all folds.",
        "metrics": "AUC, precision-recall AUC, sensitivity, specificity, PPV, NPV, likelihood "
        "ratios, net benefit, calibration, accuracy of side and segment, distance of the point.",
        "uncertainty": f"{100 * content.confidence:g} % intervals: {_auc_methods(content)} (AUC), "
        "Wilson (proportions), log-normal (likelihood ratios), Wald (calibration), patient-level "
        "bootstrap (the rest); spread between folds. Each is named beside its metric.",
        "subgroups": "Declared in the configuration: " + ", ".join(_subgroup_titles(content)) + ".",
        "robustness": f"Subgroups: {', '.join(_subgroup_titles(content))}. "
        "Controlled changes of the scans: on a page of their own, where they were computed.",
        "explainability": _explainability(content),
        "operating": content.operating_points_from,
        "performance": "; ".join(_headline(s, content.main_point) for s in content.splits),
        "calibration": "; ".join(_calibration_text(split) for split in content.splits),
        "failures": "Ranked false negatives and false positives, and quality findings against "
        "errors, are in the report.",
        "code": f"lvo_kedro {__version__}, Apache-2.0."
        + "".join(f" {name}: {value}." for name, value in content.provenance.items()),
    }
    if content.simulated:
        facts |= {
            "simulated": "Neither: simulated cohort.",
            "sources": "Simulated by lvo_kedro.",
            "acquisition": "Simulated scanners; parameters are listed in the report.",
            "identity": "Not needed: there is no patient.",
            "reference": "The occlusion that was put into the simulated scan.",
            "annotators": "None: annotations come from the simulation.",
        }
    if sources := public_sources(content.cohort):
        facts["sources"] = " ".join(
            f"{source.title} ({', '.join(source.records) or 'no archive'}). {source.attribution}"
            for source in sources
        )
    if "age" in content.cohort or "sex" in content.cohort:
        facts["characteristics"] = "Bar charts of the cohort are in the report."
    return facts


def _detector(content: ReportContent, *, alone: bool) -> str:
    """The detector whose score counts; McResNet where there was no other yet."""
    if alone:
        return SIDES_ALONE
    chosen = chosen_detector(content.splits[0]) or "network"
    if chosen == "ensemble_clinical":
        return f"{DETECTORS['ensemble']}; with the evidence of the patient's NIHSS or age"
    return DETECTORS[chosen]


def _explainability(content: ReportContent) -> str:
    counted = content.explanations is not None and not content.explanations.empty
    told = "3D Grad-CAM on the scan's grid, its side counted against the occluded one."
    return told if counted else ""


def _auc_methods(content: ReportContent) -> str:
    rows = [w.pick(split.detection["summary"], "auc") for split in content.splits]
    return "; ".join(dict.fromkeys(str(row["method"]) for row in rows if row))


def _training(content: ReportContent) -> str:
    """The settings of each network's training that a reader asks for first."""
    stages = []
    for stage in NETWORKS:
        known = dict(flatten({stage: content.parameters.get(stage, {})}))
        told = [
            f"{name} {known[f'{stage}.{name}']}"
            for name in TRAINING
            if known.get(f"{stage}.{name}") not in (None, [], ())
        ]
        if told:
            stages.append(f"{w.words(stage)}: {', '.join(told)}")
    if not stages:
        return ""
    count = dict(flatten(content.parameters)).get("folds.count")
    folds = [f"Every stage trained in {count} folds"] if count else []
    return "; ".join([*folds, *stages, "all parameters are listed in the report"]) + "."


def _selection(content: ReportContent) -> str:
    options = dict(flatten({"detector": content.parameters.get("detector", {})}))
    chosen = options.get("detector.selection")
    if chosen is None:
        return ""
    if chosen == "last":
        return "A fixed schedule: the weights of the last epoch, in all stages."
    share = options.get("detector.selection_fraction") or 0
    cases = (
        f"{share:g} of the training patients, set aside"
        if share
        else ("the fold's own validation cases, so that cross-validated metrics are optimistic")
    )
    return f"Detector: the epoch with the best {chosen} on {cases}. Other stages: the last epoch."


def flow_text(split: SplitTables) -> str:
    """The flow of a set's cases in one line, without a full stop."""
    flow = flow_of(split)
    lost = flow.excluded + flow.not_scored
    return (
        f"{flow.cases} cases in the cohort, {lost} excluded, {flow.evaluated} evaluated, "
        f"{flow.with_lvo} with LVO"
        + ("" if flow.out_of_scope is None else f", {flow.out_of_scope} out of scope")
        + (f"; {flow.nameless}" if flow.nameless else "")
    )


def _headline(split: SplitTables, point: str) -> str:
    auc = w.pick(split.detection["summary"], "auc")
    return f"{split.name}: AUC {w.with_interval(auc)}" if auc else split.name


def _calibration_text(split: SplitTables) -> str:
    slope = w.pick(split.detection["calibration"], "slope", stage="after")
    return f"{split.name}: slope {w.with_interval(slope)}" if slope else ""


def _subgroup_titles(content: ReportContent) -> list[str]:
    table = content.splits[0].detection["subgroups"]
    undeclared = ("All cases", SCOPE.title)
    return [str(t) for t in dict.fromkeys(table["title"]) if str(t) not in undeclared]
