"""report.html in a real browser: drawn, quiet, in both schemes, on paper and on a phone."""

import json

import pytest

pytest.importorskip("selenium")

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# Bounding boxes of the marks inside each plot, in the page's pixels.
MARKS = """
return [...document.querySelectorAll("svg.plot")].map(plot => {
  const box = e => { const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height] };
  return {plot: box(plot), kind: plot.getAttribute("class"),
          marks: [...plot.querySelectorAll(".dot, .segment, .level, .point, .fill")].map(box),
          texts: [...plot.querySelectorAll("text")].map(e => [e.textContent, ...box(e)])};
});
"""


@pytest.fixture(scope="module")
def browser(tool, tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = tool("chromium", "chromium")
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(tool("chromedriver", "chromium-driver")))
    yield driver
    driver.quit()


@pytest.fixture
def look(browser, quick_study):
    """Open the report as a reader would: colour scheme, medium and width."""
    _, out = quick_study

    def open_page(*, scheme="light", width=1280, media=""):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": media, "features": features}
        )
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get((out / "report.html").as_uri())
        return browser

    return open_page


def results_of(quick_study):
    return json.loads((quick_study[1] / "results.json").read_text(encoding="utf-8"))


def channels(colour):
    """Return the relative luminance of a CSS colour (WCAG 2)."""
    parts = [float(p) / 255 for p in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    high, low = sorted((channels(a), channels(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_figures_are_drawn(look, quick_study):
    results = results_of(quick_study)
    # The hybrid has a bar at each site, and no dot on the curve of DP-FedSGD.
    private = [m for m in results["methods"] if m["kind"] == "dp" and m["aggregation"] != "secure"]
    plots = look().execute_script(MARKS)
    assert len(plots) == 2 + len(results["dataset"]["sites"])
    for plot in plots:
        assert plot["plot"][2] > 100
        assert plot["plot"][3] > 100
        wanted = len(results["methods"])  # a bar each, or a line or dot each
        if "tradeoff" in plot["kind"]:
            # The segments between the dots, and a level beside the point of each other method.
            wanted = (
                2 * len(private) - 1 + 2 * len({m["kind"] for m in results["methods"]} - {"dp"})
            )
        assert len(plot["marks"]) == wanted
        for _, _, width, height in plot["marks"]:
            assert width + height > 1


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
def test_text_of_figures_is_readable_and_inside_its_card(look, width):
    driver = look(width=width)
    cards = driver.execute_script(
        'return [...document.querySelectorAll("svg.plot")].map(p => {'
        " const r = p.closest('.card').getBoundingClientRect(); return [r.left, r.right] })"
    )
    for (left, right), plot in zip(cards, driver.execute_script(MARKS), strict=True):
        shown = [text for text in plot["texts"] if text[4] > 0]
        assert len(shown) > 5
        for text, x, _, w, h in shown:
            assert h >= 10, f"{text!r} is too small"
            assert left <= x, f"{text!r} sticks out"
            assert x + w <= right, f"{text!r} sticks out"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_console_stays_silent(look, scheme):
    assert look(scheme=scheme).get_log("browser") == []


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
def test_page_never_scrolls_sideways(look, width):
    driver = look(width=width)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_page_follows_the_colour_scheme(look):
    get = "return getComputedStyle(document.documentElement).backgroundColor"
    assert channels(look(scheme="light").execute_script(get)) > 0.8
    assert channels(look(scheme="dark").execute_script(get)) < 0.05


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_their_ground(look, scheme):
    style = """
    const card = getComputedStyle(document.querySelector(".card")).backgroundColor;
    const pick = (selector, key) => [...document.querySelectorAll(selector)].map(
      e => [selector, getComputedStyle(e)[key]]);
    return [card, [...pick(".soft", "color"), ...pick("td", "color"),
      ...pick("th", "color"), ...pick("h3", "color"), ...pick(".legend li", "color"),
      ...pick("svg.plot text", "fill")],
      [...pick(".level", "stroke"), ...pick(".segment", "stroke"), ...pick(".bar .fill", "fill")]];
    """
    card, texts, marks = look(scheme=scheme).execute_script(style)
    assert len(texts) > 50
    faint = [(s, c) for s, c in map(tuple, texts) if contrast(c, card) < 4.5]
    assert faint == [], "WCAG 2 AA asks 4.5 of text"
    assert [(s, c) for s, c in map(tuple, marks) if contrast(c, card) < 3] == []


def test_print_is_dark_on_white_even_for_a_dark_screen(look):
    driver = look(scheme="dark", media="print")
    get = "return getComputedStyle(document.documentElement)[arguments[0]]"
    assert channels(driver.execute_script(get, "backgroundColor")) == pytest.approx(1)
    assert channels(driver.execute_script(get, "color")) < 0.05


def test_print_shows_all_of_every_table(look):
    driver = look(width=680, media="print")  # A4 less its margins
    shown = """
    return [...document.querySelectorAll(".wide")].map(
      e => [getComputedStyle(e).overflowX, e.querySelector("table").getBoundingClientRect().right]);
    """
    for overflow, right in driver.execute_script(shown):
        assert overflow == "visible"
        assert right <= 680


def test_page_prints_to_a_few_sheets(look):
    pdf = look().execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert pdf.startswith("JVBERi0")  # %PDF-


def test_page_reads_without_scripts(look, browser):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        text = look().find_element("tag name", "body").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    for heading in ("What privacy costs", "Site by site", "All methods", "Treated as public"):
        assert heading in text


def test_tables_that_scroll_are_reachable_by_keyboard(look):
    driver = look(width=390)
    wide = driver.find_elements("css selector", ".wide")
    assert wide
    assert all(e.get_attribute("tabindex") == "0" and e.accessible_name for e in wide)
