"""The report page in a browser: it draws, sorts, filters, zooms, toggles, and nothing hostile runs."""

from __future__ import annotations

import shutil

import pytest
from commands import EVIL
from made import page_of

from xrdmatch.notes import note

webdriver = pytest.importorskip("selenium.webdriver", reason="the browser tests need selenium (the browser-test extra)")
BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="no Chromium with its driver is installed")

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update
--disable-sync --window-size=1200,1400 --force-device-scale-factor=1"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, answers, tmp_path):
    """Opens the page of some answers from disk; afterwards the browser must have had nothing to complain of."""

    def open_page(results=answers):
        (tmp_path / "report.html").write_text(page_of(results, "report"), encoding="utf-8")
        browser.get("about:blank")
        browser.get((tmp_path / "report.html").as_uri())
        return browser

    yield open_page
    assert [entry for entry in browser.get_log("browser") if "getImageData" not in entry["message"]] == []  # which only this test calls


def names(browser):
    return browser.execute_script("return [...document.querySelectorAll('#rows tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].innerText)")


def ink(browser, left=0.0, right=1.0):
    """Coloured pixels of the plot by colour, between two shares of its width."""
    return browser.execute_script(
        """const c = document.querySelector('canvas'), p = c.getContext('2d'), w = c.width;
        const d = p.getImageData(Math.round(arguments[0] * w), 0, Math.max(1, Math.round((arguments[1] - arguments[0]) * w)), c.height).data;
        const n = {};
        for (let i = 0; i < d.length; i += 4) { const k = d.slice(i, i + 3).join(); n[k] = (n[k] || 0) + 1; }
        return n;""",
        left,
        right,
    )


def view(browser):
    return browser.execute_script("const d = document.querySelector('canvas').dataset; return [+d.from, +d.to]")


def click(browser, selector):
    browser.find_element("css selector", selector).click()


BLUE, VERMILLION = "0,114,178", "213,94,0"


def test_the_first_scan_is_drawn(opened):
    browser = opened()
    assert "HKUST-1" in browser.find_element("css selector", "#detail h2").text
    drawn = ink(browser)
    assert drawn.get("22,25,29", 0) > 500  # measured
    assert drawn.get(BLUE, 0) > 200  # the best candidate
    assert drawn.get(VERMILLION, 0) == 0  # the second is not ticked


def test_a_column_sorts_both_ways(opened):
    browser = opened()
    assert names(browser) == ["a.xy", "b.xy", "c.xy", "d.xy", "e.xy", "blank.xy", "bad.xy"]
    for falling in (True, False):
        click(browser, "#rows th:nth-child(5) button")
        keys = browser.execute_script("return [...document.querySelectorAll('#rows tbody tr')].map(r => +(r.cells[4].dataset.key || 0))")
        assert keys[:5] == sorted(keys[:5], reverse=falling)
        assert names(browser)[5:] == ["blank.xy", "bad.xy"]  # which have no value stand last either way
        assert browser.find_element("css selector", "#rows th:nth-child(5)").get_attribute("aria-sort") == ("descending" if falling else "ascending")
    click(browser, "#rows th:nth-child(3) button")
    named = browser.execute_script("return [...document.querySelectorAll('#rows tbody tr')].map(r => r.cells[2].dataset.key)")
    assert named[:5] == sorted(named[:5])
    assert named[5:] == ["", ""]


def test_filters_by_words_and_by_verdict(opened):
    browser = opened()
    browser.find_element("id", "search").send_keys("zif")
    assert names(browser) == ["b.xy"]
    assert browser.find_element("id", "shown").text == "1 of 7 shown"
    browser.find_element("id", "search").clear()
    browser.execute_script("document.getElementById('search').dispatchEvent(new Event('input'))")
    click(browser, "#chips .match")
    assert names(browser) == ["blank.xy", "bad.xy"]
    click(browser, "#chips .match")
    assert len(names(browser)) == 7


