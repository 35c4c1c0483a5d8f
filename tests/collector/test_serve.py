"""`onlineeval serve` as a process: it ends in good order, and no death of it takes what it acknowledged."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.collector.collectors import RESPONSE, ROOT, logged, serving


def test_sigterm_drains_and_seals(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, address):
        assert httpx.post(f"{address}/v1/events", json=RESPONSE).json()["accepted"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert [path.name for path in (tmp_path / "log").iterdir() if ".open." in path.name] == []
    assert [event["response_id"] for event in logged(tmp_path)] == ["r1"]


def test_what_was_acknowledged_before_a_kill_is_in_the_log(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    def sending(address: str, thread: int) -> None:
        with httpx.Client() as client:
            for number in range(100_000):
                response_id = f"{thread}-{number}"
                try:
                    answer = client.post(f"{address}/v1/events", json=RESPONSE | {"response_id": response_id})
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    acknowledged.append(response_id)

    with serving(tmp_path) as (process, address):
        threads = [threading.Thread(target=sending, args=(address, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        threads[0].join(1)
        process.kill()
        for thread in threads:
            thread.join(10)
    assert len(acknowledged) > 20
    assert set(acknowledged) <= {event["response_id"] for event in logged(tmp_path)}


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_host_that_others_reach_is_refused_without_a_key(tmp_path: Path, host: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from onlineeval_dagster.cli import main; import sys; sys.argv[1:] = ['serve', *sys.argv[1:]]; main()",
            "--host",
            host,
        ],
        cwd=ROOT,
        env={"ONLINEEVAL_HOME": str(tmp_path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "onlineeval keys add" in done.stderr
