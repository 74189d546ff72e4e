"""Take the pictures of docs/images: every page at 1440 x 900 in light and dark, and the apps on a telephone.

    xai-views serve --port 5006 --no-show
    python scripts/screenshots.py http://localhost:5006 docs/images

Needs Chromium (``scripts/setup.sh browser``) and Pillow.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

DESKTOP, TELEPHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
WATERMARK = "activations?model=birds-cnn-watermark&ablated=[2]&cluster=2&sample=bird-test-00021-marked"
PAGES = {
    "start": "",
    "sic": "sic?model=birds-sic",
    "activations": WATERMARK,
    "ecg": "ecg?model=ecg-resnet&sample=ecg-test-00003&truth=true",
}
GAP = 24


def ready(page: Page, name: str) -> None:
    """Wait until the page shows its answer and the population is complete."""
    if name == "start":
        page.get_by_role("heading", name="Data sets").or_(
            page.get_by_role("heading", name="Models")
        ).first.wait_for()
        page.wait_for_function(
            "document.images.length === 0 || [...document.images].every((i) => i.complete)"
        )
        return
    page.locator(".xa-predicted").filter(has_text="").first.wait_for()
    page.get_by_text("accuracy", exact=False).first.wait_for()
    page.wait_for_load_state("networkidle")


def shot(page: Page) -> Image.Image:
    """Return what the page shows."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main(server: str, folder: Path) -> None:
    """Write all pictures."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for scheme in ("light", "dark"):
            context = chromium.new_context(viewport=DESKTOP, color_scheme=scheme)
            page = context.new_page()
            page.set_default_timeout(120_000)
            for name, address in PAGES.items():
                page.goto(f"{server}/{address}")
                ready(page, name)
                file = folder / f"{name}{'' if scheme == 'light' else '-dark'}.png"
                shot(page).save(file, optimize=True)
            context.close()
        context = chromium.new_context(viewport=TELEPHONE, color_scheme="light")
        page = context.new_page()
        page.set_default_timeout(120_000)
        shots = []
        for name in ("sic", "activations", "ecg"):
            page.goto(f"{server}/{PAGES[name]}")
            ready(page, name)
            shots.append(shot(page))
        sheet = Image.new(
            "RGB", (len(shots) * (TELEPHONE["width"] + GAP) - GAP, TELEPHONE["height"]), "white"
        )
        for i, picture in enumerate(shots):
            sheet.paste(picture, (i * (TELEPHONE["width"] + GAP), 0))
        sheet.save(folder / "telephone.png", optimize=True)
        chromium.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), Path(sys.argv[2]))
