"""The review pages: who gets in, what is shown, and what becomes of a press of a key."""

import errno
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.review.desk import LEASE
from onlineeval_dagster.review.pages import NOTE_CHARACTERS
from onlineeval_dagster.review.tasks import plan_tasks
from onlineeval_dagster.settings import Settings
from tests.collector.collectors import RESPONSE, logged, send
from tests.review.page_worlds import Clock, Person, asked_today, pages_at, published_at, reviewer_key
from tests.review.task_worlds import AUDIT, AXIS, CATALOG, JUDGE

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return published_at(tmp_path, asked_today(3, now=NOW), now=NOW)


@pytest.fixture
def ann(home: Settings, clock: Clock) -> Person:
    person = Person(pages_at(home, clock))
    person.sign_in(reviewer_key(home, "ann"))
    return person


def labels(settings: Settings) -> list[dict]:
    return [event for event in logged(settings.home) if event["kind"] == "label"]


def test_a_press_is_an_event_in_the_log_with_all_that_an_estimate_needs(home, ann, clock):
    lease = ann.lease()
    clock.now += timedelta(seconds=12)
    page = ann.post("/review/label", lease=lease, score=2, note="  too vague, ask bo@example.com ")
    assert page.status_code == 200 and "1 of 3 today" in page.text
    (said,) = labels(home)
    assert said["event_id"] == f"label:{lease}"
    assert (said["reviewer"], said["axis"], said["score"]) == ("ann", AXIS, 2.0)
    assert (said["stream"], said["inclusion_probability"]) == ("audit", AUDIT)
    assert said["response_at"].startswith("2026-11-24T11:00:00") and said["environment"] == "production"
    assert said["note"].startswith("too vague") and "bo@example.com" not in said["note"]
    assert said["attributes"]["seconds"] == 12.0


def test_the_label_closes_its_task_in_the_next_run(home, ann):
    ann.post("/review/label", lease=ann.lease(), score=3)
    lake = Lake(home.lake_folder)
    ingest(home, lake, now=datetime.now(UTC) + timedelta(hours=1))  # the segment is idle by the disk's own clock
    assert rows(lake, "select reviewer, score from labels", {"labels": None}).to_pylist() == [
        {"reviewer": "ann", "score": 3.0}
    ]
    assert plan_tasks(lake, CATALOG, now=NOW).waiting == 2


def test_the_page_shows_the_answer_and_the_anchors_and_neither_stream_nor_scores(ann):
    text = ann.get().text
    assert re.search(r"answer \d</p>", text) and "Where is my parcel?" in text
    for score, anchor in JUDGE.scale.items():
        assert f'value="{score}"' in text and anchor in text
    assert not re.search(r"audit|targeted|random|probability|verdict", text)


def test_without_a_reviewers_key_nobody_gets_in(home, clock):
    app = pages_at(home, clock)
    writer = ApiKeys(home.keys_file).add("shop", environment=None, scope="write", now=NOW)
    for key in ("", "oe_x_y", writer):
        assert Person(app).sign_in(key).status_code == 401
    nobody = Person(app)
    assert "Your reviewer key" in nobody.get().text
    for path in ("label", "skip", "undo"):
        assert nobody.post(f"/review/{path}", lease="x", score=3).status_code == 401
    assert labels(home) == []


def test_a_reviewers_key_sends_no_events_and_asks_for_none_where_none_was_asked_for(home, clock):
    app = pages_at(home, clock)
    key = reviewer_key(home, "ann")
    assert send(app, RESPONSE).status_code == 200
    ApiKeys(home.keys_file).add("shop", environment=None, scope="write", now=NOW)
    app = pages_at(home, clock)
    assert send(app, RESPONSE, authorization=f"Bearer {key}").status_code == 403


def test_the_cookie_is_for_this_site_only_and_no_script_reads_it(home, clock):
    person = Person(pages_at(home, clock))
    said = person.sign_in(reviewer_key(home, "ann")).history[0].headers["set-cookie"].lower()
    assert "httponly" in said and "samesite=strict" in said and "path=/review" in said and "secure" not in said


def test_a_revoked_key_and_twelve_hours_and_signing_out_end_the_session(home, ann, clock):
    assert ann.lease()
    ann.post("/review/out")
    assert not ann.lease()
    key = reviewer_key(home, "bo")
    bo = Person(ann.app)
    bo.sign_in(key)
    clock.now += timedelta(hours=11)
    assert bo.lease()
    clock.now += timedelta(hours=2)
    assert not bo.lease()
    bo.sign_in(key)
    ApiKeys(home.keys_file).revoke("bo", now=NOW)
    fresh = Person(pages_at(home, clock), cookies=bo.cookies)
    assert not fresh.lease()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://test"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://[broken"},
    ],
)
def test_a_form_from_another_site_is_refused(home, ann, headers):
    lease = ann.lease()
    assert ann.post("/review/label", headers=headers, lease=lease, score=3).status_code == 403
    assert ann.post("/review/skip", headers=headers, lease=lease).status_code == 403
    assert labels(home) == []
    assert ann.lease() == lease


