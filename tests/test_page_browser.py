"""The report page in a browser: it draws, sorts, filters, zooms, toggles, and nothing hostile runs."""

from __future__ import annotations

import csv
import io
import itertools

import browsing
import numpy as np
import pytest
from commands import EVIL
from made import page_of

from xrdmatch.notes import note

pytest.importorskip("selenium.webdriver", reason="the browser tests need selenium (the browser-test extra)")
pytestmark = pytest.mark.skipif(browsing.BROWSER is None or browsing.DRIVER is None, reason="no Chromium with its driver is installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = browsing.started(tmp_path_factory.mktemp("profile"))
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
    return browser.execute_script(
        "return [...document.querySelectorAll('#rows tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].innerText.trim())"
    )


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


def pen(browser):
    """The SVG of the figure that is shown, as it would be saved: (texts, transforms of upright ones, colours of rectangles)."""
    return browser.execute_async_script(
        """const done = arguments[arguments.length - 1];
        const [make, click] = [URL.createObjectURL, HTMLAnchorElement.prototype.click];
        let kept; URL.createObjectURL = (blob) => { kept = blob; return "blob:none"; };
        HTMLAnchorElement.prototype.click = () => {};
        document.querySelector(".bench button[title^='Save the figure as SVG']").click();
        URL.createObjectURL = make; HTMLAnchorElement.prototype.click = click;
        kept.text().then((text) => {
          const svg = new DOMParser().parseFromString(text, "image/svg+xml");
          const upright = [...svg.querySelectorAll("g[transform^=rotate]")];
          done({
            texts: [...svg.querySelectorAll("text")].filter((node) => !node.closest("g")).map((node) => node.textContent),
            labels: upright.map((node) => ({
              x: +/translate\\(([\\d.]+)/.exec(node.parentNode.getAttribute("transform"))[1],
              text: [...node.querySelectorAll("text")].map((part) => part.textContent).join(" "),
              bars: node.querySelectorAll("rect").length,
            })),
          });
        });"""
    )


def test_the_first_scan_that_matched_is_drawn(opened, answers):
    browser = opened([answers[5], answers[6], *answers[:5]])
    assert names(browser)[:2] == ["blank.xy", "bad.xy"]
    assert "HKUST-1" in browser.find_element("css selector", "#detail h2").text
    drawn = ink(browser)
    assert drawn.get("22,25,29", 0) > 100  # measured, where the calculated one does not cover it
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
    browsing.until(browser, lambda: browser.current_url.endswith("#1") or "HKUST-1" in browser.find_element("css selector", "#detail h2").text)
    browser.execute_script("location.hash = '6'")
    browsing.until(browser, lambda: "is empty" in browser.find_element("id", "detail").text)
    assert not browser.find_elements("css selector", "canvas")
    browser.execute_script("location.hash = '5'")
    browsing.until(browser, lambda: browser.find_elements("css selector", "canvas"))
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
    click(browser, ".bench button[title^='Zoom in']")
    low, high = view(browser)
    assert high - low == pytest.approx(span / 2)
    click(browser, ".bench button[title='To higher angles']")
    assert view(browser)[0] > low


def test_ticking_a_candidate_draws_it(opened):
    browser = opened()
    click(browser, ".candidates .further button")
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
    click(browser, ".candidates .further button")
    browser.find_elements("css selector", ".candidates td:last-child button")[1].click()
    assert answers[0].matches[1].name in browser.find_element("css selector", ".lineplace h3").text


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


def test_the_overview_counts_the_names_and_filters_by_them(opened, answers):
    browser = opened([*answers, answers[1]])
    buttons = browser.find_elements("css selector", "#names button")
    assert buttons[0].text == f"{answers[1].name} 2"
    assert len(buttons) == 5
    buttons[0].click()
    assert names(browser) == ["b.xy", "b.xy"]
    assert "ZIF-8" in browser.find_element("css selector", "#detail h2").text
    buttons[0].click()
    assert len(names(browser)) == 8


def test_only_what_the_answer_names_is_drawn_and_every_mark_is_told(opened, answers):
    from dataclasses import replace

    odd = replace(answers[0].matches[0].evidence, missing=[(1, 1, 1, 20.0, 50.0)], extra=[30.0])
    best = replace(answers[0].matches[0], evidence=odd)
    named = replace(answers[0], matches=[best, *answers[0].matches[1:]], phases=[replace(answers[0].phases[0], match=best)])
    browser = opened([named])
    told = pen(browser)["texts"]
    for said in ("measured", "background", "HKUST-1: calculated", "calculated lines, as high as the root of intensity", "extra line", "intensity"):
        assert said in told
    assert not [text for text in told if answers[0].matches[1].name in text]
    assert "sum of phases" not in told
    click(browser, ".candidates .further button")
    browser.find_elements("css selector", ".candidates input")[1].click()
    assert f"{answers[0].matches[1].name} (candidate): calculated" in pen(browser)["texts"]
    click(browser, ".bench button[title^='Square root']")
    assert "square root of intensity" in pen(browser)["texts"]


def test_labels_stand_apart_and_have_overbars(opened, answers):
    from dataclasses import replace

    best = answers[0].matches[0]
    turned = replace(best, lines=replace(best.lines, hkl=-best.lines.hkl), evidence=replace(best.evidence, matched=[], missing=[], extra=[]))
    browser = opened([replace(answers[0], matches=[turned], phases=[replace(answers[0].phases[0], match=turned)])])
    labels = pen(browser)["labels"]
    assert len(labels) > 5
    assert all(label["bars"] == sum(part != "0" for part in label["text"].split()) for label in labels)
    places = sorted(label["x"] for label in labels)
    assert min(after - before for before, after in itertools.pairwise(places)) >= 13.9
    spans = browser.find_elements("css selector", ".lines tbody tr:first-child .over")
    assert spans
    assert "\N{MINUS SIGN}" not in browser.find_element("css selector", ".lines tbody tr:first-child td").text


def test_an_unknown_has_angles_and_no_indices(opened, answers):
    from dataclasses import replace

    unknown = replace(answers[0], verdict="unknown", phases=[], reasons=(note("nothing_fits", closest="HKUST-1", lines=9),))
    labels = pen(opened([unknown]))["labels"]
    assert labels
    assert all(label["text"].endswith("°") for label in labels)


def test_lines_that_the_scan_does_not_show_have_no_indices(opened, answers):
    from dataclasses import replace

    scan = answers[0].measured
    flat = scan.with_intensity(np.random.default_rng(0).poisson(50.0, scan.intensity.size).astype(float))
    labels = pen(opened([replace(answers[0], measured=flat)]))["labels"]
    assert not [label for label in labels if label["text"] not in ("▼", "◆")]


def test_the_wheel_and_two_fingers_zoom(opened, answers):
    browser = opened()
    whole = answers[0].measured.two_theta[-1] - answers[0].measured.two_theta[0]
    wheel = """const c = document.querySelector('canvas'), box = c.getBoundingClientRect();
        const turned = new WheelEvent('wheel', {deltaY: arguments[0], clientX: box.left + box.width / 2, bubbles: true, cancelable: true});
        return c.dispatchEvent(turned);"""
    assert browser.execute_script(wheel, 100)  # out of the whole scan: left to the page
    assert not browser.execute_script(wheel, -300)
    low, high = view(browser)
    assert high - low < 0.6 * whole
    click(browser, ".bench button[title^='The whole']")
    browser.execute_script("document.querySelector('canvas').scrollIntoView({block: 'center'})")
    at = browser.execute_script("const b = document.querySelector('canvas').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]")
    middle = at[0] + at[2] / 2, at[1] + at[3] / 2
    for kind, apart in (("touchStart", 40), ("touchMove", 80), ("touchMove", 160), ("touchEnd", None)):
        points = [] if apart is None else [{"x": middle[0] + side * apart, "y": middle[1], "id": number} for number, side in enumerate((-1, 1))]
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    low, high = view(browser)
    assert 0.15 * whole < high - low < 0.5 * whole


def test_ticked_scans_are_stacked(opened, answers):
    browser = opened()
    assert not browser.find_element("id", "stack").is_enabled()
    for place in (1, 2, 6):
        click(browser, f"#rows tbody tr:nth-child({place}) input")
    click(browser, "#stack")
    browsing.until(browser, lambda: not browser.find_elements("css selector", ".candidates"))
    told = pen(browser)["texts"]
    assert sum("a.xy" in text or "b.xy" in text or "blank.xy" in text for text in told) == 3
    assert any("ZIF-8" in text for text in told)
    browser.back()
    browsing.until(browser, lambda: browser.find_elements("css selector", ".candidates"))


def test_the_table_is_saved_as_csv(opened, answers):
    from dataclasses import replace

    browser = opened([answers[0], replace(answers[1], file='odd, "name".xy'), answers[6]])
    text = browser.execute_async_script(
        """const done = arguments[arguments.length - 1];
        const click = HTMLAnchorElement.prototype.click, make = URL.createObjectURL;
        URL.createObjectURL = (blob) => { blob.text().then(done); return "blob:none"; };
        HTMLAnchorElement.prototype.click = () => {};
        document.getElementById("csv").click();
        URL.createObjectURL = make; HTMLAnchorElement.prototype.click = click;"""
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["file"] for row in rows] == [answers[0].file, 'odd, "name".xy', "bad.xy"]
    assert [row["name"] for row in rows] == ["HKUST-1", "ZIF-8", ""]
    assert float(rows[0]["share"]) == answers[0].phases[0].share


def test_nothing_is_cut_off_on_a_telephone(opened):
    browser = opened()
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": True})
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 420
        wide = browser.execute_script("return [...document.querySelectorAll('.candidates td, #rows td')].map(c => c.getBoundingClientRect().right)")
        assert max(wide) <= 420
        assert browser.execute_script("return getComputedStyle(document.querySelector('.candidates td')).display") == "block"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_printed_each_scan_is_one_block(opened):
    browser = opened()
    browser.execute_script("document.getElementById('theme').click(); dispatchEvent(new Event('beforeprint'))")
    blocks = browser.execute_script(
        "return [...document.querySelectorAll('#print .block')].map(b => [b.textContent, b.querySelectorAll('svg').length])"
    )
    assert [drawn for _, drawn in blocks] == [1, 1, 1, 1, 1, 1, 0]
    assert "ZIF-8" in blocks[1][0]
    assert browser.execute_script("return document.documentElement.dataset.theme") == "light"
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert not browser.find_elements("css selector", ".block")
