import shutil

import pytest

from onlineeval_dagster.reports.html import render_html
from tests.reports.report_worlds import WORLDS, bad_prompt

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
COLOURS = ("paper", "card", "ink", "soft", "accent", "mark", "strong", "onstrong")
COLOUR = "(name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page from file:// and wait until its plots are drawn; `seen` collects requests and complaints."""
    pages = []

    def open_page(text, **options):
        file = tmp_path / "report.html"
        file.write_text(text, encoding="utf-8")
        page = browser.new_page(**options)
        page.seen = []
        page.on("request", lambda request: page.seen.append(request.url))
        page.on("console", lambda message: page.seen.append(message.text))
        page.on("pageerror", lambda error: page.seen.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-drawn]")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("bad_prompt", 360, "dark"), ("too_little", 360, "light"), ("first_week", 1200, "light")],
)
def test_a_report_opens_offline_without_a_complaint_or_a_sideways_scroll(opened, name, width, scheme):
    text = render_html(WORLDS[name]().report())
    page = opened(text, viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
    assert len(page.seen) == 1 and page.seen[0].startswith("file:")
    assert page.locator("html").get_attribute("data-drawn") == "yes"
    assert page.locator(".plot .main-svg").count() >= page.locator(".plot").count()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_were_the_escaping_ever_lost_the_policy_of_the_page_still_runs_nothing(opened):
    attack = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    text = render_html(bad_prompt().report()).replace("Advertises plans;", attack)
    page = opened(text)
    assert page.locator("p.why script").count() == 1
    assert page.evaluate("window.hit") is None


def test_the_colours_of_the_plots_follow_the_scheme_and_every_text_has_contrast(opened):
    page = opened(render_html(bad_prompt().report()), color_scheme="light")
    fills = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)
        fills.append(page.evaluate("document.querySelector('#by-day-plot .bars path').style.fill"))
        colour = {name: page.evaluate(COLOUR, f"--{name}") for name in COLOURS}
        for text in ("ink", "soft", "accent", "mark"):
            assert contrast(colour[text], colour["paper"]) >= 4.5
            assert contrast(colour[text], colour["card"]) >= 4.5
        assert contrast(colour["onstrong"], colour["strong"]) >= 4.5
    assert fills[0] != fills[1]


def contrast(first, second):
    """WCAG 2 contrast ratio of two #rrggbb colours."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