def test_rows_and_keys_choose_the_scan(opened):
    browser = opened()
    click(browser, "#rows tbody tr:nth-child(2) td:nth-child(4)")
    assert "ZIF-8" in browser.find_element("css selector", "#detail h2").text
    assert browser.current_url.endswith("#1")
    browser.find_element("css selector", "body").send_keys("j")
    assert browser.current_url.endswith("#2")
    browser.back()
    browser.back()
    assert browser.current_url.endswith("#1") or "HKUST-1" in browser.find_element("css selector", "#detail h2").text
    browser.execute_script("location.hash = '6'")
    assert "is empty" in browser.find_element("id", "detail").text
    assert not browser.find_elements("css selector", "canvas")
    browser.execute_script("location.hash = '5'")
    assert browser.find_elements("css selector", "canvas")
    assert not browser.find_elements("css selector", ".candidates")


def test_dragging_zooms_and_a_double_click_shows_all(opened, answers):
    from selenium.webdriver import ActionChains

    browser = opened()
    canvas = browser.find_element("css selector", "canvas")
    whole = ink(browser)
    ActionChains(browser).move_to_element_with_offset(canvas, -200, 0).click_and_hold().move_by_offset(200, 0).release().perform()
    low, high = view(browser)
    span = answers[0].measured.two_theta[-1] - answers[0].measured.two_theta[0]
    assert high - low == pytest.approx(span * 200 / (canvas.size["width"] - 24), rel=0.05)
    assert ink(browser) != whole
    ActionChains(browser).double_click(canvas).perform()
    assert view(browser) == pytest.approx([answers[0].measured.two_theta[0], answers[0].measured.two_theta[-1]])
    click(browser, ".bench button[title='Zoom in']")
    low, high = view(browser)
    assert high - low == pytest.approx(span / 2)
    click(browser, ".bench button[title='To higher angles']")
    assert view(browser)[0] > low


def test_ticking_a_candidate_draws_it(opened):
    browser = opened()
    boxes = browser.find_elements("css selector", ".candidates input")
    boxes[1].click()
    assert ink(browser).get(VERMILLION, 0) > 50
    boxes[0].click()
    assert ink(browser).get(BLUE, 0) == 0
    boxes[1].click()
    assert ink(browser).get(VERMILLION, 0) == 0


def test_lines_are_listed_and_zoom_to_themselves(opened, answers):
    browser = opened()
    rows = browser.find_elements("css selector", ".lines tbody tr")
    best = answers[0].matches[0]
    assert len(rows) > 5
    assert rows[0].text.split()[:3] == [str(value) for value in best.lines.hkl[0]]
    rows[3].click()
    low, high = view(browser)
    assert high - low == pytest.approx(2.0, abs=0.01)
    buttons = browser.find_elements("css selector", ".candidates button")
    buttons[1].click()
    assert answers[0].matches[1].name in browser.find_element("css selector", "#detail > div:last-child h3").text


def test_hovering_tells_the_angle_and_the_line(opened):
    from selenium.webdriver import ActionChains

    browser = opened()
    ActionChains(browser).move_to_element(browser.find_element("css selector", "canvas")).perform()
    said = browser.find_element("css selector", ".readout").text
    assert said.startswith("2θ ")
    assert "Å" in said


def test_light_and_dark(opened):
    browser = opened()
    click(browser, "#theme")
    first = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    picture = ink(browser)
    click(browser, "#theme")
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != first
    assert ink(browser) != picture


def test_hostile_names_do_nothing(opened, answers):
    from dataclasses import replace

    best = answers[0].matches[0]
    said = note("strongest_line_cut_off", start=10.0, name=EVIL, two_theta=5.0)
    either = note("undecided_metal", options=(EVIL, EVIL), same_pattern=True)
    hostile = replace(
        answers[0],
        file=EVIL,
        reasons=(note("nothing_fits", closest=EVIL),),
        headline=((EVIL, 0.9),),
        notes=[said],
        matches=[replace(best, name=EVIL, undecided=either, family=EVIL, members=[EVIL, EVIL])],
    )
    browser = opened([hostile, replace(hostile, verdict="unknown")])
    assert EVIL in browser.find_element("id", "detail").text
    browser.execute_script("location.hash = '1'")
    assert browser.title == "report"
    assert not browser.find_elements("css selector", "img")


def test_one_scan_has_no_summary(opened, answers):
    browser = opened(answers[:1])
    assert not browser.find_element("id", "summary").is_displayed()
    assert browser.find_element("css selector", "canvas").is_displayed()
