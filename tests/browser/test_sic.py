"""The SIC app in a real browser: no errors, sums, scrubbing, linked views, state in the address."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from acts import changed, choose, press, query, tab, until
from acts import pixels as shown
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
MODEL = "digits-sic"
FIND = """(selector, root = document) => { const find = (r) => { for (const e of r.querySelectorAll('*')) {
    if (e.matches(selector)) return e; if (e.shadowRoot) { const x = find(e.shadowRoot); if (x) return x } } };
    return find(root) }"""


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


def opened(page, server, query: str = ""):
    """Open the app and wait for its first answer; a page that says 'opening' continues by itself."""
    page.goto(f"{server.url}/sic?model={MODEL}{query}")
    root = page.locator(".xv")
    root.wait_for(timeout=90_000)
    page.wait_for_function(
        f"() => {{ const e = ({FIND})('.xv'); return e && e.dataset.state === 'idle' && e.dataset.key }}",
        timeout=60_000,
    )
    return root


def wait_key(page, part: str, timeout: float = 30_000) -> None:
    """Wait until a frame whose key contains ``part`` is in view."""
    page.wait_for_function(
        f"(part) => {{ const e = ({FIND})('.xv'); return e && e.dataset.state === 'idle' && e.dataset.key.includes(part) }}",
        arg=part,
        timeout=timeout,
    )


def key_of(root) -> str:
    return root.get_attribute("data-key")


def pixels(page, tile: str) -> np.ndarray:
    return shown(page.locator(f"[data-tile='{tile}']").first)


def step(page, root, key: str) -> None:
    """Press a key and wait until another sample is in view."""
    root.focus()
    changed(page, root, lambda: page.keyboard.press(key))


def footer(page) -> dict[str, float]:
    """Return the last lines of the ledger."""
    rows = page.locator(".xv-ledger tfoot tr").all()
    return {r.locator("th").inner_text(): float(r.locator("td").inner_text().replace("−", "-")) for r in rows}


def test_the_ledger_adds_up_to_the_networks_logit(page, server):
    root = opened(page, server)
    for _ in range(3):
        lines = footer(page)
        values = [float(t.replace("−", "-")) for t in page.locator(".xv-ledger .xv-number").all_inner_texts()]
        evidence, bias = lines["total evidence"], lines["bias"]
        assert len(values) == 3
        assert sum(values) == pytest.approx(evidence, abs=2e-4)
        assert evidence + bias == pytest.approx(lines["the network's logit"], abs=2e-4)
        assert abs(lines["residual (not attributed to pixels)"]) < 1e-3
        step(page, root, "ArrowRight")
    assert page.problems == []


def test_keys_and_slider_change_the_pixels(page, server):
    root = opened(page, server)
    first = pixels(page, "sample")
    step(page, root, "ArrowRight")
    second = pixels(page, "sample")
    assert (first != second).mean() > 0.02
    step(page, root, "ArrowLeft")
    back = np.abs(pixels(page, "sample") - first).mean()
    assert (
        back < np.abs(second - first).mean() / 4
    )  # but for the rim: the page may have moved by less than a pixel
    slider = page.locator("input.xv-scrubber")
    move = "e => { e.value = 7; e.dispatchEvent(new Event('input')) }"
    changed(page, root, lambda: slider.evaluate(move))
    assert (pixels(page, "sample") != first).mean() > 0.02
    page.wait_for_url(re.compile(r"sample=digit-"))


def test_overlay_key_needs_no_round_trip(page, server):
    root = opened(page, server)
    seq = ""
    while seq != (seq := root.get_attribute("data-seq")):  # until the neighbours are there
        page.wait_for_timeout(2500)
    before = pixels(page, "sample")
    root.focus()
    page.keyboard.press("o")
    assert until(page, lambda: (pixels(page, "sample") != before).mean() > 0.02)
    assert root.get_attribute("data-seq") == seq


def test_choosing_a_class_moves_ledger_and_address(page, server):
    root = opened(page, server)
    changed(page, root, page.locator(".xl tr[data-id='3']").first.click)
    expect(page.locator(".xv-ledger caption")).to_contain_text("logit of 3")
    page.wait_for_url(re.compile(r"target=3"))
    root.focus()
    changed(page, root, lambda: page.keyboard.press("1"))  # the most probable class
    expect(page.locator(".xv-ledger caption")).not_to_contain_text("logit of 3")


def test_supports_are_walked_by_key_and_linked(page, server):
    root = opened(page, server)
    root.focus()
    page.keyboard.press("ArrowDown")
    chosen = page.locator(".xv-ledger tr.xv-selected")
    chosen.wait_for()
    first = chosen.get_attribute("data-row")
    page.wait_for_url(re.compile(rf"support={first}"))
    page.keyboard.press("ArrowDown")
    page.wait_for_function(
        "([e, r]) => { const x = e.querySelector('tr.xv-selected'); return x && x.dataset.row !== r }",
        arg=[root.element_handle(), first],
    )


def test_the_address_restores_the_page(page, server):
    root = opened(page, server)
    step(page, root, "ArrowRight")
    step(page, root, "ArrowRight")
    page.locator(".xl tr[data-id='5']").first.click()
    page.wait_for_url(re.compile(r"target=5"))
    expect(page.locator(".xv-ledger caption")).to_contain_text("logit of 5")
    key = key_of(root)
    page.wait_for_url(re.compile(rf"sample={key.split('|')[0]}&.*target=5"))
    address = page.url
    assert query(page)["v"] == "2"
    page.goto("about:blank")
    page.goto(address)
    wait_key(page, key, 60_000)
    expect(page.locator(".xv-ledger caption")).to_contain_text("logit of 5")


def test_a_wrong_address_opens_with_a_sentence(page, server):
    opened(page, server, "&sample=nobody&target=oops&sort=never")
    expect(page.locator(".note.error")).to_contain_text("sample 'nobody'")
    assert "Traceback" not in page.content()


def test_a_brushed_region_splits_the_evidence(page, server):
    opened(page, server)
    tab(page, "Region")
    box = page.locator("[data-tile='sample']").bounding_box()
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.8, steps=6)
    page.mouse.up()
    page.keyboard.up("Shift")
    chip = page.locator(".xv-chip >> visible=true").first  # at the region itself
    expect(chip).to_have_text(
        re.compile(r"The region covers \S+ % of the pixels and \S+ % of the evidence \(.* of .*\)\.")
    )
    share = float(re.search(r"covers (\S+) %", chip.inner_text()).group(1))
    assert 25 < share < 48  # 0.6 x 0.6 of the picture
    rows = page.locator(".xl tr[data-id] >> visible=true")
    expect(rows).to_have_count(3)
    for row in rows.all():
        cells = [c.inner_text().strip().replace("−", "-") for c in row.locator("td").all()]
        numbers = [float(re.findall(r"[-+]?\d+\.\d+", c)[-1]) for c in cells[1:4]]
        assert numbers[0] + numbers[1] == pytest.approx(numbers[2], abs=2e-4)


def test_two_visitors_do_not_see_each_other(page, server, chromium):
    root = opened(page, server)
    other_context = chromium.new_context()
    other = other_context.new_page()
    try:
        other_root = opened(other, server)
        start = key_of(other_root)
        step(page, root, "ArrowRight")
        step(page, root, "ArrowRight")
        other.wait_for_timeout(800)
        assert key_of(other_root) == start
        assert key_of(root) != start
    finally:
        other_context.close()


def upload(page, name: str, data: bytes) -> None:
    tab(page, "Your image")
    page.locator("input[type='file']:not([aria-label='Case file'])").first.set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": data}
    )


def png(size: tuple[int, int] = (60, 40)) -> bytes:
    out = io.BytesIO()
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[8:32, 26:34] = 255
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def test_an_uploaded_image_is_explained(page, server):
    opened(page, server)
    upload(page, "one.png", png())
    wait_key(page, "upload-1|")
    lines = footer(page)
    assert lines["total evidence"] + lines["bias"] == pytest.approx(lines["the network's logit"], abs=2e-4)


def test_a_bad_upload_is_a_sentence(page, server):
    root = opened(page, server)
    before = key_of(root)
    for name, data, sentence in (
        ("cut.png", png()[:60], "The image is damaged or cut off"),
        ("words.png", b"these are only words", "The upload is not an image that can be read"),
        ("huge.png", b"\x89PNG\r\n" + bytes(10_500_000), "The file is too large (limit: 10 MB)"),
    ):
        upload(page, name, data)
        page.get_by_role("alert").filter(has_text=sentence).wait_for()
        assert "Traceback" not in page.content()
        assert key_of(root) == before
    step(page, root, "ArrowRight")  # the page lives on


def test_it_is_usable_at_390_pixels(chromium, server):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    try:
        opened(page, server)
        right = page.evaluate("() => document.documentElement.scrollWidth")
        assert right <= 390
        assert page.locator("[data-tile='sample']").bounding_box()["width"] > 200
        ledger = page.locator(".xv-ledger").bounding_box()
        assert (
            ledger["y"] + ledger["height"] <= page.get_by_role("tab").first.bounding_box()["y"]
        )  # nothing overlaps
    finally:
        context.close()


def test_a_step_sends_little_whatever_tab_was_open_before(page, server):
    messages = []
    page.on("websocket", lambda ws: ws.on("framereceived", lambda data: messages.append(str(data)[:200])))
    root = opened(page, server)
    for name in ("Supports", "Latent map", "About"):
        tab(page, name)
        page.wait_for_timeout(2500)
    messages.clear()
    step(page, root, "ArrowRight")
    page.wait_for_timeout(1500)
    changes = [m for m in messages if '"ModelChanged"' in m]
    assert 1 <= len(changes) <= 6, changes  # the frame, the strip, the address, the status


def test_supports_are_excluded_and_taken_back(page, server):
    root = opened(page, server)
    tab(page, "Supports")
    rows = page.get_by_role("region", name=re.compile("3 support samples of class")).locator("tr[data-id]")
    expect(rows).to_have_count(3)
    first = rows.first.get_attribute("data-id").split("-")[0]
    rows.first.click()
    page.get_by_role("heading", name=re.compile(f"train {first} supports")).wait_for()
    changed(page, root, lambda: press(page, "Exclude"))
    expect(page.locator(".xv-ledger tbody tr")).to_have_count(2)
    page.get_by_text(re.compile(r"Support samples 30 → 29\.")).wait_for()
    page.wait_for_url(re.compile(rf"excluded=%5B{first}%5D"))
    root.focus()
    changed(page, root, lambda: page.keyboard.press("u"))
    expect(page.locator(".xv-ledger tbody tr")).to_have_count(3)
    expect(page.get_by_role("button", name="Redo", exact=True)).to_be_enabled()


def test_another_method_explains_the_sample_in_view(page, server):
    opened(page, server)
    tab(page, "Explain")
    choose(page, "Method", "RELAX: importance for the representation")
    press(page, "Explain")
    page.get_by_text(re.compile(r"Shown: .*uncertainty")).first.wait_for(timeout=60_000)
