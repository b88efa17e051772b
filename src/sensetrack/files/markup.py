"""XML from outside: parsed without entities, without a DTD, without any look at another file or at the network."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from sensetrack.errors import MetadataError, UnsafeInputError

if TYPE_CHECKING:
    import os
    from xml.etree.ElementTree import Element

LARGEST = 64 * 2**20
"""Bytes of an XML file beyond which it is not parsed: the largest of a real product has less than one megabyte."""


def parse_xml(content: bytes, path: str | os.PathLike[str]) -> Element:
    """Return the root of an XML document.

    Parameters
    ----------
    content : bytes
    path : path-like
        What the document is called in messages: a file, or an archive and its member.

    Raises
    ------
    UnsafeInputError
        It declares entities or a DTD: they can grow without bound, or point to other files and to the network.
    MetadataError
        It is damaged (the line is named), a web page, or no XML.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    if len(content) > LARGEST:
        raise UnsafeInputError(f"an XML file must have at most {LARGEST} bytes, instead got {len(content)}", path=path)
    if not content.strip():
        raise MetadataError("is empty, not an XML file", path=path, advice="download it again")
    start = content[:2000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise MetadataError("is an HTML page, not XML", path=path, advice="check your login and download again")
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        what = getattr(error, "name", None)
        named = f" {what!r}" if what else ""
        raise UnsafeInputError(f"declares a forbidden entity or DTD{named}", path=path) from error
    except ParseError as error:
        line, column = error.position
        reason = str(error).partition(":")[0]
        message = f"is damaged XML ({reason}, line {line}, column {column + 1})"
        raise MetadataError(message, path=path, advice="download it again") from error
    except (LookupError, ValueError) as error:  # encodings that are not known, or not what they say
        raise MetadataError(f"is no readable XML ({error})", path=path, advice="download it again") from error
    return root
