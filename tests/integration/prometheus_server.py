"""A real Prometheus that scrapes workers with the shipped rules, for tests."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

BINARY = Path("/usr/bin/prometheus")
RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "alerts.yml"
_DURATION = re.compile(r"(?<=[\[ ])(\d+)(s|m|h)(?=[\]\n])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def hurried(rules: str, times: int) -> str:
    """The same rules with every window and every ``for`` so many times shorter.

    >>> hurried("expr: increase(x[2m]) > 0\\nfor: 1m\\n", 6)
    'expr: increase(x[20s]) > 0\\nfor: 10s\\n'
    """
    return _DURATION.sub(lambda found: f"{int(found[1]) * _SECONDS[found[2]] // times or 1}s", rules)


class Prometheus:
    """A process with data of its own.

    Parameters
    ----------
    directory
        For data, configuration and log.
    ports
        Of the workers' metrics.
    faster
        How many times shorter the rules' windows are than as shipped.
    """

    def __init__(self, directory: Path, ports: Sequence[int], faster: int = 1) -> None:
        if not BINARY.exists():
            pytest.fail(f"{BINARY} is missing: apt-get install prometheus", pytrace=False)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "alerts.yml").write_text(hurried(RULES.read_text(encoding="utf-8"), faster), encoding="utf-8")
        job = {"job_name": "riskstream-worker", "static_configs": [{"targets": [f"127.0.0.1:{p}" for p in ports]}]}
        every = "2s" if faster > 1 else "5s"
        configuration = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": ["alerts.yml"],
            "scrape_configs": [job],
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
        self.url = f"http://127.0.0.1:{free_port()}"
        with (directory / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(BINARY), "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={self.url[7:]}"],
                cwd=directory, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        until = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (directory / "prometheus.log").read_text()
            assert time.monotonic() < until, "Prometheus did not start within 60 s"
            time.sleep(0.1)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now."""
        answer = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, expression: str) -> float | None:
        """The one value of an expression; None where there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    @property
    def firing(self) -> set[str]:
        """Names of the alerts that are raised now."""
        alerts = self._get("/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def ever_fired(self, seconds: int) -> set[str]:
        """Names of the alerts that were raised at any moment of the last seconds."""
        return {
            found["metric"]["alertname"]
            for found in self.query(f'max_over_time(ALERTS{{alertstate="firing"}}[{seconds}s])')
        }

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
