"""The page itself: the report page's own parts, with what drops scans and asks for answers."""

from __future__ import annotations

import html
from pathlib import Path

from xrdmatch.report.html_page import Page
from xrdmatch.report.page_frame import SCRIPTS, STYLESHEETS, filled, joined
from xrdmatch.serve.settings import Limits
from xrdmatch.version import __version__


def assets(limits: Limits) -> dict[str, tuple[str, str]]:
    """Media type and content of the page, by the last part of the address; the page itself has none."""
    own = {name: (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")}
    fields = {
        "version": html.escape(__version__),
        "body": Page().body(),
        "bytes": str(limits.file_bytes),
        "scans": str(limits.scans),
    }
    script = "\n".join(['"use strict";', "(() => {", joined(SCRIPTS), own["page.js"], "})();"])
    return {
        "": ("text/html; charset=utf-8", filled(own["page.html"], fields)),
        "page.css": ("text/css; charset=utf-8", f"{joined(STYLESHEETS)}\n{own['page.css']}"),
        "page.js": ("text/javascript; charset=utf-8", script),
    }
