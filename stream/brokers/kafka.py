"""A real Apache Kafka on this machine, without Docker: one KRaft node for development and for tests."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream.brokers import kafka_artefacts
from stream.brokers.secured import Listener, Security
from stream.errors import RiskstreamError, UsageError
from stream.log.connect import RECORD_OVERHEAD_BYTES
from stream.log.credentials import Configuration
from stream.private_files import OWNER_UMASK, open_private, private_directory, write_private

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
MAX_MESSAGE_BYTES = 8 * 2**20
"""Largest record batch the broker takes; a topic's own ``max.message.bytes`` may be lower."""

SECURITY = "security"
"""Folder of a secured broker's certificates and passwords, inside its own."""

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class KafkaStatus:
    """What is known of a development Kafka.

    Parameters
    ----------
    state
        ``running`` (ours, and it answers), ``starting`` (our process lives and does not answer yet), ``foreign``
        (something that we did not start listens on the port), ``stopped``.
    bootstrap
        HOST:PORT for ``RISKSTREAM_BROKER``.
    pid
        Process id of the broker where it is ours, else None.
    directory
        Where its data, configuration and log are.
    """

    state: str
    bootstrap: str
    pid: int | None
    directory: str


class DevelopmentKafka:
    """One Apache Kafka node (broker and controller) that listens on the loopback interface alone.

    Good for development, demonstrations and integration tests: it is the real broker, with real transactions,
    consumer groups and recovery. Not for production: one replica, 512 MB of heap, and nobody signs in unless it is secured.

    Parameters
    ----------
    port
        Port to listen on; 0 picks a free one at the first start and keeps it.
    directory
        Its own folder: ``data`` (the logs), ``server.properties``, ``broker.log``, ``process.json``.
    properties
        Broker settings on top of (and before) those below, for tests of security and failure.
    progress
        Called with a line of text when something takes its time.
    security
        Its listeners, certificates, users and rights; None: one listener without any of it.
    long_lived
        Whether its hot code is compiled fully, as a bank's broker's is: a third less CPU a request, after a minute in
        which compiling takes a third of a core. Otherwise quickly, for a broker that starts often.
    """

    def __init__(
        self,
        port: int,
        directory: Path,
        properties: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = lambda line: None,
        *,
        security: Security | None = None,
        long_lived: bool = False,
    ) -> None:
        if not 0 <= port <= 65535:
            raise UsageError(f"port {port}: expected 0 to 65535")
        self.directory = directory.resolve()
        self.port = port
        self.security = security
        self._properties = dict(properties or {})
        self._progress = progress
        self._compiles = [] if long_lived else ["-XX:TieredStopAtLevel=1"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """HOST:PORT to connect to."""
        return f"{HOST}:{self.port}"

    def start(self, timeout: float = START_TIMEOUT_S) -> KafkaStatus:
        """Start the broker and wait until it serves clients; nothing happens when it already does.

        Raises
        ------
        RiskstreamError
            Java or Maven is missing, the port is taken by another program, or the broker ended or did not answer
            within ``timeout`` seconds: with the end of its log.
        """
        launched = self._running_pid() is None
        if launched:
            if self.port and _accepts(self.port):
                raise RiskstreamError(
                    f"{self.bootstrap} is in use by a program that riskstream did not start; "
                    "stop it, use it with --broker, or choose another port with --port"
                )
            self._launch()
        try:
            self._wait_ready(timeout)
            if launched and self.security is not None:
                self.security.establish()
        except BaseException:
            if launched:  # also when the user interrupts: nothing half started stays behind
                self.kill()
            raise
        return self.status()

    def stop(self) -> bool:
        """End the broker in good order; True when there was one of ours to end. Its data stay.

        Raises
        ------
        RiskstreamError
            The process outlives SIGTERM for 30 s and then SIGKILL.
        """
        pid = self._running_pid()
        if pid is None:
            self._pid_file.unlink(missing_ok=True)
            return False
        os.kill(pid, signal.SIGTERM)
        if not self._wait_ended(pid, STOP_TIMEOUT_S):
            self.kill()
        self._pid_file.unlink(missing_ok=True)
        return True

    def kill(self) -> None:
        """End the broker as a crash would (SIGKILL); :meth:`start` recovers from its logs.

        Raises
        ------
        RiskstreamError
            The process does not end.
        """
        pid = self._running_pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            if not self._wait_ended(pid, STOP_TIMEOUT_S):
                raise RiskstreamError(f"Kafka (process {pid}) does not end; look at {self._log}")
        self._pid_file.unlink(missing_ok=True)

    def restart(self) -> KafkaStatus:
        """Stop and start again with the same port and data."""
        self.stop()
        return self.start()

    def wipe(self) -> None:
        """Delete the broker's folder with all its data.

        Raises
        ------
        RiskstreamError
            It is still running.
        """
        if self._running_pid() is not None:
            raise RiskstreamError("Kafka is running; stop it before its data are wiped")
        shutil.rmtree(self.directory, ignore_errors=True)

    def status(self) -> KafkaStatus:
        """Whether it runs and answers, without changing anything."""
        pid = self._running_pid()
        if pid is not None:
            state = "running" if self._serves(2.0) else "starting"
        else:
            state = "foreign" if self.port and _accepts(self.port) else "stopped"
        return KafkaStatus(state, self.bootstrap, pid, str(self.directory))

    @property
    def _pid_file(self) -> Path:
        return self.directory / "process.json"

    @property
    def _configuration(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _log(self) -> Path:
        return self.directory / "broker.log"

    def _running_pid(self) -> int | None:
        try:
            pid = int(orjson.loads(self._pid_file.read_bytes())["pid"])
        except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None
        if self._process is not None and self._process.pid == pid:
            return pid if self._process.poll() is None else None
        # A process id is used again by the system; ours names our configuration on its command line.
        return pid if str(self._configuration) in _command_line(pid) else None

    def _launch(self) -> None:
        classpath = f"{kafka_artefacts.jars(self._progress)}/*"
        self.port = self.port or free_port()
        private_directory(self.directory)
        write_private(self._configuration, self._render(controller_port=free_port()).encode("ascii"))
        java = [kafka_artefacts.java(), "-Xmx512m", "-XX:+UseSerialGC", *self._compiles]
        java += ["-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        if not (self.directory / "data" / "meta.properties").exists():
            self._format([*java, "-cp", classpath])
        if self._log.exists():
            self._log.replace(self._log.with_suffix(".log.1"))
        with open_private(self._log) as log:
            self._process = subprocess.Popen(
                [*java, "-cp", classpath, "kafka.Kafka", str(self._configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                umask=OWNER_UMASK,
                start_new_session=True,  # Ctrl-C in the shell that started it is not meant for it
            )
        write_private(self._pid_file, orjson.dumps({"pid": self._process.pid, "port": self.port}))

    def _format(self, java: list[str]) -> None:
        drawn = uuid.uuid4().bytes
        # the first bit cleared: an id that begins with a hyphen is taken for an option
        identity = base64.urlsafe_b64encode(bytes([drawn[0] & 0x7F]) + drawn[1:]).rstrip(b"=").decode()
        arguments = [*java, "kafka.tools.StorageTool", "format", "-t", identity, "-c", str(self._configuration)]
        formatted = subprocess.run(
            arguments, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False, umask=OWNER_UMASK
        )
        if formatted.returncode != 0:
            reason = _telling(formatted.stdout + formatted.stderr)
            raise RiskstreamError(f"Kafka could not prepare {self.directory / 'data'}:", reason)

    def _render(self, controller_port: int) -> str:
        if self.security is not None:
            listening = self.security.properties(controller_port)
        else:
            listening = {
                "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{controller_port}",
                "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            }
        properties = _BROKER_PROPERTIES | listening
        properties["controller.quorum.voters"] = f"1@{HOST}:{controller_port}"
        properties["log.dirs"] = str(self.directory / "data")
        for name, value in self._properties.items():
            properties[name] = value.replace("{controller_port}", str(controller_port)).replace(
                "{port}", str(self.port)
            )
        return "".join(f"{name}={_escape(value)}\n" for name, value in properties.items())

    def _wait_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._running_pid() is None:
                raise RiskstreamError(f"Kafka ended while starting; {self._log} says:", self._log_end())
            if _accepts(self.port) and self._serves(2.0):
                return
            time.sleep(_POLL_S)
        raise RiskstreamError(f"Kafka did not answer within {timeout:.0f} s; {self._log} says:", self._log_end())

    def _wait_ended(self, pid: int, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._running_pid() != pid:
                return True
            time.sleep(_POLL_S)
        return False

    def _serves(self, timeout: float) -> bool:
        # A new client each time: one that has met a closed port backs off for up to 10 s.
        plain: Configuration = {"bootstrap.servers": self.bootstrap, "log_level": 0}
        client = AdminClient(plain if self.security is None else self.security.administration())
        try:
            return bool(client.list_topics(timeout=timeout).brokers)
        except KafkaException:
            return False

    def _log_end(self) -> list[str]:
        return _telling(self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else "")


def _telling(output: str) -> list[str]:
    """The lines of a Java program's output that say what went wrong: not its stack traces."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("\tat ")]
    telling = [line for line in lines if "ERROR" in line or "Exception" in line] or lines
    return [line[:300] for line in telling[-8:]] or ["(nothing)"]


def development_security(directory: Path, port: int) -> Security:
    """The security of the development Kafka in a folder, made at first: SASL_SSL on its port, mutual TLS on another.

    Raises
    ------
    UsageError
        The folder holds a broker without security.
    """
    own = directory / SECURITY
    if (directory / "data").exists() and not own.exists():
        raise UsageError(
            f"{directory} holds a Kafka without security; wipe it with `riskstream kafka down --port {port} --wipe`, "
            "or choose another port with --port"
        )
    private_directory(own)
    ports = own / "ports.json"
    if not ports.exists():
        write_private(ports, orjson.dumps({"mutual_tls": free_port()}))
    mutual = int(orjson.loads(ports.read_bytes())["mutual_tls"])
    return Security(own, (Listener("SASL_SSL", "SASL_SSL", port), Listener("SSL", "SSL", mutual)))


def free_port() -> int:
    """A port of the loopback interface that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(0.5)
        return client.connect_ex((HOST, port)) == 0


def _command_line(pid: int) -> str:
    if Path("/proc/self").exists():
        for _ in range(10):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                return ""
            if line:
                return line.replace(b"\0", b" ").decode(errors="replace")
            time.sleep(0.01)  # it is empty for a moment while a process executes another program
        return ""
    arguments = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False).stdout


def _escape(value: str) -> str:
    # java.util.Properties reads Latin-1, with a backslash as its escape.
    ascii_only = (f"\\u{unit:04x}" if unit > 126 else chr(unit) for unit in _utf16(value.replace("\\", "\\\\")))
    return "".join(ascii_only)


def _utf16(value: str) -> Iterator[int]:
    encoded = value.encode("utf-16-be")
    return (high << 8 | low for high, low in zip(encoded[::2], encoded[1::2], strict=True))


_BROKER_PROPERTIES: dict[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",  # a misspelt topic is an error, as it should be at a bank
    "num.partitions": "4",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "transaction.max.timeout.ms": "900000",
    # A dead worker's open transaction hides what lies behind it: look for timed-out ones every second.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "message.max.bytes": str(MAX_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(MAX_MESSAGE_BYTES + RECORD_OVERHEAD_BYTES),
    # Topics without a retention of their own; the topics that riskstream creates have one (topics.py).
    "log.retention.hours": "168",
    "log.segment.bytes": str(64 * 2**20),
    "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
    "num.network.threads": "2",
    "num.io.threads": "4",
    # After a crash the controller lets a broker register again only when its old session has expired: 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}
