"""The jars of the development Kafka: fetched once by Maven, pinned in ``deploy/devkafka/pom.xml``."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from stream.errors import RiskstreamError

_IN_TREE = Path(__file__).resolve().parents[2] / "deploy" / "devkafka"
PROJECT = _IN_TREE if _IN_TREE.is_dir() else Path(sys.prefix) / "share" / "riskstream" / "devkafka"
"""Folder of the pom: in the source tree (an editable install finds it from anywhere), else where the wheel has put it."""
JAVA_MINIMUM = 17
"""Kafka 4 brokers need Java 17 or later (KIP-1013)."""
INSTALL_HINT = "install both with: sudo apt-get install openjdk-17-jre-headless maven"
FETCH_TIMEOUT_S = 900

_STAMP = ".complete"


def java() -> str:
    """Path of the ``java`` command.

    Raises
    ------
    RiskstreamError
        There is none, or it is too old: with what to install.
    """
    path = _command("java", f"the development Kafka needs Java {JAVA_MINIMUM} or later")
    version = java_version(path)
    if version < JAVA_MINIMUM:
        raise RiskstreamError(f"{path} is Java {version}: Kafka needs Java {JAVA_MINIMUM} or later; {INSTALL_HINT}")
    return path


def java_version(path: str) -> int:
    """The feature release of a ``java`` command: 17, 21, and 8 for what calls itself 1.8.

    Raises
    ------
    RiskstreamError
        It does not say.
    """
    said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None:
        raise RiskstreamError(f"`{path} -version` names no version: {said.strip()[:200]!r}; {INSTALL_HINT}")
    return int(found.group(1))


def jars(progress: Callable[[str], None] = lambda line: None, project: Path = PROJECT) -> Path:
    """Folder with all jars of the pinned Kafka; fetched when missing or when the pom has changed.

    Parameters
    ----------
    progress
        Called with one line of text now and then while Maven downloads (46 jars, 43 MB, once).
    project
        Folder that holds ``pom.xml``; the jars go to ``target/dependency`` under it.

    Raises
    ------
    RiskstreamError
        The pom is not there (not a source tree), Maven is missing, or Maven failed: with its last lines.
    """
    pom = project / "pom.xml"
    if not pom.is_file():
        raise RiskstreamError(
            f"{pom} is not there: the development Kafka runs from a source tree; "
            "clone the repository and run `make setup`, or point RISKSTREAM_BROKER at a Kafka of your own"
        )
    folder = project / "target" / "dependency"
    folder.parent.mkdir(exist_ok=True)
    pinned = hashlib.sha256(pom.read_bytes()).hexdigest()
    with _locked(folder.parent / "lock"):
        if not _is_complete(folder, pinned):
            # Jars of an older pom would stay on the class path beside the new ones.
            shutil.rmtree(folder, ignore_errors=True)
            _fetch(pom, folder, progress)
            (folder / _STAMP).write_text(pinned)
    return folder


def _is_complete(folder: Path, pinned: str) -> bool:
    stamp = folder / _STAMP
    return stamp.is_file() and stamp.read_text() == pinned


def _fetch(pom: Path, folder: Path, progress: Callable[[str], None]) -> None:
    maven = _command("mvn", "fetching the development Kafka needs Maven")
    java()
    progress("Fetching Apache Kafka with Maven (46 jars, 43 MB, once) …")
    arguments = [maven, "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    output: list[str] = []
    fetched = 0
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        limit = threading.Timer(FETCH_TIMEOUT_S, process.kill)
        limit.start()
        try:
            for line in process.stdout:
                output = [*output[-30:], line.rstrip()]
                if line.startswith("Downloaded from") and ".jar" in line:
                    fetched += 1
                    if fetched % 20 == 0:
                        progress(f"  {fetched} jars downloaded")
            status = process.wait()
        finally:
            limit.cancel()
    if status != 0 or not any(folder.glob("kafka_*.jar")):
        _fail(output)
    progress(f"  Kafka is in {folder}")


def _fail(output: list[str]) -> NoReturn:
    reasons = [line for line in output if "ERROR" in line][:5] or output[-5:]
    raise RiskstreamError(
        "Maven could not fetch the development Kafka; check the network and ~/.m2/settings.xml (proxy, mirror). "
        "It said:",
        (line.rstrip("\n") for line in reasons),
    )


def _command(name: str, why: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise RiskstreamError(f"{name} is not installed: {why}; {INSTALL_HINT}")
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # Two sessions of tests, or a test beside `kafka up`, may come here at once.
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
