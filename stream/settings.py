"""Every setting of riskstream: one typed class, read from the environment or a file.

Precedence: command-line flag, environment (``RISKSTREAM_<NAME>``), the YAML file named by
``RISKSTREAM_SETTINGS``, default. ``riskstream config show`` prints the values in force and where each came from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream.errors import UsageError

ENVIRONMENT_PREFIX = "RISKSTREAM_"
FILE_VARIABLE = f"{ENVIRONMENT_PREFIX}SETTINGS"


class Settings(BaseModel):
    """Settings of every command. Times are in the unit their name ends with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    broker: Annotated[str, Field(description="Kafka bootstrap servers, HOST:PORT[,HOST:PORT…].")] = "127.0.0.1:9092"
    security_protocol: Annotated[
        str, Field(pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$", description="Kafka security protocol.")
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[str, Field(description="SASL mechanism, e.g. SCRAM-SHA-512; empty for none.")] = ""
    sasl_username: Annotated[str, Field(description="SASL user.")] = ""
    sasl_password: Annotated[str, Field(description="SASL password; prefer the environment.", repr=False)] = ""
    ssl_ca: Annotated[str, Field(description="PEM file of the certificate authority.")] = ""
    ssl_certificate: Annotated[str, Field(description="PEM file of the client certificate (mTLS).")] = ""
    ssl_key: Annotated[
        str, Field(description="PEM file of the client key (mTLS); empty: in the certificate's file.")
    ] = ""
    ssl_key_password: Annotated[
        str, Field(description="Passphrase of the client key; prefer the environment.", repr=False)
    ] = ""
    ssl_endpoint_identification: Annotated[
        str,
        Field(
            pattern="^(https|none)$",
            description="https: the broker's certificate must name the host that was asked for; none: any name will do.",
        ),
    ] = "https"

    topic_prefix: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$", description="Put before every topic and group name.")
    ] = ""
    group: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Consumer group of the workers.")] = (
        "riskstream"
    )
    partitions: Annotated[int, Field(ge=1, le=512, description="Partitions of topics that riskstream creates.")] = 4
    replication_factor: Annotated[int, Field(ge=1, le=7, description="Replication of topics it creates.")] = 1
    retention_hours: Annotated[
        int, Field(ge=1, description="Retention of topics it creates with cleanup 'delete', hours.")
    ] = 24 * 400
    max_message_bytes: Annotated[int, Field(ge=65536, description="max.message.bytes of topics it creates.")] = 4 << 20

    instance: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{0,64}$",
            description="Static membership: this worker's fixed name; empty for none.",
        ),
    ] = ""
    broker_budget_s: Annotated[
        float,
        Field(
            gt=0,
            le=600,
            description="A broker's error that passes by itself (no leader, a coordinator that loads or moves, a time-out) is "
            "tried again for so long, s; by probes for 3 s.",
        ),
    ] = 30.0
    kafka_client: Annotated[
        Literal["native", "portable"],
        Field(
            description="How batches reach librdkafka: native, by its C interface where confluent-kafka's wheel carries it; portable, by "
            "confluent-kafka's own calls, several times the cost of a record, for other builds of it."
        ),
    ] = "native"
    session_timeout_ms: Annotated[
        int, Field(ge=1000, le=300_000, description="After so long without a heartbeat a worker's partitions move.")
    ] = 6_000
    revoke_budget_ms: Annotated[
        int,
        Field(
            ge=100,
            le=8_000,
            description="A rebalance waits so long for a commit in flight; then it is given up and the rows are recovered. Below "
            "the 10 s that the group waits for its members.",
        ),
    ] = 5_000
    batch_records: Annotated[int, Field(ge=1, le=20_000, description="Most records of one partition in one batch.")] = (
        4_000
    )
    batch_bytes: Annotated[
        int,
        Field(
            ge=65_536,
            le=67_108_864,
            description="Most bytes of one partition in one batch, though one record at least; twice as many may wait.",
        ),
    ] = 4_194_304
    pace_ms: Annotated[
        int,
        Field(
            ge=0,
            le=1_000,
            description="Longest time that a hop lets records gather after a transaction: as long as it took "
            "where it was small or the broker slow, not at all otherwise.",
        ),
    ] = 15
    checkpoint_interval_ms: Annotated[
        int,
        Field(
            ge=100, le=600_000, description="Each partition's changed rows are written this often, partitions in turn."
        ),
    ] = 10_000
    checkpoint_records: Annotated[
        int,
        Field(
            ge=1,
            description="After so many records a hop writes the changed rows of one partition before their time, as long "
            "as it keeps up: one large write would hold up what comes behind it.",
        ),
    ] = 1_000
    standby_copies: Annotated[
        int,
        Field(
            ge=0,
            le=4,
            description="How many other workers keep warm copies of a partition's rows, in memory; every worker the same.",
        ),
    ] = 0
    standby_limit_mb: Annotated[
        int, Field(ge=1, description="Memory of the copies that one worker keeps, MB; what is beyond is not kept.")
    ] = 2_048
    snapshot_interval_s: Annotated[
        int,
        Field(ge=0, description="Each owned partition's rows are written to local disk this often, s; 0: never."),
    ] = 300
    snapshot_directory: Annotated[
        str, Field(description="Folder of these snapshots; empty: snapshots/ in the data directory.")
    ] = ""
    snapshot_limit_mb: Annotated[int, Field(ge=1, description="Most MB in that folder.")] = 8_192
    accept_lost_records: Annotated[
        bool,
        Field(description="Go on where input records were deleted before they were read; else their partition stands."),
    ] = False
    internal_errors_per_hour: Annotated[
        int,
        Field(
            ge=0,
            le=1_000,
            description="Records of one partition that may become dead letters 'internal' within an hour of their Kafka "
            "timestamps; one more stops the partition.",
        ),
    ] = 3
    recovery_timeout_s: Annotated[
        int, Field(ge=5, description="A recovery without progress for so long ends the process with a reason.")
    ] = 60
    stall_timeout_s: Annotated[
        int, Field(ge=5, description="Liveness fails when offsets stand still so long while there is lag.")
    ] = 30
    refusal_shown_s: Annotated[
        int,
        Field(
            ge=0,
            le=3_600,
            description="A worker whose recovery is refused for good shows why on /ready and in its metrics for so long, s, "
            "and then ends with status 4.",
        ),
    ] = 30
    clock_skew_limit_s: Annotated[
        float,
        Field(
            gt=0,
            le=3_600,
            description="With this machine's clock further from the broker's nothing expires and no policy begins, s.",
        ),
    ] = 10.0
    open_transaction_s: Annotated[
        int,
        Field(
            ge=1,
            le=3_600,
            description="A producer's transaction that an input's readers wait at for longer is told on /ready and in the "
            "log, s.",
        ),
    ] = 5
    fence_after_least_ms: Annotated[
        int,
        Field(
            ge=500,
            le=900_000,
            description="Another worker's transaction that readers wait at is ended after five times as long as this worker's "
            "own longest one of late, but no sooner than this.",
        ),
    ] = 2_000
    fence_after_most_ms: Annotated[
        int, Field(ge=500, le=900_000, description="And no later than this; so late where this worker has had none.")
    ] = 30_000
    transaction_timeout_ms: Annotated[
        int, Field(ge=1_000, le=900_000, description="The broker aborts an open transaction after so long.")
    ] = 10_000

    maturity_days: Annotated[
        float, Field(gt=0, le=400, description="A payment without an adverse outcome becomes normal after so long.")
    ] = 30.0
    lateness_minutes: Annotated[
        float, Field(gt=0, description="Further behind the partition's highest event time: flagged late.")
    ] = 60.0
    future_minutes: Annotated[
        float,
        Field(
            gt=0,
            description="Event time further ahead of the Kafka timestamp or of the broker's time: dead letter 'future'.",
        ),
    ] = 5.0

    row_limit: Annotated[
        int,
        Field(
            ge=1_000,
            le=2_000_000_000,
            description="Most rows of one table (accounts, customers, what accounts were told, payees, busy payees) of a partition; "
            "with one more that partition's hop stands.",
        ),
    ] = 20_000_000
    forget_accounts_days: Annotated[
        float,
        Field(
            ge=0,
            le=4_000,
            description="Accounts and customers without a payment for so long, at their partition's highest event time, count as "
            "new when they are met again, unless a fraud is remembered; 0: never.",
        ),
    ] = 400.0
    forget_pairs_days: Annotated[
        float,
        Field(
            ge=0, le=4_000, description="The same for what an account knows of a payee that it does not pay; 0: never."
        ),
    ] = 400.0
    forget_payees_days: Annotated[
        float, Field(ge=0, le=4_000, description="The same for payees that nobody pays; 0: never.")
    ] = 180.0
    forget_rows_per_checkpoint: Annotated[
        int,
        Field(
            ge=0,
            le=100_000,
            description="Most forgotten rows of one table that a checkpoint takes out of memory and of its row topic, looking at "
            "16 times as many; 0: they stay, and count as new all the same.",
        ),
    ] = 1_000

    packs: Annotated[
        str, Field(description="Directory of packs that found an installation's first policy; empty: the shipped ones.")
    ] = ""

    learning_interval_s: Annotated[
        float, Field(gt=0, description="Longest time between two rounds of the learner, seconds.")
    ] = 5.0
    model_alert_change_per_10k: Annotated[
        float,
        Field(
            gt=0,
            le=10_000,
            description="A model that would touch so many more or fewer of 10,000 recent payments than the one in force "
            "(over twice the known frauds) is refused.",
        ),
    ] = 100.0
    seed: Annotated[int, Field(ge=0, description="Seed of everything random in the models.")] = 42
    hash_key_file: Annotated[
        str,
        Field(
            description="File with the key (16 bytes or more) of tokens: of names in column maps (hash), of account numbers in "
            "ISO 20022 messages."
        ),
    ] = ""

    iso20022_channel: Annotated[
        str,
        Field(
            pattern="^(app|web|pos|atm|branch|call|api)$",
            description="Channel of payments that come as ISO 20022 messages, which do not say it.",
        ),
    ] = "api"
    iso20022_zone: Annotated[
        str, Field(description="Zone of times without an offset in ISO 20022 messages, e.g. Europe/Berlin.")
    ] = "UTC"
    iso20022_max_bytes: Annotated[
        int, Field(ge=65_536, le=1 << 30, description="Most bytes of one ISO 20022 document.")
    ] = 16 << 20
    iso20022_max_depth: Annotated[
        int, Field(ge=16, le=256, description="Most elements inside each other in an ISO 20022 document.")
    ] = 64

    iso20022_reject_reasons: Annotated[
        str,
        Field(
            pattern="^(sepa|cbpr|fednow|other)=[A-Z0-9]{1,4}(,(sepa|cbpr|fednow|other)=[A-Z0-9]{1,4})*$",
            description="Reason of a refusal (pacs.002 RJCT) by rail; rails that are not named keep their default.",
        ),
    ] = "sepa=MS03,cbpr=RR04,fednow=FRAD,other=MS03"
    gateway_retention_hours: Annotated[
        int,
        Field(
            ge=1,
            description="Retention of bank.iso20022.v1 and its dead letters, which hold the bank's own numbers, hours.",
        ),
    ] = 24 * 7
    gateway_days: Annotated[
        float,
        Field(
            gt=0,
            le=800,
            description="The gateway knows a payment for so long after its message, days: to answer and recall.",
        ),
    ] = 30.0
    gateway_payments: Annotated[
        int,
        Field(
            ge=1_000,
            le=20_000_000,
            description="Most payments that the gateway knows at once (about 1.5 KB each); the oldest are forgotten.",
        ),
    ] = 500_000

    metrics_port: Annotated[
        int, Field(ge=0, le=65535, description="Port of /metrics, /live and /ready; 0 picks one.")
    ] = 8000
    metrics_connections: Annotated[
        int,
        Field(ge=4, le=10_000, description="Clients of that port that may be connected at once; the oldest gives way."),
    ] = 64
    metrics_request_s: Annotated[
        float,
        Field(gt=0, le=60, description="Longest time of one request there, from connecting to the answer's end, s."),
    ] = 5.0
    metrics_host: Annotated[str, Field(description="Address the metrics port listens on.")] = "127.0.0.1"
    log_format: Annotated[
        str,
        Field(
            pattern="^(text|json)$", description="What goes to stderr: text, or one JSON object a line; times in UTC."
        ),
    ] = "text"
    data_directory: Annotated[str, Field(description="Local files: caches, the development Kafka.")] = ".riskstream"

    def topic(self, name: str) -> str:
        """The name of a topic in this installation, with its prefix.

        >>> Settings(topic_prefix="test-").topic("risk.alerts.v1")
        'test-risk.alerts.v1'
        """
        return self.topic_prefix + name


