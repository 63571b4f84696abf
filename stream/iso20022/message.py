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
from stream.iso20022.limits import DocumentLimits
from stream.iso20022.names import AMOUNTS, TRANSACTIONS, WITH_MORE, tags

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
_ROOTS = tuple(f"{{*}}{name}" for name in ("Document", *BODIES))
_PARSER = etree.XMLParser(
    resolve_entities=False, load_dtd=False, dtd_validation=False, attribute_defaults=False, no_network=True,
    huge_tree=False, recover=False, remove_comments=True, remove_pis=True,
)  # fmt: skip
_NAMESPACE_CHARACTERS = 256
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


def read_document(data: bytes, limits: DocumentLimits = DocumentLimits()) -> Iterator[Message | Unreadable]:  # noqa: B008 - frozen
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


def _parsed(data: bytes, limits: DocumentLimits) -> Any:
    if len(data) > limits.size:
        raise Unreadable("too_large", None, f"{len(data)} bytes, more than {limits.size}")
    try:
        root = etree.fromstring(data, _PARSER)
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
    found: Any = None
    for here in root.iter(*_ROOTS):
        if found is not None and any(around is found for around in here.iterancestors()):
            continue
        if _local(here) in BODIES:
            found = here
            yield here.getparent(), here
        elif (inner := next(iter(here), None)) is not None:
            found = here
            yield here, inner


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
        top.children = {name: made}
    return Message(kind, kind if definition is None else definition[0], made, top or made, header)


def _definition(envelope: Any, body: Any) -> str:
    """The message and version that the namespace of the root names, else its ``Document``'s; empty where neither does."""
    return _named(_namespace(body)) or _named(_namespace(envelope))


def _named(namespace: str) -> str:
    found = _DEFINITION.search(namespace)
    return "" if found is None else found[0]


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
    top = Element(_local(element), "", line=element.sourceline or 0)
    namespace = _namespace(element)
    if len(namespace) > _NAMESPACE_CHARACTERS:  # its tags are kept for the next document
        raise Unreadable(
            "out_of_range", top, f"a namespace of {len(namespace)} characters; at most {_NAMESPACE_CHARACTERS} may be"
        )
    _fill(top, element, tags(namespace))
    return top


def _fill(target: Element, source: Any, names: dict[str, str]) -> None:
    children: dict[str, Any] = {}
    of_creditor = target.name == "Cdtr"
    for child in source:
        name = names.get(child.tag)
        if name is None or (name == "PstlAdr" and not of_creditor):
            continue  # of addresses the creditor's country alone is read
        text = child.text
        text = text.strip() if text else ""
        below = len(child)
        made: str | Element = text
        if below or name in WITH_MORE:
            made = Element(name, text)
            if below:
                _fill(made, child, names)
            if name in AMOUNTS:
                made.currency = child.get("Ccy", "")
            elif name in TRANSACTIONS:
                made.line = child.sourceline or 0
        if name in children:
            _put_beside(children, name, made)
        else:
            children[name] = made
    if children:
        target.children = children


def _put_beside(children: dict[str, Any], name: str, made: str | Element) -> None:
    """A further child of a name."""
    there: str | Element | list[Element] = children[name]
    like = there if isinstance(there, list) else [Element(name, there) if isinstance(there, str) else there]
    like.append(Element(name, made) if isinstance(made, str) else made)
    children[name] = like


@lru_cache(maxsize=8)
def _deeper_than(depth: int) -> Any:
    return etree.XPath(f"boolean({'/*' * (depth + 1)})")


def _local(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if type(tag) is str else ""


def _namespace(element: Any) -> str:
    tag = element.tag if element is not None else ""
    return tag[1:].partition("}")[0] if type(tag) is str and tag[:1] == "{" else ""
