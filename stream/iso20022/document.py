"""XML documents to messages: the only part that parses. What comes from outside is bounded, and nothing is fetched or expanded.

A document may hold several messages, each in whatever envelope: a message is known by the name of its root
(``FIToFICstmrCdtTrf``), its version by its namespace. Prefixes mean nothing; comments and processing instructions are not
there; elements of another namespace inside a message (supplementary data) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lxml import etree

from stream.iso20022.element import Element, Unreadable
from stream.iso20022.limits import Limits
from stream.iso20022.names import AMOUNTS, TRANSACTIONS, tags

BODIES: dict[str, str] = {
    "CstmrCdtTrfInitn": "pain.001",
    "FIToFICstmrCdtTrf": "pacs.008",
    "PmtRtr": "pacs.004",
    "FIToFIPmtCxlReq": "camt.056",
    "RsltnOfInvstgtn": "camt.029",
}
"""The root of each message that is read, and its type."""
VERSIONS: dict[str, range] = {
    "pain.001": range(3, 14),
    "pacs.008": range(2, 15),
    "pacs.004": range(2, 15),
    "camt.056": range(1, 13),
    "camt.029": range(3, 15),
}
"""Versions whose elements that are read lie where these readers look."""
_DEFINITION = re.compile(r"([a-z]{4}\.[0-9]{3})\.001\.([0-9]{2})(?![0-9.])")
_ENCODING = re.compile(r"UTF-8|UTF-16(LE|BE)?|US-ASCII|ASCII|ISO-8859-[0-9]{1,2}|WINDOWS-125[0-9]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a document.

    Parameters
    ----------
    kind
        ``pacs.008`` and the like.
    definition
        With its version, ``pacs.008.001.08``; ``kind`` alone where the document names none.
    body
        Its root element.
    top
        The ``Document`` around it, else ``body``: what paths begin with.
    header
        The business application header that came with it (``AppHdr``), if one did.
    """

    kind: str
    definition: str
    body: Element
    top: Element
    header: Element | None = None


def read_document(data: bytes, limits: Limits = Limits()) -> Iterator[Message | Unreadable]:  # noqa: B008 - frozen
    """The messages of a document in its order; in place of one that is not read, why.

    Raises
    ------
    Unreadable
        The document is no XML, holds a document type or no message, or is beyond its limits.
    """
    root = _parsed(data, limits)
    found = False
    for envelope, body in _bodies(root):
        found = True
        try:
            yield _message(envelope, body)
        except Unreadable as error:
            error.definition = _definition(envelope, body) or BODIES.get(_local(body), "")
            yield error
    if not found:
        raise Unreadable("unsupported", None, "holds no message: no Document, and no root of a message that is read")


def _parsed(data: bytes, limits: Limits) -> Any:
    if len(data) > limits.size:
        raise Unreadable("too_large", None, f"{len(data)} bytes, more than {limits.size}")
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, dtd_validation=False, attribute_defaults=False, no_network=True,
        huge_tree=False, recover=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise Unreadable("malformed", None, _told(error)) from None
    except ValueError:  # lxml's word for text that no XML can hold
        raise Unreadable("malformed", None, "not XML") from None
    about = root.getroottree().docinfo
    if about.internalDTD is not None or about.externalDTD is not None:
        raise Unreadable("malformed", None, "has a document type (DOCTYPE), which messages never have")
    if about.encoding is not None and _ENCODING.fullmatch(about.encoding) is None:
        raise Unreadable("malformed", None, "in an encoding that is not read; send UTF-8")
    if _deeper_than(limits.depth)(root):
        raise Unreadable("malformed", None, f"elements lie more than {limits.depth} deep")
    return root


def _told(error: etree.XMLSyntaxError) -> str:
    """libxml2's kind of error and its place; its text would quote the document."""
    last = error.error_log.last_error if error.error_log else None
    kind = "" if last is None else str(last.type_name).removeprefix("ERR_").lower().replace("_", " ")
    line, column = error.position
    return f"not XML that can be read: {kind or 'syntax'}, line {line}, column {column}"


