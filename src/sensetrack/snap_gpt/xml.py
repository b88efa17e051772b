"""Graphs as XML: read with what hides in XML refused, and written with values that may be hostile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sensetrack.errors import ConfigError, UnsafeInputError
from sensetrack.files.markup import parse_xml

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from xml.etree.ElementTree import Element

_LIMIT = 2 * 2**20
"""Bytes of a graph; large ones that people have made have a few ten thousand."""
_DEPTH = 50
_HEADER = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>)?\s*<!--(.*?)-->", re.DOTALL)
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
_TABLE = str.maketrans(_ESCAPES)


def parse(text: bytes, path: str | os.PathLike[str]) -> tuple[Element, str]:
    """Read a graph.

    Returns
    -------
    root : Element
    header : str
        The comment before it.

    Raises
    ------
    UnsafeInputError
        It declares a document type or an entity, or is larger or deeper than any graph.
    MetadataError
        It is not well-formed.
    """
    if len(text) > _LIMIT:
        raise UnsafeInputError(f"a graph must have at most {_LIMIT} bytes, instead got {len(text)}", path=path)
    root = parse_xml(text, path)
    level, depth = [root], 0
    while level:
        level, depth = [child for element in level for child in element], depth + 1
        if depth > _DEPTH:
            raise UnsafeInputError(f"a graph must have at most {_DEPTH} levels", path=path)
    header = _HEADER.match(text)
    return root, header[1].decode("utf-8", "replace") if header else ""


def write(root: Element, header: str) -> str:
    """Return a document that `parse` reads back, character by character."""
    lead = f"<!--{header}-->\n" if header else ""
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + lead + "".join(_pieces(root)) + "\n"


def _pieces(element: Element) -> Iterator[str]:
    attributes = "".join(f' {key}="{_escaped(value)}"' for key, value in element.attrib.items())
    children = list(element)
    if not children and not element.text:
        yield f"<{element.tag}{attributes}/>"
        return
    yield f"<{element.tag}{attributes}>"
    # Line breaks between elements are layout; those in a value must come through as they are.
    yield _escaped(element.text or "", layout=bool(children))
    for child in children:
        yield from _pieces(child)
        yield _escaped(child.tail or "", layout=True)
    yield f"</{element.tag}>"


def _escaped(text: str, *, layout: bool = False) -> str:
    if layout and not text.strip():
        return text
    return text.translate(_TABLE)


def require_characters(text: str, name: str) -> str:
    """Return a value that XML can hold.

    Raises
    ------
    ConfigError
        It has a control character (NUL, bell ...) or half a surrogate pair: XML has no way to write them.
    """
    if found := _NOT_XML.search(text):
        raise ConfigError(f"{name} holds {found.group()!r}, which XML cannot", advice="rename the file or folder")
    return text


def each_text(root: Element, change: Callable[[str], str]) -> None:
    """Apply a function to every text and every attribute of a tree."""
    for element in root.iter():
        if element.text:
            element.text = change(element.text)
        for key, value in element.attrib.items():
            element.set(key, change(value))
        if element.tail:
            element.tail = change(element.tail)
