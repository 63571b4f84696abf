"""Kafka Streams: the Java program in ``benchmarks/kafka_streams/``, built with Maven when it is not there yet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.engines.job import Job
from stream.brokers import kafka_artefacts
from stream.errors import RiskstreamError

PROJECT = Path(__file__).resolve().parents[1] / "kafka_streams"
HEAP = "512m"


def command(job: Job, guarantee: str, codec: str = "jackson") -> list[str]:
    """The command line of one instance.

    Parameters
    ----------
    guarantee
        ``at_least_once`` or ``exactly_once_v2``.
    codec
        ``jackson``, or ``bytes`` for a reader that only looks for three fields: see ``Codec.java``.
    """
    build()
    classpath = f"{PROJECT / 'target' / 'trivial-job-1.jar'}:{PROJECT / 'target' / 'dependency'}/*"
    return [
        kafka_artefacts.java(), f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp", classpath, "riskstream.benchmarks.TrivialJob",
        job.broker, job.input, job.output, job.group, guarantee, job.state, codec,
    ]  # fmt: skip


def build() -> None:
    """Compile the program and fetch its jars, once for each state of its sources."""
    jar = PROJECT / "target" / "trivial-job-1.jar"
    sources = [PROJECT / "pom.xml", *(PROJECT / "src").rglob("*.java")]
    if jar.exists() and jar.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
        return
    print("building benchmarks/kafka_streams with Maven (about 30 s, once)", file=sys.stderr)
    made = subprocess.run(["mvn", "-q", "-B", "package"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise RiskstreamError(f"Maven could not build {PROJECT}:\n{(made.stdout + made.stderr)[-2000:]}")
