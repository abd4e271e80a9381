"""The page of `hubbub explore` in a real browser, by keyboard."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from hubbub.serve.build import STATIC as SHARED
from hubbub.serve.explore.app import STATIC
from tests.helpers.archives import copy_of
from tests.helpers.browsing import CONTRAST, VIEWS
from tests.helpers.serving import Server, exploring

HOSTILE = "<img src=x onerror=alert(1)>"
PATIENCE_MS = 60_000  # what fails, fails at last; nothing waits for it otherwise
expect.set_options(timeout=PATIENCE_MS)
Visit = Callable[..., Page]
Explore = Callable[..., Server]
NARROW: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """`visit(server, who="ann")`; in the end, that nothing went wrong or left the server, but for `wrong_but`."""
    contexts, wrong, allowed = [], [], []

    def open_page(server: Server, who: str = "ann", wrong_but: str = "-", **view: Any) -> Page:
        contexts.append(browser.new_context(**(view or VIEWS["desktop"])))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        allowed.append(wrong_but)
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("request", lambda request: request.url.startswith((server.url, "blob:")) or wrong.append(request.url))
        page.goto(server.url)
        if who:
            page.fill("#who-name", who)
            page.keyboard.press("Enter")
            expect(page.locator("#wall .tile img").first).to_be_visible()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [line for line in wrong if not any(one in line for one in allowed)] == []


def in_order(page: Page) -> None:
    """The wall in the order of the archive, its first tile with the focus."""
    page.select_option("#by", "place")
    expect(page.locator("#shown")).to_contain_text("as recorded")
    page.locator(".tile").first.focus()


def add(page: Page, *names: str) -> None:
    for name in names:
        page.fill("#add input", name)
        page.keyboard.press("Enter")
        expect(page.locator("#classes .name").last).to_have_text(name)
    page.locator(".tile").first.focus()


def labels(server: Server) -> dict[int, list[str]]:
    """What is in which segment, by the server."""
    reply = httpx.post(f"{server.url}/v1/search", json={"by": "place"})
    return {one["segment"]: one["yes"] for one in reply.json()["segments"] if one["yes"]}


def saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("All saved")


def test_one_key_labels_and_another_takes_it_back(explore: Explore, visit: Visit) -> None:
    server = explore()
    page = visit(server)
    in_order(page)
    add(page, "low", "rain")
    page.keyboard.press("1")
    tile = page.locator(".tile").first
    expect(tile.locator(".mark.yes")).to_have_text(["low"])
    saved(page)
    assert labels(server) == {0: ["low"]}
    page.keyboard.press("2")
    expect(tile.locator(".mark.yes")).to_have_text(["low", "rain"])
    page.keyboard.press("z")
    expect(tile.locator(".mark.yes")).to_have_text(["low"])
    page.keyboard.press("1")
    expect(tile.locator(".mark.yes")).to_have_count(0)
    page.keyboard.press("z")
    expect(tile.locator(".mark.yes")).to_have_text(["low"])
    saved(page)
    assert labels(server) == {0: ["low"]}
    page.reload()
    expect(page.locator(".tile").first.locator(".mark.yes")).to_have_text(["low"])
    expect(page.locator("#who")).to_have_text("ann")


def test_nothing_and_unsure_stand_for_the_whole_segment(explore: Explore, visit: Visit) -> None:
    server = explore()
    page = visit(server)
    in_order(page)
    add(page, "low")
    marks = page.locator(".tile").first.locator(".mark")
    page.keyboard.press("1")
    saved(page)
    expect(marks).to_have_text(["low"])
    page.keyboard.press("0")
    saved(page)
    expect(marks).to_have_text(["nothing"])
    page.keyboard.press("u")
    saved(page)
    expect(marks).to_have_text(["unsure"])
    page.keyboard.press("1")
    saved(page)
    expect(marks).to_have_text(["low"])
    assert labels(server) == {0: ["low"]}


def test_arrow_keys_move_by_rows_and_columns_and_select(explore: Explore, visit: Visit) -> None:
    server = explore()
    page = visit(server)
    in_order(page)
    add(page, "low")
    columns = page.evaluate("""() => {
      const tops = [...document.querySelectorAll(".tile")].map(tile => tile.offsetTop);
      return tops.filter(top => top === tops[0]).length;
    }""")
    assert 2 <= columns < 12
    focused = "document.activeElement.querySelector('.where').textContent"
    files = [one["file"] for one in httpx.post(f"{server.url}/v1/search", json={"by": "place"}).json()["segments"]]
    for key, at in (("ArrowRight", 1), ("ArrowDown", 1 + columns), ("ArrowLeft", columns), ("ArrowUp", 0), ("End", 11)):
        page.keyboard.press(key)
        assert page.evaluate(focused) == files[at]
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#chosen")).to_contain_text("3 selected")
    page.keyboard.press("1")
    saved(page)
    assert labels(server) == {0: ["low"], 1: ["low"], 2: ["low"]}
    page.keyboard.press("ArrowRight")  # the labelled selection ends
    expect(page.locator(".tile[aria-pressed=true]")).to_have_count(0)
    page.keyboard.press("z")
    expect(page.locator(".mark.yes")).to_have_count(0)
    page.keyboard.press("a")
    expect(page.locator("#chosen")).to_contain_text("12 selected")
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(page.locator(".tile[aria-pressed=true]")).to_have_count(1)


def test_the_archive_is_ranked_again_without_moving_what_is_looked_at(explore: Explore, visit: Visit) -> None:
    page = visit(explore())
    in_order(page)
    add(page, "low")
    page.keyboard.press("1")
    page.keyboard.press("End")
    page.keyboard.press("0")
    page.locator("#classes .near").click()  # waits until there are scores
    expect(page.locator("#shown")).to_contain_text("scores of low around 0.5")
    page.locator("#classes .name").click()
    expect(page.locator("#shown")).to_contain_text("highest scores of low")
    where = page.locator(".tile .where")
    before = where.all_inner_texts()
    expect(page.locator(".tile").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("w")  # wrong, and on
    expect(page.locator(".tile").nth(2)).to_be_focused()
    expect(page.locator(".tile").nth(1).locator(".mark.no")).to_have_text("low")
    expect(page.locator("#fresh")).to_be_visible()
    assert where.all_inner_texts() == before
    page.keyboard.press("r")
    expect(page.locator("#fresh")).to_be_hidden()
    expect(where.nth(1)).not_to_have_text(before[1])


def test_what_cannot_be_shown_says_why(explore: Explore, visit: Visit) -> None:
    page = visit(explore(), wrong_but="422 (Unprocessable")
    add(page, "low")
    page.select_option("#by", "highest")
    expect(page.locator("#shown")).to_contain_text("There are no scores of 'low' yet")
    page.select_option("#by", "like")
    expect(page.locator("#shown")).to_contain_text("Give an example")
    expect(page.locator(".tile")).to_have_count(12)  # what was there stays


def test_like_this_and_not_like_that(explore: Explore, visit: Visit) -> None:
    page = visit(explore())
    in_order(page)
    page.keyboard.press("l")
    expect(page.locator("#shown")).to_contain_text("like 0")
    expect(page.locator(".tile .score").first).to_have_text("1.00")
    kind = page.locator(".tile .where").first.inner_text().partition("/")[2].partition("-")[0]
    for at in range(4):
        expect(page.locator(".tile .where").nth(at)).to_contain_text(kind)
    page.keyboard.press("End")
    page.keyboard.press("k")
    expect(page.locator("#chips .chip")).to_have_count(2)
    page.locator("#chips .chip").last.click()
    expect(page.locator("#chips .chip")).to_have_count(1)
    page.fill("#keep input", "") if page.locator("#keep").is_visible() else page.locator("#kept summary").click()
    page.fill("#keep input", "my tones")
    page.keyboard.press("Enter")
    expect(page.locator("#searches li")).to_contain_text("my tones")
    page.select_option("#by", "place")
    page.locator("#searches button").first.click()
    expect(page.locator("#shown")).to_contain_text("like 0")


def test_it_asks_what_to_label_next(explore: Explore, visit: Visit) -> None:
    page = visit(explore())
    page.locator(".tile").first.focus()
    page.keyboard.press("n")
    expect(page.locator("#shown")).to_contain_text("to label next")
    expect(page.locator(".tile .where").first).to_contain_text("·")  # with a reason
    expect(page.locator(".tile").first).to_be_focused()
    page.select_option("#how", "random")
    page.locator("#next").click()
    expect(page.locator(".tile .where").first).to_contain_text("random")


def test_two_people_see_each_others_labels(explore: Explore, visit: Visit) -> None:
    server = explore()
    ann, bob = visit(server, who="ann"), visit(server, who="bob")
    for page in (ann, bob):
        in_order(page)
    add(ann, "low")
    expect(bob.locator("#classes .name")).to_have_text("low")
    ann.keyboard.press("1")
    expect(bob.locator(".tile").first.locator(".mark.yes")).to_have_text(["low"])
    bob.keyboard.press("ArrowRight")
    bob.keyboard.press("1")
    expect(ann.locator(".tile").nth(1).locator(".mark.yes")).to_have_text(["low"])
    bob.keyboard.press("ArrowLeft")
    expect(bob.locator("#said li")).to_contain_text("ann: low")
    bob.keyboard.press("z")  # his own, not hers
    expect(ann.locator(".tile").nth(1).locator(".mark.yes")).to_have_count(0)
    expect(ann.locator(".tile").first.locator(".mark.yes")).to_have_text(["low"])


def test_what_has_the_focus_plays(explore: Explore, visit: Visit) -> None:
    page = visit(explore())
    in_order(page)
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile").nth(1)).to_have_class("tile playing")
    page.keyboard.press("ArrowRight")  # one sound at a time
    expect(page.locator(".tile").nth(2)).to_have_class("tile playing")
    expect(page.locator(".tile.playing")).to_have_count(1)
    page.keyboard.press("Space")
    expect(page.locator(".tile.playing")).to_have_count(0)
    page.locator(".tile").nth(3).click()  # a click plays, and a second one stops
    expect(page.locator(".tile").nth(3)).to_have_class("tile playing")
    page.wait_for_timeout(200)
    expect(page.locator(".tile").nth(3)).to_have_class("tile playing")
    page.locator(".tile").nth(3).click()
    expect(page.locator(".tile.playing")).to_have_count(0)
    page.locator("#more-side summary").click()
    page.locator("#on-focus").uncheck()
    page.locator("#on-hover").uncheck()
    page.locator(".tile").nth(2).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    expect(page.locator(".tile.playing")).to_have_count(0)
    page.locator(".tile").nth(5).hover()
    page.wait_for_timeout(300)
    expect(page.locator(".tile.playing")).to_have_count(0)


def test_a_label_waits_for_a_server_that_is_away(tones: Path, tmp_path: Path, visit: Visit) -> None:
    archive = copy_of(tones, tmp_path)
    with exploring(tmp_path / "first", archive) as server:
        page = visit(server, wrong_but="net::ERR")
        in_order(page)
        add(page, "low")
        saved(page)
        port = server.port
        server.process.kill()
        server.process.wait()
        page.keyboard.press("1")
        expect(page.locator("#saved")).to_contain_text("1 label is not saved yet")
        expect(page.locator(".tile").first).to_have_class("tile labelled unsaved")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("1")
        expect(page.locator("#saved")).to_contain_text("2 labels are not saved yet")
    with exploring(tmp_path / "second", archive, port=port) as server:
        saved(page)
        assert labels(server) == {0: ["low"], 1: ["low"]}
        expect(page.locator(".unsaved")).to_have_count(0)
    with sqlite3.connect(archive / "archive.sqlite") as database:
        assert database.execute("SELECT count(*) FROM labels").fetchone() == (2,)


def test_names_are_only_text(explore: Explore, visit: Visit) -> None:
    page = visit(explore(), who=HOSTILE)
    in_order(page)
    add(page, HOSTILE)
    page.keyboard.press("1")
    expect(page.locator(".tile").first.locator(".mark.yes")).to_have_text(HOSTILE)
    expect(page.locator("#said li")).to_contain_text(HOSTILE)
    assert page.locator("img[src=x]").count() == 0


def test_a_recording_that_is_gone_says_so_on_its_tile(tones: Path, tmp_path: Path, visit: Visit) -> None:
    archive = copy_of(tones, tmp_path)
    with sqlite3.connect(archive / "archive.sqlite") as database:
        database.execute("UPDATE files SET path = 'north/away.wav' WHERE first = 0")
    with exploring(tmp_path / "log", archive) as server:
        page = visit(server, wrong_but="Failed to load resource")
        in_order(page)
        expect(page.locator(".tile").first.locator(".wrong")).to_contain_text("is not there")
        expect(page.locator(".tile").nth(1).locator("img")).to_be_visible()


def test_the_token_is_typed_on_the_page(explore: Explore, visit: Visit) -> None:
    page = visit(explore("--token", "sesame"), who="", wrong_but="401 (Unauthorized)")
    expect(page.locator("#door")).to_be_visible()
    page.fill("#token", "sesame")
    page.keyboard.press("Enter")
    expect(page.locator("#who-ask")).to_be_visible()
    page.fill("#who-name", "ann")
    page.keyboard.press("Enter")
    expect(page.locator(".tile img").first).to_be_visible()


def test_the_map_brings_segments_to_the_wall(explore: Explore, visit: Visit) -> None:
    page = visit(explore())
    page.locator(".tile").first.focus()
    page.keyboard.press("m")
    expect(page.locator("#map-words")).to_contain_text("Near points sound alike")
    expect(page.locator("#map")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#shown")).to_have_text("12: on the map")
    box = page.locator("#map").bounding_box()
    assert box
    page.mouse.move(box["x"] + 1, box["y"] + 1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 1, steps=3)
    page.mouse.up()
    expect(page.locator("#shown")).not_to_have_text("12: on the map")


@pytest.mark.parametrize("view", [NARROW, VIEWS["dark"], VIEWS["desktop"]], ids=["narrow", "dark", "desktop"])
def test_it_can_be_read_and_does_not_scroll_sideways(served: Server, visit: Visit, view: dict[str, Any]) -> None:
    page = visit(served, **view)
    if page.locator("#side-open").is_visible():
        page.locator("#side-open").click()
    if not page.locator("#classes .name").count():
        page.fill("#add input", "a class with a name that is long enough to be broken")
        page.keyboard.press("Enter")
    page.locator(".tile").first.focus()
    page.locator("#focus-classes button").first.click()
    for summary in page.locator("details").all():
        summary.evaluate("details => { details.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert [(what, ratio) for what, ratio in page.evaluate(CONTRAST) if ratio < 4.5] == []
    unnamed = """() => [...document.querySelectorAll("button, input, select, canvas")].filter(one =>
      one.checkVisibility() && !one.ariaLabel && !one.textContent.trim() && !one.labels?.length
    ).map(one => one.outerHTML)"""
    assert page.evaluate(unnamed) == []


def test_the_page_asks_for_nothing_that_is_not_there(served: Server) -> None:
    text = httpx.get(served.url + "/").text
    assert "<script>" not in text and "style=" not in text and "onclick" not in text
    for file in (*STATIC.iterdir(), *SHARED.iterdir()):
        code = file.read_text(encoding="utf-8")
        assert "innerHTML" not in code and "https://" not in code.replace("https://arxiv.org", ""), file
