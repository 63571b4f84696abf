"""An element of a message: its name without the namespace, its text, its children; and where it stands."""

from __future__ import annotations

from typing import Final

from stream.contracts.refusal import Reason

_NONE: Final[dict[str, str | Element | list[Element]]] = {}
"""The children of all elements that have none; nothing is ever put into it."""


class Unreadable(Exception):
    """A part of a message that cannot be read.

    Parameters
    ----------
    reason
        Of its dead letter.
    element
        Where; None where the document itself is meant.
    message
        What is wrong, without text of the payload.
    below
        Names of elements below ``element`` that are meant but not there.
    """

    def __init__(self, reason: Reason, element: Element | None, message: str, *below: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message
        self.definition = ""
        """The message that it is about, where another than the one that is read."""
        self._element = element
        self._below = below

    def path(self, *roots: Element) -> str:
        """Where, as an XPath of local names below one of these; empty for the document."""
        if self._element is None:
            return ""
        for root in roots:
            found = path_to(self._element, root)
            if found:
                return "/".join((found, *self._below))
        return "/".join((f"/{self._element.name}", *self._below))


class Element:
    """One element of a message's namespace. What is not read (:mod:`stream.iso20022.names`) is not in the tree.

    Parameters
    ----------
    name
        Without namespace and prefix.
    text
        Its own text, without white space at both ends.
    currency
        Of an amount, as its attribute ``Ccy`` says; empty where it does not.
    line
        Of the document, from 1; 0 where it is not known.
    """

    # none of its parent: whole trees would wait for the collector of cycles
    __slots__ = ("children", "currency", "line", "name", "text")

    def __init__(self, name: str, text: str, currency: str = "", line: int = 0) -> None:
        self.name, self.text, self.currency, self.line = name, text, currency, line
        # most elements are text alone and come once: as their text they are made in half the time, and an element only where asked for
        self.children: dict[str, str | Element | list[Element]] = _NONE

    def all(self, name: str) -> list[Element]:
        """Its children of a name."""
        found = self._made(name)
        if found is None:
            return []
        return found if type(found) is list else [found]  # type: ignore[list-item]

    def one(self, *names: str) -> Element | None:
        """The element at the end of a path below, None where there is none.

        Raises
        ------
        Unreadable
            There are two where one may be: which of them is meant nobody can say.
        """
        here = self
        for name in names:
            found = here._made(name)
            if found is None:
                return None
            if type(found) is list:
                raise Unreadable("out_of_range", found[1], "comes twice where one may be")
            here = found  # type: ignore[assignment]
        return here

    def value(self, *names: str) -> str | None:
        """The text of :meth:`one`, which is not made for it; None where there is none."""
        found: Element | str | list[Element] | None = self
        for name in names:
            if type(found) is str:
                return None
            found = found.children.get(name)  # type: ignore[union-attr]
            if found is None:
                return None
            if type(found) is list:
                raise Unreadable("out_of_range", found[1], "comes twice where one may be")
        return found if type(found) is str else found.text  # type: ignore[union-attr]

    def _made(self, name: str) -> Element | list[Element] | None:
        found = self.children.get(name)
        if type(found) is str:
            found = self.children[name] = Element(name, found)
        return found  # type: ignore[return-value]

    def needed(self, *names: str) -> Element:
        """As :meth:`one`; it must be there.

        Raises
        ------
        Unreadable
            It is not.
        """
        found = self.one(*names)
        if found is None:
            raise Unreadable("missing", self, "is absent", *names)
        return found


def path_to(element: Element, root: Element) -> str:
    """Where an element stands below ``root``, which is the first step; a place among its like is counted from 1. Empty where it does
    not stand there."""
    stack = [(root, f"/{root.name}")]
    while stack:
        here, path = stack.pop()
        if here is element:
            return path
        for name, like in here.children.items():
            if type(like) is list:
                stack += ((child, f"{path}/{name}[{place}]") for place, child in enumerate(like, 1))
            elif type(like) is not str:
                stack.append((like, f"{path}/{name}"))  # type: ignore[arg-type]
    return ""
