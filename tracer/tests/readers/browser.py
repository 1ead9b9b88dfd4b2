"""Pages in Chromium, for the checks beside this: how one is opened, and what is asked of each."""

from contextlib import contextmanager
from pathlib import Path

import axe_core_python
from playwright.sync_api import sync_playwright

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()


@contextmanager
def chromium(file):
    with sync_playwright() as play:
        # As root, Chromium has no sandbox of its own.
        browser = play.chromium.launch(executable_path=file, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser, url, **how):
    """The page, drawn; any error that it reports, and whatever it loads from elsewhere, is one here."""
    page = browser.new_context(bypass_csp=False, **how).new_page()
    errors = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: request.url.startswith(url) or errors.append(request.url))
    page.goto(url)
    page.wait_for_selector("#time-body:not([hidden])")
    page.wait_for_function("document.getElementById('range').textContent !== ''")
    assert not errors, errors
    return page, errors


def holds(page):
    """Nothing is wider than the screen, and nothing is serious for axe."""
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, f"{wider} pixels wider than the screen"
    # As an extension would: the policy of the page lets no other script in.
    page.evaluate(AXE + "; undefined")
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    grave = [(it["id"], it["nodes"][0]["html"]) for it in found if it["impact"] in ("serious", "critical")]
    assert not grave, grave


def changed(page, place, before):
    """Waits until something else stands there."""
    is_other = "([place, before]) => document.querySelector(place).textContent !== before"
    page.wait_for_function(is_other, arg=[place, before])
