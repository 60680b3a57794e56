"""Whatever draws a scan shows the patient's left on the viewer's right, beside the letter L.

What draws a scan: the report's gallery and the explanation pictures (``plot_case``: scan,
projection, difference, Grad-CAM), the previews of the priors (``plot_priors``, three planes) and
notebook 01 (``show_scan``). All go through ``reporting/slices.py``.
"""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imread

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.midplane import midplane_of
from lvo_kedro.localization import (
    ProjectionOptions,
    back_project,
    mark_called,
    project_labels,
    project_vessels,
)
from lvo_kedro.pipelines.detection_training import scoring_nodes
from lvo_kedro.pipelines.evaluation import report_nodes
from lvo_kedro.pipelines.priors import nodes as prior_nodes
from lvo_kedro.priors import PriorLimits, Priors
from lvo_kedro.reporting import CasePictures, plot_case, plot_priors, to_png
from tests.localization.conftest import BOXES, draw_head, grid_with

ROOT = Path(__file__).resolve().parents[2]
PLACE = np.array(BOXES["M1"][0]) * [-1, 1, 1]  # world mm of the clot in the patient's left M1
POSES = {
    "RAS": {},
    "LPS": {"axes": "LPS"},
    "flipped": {"axes": "LAS"},
    "PIL": {"axes": "PIL"},
    "oblique": {"turn": (8.0, -6.0, 12.0)},
}
PLANES = ((0, 1, 2), (0, 2, 1), (1, 2, 0))
LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


@pytest.fixture(params=list(POSES))
def head(request):
    return draw_head(grid_with(**POSES[request.param]), ("M1",), "left")


def pictures_of(head):
    """Everything that a case may show, each with its mark in the left M1."""
    projection = project_vessels(head.ncct, head.vessels)
    found, _ = back_project(project_labels(head.clot, projection), projection, head.vessels)
    heat = make_image((np.asarray(head.clot.dataobj) > 0).astype(np.float32), head.ncct.affine)
    difference = make_image(14.0 * np.asarray(heat.dataobj), head.ncct.affine)
    call = mark_called(projection.labels, midplane_of(head.hemispheres), "left", "M1")
    return CasePictures(
        "case-1",
        head.ncct,
        "caption",
        projection=projection.mip,
        call=call,
        occlusion=found,
        truth=head.clot,
        difference=difference,
        explanation=heat,
    )


def priors_of(head):
    """Priors of the head: the left M1 is the less dense of two territories."""
    clot = np.asarray(head.clot.dataobj) > 0
    territory = np.isin(np.asarray(head.vessels.dataobj), (2,)).astype(np.float32)
    signed = np.where(clot, -12.0, 0.0).astype(np.float32)
    probability, signed_image = (make_image(a, head.ncct.affine) for a in (territory, signed))
    return Priors(probability, head.hemispheres, signed_image, {"findings": []})


def panels_of(figure):
    """The panels that show a scan: those with letters."""
    return [axes for axes in figure.axes if {"L", "R"} & texts(axes) or {"A", "P"} & texts(axes)]


def texts(axes):
    return {text.get_text() for text in axes.texts}


def mark_on_screen(axes, image, condition):
    """Where what fulfils a condition is on the screen (pixels, rightwards and upwards)."""
    left, right, bottom, top = image.get_extent()
    values = np.ma.filled(image.get_array(), 0)
    rows, columns = np.nonzero(condition(values))
    assert len(rows), "the mark is not drawn"
    x = left + (right - left) * (columns.mean() + 0.5) / values.shape[1]
    y = top + (bottom - top) * (rows.mean() + 0.5) / values.shape[0]
    return axes.transData.transform((x, y))


def letter_on_screen(axes, letter):
    found = [text for text in axes.texts if text.get_text() == letter]
    assert len(found) == 1
    return axes.transData.transform(found[0].get_position())


def check_sides(axes, spot, plane):
    """The mark stands at its world coordinates, the letters on the sides that they name."""
    across, up, _ = plane
    np.testing.assert_allclose(
        axes.transData.inverted().transform(spot), PLACE[[across, up]], atol=3.5
    )
    for direction, axis in ((0, across), (1, up)):
        low, high = (letter_on_screen(axes, letter)[direction] for letter in LETTERS[axis])
        # across a picture the world's axis falls: its lower end (L, P) is on the viewer's right
        assert low > high if direction == 0 else low < high
    if across == 0:
        left, right = (letter_on_screen(axes, letter)[0] for letter in "LR")
        assert abs(spot[0] - left) < abs(spot[0] - right)
        assert spot[0] > (left + right) / 2


def outlined(axes):
    """The middle of every outline in world mm."""
    paths = [path for collection in axes.collections for path in collection.get_paths()]
    return [path.vertices.mean(axis=0) for path in paths if len(path.vertices)]


def test_a_case(head):
    figure = plot_case(pictures_of(head))
    figure.canvas.draw()
    scan, projection, difference, explanation = panels_of(figure)
    axial = PLANES[0]
    for axes in (scan, difference, explanation):
        spot = mark_on_screen(axes, axes.images[0], lambda hu: hu > 55)
        check_sides(axes, spot, axial)
    for axes, least in ((projection, 0.5), (difference, 7), (explanation, 0.5)):
        spot = mark_on_screen(axes, axes.images[1], lambda shown, least=least: shown > least)
        check_sides(axes, spot, axial)
    truth, found = outlined(scan)
    np.testing.assert_allclose(truth, PLACE[:2], atol=3.5)
    np.testing.assert_allclose(found, PLACE[:2], atol=3.5)


