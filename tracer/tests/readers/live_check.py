"""The live page in Chromium: live_check.py BROWSER TRACER ORDINARY HOSTILE; the last two are recordings that are played.
Says what was found, a line each."""

import re
import subprocess
import sys
from contextlib import contextmanager

from browser import changed, chromium, holds, opened

browser_file, tracer, ordinary, hostile = sys.argv[1:]


@contextmanager
def served(file, speed, *part):
    """A program that plays a recording, or a part of it, on a page, and the address of that."""
    command = [tracer, "replay", file, "--serve", "0", "--speed", speed, *part]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as program:
        try:
            line = next(line for line in program.stderr if "page: " in line)
            yield program, line.split()[-1]
        finally:
            program.kill()


def state(page, wanted):
    is_it = "wanted => document.getElementById('state').textContent === wanted"
    page.wait_for_function(is_it, arg=wanted, timeout=120_000)


def text(page, place):
    return page.locator(place).text_content()


def next_update(page):
    changed(page, "#facts", text(page, "#facts"))


def comes_to_be(browser, url):
    page, errors = opened(browser, url, viewport={"width": 1280, "height": 900})
    state(page, "live")
    whole, moment = text(page, "#range"), text(page, "#moment-text")
    assert moment.endswith(", now"), moment
    next_update(page)
    changed(page, "#range", whole)
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
    changed(page, "#facts", facts)
    print("the reader pauses it and goes on")

    assert not errors, errors
    page.context.close()


def ends(browser):
    # From then on nothing is found for a second. Slower, if the page is not there by the end of that.
    for speed in ["0.4x", "0.1x", "0.02x"]:
        with served(ordinary, speed, "--from", "-1.3s") as (_, url):
            page, errors = opened(browser, url)
            is_in_time = page.locator("article.finding").count() == 0
            if is_in_time:
                end(page)
                assert not errors, errors
            page.context.close()
            if is_in_time:
                return
    raise AssertionError("the page comes too late at any speed")


def end(page):
    page.wait_for_selector("article.finding", state="attached", timeout=120_000)
    card = page.locator("article.finding").first.get_attribute("id")
    details = page.locator("details").first
    details.evaluate("it => it.open = true")
    state(page, "ended")
    assert details.evaluate("it => it.open"), "what was opened stays open"
    assert page.locator(f"#{card}").count() == 1 and "new finding" in text(page, "#news")
    assert not text(page, "#moment-text").endswith(", now"), "nothing is now any more"
    print("new findings are said, and what was opened stays open to the end")


def at_its_end(browser, url):
    for scheme in ["light", "dark"]:
        for width in [1280, 390]:
            page, errors = opened(browser, url, color_scheme=scheme, viewport={"width": width, "height": 900})
            state(page, "ended")
            assert page.locator("article.finding").count() > 0 and page.locator("#stops tbody tr").count() == 1
            holds(page)
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


with chromium(browser_file) as browser:
    # Slow enough for all that is looked at meanwhile, on a machine under load.
    with served(ordinary, "0.05x") as (_, url):
        comes_to_be(browser, url)
    ends(browser)
    with served(ordinary, "max") as (_, url):
        at_its_end(browser, url)
    with served(hostile, "max") as (_, url):
        lies(browser, url)
    with served(ordinary, "0.05x") as (program, url):
        is_gone(browser, program, url)