def load(flags: Mapping[str, object] | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags, environment and file, in that order of precedence.

    Raises
    ------
    UsageError
        A name that does not exist or a value out of range, with where it came from.
    """
    values: dict[str, object] = {}
    source: dict[str, str] = {}
    file_name = environment.get(FILE_VARIABLE, "")
    if file_name:
        for name, value in _read_file(Path(file_name)).items():
            values[name], source[name] = value, file_name
    for variable, text in environment.items():
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if variable.startswith(ENVIRONMENT_PREFIX) and name in Settings.model_fields:
            values[name], source[name] = text, variable
    for name, value in (flags or {}).items():
        if value is not None:
            values[name], source[name] = value, f"--{name.replace('_', '-')}"
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        raise UsageError(f"setting {name} (from {source.get(name, 'default')}): {first['msg']}") from error


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Environment variables that look like settings and are none, sorted.

    >>> unknown_variables({"RISKSTREAM_BROKERS": "a:9092", "RISKSTREAM_BROKER": "a:9092", "HOME": "/"})
    ['RISKSTREAM_BROKERS']
    """
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields} | {FILE_VARIABLE}
    return sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and name not in known)


def _read_file(path: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"settings file {path}: {error.strerror}; check RISKSTREAM_SETTINGS") from error
    except yaml.YAMLError as error:
        raise UsageError(f"settings file {path}: not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"settings file {path}: expected 'name: value' lines")
    return {str(name): value for name, value in content.items()}
