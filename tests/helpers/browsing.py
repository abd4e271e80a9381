"""Pages in a real browser: desk, phone and darkness; the fixtures `browser` and `show`, which conftest hands on."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

VIEWS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]

Show = Callable[..., Page]

#: Contrast of every text with what is behind it, as WCAG 2.2 counts it.
CONTRAST = """() => {
  const light = c => c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const parts = c => c.match(/[\\d.]+/g).map(Number);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = parts(getComputedStyle(e).backgroundColor);
      if (c.length == 3 || c[3] == 1) return c.slice(0, 3);
    }
    return null;
  };
  return [...document.querySelectorAll("body *")]
    .filter(e => [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()))
    .map(e => {
      const [a, b] = [parts(getComputedStyle(e).color).slice(0, 3), behind(e)].map(light);
      return [e.tagName + "." + e.className, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)];
    });
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Browser) -> Iterator[Show]:
    """`show(place, "phone")`: a page, or a run folder's report, as seen there; in the end, that nothing went wrong or
    left the machine."""
    contexts, wrong = [], []

    def open_page(place: Path, view: str = "desktop") -> Page:
        contexts.append(browser.new_context(**VIEWS[view]))
        shown = contexts[-1].new_page()
        shown.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        shown.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        shown.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        shown.on("requestfailed", lambda request: wrong.append(f"failed: {request.url[:80]}"))
        shown.on("request", lambda request: request.url.startswith(("data:", "file:")) or wrong.append(request.url))
        shown.goto((place / "report.html" if place.is_dir() else place).as_uri())
        return shown

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
