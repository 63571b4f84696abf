"""``riskstream demo`` on a real Kafka: the same counts, exactly once, and topics that go or stay as asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stream.brokers.kafka import DevelopmentKafka
from stream.demo.worker_process import environment_of
from stream.desk.conservation import count
from stream.log.connect import check_reachable
from stream.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("keep", [False, True])
def test_demo_on_a_real_kafka(kafka: DevelopmentKafka, tmp_path: Path, keep: bool) -> None:
    command = ["demo", "--cold", "--seconds", "3", "--rate", "400", "--json", "--broker", kafka.bootstrap]
    called = subprocess.run(
        [sys.executable, "-m", "stream.cli", *command, *(["--keep-topics"] if keep else [])],
        env=environment_of(Settings(data_directory=str(tmp_path))),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert called.returncode == 0, called.stderr
    told = json.loads(called.stdout.splitlines()[-1])
    assert told["events"] == told["decided"] > 400
    found = re.search(r"Creating topics (demo-[0-9a-f]{8}-)\*", called.stderr)
    assert found is not None, called.stderr
    settings = Settings(broker=kafka.bootstrap, topic_prefix=found[1])
    topics = [name for name in check_reachable(settings).topics if name.startswith(found[1])]
    assert bool(topics) == keep
    if keep:
        transactions = [b for b in count(settings) if b.place.topic.endswith("bank.transactions.v1")]
        assert all(balance.balanced for balance in transactions)
        assert sum(balance.decided for balance in transactions) == told["decided"]
