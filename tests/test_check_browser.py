"""The page of check in a browser: wells are coloured and filtered, a click shows a scan, further peaks are marked and listed."""

from __future__ import annotations

import pytest
from test_check_page import page_of
from test_page_browser import browser, click, names, pen, pytestmark, view  # noqa: F401


@pytest.fixture
def opened(browser, checked, tmp_path):  # noqa: F811
    def open_page(results=checked):
        (tmp_path / "plate.html").write_text(page_of(results), encoding="utf-8")
        browser.get("about:blank")
        browser.get((tmp_path / "plate.html").as_uri())
        return browser

    yield open_page
    assert browser.get_log("browser") == []


def dimmed(page):
    return page.execute_script("return [...document.querySelectorAll('a.well')].map(well => well.classList.contains('dim'))")


def test_wells_differ_in_colour_and_in_sign(opened):
    page = opened()
    looks = page.execute_script(
        """return [...document.querySelectorAll('a.well')].map(well => [well.classList[1], getComputedStyle(well).backgroundColor,
        getComputedStyle(well, '::before').content])"""
    )
    by_verdict = {verdict: (colour, sign) for verdict, colour, sign in looks}
    assert len(by_verdict) == 5
    assert len({colour for colour, _ in by_verdict.values()}) == 5
    assert len({sign for _, sign in by_verdict.values()}) == 5
    counts = [chip.text for chip in page.find_elements("css selector", "#chips button")]
    assert [count.split()[-1] for count in counts] == ["1", "2", "1", "1", "1"]


def test_filters_dim_wells(opened):
    page = opened()
    click(page, "#chips .present")
    assert dimmed(page) == [False, True, True, False, False, False]
    page.find_element("id", "search").send_keys("A4")
    assert dimmed(page) == [True, True, True, False, True, True]


def test_a_well_shows_its_scan_with_further_peaks(opened, checked):
    page = opened()
    click(page, "a.well[data-place='1']")
    assert "ZIF-8" in page.find_element("css selector", "#detail h2").text
    assert page.find_element("css selector", "a.well.chosen").get_attribute("data-place") == "1"
    rows = page.find_elements("css selector", ".leftover tbody tr")
    assert len(rows) == len(checked[1].further_lines)
    assert "UiO-66" in rows[0].text
    told = pen(page)
    assert "further peak" in told["texts"]
    assert sum(label["text"].startswith("◆") for label in told["labels"]) == len(rows)
    rows[0].click()
    low, high = view(page)
    assert low < checked[1].further_lines[0].two_theta < high
    assert high - low == pytest.approx(2.0, abs=0.01)
    click(page, "a.well[data-place='3']")
    assert not page.find_elements("css selector", ".leftover")
    click(page, "a.well[data-place='5']")
    assert "is empty" in page.find_element("id", "detail").text


def test_the_table_is_that_of_the_command_line(opened):
    page = opened()
    text = page.execute_async_script(
        """const done = arguments[arguments.length - 1];
        const make = URL.createObjectURL;
        URL.createObjectURL = (blob) => { blob.text().then(done); return "blob:none"; };
        HTMLAnchorElement.prototype.click = () => {};
        document.getElementById("csv").click(); URL.createObjectURL = make;"""
    )
    lines = text.splitlines()
    assert lines[0].startswith("file,asked,verdict,probability")
    assert len(lines) == 7


def test_a_phone_needs_no_sideways_scrolling(opened):
    page = opened()
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": True})
    try:
        click(page, "a.well[data-place='1']")
        assert page.execute_script("return document.documentElement.scrollWidth") <= 420
        assert len({well.rect["y"] for well in page.find_elements("css selector", ".well")}) == 4
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_printed_the_plate_stands_before_the_scans(opened):
    page = opened()
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    first, *blocks = page.execute_script("return [...document.getElementById('print').children].map(node => [node.id, node.textContent])")
    assert first[0] == "plate"
    assert len(blocks) == 6
    assert "Further peaks" in blocks[1][1]
    page.execute_script("dispatchEvent(new Event('afterprint'))")
