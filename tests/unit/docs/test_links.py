"""What a page points at is there."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)
FILE = re.compile(r"`([\w./-]+\.(?:py|md|yaml|yml|json|svg|jsonl))`")
EXAMPLES = {"map.yaml", "bank.yaml", "mine/person.yaml"}
"""Files that a reader is to write; so are those called NAME."""


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as git hosts make them."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_relative_link_leads_to_a_file_and_its_heading(page: Path) -> None:
    broken = []
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_source_file_that_is_named_exists(page: Path, root: Path) -> None:
    missing = []
    for name in FILE.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        somewhere = "/" not in name and any(
            next((root / room).rglob(name), None)
            for room in ("stream", "detectors", "rules", "tests", "docs", "deploy")
        )
        if not (
            name in EXAMPLES or "NAME" in name or (root / name).exists() or (page.parent / name).exists() or somewhere
        ):
            missing.append(name)
    assert missing == []


def test_the_picture_is_well_formed_and_names_topics_that_exist(root: Path) -> None:
    from stream.log.topics import TOPICS

    picture = ElementTree.parse(root / "docs" / "line.svg")
    texts = [element.text or "" for element in picture.iter() if element.tag.endswith("text")]
    named = {text for text in texts if re.fullmatch(r"(bank|risk)\.[a-z]+\.v1", text)}
    assert named == {topic.name for topic in TOPICS if topic.name.endswith(".v1")}
