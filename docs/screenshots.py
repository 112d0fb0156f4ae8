"""Pictures of the demo page for the documents, taken in a real browser.

    python docs/screenshots.py --model output/demo --compare output/demo/checkpoints/initial \
        [--nli DIR] [--ynat DIR] [--output docs/images]

Needs the extras `space` and `dev`, a Chromium of the system and a Korean font.
"""

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "benchmarks"))
from space_page import serve  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = {"width": 1100, "height": 700}, {"width": 390, "height": 844}


def find_browser() -> str | None:
    """The system's Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def ask(page: Page, name: str) -> None:
    """Press the button of a tab and wait for what it shows."""
    page.click(f"#{name}-button")
    page.wait_for_selector(f"#{name}-result .xpt-columns", state="visible")
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # the button's color fades


def open_tab(page: Page, number: int) -> None:
    """Open one of the tabs, counted from 0."""
    page.get_by_role("tab").nth(number).click()


def take(page: Page, path: Path) -> None:
    """A picture of the whole page, as high as it is."""
    page.screenshot(path=str(path), full_page=True)
    print(f"{path}: {path.stat().st_size // 1024} KiB")


def pictures(address: str, browser: str, output: Path, judges: bool) -> None:
    """Fill-mask, attention, English, fine-tuned models and the phone."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport=DESKTOP)
        page.goto(address)
        page.wait_for_selector("#fill-button")
        ask(page, "fill")
        take(page, output / "space-fill.png")
        open_tab(page, 1)
        ask(page, "attention")
        take(page, output / "space-attention.png")
        page.get_by_label("English", exact=True).click()
        page.get_by_role("tab", name="Fill the blank").click()
        page.wait_for_timeout(500)
        take(page, output / "space-english.png")
        if judges:
            for number, name in ((2, "nli"), (3, "topic")):
                open_tab(page, number)
                ask(page, name)
                take(page, output / f"space-{name}.png")
        phone = chromium.new_page(viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True)
        phone.goto(address)
        phone.wait_for_selector("#fill-button")
        ask(phone, "fill")
        take(phone, output / "space-phone.png")
        open_tab(phone, 1)
        ask(phone, "attention")
        take(phone, output / "space-phone-attention.png")
        chromium.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("model", "compare", "model_title", "compare_title", "nli", "ynat"):
        parser.add_argument(f"--{name}", required=name == "model")
    parser.add_argument("--output", type=Path, default=DOCS / "images")
    given = vars(parser.parse_args())
    output = given.pop("output")
    browser = find_browser()
    if browser is None:
        sys.exit("error: no Chromium in the system; install one (package chromium)")
    output.mkdir(parents=True, exist_ok=True)
    options = [word for name, value in given.items() if value for word in (f"--{name}", value)]
    with serve(options) as address:
        pictures(address, browser, output, judges=bool(given["nli"] and given["ynat"]))


if __name__ == "__main__":
    main()
