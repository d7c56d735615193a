"""The page of serve in a browser: drop, look, expect, accept, add a structure, search again, two tabs, and the end of the server."""

from __future__ import annotations

import time

import browsing
import cifs
import pytest
from commands import EVIL
from conftest import write_scan

from xrdmatch.serve.answering import beginning
from xrdmatch.serve.server import listening, serving
from xrdmatch.serve.settings import Limits
from xrdmatch.serve.work import WorkQueue
from xrdmatch.serve.workspace import Workspace

pytest.importorskip("selenium.webdriver", reason="the browser tests need selenium (the browser-test extra)")
pytest.importorskip("starlette", reason="serve needs the serve extra")
pytest.importorskip("uvicorn", reason="serve needs the serve extra")
pytestmark = pytest.mark.skipif(browsing.BROWSER is None or browsing.DRIVER is None, reason="no Chromium with its driver is installed")

OWN = cifs.cif(["Zn1 Zn 0 0 0", "O1 O 0.2 0 0", "C1 C 0.3 0.1 0", "C2 C 0.5 0.5 0.1"], (14.1, 14.1, 14.1, 90, 90, 90))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = browsing.started(tmp_path_factory.mktemp("profile"))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


class Opened:
    """A page in a browser."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        browser.get(address)
        self.until(lambda: self.text("#state") == "ready")

    def script(self, text, *given):
        return self.browser.execute_script(text, *given)

    def find(self, selector):
        return self.browser.find_elements("css selector", selector)

    def text(self, selector):
        return self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def until(self, condition):
        end = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < end, self.text("body")
            time.sleep(0.05)

    def choose(self, *paths):
        self.browser.find_element("id", "pick-files").send_keys("\n".join(map(str, paths)))

    def rows(self):
        return self.script("return [...document.querySelectorAll('#rows tbody tr')].map(r => r.cells[0].innerText.trim())")

    def done(self, number):
        """Wait until so many scans are done."""
        self.until(lambda: len(self.rows()) == number and self.text("#state") == (f"{number} scans" if number != 1 else "1 scan"))

    def fill(self, name, value):
        field = self.browser.find_element("css selector", f"#settings [name={name}]")
        field.clear()
        field.send_keys(value)

    def click(self, selector, text=""):
        self.script(
            "[...document.querySelectorAll(arguments[0])].find(n => n.innerText.includes(arguments[1])).click()",
            selector,
            text,
        )


@pytest.fixture
def opened(browser, tiny_model):
    """A page on a server of its own; afterwards the browser must have had nothing to complain of."""
    browser.get("about:blank")
    browser.get_log("browser")
    with Workspace(WorkQueue(beginning(str(tiny_model), "cpu"), 1), Limits(file_bytes=500_000)) as workspace:
        with serving(workspace, listening(0)) as address:
            yield Opened(browser, address)
            browser.get("about:blank")  # else it would go on asking
        refused = ("422", "413")  # which a test asks for
        assert [entry for entry in browser.get_log("browser") if not any(code in entry["message"] for code in refused)] == []


def test_scans_come_and_the_best_is_shown(opened, scans, tmp_path):
    (tmp_path / "broken.raw").write_bytes(b"RAW1.01 but no more")
    opened.choose(tmp_path / "broken.raw", scans / "a.xy", scans / "b.xy")
    opened.done(3)
    assert sorted(opened.rows()) == ["a.xy", "b.xy", "broken.raw"]
    assert opened.text("#detail h2").startswith(("HKUST-1", "ZIF-8"))
    assert opened.text("#rows tr[data-verdict=error]").startswith("broken.raw")
    assert opened.find("#detail canvas")
    before = opened.script("return document.querySelector('canvas').toDataURL()")
    opened.click("#detail .candidates button", "more below") if opened.find("#detail tr.further button") else None
    opened.script("document.querySelector('#detail .candidates input:not(:checked):not(:disabled)').click()")
    assert opened.script("return document.querySelector('canvas').toDataURL()") != before
    opened.script("document.querySelector('#rows tr[data-verdict=error] a').click()")
    opened.until(lambda: opened.text("#detail h2") == "broken.raw")


def test_what_is_dropped_is_taken_and_what_is_too_large_is_told(opened, scans):
    opened.script(
        """const data = new DataTransfer();
        data.items.add(new File([arguments[0]], "dropped.xy"));
        data.items.add(new File(["5 10\\n".repeat(200000)], "large.xy"));
        data.items.add(new File([arguments[1]], "MINE.cif"));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));""",
        (scans / "a.xy").read_text(),
        OWN,
    )
    opened.done(1)
    opened.until(lambda: "large.xy: larger than" in opened.text("#troubles"))
    assert opened.text("#own").startswith("MINE added")
    assert opened.rows() == ["dropped.xy"]


def test_a_folder_is_dropped_with_what_lies_below_it(opened, scans, library):
    (scans / "deep" / "deeper").mkdir(parents=True)
    write_scan(scans / "deep" / "deeper" / "c.xy", library, 4, 3)
    (scans / ".hidden").write_bytes((scans / "a.xy").read_bytes())
    for kind in ("dragEnter", "dragOver", "drop"):
        data = {"items": [], "files": [str(scans)], "dragOperationsMask": 1}
        opened.browser.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 200, "data": data})
    opened.done(3)
    assert sorted(opened.rows()) == ["a.xy", "b.xy", "c.xy"]
    assert "notes.doc" in opened.script("return document.querySelector('#state').title")
    assert opened.find(".over-page") == []


def test_expected_phase_wrong_settings_and_search_again(opened, scans):
    opened.fill("expected", "HKUST-99")
    opened.choose(scans / "a.xy")
    opened.until(lambda: "HKUST-99" in opened.text("#wrong"))
    assert opened.rows() == []
    opened.fill("expected", "HKUST-1")
    opened.choose(scans / "a.xy")
    opened.done(1)
    assert opened.text("#wrong") == ""
    assert opened.text("#detail .check .badge").lower() in ("pure", "present")
    assert opened.text("#detail .check").count("HKUST-1") >= 1
    assert len(opened.find("#rows .badge")) == 2
    opened.fill("expected", "")
    opened.fill("elements", "Zn,C,N,O,H")
    opened.click("#again")
    opened.until(lambda: "only Zn, C, N, O, H" in opened.text("#detail .doings"))
    assert opened.find("#detail .check") == []


def test_accept_and_undo(opened, library, tmp_path):
    write_scan(tmp_path / "a.xy", library, 0, 1)
    opened.choose(tmp_path / "a.xy")
    opened.done(1)
    opened.click("#detail .candidates button", "accept")
    opened.until(lambda: opened.text("#detail h2") == "HKUST-1, accepted")
    assert "accepted as there" in opened.text("#detail")
    assert "(accepted)" in opened.text("#detail .candidates")
    opened.click("#detail .doings button", "undo")
    opened.until(lambda: opened.text("#detail h2").startswith("HKUST-1 ") and "accepted" not in opened.text("#detail h2"))


def test_two_tabs_show_the_same_and_removing_empties_both(opened, scans):
    first = opened.browser.current_window_handle
    opened.choose(scans / "a.xy", scans / "b.xy")
    opened.done(2)
    opened.browser.switch_to.new_window("tab")
    second = Opened.__new__(Opened)
    second.browser, second.address = opened.browser, opened.address
    second.browser.get(opened.address)
    second.done(2)
    second.click("#clear")
    second.until(lambda: second.rows() == [] and second.text("#state") == "ready")
    opened.browser.close()
    opened.browser.switch_to.window(first)
    opened.until(lambda: opened.rows() == [] and opened.text("#detail") == "")


def test_hostile_names_do_nothing(opened, scans, tmp_path):
    path = tmp_path / (EVIL.replace("/", "-")[:120] + ".xy")
    path.write_bytes((scans / "a.xy").read_bytes())
    opened.choose(path)
    opened.done(1)
    assert opened.browser.title == "xrdmatch"
    assert opened.find("#rows img") == opened.find("#detail img") == []


@pytest.mark.parametrize("width", [1400, 420])
def test_nothing_hangs_over_the_edge(opened, scans, width):
    opened.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
    try:
        assert opened.script("return document.documentElement.scrollWidth") <= width
        opened.fill("expected", "HKUST-1")
        opened.choose(scans / "a.xy", scans / "b.xy")
        opened.done(2)
        assert opened.script("return document.documentElement.scrollWidth") <= width
    finally:
        opened.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_says_when_the_server_has_ended(browser, tiny_model):
    with Workspace(WorkQueue(beginning(str(tiny_model), "cpu"), 1)) as workspace:
        with serving(workspace, listening(0)) as address:
            page = Opened(browser, address)
        page.until(lambda: "has ended" in page.text("#state"))
    browser.get("about:blank")
    browser.get_log("browser")
