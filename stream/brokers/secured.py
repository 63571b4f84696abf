"""How a development Kafka is secured: TLS, SCRAM, mutual TLS and access lists, with everything it needs made here."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from stream.brokers.development_certificates import Authority, key_store
from stream.errors import RiskstreamError
from stream.log.credentials import Configuration
from stream.private_files import private_directory, write_private

HOST: Final = "127.0.0.1"
USER: Final = "riskstream"
ADMINISTRATOR: Final = "admin"
BROKER: Final = "broker"
MECHANISM: Final = "SCRAM-SHA-512"
SERVER_NAMES: Final = ("DNS:localhost", f"IP:{HOST}")
ITERATIONS: Final = 8192
_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Listener:
    """One port of a secured Kafka.

    Parameters
    ----------
    name
        Upper-case letters; as Kafka calls it.
    protocol
        Kafka security protocol.
    port
        On the loopback interface.
    store
        Its own PEM key store, where it shows another certificate than the broker's.
    """

    name: str
    protocol: str
    port: int
    store: Path | None = None


class Security:
    """Certificates, users and rights of one development Kafka, in its folder.

    Two users: ``riskstream`` may do what the line needs on every topic, group and transactional id, and create
    topics; ``admin`` may do everything. Both sign in by SCRAM-SHA-512, or by a client certificate of their name.

    Parameters
    ----------
    directory
        Folder of its own, owner-only; made when it is missing.
    listeners
        What clients may connect to.
    """

    def __init__(self, directory: Path, listeners: tuple[Listener, ...]) -> None:
        self.directory = private_directory(directory)
        self.listeners = listeners
        self.authority = Authority(directory)
        self.client = self.authority.issue(USER)
        self._administrator = self.authority.issue(ADMINISTRATOR)
        self._store = key_store(self.authority.issue(BROKER, hosts=SERVER_NAMES))
        self.passwords = self._passwords()

    @property
    def certificate_of_authority(self) -> Path:
        """For ``RISKSTREAM_SSL_CA``."""
        return self.authority.own.certificate

    def listener(self, protocol: str) -> Listener:
        """The first listener of a protocol."""
        return next(listener for listener in self.listeners if listener.protocol == protocol)

    def properties(self, controller_port: int) -> dict[str, str]:
        """The broker's settings; its own connections use mutual TLS too."""
        ports = [*self.listeners, Listener("CONTROLLER", "SSL", controller_port)]
        clients = ",".join(f"{listener.name}://{HOST}:{listener.port}" for listener in self.listeners)
        own = self.listener("SSL").name
        properties = {
            "listeners": f"{clients},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": clients,
            "listener.security.protocol.map": ",".join(f"{one.name}:{one.protocol}" for one in ports),
            "inter.broker.listener.name": own,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificate_of_authority),
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
            "sasl.enabled.mechanisms": MECHANISM,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{BROKER};User:{ADMINISTRATOR}",
            "allow.everyone.if.no.acl.found": "false",
        }
        for one in ports:
            prefix = f"listener.name.{one.name.lower()}."
            if one.protocol == "SSL":
                properties[f"{prefix}ssl.client.auth"] = "required"
            if one.protocol.startswith("SASL"):
                login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                properties[f"{prefix}{MECHANISM.lower()}.sasl.jaas.config"] = login
            if one.store is not None:
                properties[f"{prefix}ssl.keystore.type"] = "PEM"
                properties[f"{prefix}ssl.keystore.location"] = str(one.store)
        return properties

    def administration(self) -> Configuration:
        """How librdkafka connects as the administrator, by its certificate."""
        return {
            "bootstrap.servers": f"{HOST}:{self.listener('SSL').port}",
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.certificate_of_authority),
            "ssl.certificate.location": str(self._administrator.certificate),
            "ssl.key.location": str(self._administrator.key),
            "log_level": 0,
        }

    def establish(self) -> None:
        """Give both users their passwords and ``riskstream`` its rights; again is fine.

        Over the administrator's connection, because arguments of the storage tool can be seen by everybody here.

        Raises
        ------
        RiskstreamError
            The broker refuses.
        """
        client = AdminClient(self.administration())
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        upserts: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, info, password.encode()) for user, password in self.passwords.items()
        ]
        try:
            for made in client.alter_user_scram_credentials(upserts, request_timeout=_TIMEOUT_S).values():
                made.result(_TIMEOUT_S)
            for granted in client.create_acls(_rights(), request_timeout=_TIMEOUT_S).values():
                granted.result(_TIMEOUT_S)
        except KafkaException as error:
            raise RiskstreamError(f"users and rights could not be set up: {error.args[0].str()}") from error
        self._wait_for_users()

    def environment(self) -> dict[str, str]:
        """Settings that reach it as user ``riskstream``, over TLS."""
        return {
            "RISKSTREAM_BROKER": f"{HOST}:{self.listener('SASL_SSL').port}",
            "RISKSTREAM_SECURITY_PROTOCOL": "SASL_SSL",
            "RISKSTREAM_SASL_MECHANISM": MECHANISM,
            "RISKSTREAM_SASL_USERNAME": USER,
            "RISKSTREAM_SASL_PASSWORD": self.passwords[USER],
            "RISKSTREAM_SSL_CA": str(self.certificate_of_authority),
        }

    def _passwords(self) -> dict[str, str]:
        path = self.directory / "passwords.json"
        if not path.exists():
            drawn = {user: secrets.token_urlsafe(24) for user in (USER, ADMINISTRATOR)}
            write_private(path, orjson.dumps(drawn))
        found: dict[str, str] = orjson.loads(path.read_bytes())
        return found

    def _wait_for_users(self) -> None:
        # what the controller has accepted, a broker knows a moment later
        configuration = {
            **self.administration(),
            "bootstrap.servers": f"{HOST}:{self.listener('SASL_SSL').port}",
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.username": USER,
            "sasl.password": self.passwords[USER],
        }
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                AdminClient(configuration).list_topics(timeout=2.0)
                return
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise RiskstreamError(f"user {USER} cannot sign in: {error.args[0].str()}") from error


def write_environment(path: Path, environment: Mapping[str, str]) -> None:
    """Write settings as lines that a shell reads (``set -a; . FILE``); for their owner alone."""
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items())
    private_directory(path.parent)
    write_private(path, lines.encode())


def _rights() -> list[AclBinding]:
    everything = [
        (ResourceType.TOPIC, "*", AclOperation.ALL),
        (ResourceType.GROUP, "*", AclOperation.ALL),
        (ResourceType.TRANSACTIONAL_ID, "*", AclOperation.ALL),
        (ResourceType.BROKER, "kafka-cluster", AclOperation.CREATE),
        (ResourceType.BROKER, "kafka-cluster", AclOperation.DESCRIBE),
        (ResourceType.BROKER, "kafka-cluster", AclOperation.IDEMPOTENT_WRITE),
    ]
    return [
        AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, AclPermissionType.ALLOW)
        for kind, name, operation in everything
    ]
