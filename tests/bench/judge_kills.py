"""What a judge's kills cost: calls paid for twice, counted where they are paid, at the endpoint."""

import tempfile
from collections import Counter
from pathlib import Path

from tests.bench.measured import Measured
from tests.fake_endpoint import completion, serving
from tests.judges.test_kill import CONCURRENCY, killed_after, start

KILLS, ITEMS = 20, 1_000


def judge_kills(scratch: Path) -> list[Measured]:
    """20 kills -9 of a judging process in 1,000 answers, run again each time: paid twice, lost, doubled."""
    with tempfile.TemporaryDirectory(prefix="bench-kills-", dir=scratch) as folder:
        journal = Path(folder) / "journal"
        with serving(lambda number, body: completion('{"score": 3}', delay_s=0.02)) as fake:
            for kill in range(KILLS):
                killed_after((kill + 1) * ITEMS // (KILLS + 1), fake, journal, ITEMS)
            if start(fake, journal, ITEMS).wait(120):
                raise RuntimeError("the last run failed")
            twice = len(fake.calls) - ITEMS
        verdicts = Counter(journal.read_text().splitlines())
    return [
        Measured(
            name=f"judging killed {KILLS} times: calls paid twice",
            value=twice,
            unit="calls",
            at_most=KILLS * CONCURRENCY,
            note=f"{CONCURRENCY} in flight at each kill",
        ),
        Measured(name="  verdicts lost", value=ITEMS - len(verdicts), unit="verdicts", at_most=0),
        Measured(name="  verdicts doubled", value=verdicts.total() - len(verdicts), unit="verdicts", at_most=0),
    ]