def test_the_drawn_pixels_themselves(head):
    figure = plot_case(CasePictures("case-1", head.ncct, truth=head.clot))
    figure.canvas.draw()
    (axes,) = panels_of(figure)
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].min(axis=2).astype(int)
    (x0, y0), (x1, y1) = axes.transData.transform(np.reshape(axes.images[0].get_extent(), (2, 2)).T)
    height = len(pixels)
    inside = pixels[int(height - y1) + 2 : int(height - y0) - 2, int(x0) + 2 : int(x1) - 2]
    assert inside.size
    columns = np.nonzero(inside > 190)[1]  # 65 HU of 80 is a grey of 207; the head's 30 HU are 96
    assert len(columns) > 20
    assert columns.min() > inside.shape[1] / 2
    assert letter_on_screen(axes, "L")[0] > x1 > x0 > letter_on_screen(axes, "R")[0]


def test_the_priors(head):
    figure = plot_priors(head.ncct, priors_of(head), "case-1")
    figure.canvas.draw()
    panels = panels_of(figure)
    assert len(panels) == 9
    for number, axes in enumerate(panels):
        plane = PLANES[number // 3]
        spot = mark_on_screen(axes, axes.images[0], lambda hu: hu > 55)
        check_sides(axes, spot, plane)
        if number % 3 == 2:
            check_sides(axes, mark_on_screen(axes, axes.images[1], lambda hu: hu < -6), plane)
    left, right = outlined(panels[0])
    assert left[0] < 0 < right[0]  # world x
    assert figure.get_suptitle() == "case-1   nothing conspicuous"


def test_the_nodes_draw_these_pictures(monkeypatch):
    head = draw_head(grid_with(**POSES["PIL"]), ("M1",), "left")
    pictures, priors = pictures_of(head), priors_of(head)
    scan = Named("case-1", ncct=head.ncct)
    monkeypatch.setattr(prior_nodes, "find_faults", lambda quality, limits: [])
    drawn = prior_nodes.draw_preview(scan, vars(priors), PriorLimits())["preview"]
    assert to_png(drawn) == to_png(plot_priors(head.ncct, priors, "case-1"))
    monkeypatch.setattr(scoring_nodes, "explain", lambda *_: pictures.explanation)
    monkeypatch.setattr(scoring_nodes, "open_sample", lambda path: path)
    channels = SimpleNamespace(name="case-1", path=lambda name: name)
    shown = CasePictures("case-1", head.ncct, explanation=pictures.explanation)
    explained = scoring_nodes.explain_by_networks(
        [], channels, scan, priors.hemispheres, SimpleNamespace(layer="layer1")
    )
    assert to_png(explained["picture"]) == to_png(plot_case(shown))


def test_the_report_shows_these_pictures(content, html):
    shown = re.findall(r"data:image/png;base64,[A-Za-z0-9+/=]+", html)
    assert [base64.b64decode(s.split(",")[1]) for s in shown] == [c.png for c in content.gallery]
    assert "<figcaption>missed &lt;script&gt;" in html  # the caption, as text
    image = imread(io.BytesIO(base64.b64decode(shown[0].split(",")[1])))
    assert min(image.shape[:2]) > 300


class Named(dict):
    """A case as nodes get it: its fields by name, and its id."""

    def __init__(self, name, **fields):
        super().__init__(fields)
        self.name = name


def test_the_gallery_takes_the_call_on_the_called_side(head):
    places = {f"{name}_{axis}": x for name in ("point", "clot") for axis, x in zip("xyz", PLACE)}
    row = {"called_side": "left", "called_segment": "M1", "caption": "found"} | places
    scan, vessels = Named("case-1", ncct=head.ncct), {"vessel_labels": head.vessels}
    priors, options = vars(priors_of(head)), ProjectionOptions()
    drawn = report_nodes.draw_case(row, scan, vessels, priors, options)
    figure = drawn["picture"]
    figure.canvas.draw()
    axes = panels_of(figure)[1]
    check_sides(axes, mark_on_screen(axes, axes.images[1], lambda call: call > 0.5), PLANES[0])
    for panel in panels_of(figure)[:2]:
        rings = [line for line in panel.lines if line.get_label() in ("annotated", "called")]
        assert len(rings) == 2
        for line in rings:
            assert np.allclose(line.get_xydata()[0], PLACE[:2])


DRAWING = re.compile(r"\.(imshow|matshow|pcolor\w*|figimage|contourf?)\(")
MATRICES = "reporting/breakdowns.py"  # the confusion matrix, no scan


def test_scans_are_drawn_in_one_place_only():
    package = ROOT / "src" / "lvo_kedro"
    drawing = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if DRAWING.search(path.read_text())
    }
    assert drawing == {"reporting/slices.py", MATRICES}
    assert not [p for p in (ROOT / "benchmarks").glob("*.py") if DRAWING.search(p.read_text())]
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        source = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert not DRAWING.search(source), notebook.name
