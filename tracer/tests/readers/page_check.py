"""Pages of `tracer report` in Chromium: page_check.py BROWSER ORDINARY HOSTILE. Says what was found, a line each."""

import sys
from pathlib import Path

from browser import changed, chromium, holds, opened

browser_file, *files = sys.argv[1:]
ordinary, hostile = [Path(file).resolve().as_uri() for file in files]


def pixels(page):
    """How many different colours the time line has: 1, if nothing is drawn."""
    return page.evaluate(
        """() => {
            const canvas = document.getElementById("lanes");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )


def looks(browser):
    for scheme in ["light", "dark"]:
        for width in [1280, 390]:
            page, _ = opened(browser, ordinary, color_scheme=scheme, viewport={"width": width, "height": 900})
            assert pixels(page) > 8
            # What is said first can be seen at once.
            assert page.locator("ol.lead li").first.bounding_box()["y"] < 200
            page.locator("details").first.evaluate("it => it.open = true")
            holds(page)
            print(f"{scheme}, {width} pixels: drawn, and nothing serious for axe")
            page.context.close()


def keys(browser):
    page, errors = opened(browser, ordinary, viewport={"width": 1280, "height": 900})
    seen = lambda: page.locator("#range").text_content()
    whole = seen()
    lanes = page.locator("#lanes")
    lanes.focus()

    def after(key):
        before = seen()
        page.keyboard.press(key)
        changed(page, "#range", before)
        return seen()

    for key in ["+", "+", "ArrowRight", "ArrowLeft", "-"]:
        after(key)
    assert after("Home") == whole
    page.keyboard.press("ArrowDown")
    told = page.locator("#detail").text_content()
    assert "(pid " in told, told
    page.keyboard.press("ArrowDown")
    assert page.locator("#detail").text_content() != told
    print("keys zoom, move, and go from process to process")

    lanes.scroll_into_view_if_needed()
    lanes.hover()
    before = seen()
    page.mouse.wheel(0, -300)
    changed(page, "#range", before)
    print("the wheel zooms")

    slider = page.locator("#moment")
    slider.focus()
    page.keyboard.press("Home")
    first = page.locator("#moment-text").text_content(), page.locator("#tree-list").inner_text()
    page.keyboard.press("End")
    last = page.locator("#moment-text").text_content(), page.locator("#tree-list").inner_text()
    assert first[0] != last[0] and first[1] and last[1] and first != last
    print("the slider shows the tree of another moment")

    page.locator("button.show").first.click()
    assert "warning: SIGTERM to sleep" in page.locator("#detail").text_content()
    print("a finding is shown on the time line")
    assert not errors, errors
    page.context.close()


def prints(browser):
    page, errors = opened(browser, ordinary)
    assert len(page.pdf()) > 10_000 and not errors
    print("it can be printed")
    page.context.close()


def without_script(browser):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(ordinary)
    assert page.locator("article.finding strong").first.is_visible() and page.locator("#stops tbody tr").count() == 1
    assert page.locator("noscript p").count() == 1 and not page.locator("#time-body").is_visible()
    print("findings and stops can be read without a script")
    page.context.close()


def lies(browser):
    page, errors = opened(browser, hostile)
    lanes = page.locator("#lanes")
    lanes.focus()
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    page.locator("#moment").focus()
    for _ in range(10):
        page.keyboard.press("PageDown")
    counts = {name: page.locator(name).count() for name in ["script", "style", "img"]}
    assert counts == {"script": 2, "style": 1, "img": 0}, counts
    assert page.title().startswith("tracer: "), page.title()
    assert page.locator("footer").count() == 1 and page.locator("article.finding").count() > 20
    assert not errors, errors
    print("no name gets out of its place")
    page.context.close()


with chromium(browser_file) as browser:
    for check in [looks, keys, prints, without_script, lies]:
        check(browser)
