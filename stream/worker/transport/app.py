"""The topology of a worker on one screen.

    bank.transactions.v1 ─┐
                          ├▶ accounts ─▶ risk.profiled.v1 ─▶ payees ─┬▶ risk.decisions.v1
    bank.feedback.v1 ─────┘                                          ├▶ risk.alerts.v1
                                                                     └▶ risk.learning.v1 ─▶ learner ─▶ risk.models.v1
    risk.policies.v1, risk.models.v1 ─▶ versions (every worker)

The agents are Faust's; what they await is a whole batch of a hop, walked by the pure core and committed as one Kafka
transaction (``line.py``).
"""

from __future__ import annotations

from typing import Any

import faust
from faust.tables.manager import TableManager
from faust.types import StreamT
from faust.types.auth import CredentialsT

from stream.log import credentials
from stream.settings import Settings
from stream.worker.ownership.line import Line
from stream.worker.transport.batch_transport import BatchTransport
from stream.worker.transport.beside import Beside, Threads


class LineApp(faust.App):
    """A Faust app that carries the line its transport feeds."""

    line: Line

    def _new_transport(self) -> Any:
        return BatchTransport(self.conf.broker_consumer, self)


class NoTables(TableManager):
    """Faust's table manager without tables: it waits a second for some to be added, which never are."""

    async def on_start(self) -> None:
        """Start what ends a rebalance."""
        await self._update_channels()
        await self.recovery.start()


def build(settings: Settings, line: Line) -> LineApp:
    """The Faust app of one worker."""
    app = LineApp(
        settings.topic_prefix + settings.group,
        broker=[f"kafka://{server}" for server in settings.broker.split(",")],
        broker_credentials=faust_credentials(settings),
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_buffer_maxsize=16,
        web_enabled=False,
        worker_redirect_stdouts=False,
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_request_timeout=max(10.0, settings.session_timeout_ms / 1000 + 1.0),
        broker_commit_interval=3600.0,
        producer_acks=-1,
        TableManager=NoTables,
        datadir=settings.data_directory,
        consumer_auto_offset_reset="earliest",
    )
    app.line = line
    inputs = app.topic(
        settings.topic("bank.transactions.v1"),
        settings.topic("bank.feedback.v1"),
        key_serializer="raw", value_serializer="raw", acks=False,
    )  # fmt: skip
    profiled = app.topic(settings.topic("risk.profiled.v1"), key_serializer="raw", value_serializer="raw", acks=False)

    @app.agent(inputs)
    async def accounts(batches: StreamT[bytes]) -> None:
        async for _ in batches.noack():  # type: ignore[attr-defined]
            await line.step("accounts")

    @app.agent(profiled)
    async def payees(batches: StreamT[bytes]) -> None:
        async for _ in batches.noack():  # type: ignore[attr-defined]
            await line.step("payees")

    @app.on_before_shutdown.connect  # type: ignore[arg-type]
    async def drain(sender: object, **_: object) -> None:
        await line.checkpoint_all()

    return app


def execute(app: LineApp, *beside: Threads) -> int:
    """Run an app and what stands beside it until the process is asked to end; returns the exit status."""
    worker = faust.Worker(
        app, *map(Beside, beside), loglevel="INFO", redirect_stdouts=False, override_logging=False, quiet=True
    )
    worker.spinner = None  # it would draw into the log
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def faust_credentials(settings: Settings) -> CredentialsT | None:
    """The connection as Faust's own producer wants it told; its consumer is told by ``batch_transport.py``."""
    connection = credentials.aiokafka(settings)
    context = connection.get("ssl_context")
    if credentials.uses_sasl(settings):
        return faust.SASLCredentials(
            username=connection["sasl_plain_username"],
            password=connection["sasl_plain_password"],
            mechanism=connection["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
