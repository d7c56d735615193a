"""XML as diffractometers write it, read with limits and without anything that points out of the file."""

from __future__ import annotations

from typing import Any

from xrdmatch.errors import ReadError, UnfinishedError

#: Bytes of XML, and its tags and attributes; the longest measured XRDML and BRML members are near 1 MB. Each tag costs some 250 bytes of memory.
MAX_XML = 20_000_000
MAX_XML_PARTS = 800_000


def xml_root(data: bytes) -> Any:
    """Root element of an XML file. Raises ReadError where it breaks off, declares entities or points to other files."""
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
    from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

    if len(data) > MAX_XML or data.count(b"<") + data.count(b"=") > MAX_XML_PARTS:
        raise ReadError(f"holds {len(data) / 1e6:.0f} MB of XML, a powder scan has less than {MAX_XML / 1e6:.0f} MB: export one scan per file")
    try:
        return fromstring(data, forbid_dtd=True)
    except DefusedXmlException:
        raise ReadError("its XML declares a document type or entities, which no instrument writes: refused for safety") from None
    except (ParseError, LookupError) as error:
        raise UnfinishedError(f"its XML is incomplete or damaged ({error}): is it still being written?") from None


def xml_text(element: Any, path: str) -> str:
    """Text of the first element at `path` (`a/b`, namespaces aside), or ""."""
    found = None if element is None else element.find("/".join("{*}" + part for part in path.split("/")))
    return (found.text or "").strip() if found is not None else ""
