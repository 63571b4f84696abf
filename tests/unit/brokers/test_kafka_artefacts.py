"""What a user reads when the development Kafka cannot be had."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream.brokers import kafka_artefacts
from stream.errors import RiskstreamError


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with a shell and nothing else of interest: a machine without Java and Maven."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "devkafka"
    folder.mkdir()
    (folder / "pom.xml").write_bytes((kafka_artefacts.PROJECT / "pom.xml").read_bytes())
    return folder


def test_a_machine_without_java_is_told_what_to_install(programs: Path) -> None:
    with pytest.raises(RiskstreamError, match=r"java is not installed.*apt-get install openjdk-17"):
        kafka_artefacts.java()


def test_a_java_that_is_too_old_is_told_by_its_version(programs: Path) -> None:
    program(programs, "java", "echo 'openjdk version \"1.8.0_402\"' >&2")
    with pytest.raises(RiskstreamError, match=r"Java 8: Kafka needs Java 17"):
        kafka_artefacts.java()


def test_a_machine_without_maven_is_told_what_to_install(programs: Path, project: Path) -> None:
    with pytest.raises(RiskstreamError, match=r"mvn is not installed.*apt-get install .*maven"):
        kafka_artefacts.jars(project=project)


def test_mavens_own_words_are_passed_on_and_nothing_counts_as_fetched(programs: Path, project: Path) -> None:
    program(programs, "java", "echo 'openjdk version \"17.0.1\"' >&2")
    program(programs, "mvn", "echo '[ERROR] Unknown host repository'; exit 1")
    for _ in range(2):
        with pytest.raises(RiskstreamError, match=r"Unknown host repository"):
            kafka_artefacts.jars(project=project)


def test_a_folder_without_a_pom_is_no_source_tree(tmp_path: Path) -> None:
    with pytest.raises(RiskstreamError, match=r"pom\.xml is not there.*make setup"):
        kafka_artefacts.jars(project=tmp_path)


def test_jars_are_fetched_once_and_again_when_the_pom_changes(programs: Path, project: Path) -> None:
    os.environ["PATH"] += ":/usr/bin:/bin"
    program(programs, "java", "echo 'openjdk version \"17.0.1\"' >&2")
    target = project / "target" / "dependency"
    program(
        programs, "mvn", f"echo run >> '{project}/runs'; mkdir -p '{target}'; touch '{target}/kafka_2.13-4.1.1.jar'"
    )
    assert kafka_artefacts.jars(project=project) == kafka_artefacts.jars(project=project) == target
    (project / "pom.xml").write_text("<project>another version</project>")
    (target / "old.jar").touch()
    kafka_artefacts.jars(project=project)
    assert (project / "runs").read_text().count("run") == 2
    assert not (target / "old.jar").exists()
