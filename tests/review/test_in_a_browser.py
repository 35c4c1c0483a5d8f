"""The review pages in Chromium, served by `onlineeval serve` as a process of its own."""

import shutil
from datetime import UTC, datetime

import pytest

from tests.collector.collectors import logged, serving
from tests.review.page_worlds import asked_today, published_at, reviewer_key
from tests.worlds import answer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ATTACK = (
    "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'><b>bold</b> [![](http://evil.example/x.png)]()"
)
LONG = "The parcel left Leipzig on Monday and reaches you by Wednesday evening. " * 12
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
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
    """Serve published tasks and open their page at a size; `seen` collects requests and complaints."""
    ended = []

    def open_page(answers, size, **options):
        home = published_at(tmp_path / "home", answers, now=datetime.now(UTC))
        key = reviewer_key(home, "Ann")
        server = serving(home.home)
        _, address = server.__enter__()
        page = browser.new_page(viewport=size, **options)
        page.seen = []
        page.on("request", lambda request: page.seen.append(request.url))
        page.on("console", lambda message: page.seen.append(message.text))
        page.on("pageerror", lambda error: page.seen.append(str(error)))
        ended.append((page, server))
        page.goto(f"{address}/review")
        page.screenshot(path=tmp_path / "sign-in.png")
        page.fill("#key", key)
        page.keyboard.press("Enter")
        page.wait_for_selector("html[data-ready] form.rate")
        return page, home, address

    yield open_page
    for page, server in ended:
        page.close()
        server.__exit__(None, None, None)


def press(page, key):
    """Press a key and wait for the page that it brings."""
    with page.expect_navigation():
        page.keyboard.press(key)
    page.wait_for_selector("html[data-ready]")


def test_a_person_rates_by_keyboard_takes_back_notes_and_skips(opened, tmp_path):
    said = {"response": LONG, "context": LONG * 2, "conversation": "User: Hello\nAssistant: Hello, how can I help?"}
    page, home, address = opened(asked_today(4, now=datetime.now(UTC), **said), DESKTOP)
    page.screenshot(path=tmp_path / "desktop.png")
    assert "0 of 4 today" in page.inner_text("header")
    press(page, "2")
    assert "1 of 4 today" in page.inner_text("header")
    press(page, "u")
    assert "You said 2 here" in page.inner_text("main")
    page.screenshot(path=tmp_path / "undone.png")
    page.keyboard.press("n")
    page.keyboard.type("3 of 3 parts, but late")
    assert page.input_value("textarea") == "3 of 3 parts, but late"  # digits in a note rate nothing
    page.keyboard.press("Escape")
    press(page, "3")
    press(page, "s")
    press(page, "1")
    press(page, "1")
    assert "Nothing waits for you" in page.inner_text("main")
    page.screenshot(path=tmp_path / "nothing.png")
    labels = [event for event in logged(home.home) if event["kind"] == "label"]
    assert [label["score"] for label in labels] == [2, 3, 1, 1]
    assert labels[0]["response_id"] == labels[1]["response_id"]
    assert labels[1]["note"] == "3 of 3 parts, but late" and labels[1]["reviewer"] == "Ann"
    assert all(url.startswith(address) for url in page.seen), page.seen


def test_scripts_in_what_people_and_products_wrote_do_not_run(opened, tmp_path):
    said = dict.fromkeys(("query", "response", "context", "conversation"), ATTACK)
    page, _, address = opened(asked_today(1, now=datetime.now(UTC), **said), DESKTOP)
    page.screenshot(path=tmp_path / "attack.png")
    assert page.evaluate("window.hit") is None
    assert page.locator("main img, main script, main b:not(.scores b)").count() == 0
    assert ATTACK in page.inner_text(".answer")
    assert all(url.startswith(address) for url in page.seen), page.seen


def test_were_the_escaping_ever_lost_the_policy_of_the_page_still_runs_nothing(opened):
    page, _, _ = opened(asked_today(1, now=datetime.now(UTC)), DESKTOP)
    page.evaluate("html => { document.querySelector('.answer').innerHTML = html }", "<img src=x onerror='hit = 1'>")
    page.evaluate("() => { const s = document.createElement('script'); s.text = 'hit = 1'; document.body.append(s) }")
    page.wait_for_timeout(300)
    assert page.evaluate("window.hit") is None
    assert any("Content Security Policy" in line for line in page.seen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_works_at_a_phones_width(opened, tmp_path, scheme):
    now = datetime.now(UTC)
    word = "https://example.org/" + "a" * 120
    said = {"response": f"{LONG}\n\n{word}", "context": LONG, "query": "Where is my parcel, please?"}
    page, _, _ = opened(asked_today(2, now=now, **said), PHONE, color_scheme=scheme, has_touch=True)
    page.screenshot(path=tmp_path / f"phone-{scheme}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for button in page.locator(".scores button").all():
        box = button.bounding_box()
        assert box["height"] >= 44 and box["y"] + box["height"] <= PHONE["height"]  # in reach without scrolling
    with page.expect_navigation():
        page.locator(".scores button").nth(1).tap()
    assert "1 of 2" in page.inner_text("header")


def test_the_page_works_without_scripts(opened):
    now = datetime.now(UTC)
    home_page, home, address = opened([answer(0, at=now)], DESKTOP)
    context = home_page.context.browser.new_context(java_script_enabled=False)
    context.add_cookies(home_page.context.cookies())
    page = context.new_page()
    page.goto(f"{address}/review")
    page.click("button[value='2']")
    page.wait_for_selector("h1:has-text('Nothing waits')")
    assert [event["score"] for event in logged(home.home) if event["kind"] == "label"] == [2]
    context.close()
