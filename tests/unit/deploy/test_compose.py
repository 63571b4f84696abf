"""docker-compose.yml and the image, checked without an engine: what a mistake there would cost at its first start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.cli import COMMANDS
from stream.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
VARIABLES = {f"RISKSTREAM_{name.upper()}" for name in Settings.model_fields}


def test_the_services_are_those_of_the_line() -> None:
    assert set(SERVICES) == {"kafka", "worker", "gateway", "prometheus", "grafana"}
    # who has no messages starts none
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "gateway": ["iso20022"]
    }


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_the_loopback_interface_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@pytest.mark.parametrize("name", SERVICES)
def test_images_name_a_version(name: str) -> None:
    assert re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_files_exist_and_volumes_are_declared(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mount.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_exist_and_can_become_healthy(name: str) -> None:
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_ends_is_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["worker", "gateway"])
def test_a_process_is_given_settings_that_exist_with_values_they_take(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert environment.keys() <= VARIABLES
    values = {name.removeprefix("RISKSTREAM_").lower(): value for name, value in environment.items()}
    settings = Settings.model_validate(values)
    host, _, port = settings.broker.partition(":")
    assert host in SERVICES
    assert f"INTERNAL://{host}:{port}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert SERVICES[name]["expose"] == [str(settings.metrics_port)]
    assert settings.hash_key_file in (
        "",
        f"/run/secrets/{'hash_key' if 'hash_key' in SERVICES[name].get('secrets', []) else '?'}",
    )


@pytest.mark.parametrize("name", ["worker", "gateway"])
def test_a_process_may_do_as_little_as_possible(name: str) -> None:
    worker = SERVICES[name]
    assert worker["read_only"] is True
    assert worker["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in worker["security_opt"]
    assert worker["command"][0] in COMMANDS


def test_clients_on_the_host_reach_the_broker_at_the_published_port() -> None:
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"HOST://{Settings.model_fields['broker'].default}" in advertised
    assert "127.0.0.1:9092:9092" in SERVICES["kafka"]["ports"]


def test_the_composed_broker_is_the_pinned_one() -> None:
    pom = (ROOT / "deploy" / "devkafka" / "pom.xml").read_text(encoding="utf-8")
    version = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([\d.]+)</version>", pom)
    assert version is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version.group(1)}"


def test_the_broker_takes_what_topics_are_created_to_take() -> None:
    assert int(SERVICES["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"]) > Settings().max_message_bytes + 64 * 1024


def instructions(name: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.split(None, 1)[1] for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_the_image_installs_from_the_lock_by_hash() -> None:
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert all("--no-deps" in line and "--no-build-isolation" in line for line in installs[1:])
    assert re.search(r"PYTHON_IMAGE=python:3\.11\.\d+-slim", DOCKERFILE)


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert instructions("USER") == ["10001"]
    assert DOCKERFILE.index("\nUSER 10001") < DOCKERFILE.index("\nENTRYPOINT")


def test_the_image_compiles_for_any_machine_where_its_user_may_read_it() -> None:
    assert "NUMBA_CPU_NAME=generic" in DOCKERFILE
    assert "NUMBA_CACHE_DIR=/var/cache/riskstream/numba" in DOCKERFILE
    assert DOCKERFILE.index("\nUSER 10001") < DOCKERFILE.index("stream.warm_up")


def test_the_image_is_healthy_when_the_worker_says_live() -> None:
    (check,) = instructions("HEALTHCHECK")
    assert "'/live'" in check


def test_the_image_sets_only_settings_that_exist() -> None:
    assert set(re.findall(r"\bRISKSTREAM_[A-Z_]+(?==)", DOCKERFILE)) <= VARIABLES


def test_what_the_image_copies_exists_and_is_let_through() -> None:
    ignore = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignore[1] == "*"
    copied = {word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]}
    assert copied == {line.removeprefix("!") for line in ignore if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