def _bodies(root: Any) -> Iterator[tuple[Any, Any]]:
    """Roots of messages and the element around each; of a ``Document`` that holds another message, what it holds."""
    stack = [root]
    while stack:
        here = stack.pop()
        name = _local(here)
        if name in BODIES:
            yield here.getparent(), here
        elif name == "Document" and (inner := next(iter(here), None)) is not None:
            yield here, inner
        else:
            stack += reversed(here)


def _message(envelope: Any, body: Any) -> Message:
    inside = envelope is not None and _local(envelope) == "Document"
    top = Element("Document", "") if inside else None
    name = _local(body)
    beside = envelope if inside else body
    header = _header(beside)
    kind = BODIES.get(name)
    named = _DEFINITION.search(_definition(envelope, body))
    said = header.one("MsgDefIdr") if header is not None else None
    told = _DEFINITION.fullmatch(said.text) if said is not None else None
    if kind is None:
        raise Unreadable("unsupported", top, f"no message that is read: {', '.join(sorted(BODIES.values()))}")
    if named is not None and told is not None and named[0] != told[0]:
        raise Unreadable(
            "out_of_range", header, f"names another message than the {named[0]} it comes with", "MsgDefIdr"
        )
    definition = named or told
    if definition is not None and definition[1] != kind:
        raise Unreadable("out_of_range", top or Element(name, ""), f"{definition[0]} has another root")
    if definition is not None and int(definition[2]) not in VERSIONS[kind]:
        versions = VERSIONS[kind]
        raise Unreadable(
            "unsupported", top or Element(name, ""),
            f"a version that is not read: {versions[0]:02} to {versions[-1]:02} are",
        )  # fmt: skip
    made = _tree(body)
    if top is not None:
        top.add(made)
    return Message(kind, kind if definition is None else definition[0], made, top or made, header)


def _definition(envelope: Any, body: Any) -> str:
    """The message and version that the namespace of the root names, else its ``Document``'s; empty where neither does."""
    for element in (body, envelope):
        found = _DEFINITION.search(_namespace(element))
        if found is not None:
            return found[0]
    return ""


def _header(document: Any) -> Element | None:
    """The ``AppHdr`` before a document among its siblings, the nearest one."""
    before = document.getprevious()
    while before is not None:
        name = _local(before)
        if name == "AppHdr":
            return _tree(before)
        if name == "Document" or name in BODIES:
            return None
        before = before.getprevious()
    return None


def _tree(element: Any) -> Element:
    """An element and what is read below it, of its own namespace."""
    names = tags(_namespace(element))
    top = Element(_local(element), "", line=element.sourceline or 0)
    stack = [(element, top)]
    while stack:
        source, target = stack.pop()
        children: dict[str, list[Element]] = {}
        for child in source:
            name = names.get(child.tag)
            if name is None or (name == "PstlAdr" and target.name != "Cdtr"):
                continue  # of addresses the creditor's country alone is read
            text = child.text
            made = Element(name, text.strip() if text else "")
            if name in AMOUNTS:
                made.currency = child.get("Ccy", "")
            elif name in TRANSACTIONS:
                made.line = child.sourceline or 0
            like = children.get(name)
            if like is None:
                children[name] = [made]
            else:
                like.append(made)
            if len(child):
                stack.append((child, made))
        if children:
            target.children = children
    return top


@lru_cache(maxsize=8)
def _deeper_than(depth: int) -> Any:
    return etree.XPath(f"boolean({'/*' * (depth + 1)})")


def _local(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if type(tag) is str else ""


def _namespace(element: Any) -> str:
    tag = element.tag if element is not None else ""
    return tag[1:].partition("}")[0] if type(tag) is str and tag[:1] == "{" else ""
