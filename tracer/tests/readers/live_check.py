"""The live page in Chromium: live_check.py BROWSER TRACER ORDINARY HOSTILE; the last two are recordings that are played.
Says what was found, a line each."""

import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import axe_core_python
from playwright.sync_api import sync_playwright

browser_file, tracer, ordinary, hostile = sys.argv[1:]
axe = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()


@contextmanager
def served(file, speed):
    """A program that plays a recording on a page, and the address of that."""
    command = [tracer, "replay", file, "--serve", "0", "--speed", speed]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as program:
        try:
            line = next(line for line in program.stderr if "page: " in line)
            yield program, line.split()[-1]
        finally:
            program.kill()


def opened(browser, url, **how):
    """The page; any error that it reports is one here."""
    context = browser.new_context(bypass_csp=False, **how)
    page = context.new_page()
    errors = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: request.url.startswith(url) or errors.append(request.url))
    page.goto(url)
    page.wait_for_selector("#time-body:not([hidden])")
    page.wait_for_function("() => document.getElementById('range').textContent !== ''")
    assert not errors, errors
    return page, errors


def state(page, wanted, timeout=30_000):
    is_it = "wanted => document.getElementById('state').textContent === wanted"
    page.wait_for_function(is_it, arg=wanted, timeout=timeout)


def text(page, place):
    return page.locator(place).text_content()


def next_update(page):
    before = text(page, "#facts")
    page.wait_for_function("before => document.getElementById('facts').textContent !== before", arg=before)


def comes_to_be(browser, url):
    page, errors = opened(browser, url, viewport={"width": 1280, "height": 900})
    state(page, "live")
    whole, moment = text(page, "#range"), text(page, "#moment-text")
    assert moment.endswith(", now"), moment
    next_update(page)
    page.wait_for_function("before => document.getElementById('range').textContent !== before", arg=whole)
    assert text(page, "#moment-text") not in (moment, ""), "the tree follows"
    print("data arrives, and who looks at the end follows it")

    # The view of somebody who looks at something else.
    lanes = page.locator("#lanes")
    lanes.focus()
    # What is chosen first may live at the end, which would be followed.
    for key in ["ArrowDown", "+", "+", "+", "ArrowLeft", "ArrowLeft"]:
        page.keyboard.press(key)
    page.locator("#moment").evaluate("it => { it.value = 300; it.dispatchEvent(new Event('input', { bubbles: true })); }")
    page.evaluate("window.scrollTo(0, document.getElementById('lanes').getBoundingClientRect().top + window.scrollY - 300)")
    page.wait_for_timeout(200)
    looks = lambda: (
        text(page, "#range"), text(page, "#moment-text"), re.search(r"\(pid \d+", text(page, "#detail")).group(),
        page.evaluate("document.activeElement.id"), round(lanes.bounding_box()["y"]),
    )
    before = looks()
    assert not before[1].endswith(", now") and before[3] == "lanes", before
    for _ in range(2):
        next_update(page)
    assert looks() == before, (before, looks())
    print("zoom, choice, focus, moment and scroll stay through updates")
    page.locator("#now").click()
    page.wait_for_function("() => document.getElementById('moment-text').textContent.endsWith(', now')")
    assert not page.locator("#now").is_visible()

    page.locator("#pause").press("Enter")
    state(page, "paused by the reader")
    facts = text(page, "#facts")
    page.wait_for_timeout(1500)
    assert text(page, "#facts") == facts
    page.locator("#pause").press("Enter")
    page.wait_for_function("before => document.getElementById('facts').textContent !== before", arg=facts)
    print("the reader pauses it and goes on")

    page.wait_for_selector("article.finding", state="attached", timeout=60_000)
    card = page.locator("article.finding").first.get_attribute("id")
    details = page.locator("details").first
    details.evaluate("it => it.open = true")
    state(page, "ended", timeout=120_000)
    assert details.evaluate("it => it.open"), "what was opened stays open"
    assert page.locator(f"#{card}").count() == 1 and "new finding" in text(page, "#news")
    assert not text(page, "#moment-text").endswith(", now"), "nothing is now any more"
    print("new findings are said, and what was opened stays open to the end")
    assert not errors, errors
    page.context.close()


def at_its_end(browser, url):
    for scheme in ["light", "dark"]:
        for width in [1280, 390]:
            page, errors = opened(browser, url, color_scheme=scheme, viewport={"width": width, "height": 900})
            state(page, "ended")
            assert page.locator("article.finding").count() > 0 and page.locator("#stops tbody tr").count() == 1
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider <= 0, f"{wider} pixels wider than the screen"
            page.evaluate(axe + "; undefined")
            found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
            grave = [(it["id"], it["nodes"][0]["html"]) for it in found if it["impact"] in ("serious", "critical")]
            assert not grave, grave
            page.locator("button.show").first.click()
            assert "warning: SIGTERM to sleep" in text(page, "#detail")
            assert page.locator("#now").is_visible()
            assert not errors, errors
            page.context.close()
    print("a recording that has ended is all there, and nothing serious for axe")


def lies(browser, url):
    page, errors = opened(browser, url)
    state(page, "ended")
    lanes = page.locator("#lanes")
    lanes.focus()
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    counts = {name: page.locator(name).count() for name in ["script", "style", "img"]}
    assert counts == {"script": 1, "style": 1, "img": 0}, counts
    assert page.title().startswith("tracer: ") and page.locator("footer").count() == 1
    assert page.locator("article.finding").count() > 20
    assert not errors, errors
    print("no name gets out of its place")
    page.context.close()


def is_gone(browser, program, url):
    page, errors = opened(browser, url)
    state(page, "live")
    program.kill()
    state(page, "connection lost, trying again")
    # The browser itself tells of each attempt.
    assert all("ERR_" in error for error in errors), errors
    assert page.locator("#facts dd").count() > 3
    print("when the program is gone, the page says so, and keeps what it has")
    page.context.close()


with sync_playwright() as play:
    # As root, Chromium has no sandbox of its own.
    browser = play.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
    # Slow enough for all that is looked at meanwhile, on a machine under load.
    with served(ordinary, "0.05x") as (_, url):
        comes_to_be(browser, url)
    with served(ordinary, "max") as (_, url):
        at_its_end(browser, url)
    with served(hostile, "max") as (_, url):
        lies(browser, url)
    with served(ordinary, "0.05x") as (program, url):
        is_gone(browser, program, url)
    browser.close()
