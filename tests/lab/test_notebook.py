"""The notebooks run top to bottom, show and scrub in a real JupyterLab without a network."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(600)]

FOLDER = Path(__file__).resolve().parent.parent.parent / "notebooks"
BOOKS = ("sic.ipynb", "activations.ipynb", "ecg.ipynb")
START = "import xai_views as xv\nxv.notebook()"
OPEN = 'app = xv.explore("birds-sic")'


def errors(outputs: list[list[dict]]) -> list[str]:
    return [f"{o['ename']}: {o['evalue']}" for cell in outputs for o in cell if o["output_type"] == "error"]


def ran_quietly(outputs: list[list[dict]]) -> bool:
    """Return whether all cells ran without errors and warnings."""
    said = [o["text"] for cell in outputs for o in cell if o.get("name") == "stderr"]
    return errors(outputs) == [] and [text for text in said if "Warning" in text] == []


def scrub(lab, presses: int, first: int) -> None:
    """Press the right arrow; every press shows the next sample and other pixels."""
    for i in range(presses):
        before = lab.pixels()
        lab.canvas.focus()
        lab.page.keyboard.press("ArrowRight")
        lab.shows(f"{first + i + 1:05d}|")
        assert lab.pixels() != before


def test_every_notebook_is_tested():
    assert {file.name for file in FOLDER.glob("*.ipynb")} == set(BOOKS)


@pytest.mark.parametrize("name", BOOKS)
def test_it_is_saved_without_outputs_and_for_any_kernel(name):
    book = nbformat.read(FOLDER / name, 4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count] == []
    assert book.metadata.kernelspec.name == "python3"
    assert sum(cell.cell_type == "markdown" for cell in book.cells) >= 8


def test_the_notebook_in_jupyterlab(open_lab):
    lab = open_lab("sic.ipynb")
    outputs = lab.run_all()
    assert ran_quietly(outputs)
    lab.shows("bird-test-00003|")  # what a cell said before the page was drawn
    lab.canvas.scroll_into_view_if_needed()
    assert lab.page.locator('.xv canvas[data-tile="sample"]').first.bounding_box()["width"] > 150
    scrub(lab, 3, first=3)
    lab.says("app.state.sample", "6")

    before = lab.pixels()
    lab.run("app.state.sample = 3")
    lab.shows("bird-test-00003|")
    assert lab.pixels() != before
    lab.says("app.result().sample.item()", "bird-test-00003")
    lab.answers("bird-test-00003")
    assert lab.page.get_by_text("no connection to the kernel").count() == 0
    assert lab.page.problems == []


def test_the_activation_explorer_in_jupyterlab(open_lab):
    lab = open_lab("activations.ipynb")
    outputs = lab.run_all()
    assert ran_quietly(outputs)
    lab.shows("bird-test-00005-marked|")
    lab.canvas.scroll_into_view_if_needed()
    assert lab.page.locator('.xv canvas[data-tile="sample"]').first.bounding_box()["width"] > 150
    removed = lab.canvas.get_by_text("logit, before → after removal")
    removed.wait_for(timeout=60_000)  # of the cluster that a cell removed

    before = lab.pixels()
    lab.canvas.focus()
    lab.page.keyboard.press("u")
    lab.says("app.state.ablated", "[]")
    removed.wait_for(state="detached", timeout=60_000)
    lab.canvas.focus()
    lab.page.keyboard.press("ArrowRight")  # the twin without the logo
    lab.shows("bird-test-00005|")
    assert lab.pixels() != before
    lab.says("app.samples['name'].values[app.state.sample]", "bird-test-00005")

    lab.canvas.focus()
    lab.page.keyboard.press("]")
    lab.says("app.state.k, app.result().sizes['cluster']", "(6, 6)")
    assert lab.page.problems == []


def test_the_ecg_explorer_in_jupyterlab(open_lab):
    lab = open_lab("ecg.ipynb")
    outputs = lab.run_all()
    assert ran_quietly(outputs)
    assert (
        sum("image/svg+xml" in o.get("data", {}) for cell in outputs for o in cell) == 3
    )  # the static twins
    pictures = []
    for key, title, says in (
        ("", "ecg-test-00002 (edited)", "normal"),  # without the leads that a cell muted
        ("u", "ecg-test-00002", "anterior ST elevation"),
        ("ArrowRight", "ecg-test-00003", "wide QRS"),
    ):
        if key:
            lab.page.keyboard.press(key)
        paper = lab.page.locator(f'.xe[data-state=idle][data-key^="{title.split()[0]}|"]')
        sheet = paper.get_by_label(re.compile(f"Record {re.escape(title)}, .*: the network predicts {says} "))
        sheet.wait_for(timeout=60_000)
        sheet.scroll_into_view_if_needed()
        assert sheet.bounding_box()["width"] > 300
        pictures.append(sheet.evaluate("c => c.toDataURL()"))
        paper.focus()
    assert len(set(pictures)) == 3
    lab.says("app.state.sample, app.state.edits_made", "(3, [])")
    lab.says("app.result().sample.item()", "ecg-test-00003")
    assert lab.page.problems == []


def test_the_first_screen_in_a_narrow_cell(open_lab):
    """Parts are laid out by the room of the cell: the answer, then the picture, then the population; tabs open."""
    lab = open_lab([START, f"{OPEN}\napp"])
    lab.page.set_viewport_size({"width": 700, "height": 1600})
    assert errors(lab.run_all()) == []
    lab.shows("bird-test-00000|")
    lab.answers("bird-test-00000")
    cell = lab.page.locator(".jp-OutputArea-output").last.bounding_box()
    parts = [lab.page.locator(css).first for css in (".xa", '.xv canvas[data-tile="sample"]', ".xf")]
    boxes = [part.bounding_box() for part in parts]
    assert [box["y"] for box in boxes] == sorted(box["y"] for box in boxes)
    assert all(
        box["x"] >= cell["x"] and box["x"] + box["width"] <= cell["x"] + cell["width"] + 1 for box in boxes
    )
    lab.page.get_by_role("tab", name="What if?").click()
    lab.page.get_by_role("tab", name="Supports", exact=True).click()
    lab.page.get_by_role("button").filter(has_text="Restore original supports").wait_for(timeout=60_000)
    lab.says("app.state.tab", "Supports")
    assert lab.page.problems == []


def test_one_app_in_two_cells_stays_in_step(open_lab):
    lab = open_lab([START, f"{OPEN}\napp", "app"])
    assert errors(lab.run_all()) == []
    lab.shows("bird-test-00000|", 2)
    for view, key in ((0, "bird-test-00001|"), (1, "bird-test-00002|")):
        lab.page.locator(".xv").nth(view).focus()
        lab.page.keyboard.press("ArrowRight")
        lab.shows(key, 2)
    lab.run("app.state.sample = 9")
    lab.shows("bird-test-00009|", 2)
    lab.answers("bird-test-00009", 2)
    assert lab.page.problems == []


def test_two_apps_in_two_cells_are_independent(open_lab):
    lab = open_lab([START, f"{OPEN}\napp", f"other = {OPEN.partition(' = ')[2]}\nother"])
    assert errors(lab.run_all()) == []
    lab.shows("bird-test-00000|", 2)
    for view, step, showing in ((0, 1, 1), (1, 1, 2), (0, 2, 1), (1, 2, 2), (1, 3, 1)):
        lab.page.locator(".xv").nth(view).focus()
        lab.page.keyboard.press("ArrowRight")
        lab.shows(f"bird-test-{step:05d}|", showing)
    lab.says("app.state.sample, other.state.sample", "(2, 3)")
    lab.shows("bird-test-00002|")
    lab.shows("bird-test-00003|")
    lab.answers("bird-test-00002")
    lab.answers("bird-test-00003")
    assert lab.page.problems == []


def test_jupyterlab_without_the_extension_says_what_to_install(lab_without_extension, open_lab):
    """The app is drawn, but nothing that the page sends arrives: without a sentence it stays grey for ever."""
    lab = open_lab([START, f"{OPEN}\napp"], lab_without_extension)
    assert errors(lab.run_all()) == []
    lab.page.get_by_role("alert").filter(has_text="pip install pyviz_comms").wait_for(timeout=90_000)


def test_what_is_written_before_the_page_is_drawn_arrives_in_order(open_lab):
    lab = open_lab([START, 'app = xv.explore("birds-sic")\napp', "for i in range(20): app.state.sample = i"])
    assert errors(lab.run_all()) == []
    lab.shows("bird-test-00019|")
    lab.page.get_by_text("accuracy 98").first.wait_for(timeout=60_000)  # came while the page was drawn
    assert lab.page.problems == []


def test_a_choice_on_the_page_is_seen_in_python(open_lab):
    lab = open_lab([START, 'app = xv.explore("birds-sic", sample="bird-test-00002", target=1)\napp'])
    assert errors(lab.run_all()) == []
    key = "print(f'bird-test-00002|{app.wish().context}', end='')"  # what the page has to show for the state
    one = lab.run(key)
    lab.shows(one)
    lab.run("app.state.target = 2")
    two = lab.run(key)
    assert two != one
    lab.shows(two)
    lab.run("app.state.edit(excluded=[int(app.model.supports.index[0])])")
    lab.says("app.state.edited, len(app.session.supports(app.ask()))", "(True, 149)")
    lab.canvas.focus()
    lab.page.keyboard.press("u")
    lab.says("app.state.edited, len(app.session.supports(app.ask()))", "(False, 150)")
    assert lab.page.problems == []


@pytest.mark.parametrize(
    "cells",
    [
        [
            START,
            'import ipywidgets\napp = xv.explore("birds-sic")',
            'ipywidgets.VBox([ipywidgets.Label("in a box"), app.ipywidget()])',
        ],
        [
            "import panel as pn, xai_views as xv\npn.extension(comms='ipywidgets', inline=True)\nxv.notebook()",
            'app = xv.explore("birds-sic")\napp',
        ],
    ],
    ids=["in a box", "comms=ipywidgets"],
)
def test_as_an_ipywidget(open_lab, cells):
    lab = open_lab([*cells, "app.state.sample = 3"])
    assert errors(lab.run_all()) == []
    lab.shows("bird-test-00003|")
    scrub(lab, 2, first=3)
    lab.says("app.state.sample", "5")
    lab.run("app.state.sample = 1")
    lab.shows("bird-test-00001|")
    assert lab.page.problems == []
