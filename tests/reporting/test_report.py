"""The report holds what it is given, escapes it, needs nothing else, and marks simulated data."""

from __future__ import annotations

import dataclasses
import html as html_module
import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from lvo_kedro.adoption import ADAPTERS
from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import Finding, findings_table, raise_on_errors
from lvo_kedro.reporting import (
    ReportContent,
    SplitTables,
    render_checklist,
    render_report,
    render_robustness,
)
from lvo_kedro.reporting import wording as w
from lvo_kedro.vocabulary import RESEARCH_ONLY
from tests.reporting.conftest import make_robustness
from tests.synthetic_study import make_study


class Page(HTMLParser):
    """Collects tags, text and the addresses that a page refers to."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_it_is_one_file_that_fetches_nothing(page: Page, html: str) -> None:
    for _, attributes in page.tags:
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            address = attributes.get(name)
            assert address is None or address.startswith(("#", "data:")), address
    visible = re.sub(r"data:[^\"]+", "", html)
    assert not re.search(r"(https?:)?//[a-z]", visible)
    assert "url(" not in visible
    assert "@import" not in visible
    assert not page.all("script")


def test_hostile_text_is_escaped_everywhere(html: str) -> None:
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 4  # title, exclusion, caption, parameter


def test_simulated_data_and_research_only_are_marked(page: Page, html: str) -> None:
    assert page.text.count("SIMULATED DATA") == 2  # the banner, and the foot of printed pages
    assert page.text.count(RESEARCH_ONLY) == 2
    printed = html[html.index("@media print") : html.index("</style>")]
    assert re.search(r"\.simulated \{[^}]*position: fixed", printed)
    assert "Any statement about patients" in page.text


@pytest.mark.usefixtures("no_drawing")
def test_a_report_on_patients_is_not_marked_simulated(content: ReportContent) -> None:
    page = Page(render_report(dataclasses.replace(content, simulated=False)))
    assert "SIMULATED" not in page.text
    assert "simulated data" not in page.text.lower()
    assert RESEARCH_ONLY in page.text


def test_every_number_of_the_tables_is_there(page: Page, content: ReportContent) -> None:
    text = " ".join(page.text.split())
    for split in content.splits:
        tables = [split.detection[n] for n in ("summary", "operating", "calibration", "subgroups")]
        tables += [split.localization[n] for n in ("summary", "points")]
        assert content.vessels is not None
        for table in [*tables, split.detection["folds"], content.vessels]:
            for row in table.to_dict("records"):
                assert set(w.estimate(row)[0].split()) <= set(text.split()), row
                if row["method"] != "count" and row["metric"] != "threshold":
                    for limit in ("low", "high"):
                        digits = 2 if str(row["metric"]).endswith("_mm") else 3
                        digits = 2 if row["metric"] in w.RATIOS else digits
                        assert pd.isna(row[limit]) or w.number(row[limit], digits) in text, row


def test_flow_exclusions_findings_and_provenance(page: Page, content: ReportContent) -> None:
    text = " ".join(page.text.split())
    assert "50 in the cohort 2 excluded 48 evaluated, 24 with LVO" in text
    assert "24 in the cohort 0 excluded 24 evaluated, 10 with LVO" in text
    for word in ("run-4711", "abc123", "torch", "2.13.0", "detector.epochs", "lost1"):
        assert word in text
    assert content.findings is not None
    failures = content.splits[0].detection["failures"]
    assert all(case in text for case in failures["case_id"])


@pytest.mark.usefixtures("no_drawing")
def test_parameters_stand_in_one_order_whatever_order_they_came_in(content: ReportContent) -> None:
    blocks = {"b": {"second": 2, "first": 1}, "a": 3}
    turned = {name: blocks[name] for name in reversed(blocks)}
    turned["b"] = {"first": 1, "second": 2}
    pages = [
        render_report(dataclasses.replace(content, parameters=given)) for given in (blocks, turned)
    ]
    assert pages[0] == pages[1]
    assert pages[0].index(">a<") < pages[0].index("b.first") < pages[0].index("b.second")


@pytest.mark.usefixtures("no_drawing")
def test_grave_findings_stand_on_the_first_screen(content: ReportContent, page: Page) -> None:
    assert not [box for box in page.all("div") if box.get("role") == "alert"]
    message = "3 patients are in more than one fold"
    table = pd.DataFrame(
        {"check": ["leak", "other"], "severity": ["error", "note"], "message": [message, "fine"]}
    )
    source = render_report(dataclasses.replace(content, findings=table))
    summary = source[source.index('id="summary"') : source.index('id="detection"')]
    assert message in summary
    assert "fine" not in Page(summary).text.replace("defined", "")


@pytest.mark.usefixtures("no_drawing")
def test_a_report_with_allowed_errors_says_so_first(content: ReportContent) -> None:
    found = [Finding(f"leak {n}", "error", f"leak number {n}") for n in range(8)]
    table = findings_table(raise_on_errors(found, allow_errors=True))
    source = render_report(dataclasses.replace(content, findings=table))
    alert = source[source.index('role="alert"') :]
    assert "the metrics are not valid" in alert[: alert.index("leak number")]


def test_pictures_have_alternatives_and_tables_have_heads(page: Page) -> None:
    images = page.all("img")
    assert len(images) >= 20
    assert all(image.get("alt") for image in images)
    assert all(head.get("scope") in ("col", "row") for head in page.all("th"))
    assert all("tabindex" in box for box in page.all("div") if box.get("role") == "region")


def test_keyboard_navigation_reaches_every_section(page: Page) -> None:
    links = [link["href"] for link in page.all("a")]
    assert links[0] == "#summary"  # the skip link comes first
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert all(str(link)[1:] in ids for link in links)
    sections = [section["id"] for section in page.all("section")]
    assert [f"#{name}" for name in sections] == links[1 : 1 + len(sections)]
    named = [i for i in (a.get("id") for _, a in page.tags) if i]
    assert len(named) == len(set(named))


@pytest.mark.usefixtures("no_drawing")
def test_the_gallery_is_opt_in(content: ReportContent) -> None:
    page = Page(render_report(dataclasses.replace(content, gallery=())))
    assert "images of patients are shown only where" in " ".join(page.text.split())
    assert not [
        image for image in page.all("img") if str(image["src"]).startswith("data:image/png")
    ]


@pytest.mark.usefixtures("no_drawing")
def test_the_same_content_gives_the_same_bytes(content: ReportContent) -> None:
    assert render_report(content) == render_report(content)


@pytest.mark.usefixtures("no_drawing")
def test_tables_read_back_from_files_give_the_same_report(
    content: ReportContent, html: str
) -> None:
    splits = []
    for split in content.splits:
        parts = [
            {name: read_back(table) for name, table in tables.items()}
            for tables in (split.detection, split.localization)
        ]
        splits.append(dataclasses.replace(split, detection=parts[0], localization=parts[1]))
    again = render_report(dataclasses.replace(content, splits=splits))
    assert words_of(again) == words_of(html)


def read_back(table: pd.DataFrame) -> pd.DataFrame:
    buffer = io.StringIO()
    table.to_csv(buffer, index=False)
    buffer.seek(0)
    return pd.read_csv(buffer)


def words_of(source: str) -> list[str]:
    return html_module.unescape(re.sub(r"data:image[^\"]+", "", Page(source).text)).split()


@pytest.mark.usefixtures("no_drawing")
def test_without_localization_vessels_or_splits(content: ReportContent) -> None:
    first = content.splits[0]
    bare = ReportContent(
        "Detection alone",
        [SplitTables("Cross-validation", first.detection)],
        content.cohort,
        simulated=False,
    )
    page = Page(render_report(bare))
    assert "No vessel annotation was evaluated" in page.text
    assert "not recorded" in page.text
    with pytest.raises(TableError, match="without an evaluated set"):
        render_report(dataclasses.replace(bare, splits=[]))


def test_every_table_and_figure_of_results_names_its_file(
    html: str, content: ReportContent
) -> None:
    results = html[html.index('<section id="summary"') : html.index('<section id="provenance"')]
    shown = results.count("<table>") + results.count("<img ") + results.count('class="flow"')
    named = re.findall(r"(?:Numbers|Drawn) from <code>([^<]+)</code>", results)
    assert len(named) == shown
    files = {file for text in named for file in text.split(", ")}
    assert all(file.startswith("08_reporting/") and file.endswith(".csv") for file in files)
    for split in content.splits:
        known = {f"{split.source}/summary.csv"}
        for part, tables in (("detection", split.detection), ("localization", split.localization)):
            known |= {f"{split.source}/{part}/{name}.csv" for name in tables}
        assert {file for file in files if file.startswith(f"{split.source}/")} <= known


def test_both_methods_of_localization_stand_side_by_side(page: Page) -> None:
    text = " ".join(page.text.split())
    for word in ("Each method by itself, at Youden", "Network", "Densities", "Network - densities"):
        assert word in text


@pytest.mark.usefixtures("no_drawing")
def test_robustness_has_a_page_of_its_own() -> None:
    table = make_robustness(make_study(24, split="external", seed=3))
    source = render_robustness(
        table, "youden", {"MLflow run": "run-4711"}, simulated=True, source="08_reporting/r.csv"
    )
    text = " ".join(Page(source).text.split())
    for words in ("Noise, 10 HU", "AUC difference", "run-4711", "SIMULATED DATA", RESEARCH_ONLY):
        assert words in text


@pytest.mark.usefixtures("no_drawing")
def test_public_cohorts_are_named_with_what_their_licences_ask_for(content: ReportContent) -> None:
    source = ADAPTERS["isles24"].source
    public = dataclasses.replace(
        content, cohort=content.cohort.assign(source="isles24"), simulated=False
    )
    page = html_module.unescape(render_report(public))
    for told in (source.attribution, source.licence, source.citation, *source.limits):
        assert told in page
    assert source.attribution in html_module.unescape(render_checklist(public))
    simulated = dataclasses.replace(
        content, cohort=content.cohort.assign(source="isles24-simulated")
    )
    page = html_module.unescape(render_report(simulated))
    assert source.as_simulated().title in page
    assert source.attribution not in page and source.licence not in page
    assert 'id="data"' not in render_report(content)