def test_a_browser_that_tells_the_origin_only_is_taken(home, ann):
    assert ann.post("/review/label", headers={"origin": "http://test"}, lease=ann.lease(), score=3).status_code == 200
    assert len(labels(home)) == 1


def test_markup_in_answers_contexts_and_notes_stays_text(tmp_path, clock):
    attack = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>{{ 'q' * 9 }}"
    said = asked_today(1, now=NOW, query=attack, response=attack, context=attack, conversation=attack)
    home = published_at(tmp_path, said, now=NOW)
    person = Person(pages_at(home, clock))
    page = person.sign_in(reviewer_key(home, "ann"))
    assert page.text.count("&lt;script&gt;") == 4 and "<img" not in page.text and "qqqqqqqqq" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert re.findall(r"<script[^>]*>", page.text) == ['<script src="/review/static/review.js" defer>']
    person.post("/review/label", lease=person.lease(), score=3, note=attack)
    assert "window.hit" in labels(home)[0]["note"]


def test_a_form_sent_twice_is_one_label_and_the_last_of_two_counts(home, ann, clock):
    first = ann.lease()
    for _ in range(2):
        assert ann.post("/review/label", lease=first, score=1).status_code == 200
    clock.now += timedelta(seconds=3)
    page = ann.post("/review/undo")
    assert "You said 1 here" in page.text
    ann.post("/review/label", lease=ann.lease(), score=3)
    assert [said["score"] for said in labels(home)] == [1.0, 3.0]
    assert len({said["response_id"] for said in labels(home)}) == 1
    assert labels(home)[0]["occurred_at"] < labels(home)[1]["occurred_at"]


def test_an_expired_lease_is_told_and_nothing_is_kept(home, ann, clock):
    late = ann.lease()
    clock.now += LEASE + timedelta(seconds=1)
    bo = Person(ann.app)
    bo.sign_in(reviewer_key(home, "bo"))
    for _ in range(3):
        bo.post("/review/label", lease=bo.lease(), score=3)
    page = ann.post("/review/label", lease=late, score=1)
    assert page.status_code == 409 and "15 minutes" in page.text and "was not kept" in page.text
    assert {said["reviewer"] for said in labels(home)} == {"bo"}
    assert "Nothing waits for you" in page.text


@pytest.mark.parametrize("score", ["0", "4", "2.5", "nan", "", "three", "1e400"])
def test_a_score_off_the_scale_is_refused(home, ann, score):
    page = ann.post("/review/label", lease=ann.lease(), score=score)
    assert page.status_code == 422 and "Nothing was kept" in page.text
    assert labels(home) == []


def test_a_note_or_a_body_beyond_its_size_is_refused(home, ann):
    assert ann.post("/review/label", lease=ann.lease(), score=3, note="x" * (NOTE_CHARACTERS + 1)).status_code == 422
    assert ann.post("/review/label", lease=ann.lease(), score=3, note="x" * 100_000).status_code == 413
    assert labels(home) == []


def test_a_script_that_sends_a_thousand_at_once_is_held_back(tmp_path, clock):
    home = published_at(tmp_path, asked_today(60, now=NOW), now=NOW)
    ann = Person(pages_at(home, clock))
    ann.sign_in(reviewer_key(home, "ann"))
    found = [ann.post("/review/label", lease=ann.lease(), score=3) for _ in range(40)]
    codes = [page.status_code for page in found]
    assert codes[:20] == [200] * 20 and codes.count(429) >= 10
    refused = next(page for page in found if page.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1 and "not kept" in refused.text
    assert len(labels(home)) == codes.count(200)
    bo = Person(ann.app)
    bo.sign_in(reviewer_key(home, "bo"))
    assert bo.post("/review/label", lease=bo.lease(), score=3).status_code == 200


def test_a_full_disk_is_told_and_the_task_stays_in_hand(home, clock):
    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    ann = Person(pages_at(home, clock, write=full))
    ann.sign_in(reviewer_key(home, "ann"))
    lease = ann.lease()
    page = ann.post("/review/label", lease=lease, score=3)
    assert page.status_code == 507 and "disk is full" in page.text
    assert ann.lease() == lease


def test_skip_shows_another_and_only_our_own_files_are_served(ann):
    first = ann.lease()
    ann.post("/review/skip", lease=first)
    assert ann.lease() not in ("", first)
    assert ann.get("/review/static/review.js").headers["content-type"].startswith("text/javascript")
    for name in ("page.html.j2", "../pages.py", "%2e%2e/pages.py", "nothing"):
        assert ann.get(f"/review/static/{name}").status_code == 404


def test_before_the_first_run_the_page_says_that_nothing_waits(tmp_path, clock):
    home = published_at(tmp_path, asked_today(0, now=NOW), now=NOW)
    person = Person(pages_at(home, clock))
    assert "Nothing waits for you" in person.sign_in(reviewer_key(home, "ann")).text


def test_a_state_that_cannot_be_read_is_told_without_its_path(home, ann):
    home.review_tasks_file.write_bytes(b"no database " * 1000)
    fresh = pages_at(home, Clock(NOW))
    page = Person(fresh, cookies=ann.cookies).get()
    assert page.status_code == 503 and "cannot be read now" in page.text and str(home.home) not in page.text
