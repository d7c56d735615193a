"""The documentation site: these pages, the models' cards and the changes, as they lie in the repository.

    python -m sphinx -W --keep-going -c docs . build/site

The source folder is the repository, so that a link between two files is the same on the site, in an editor and on a forge. Nothing is fetched while
building or reading. tests/test_site.py builds it and looks for what would need a network.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.search(r'^__version__ = "(.*)"$', (ROOT / "xrdmatch" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)

project = "xrdmatch"
version = release = VERSION.group(1) if VERSION else ""
copyright = "the xrdmatch authors, MIT licence"

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "models/README.md", "models/*/README.md", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
myst_heading_anchors = 4
nitpicky = True
smartquotes = False  # they would turn the quotes of file patterns

html_theme = "furo"
html_title = f"xrdmatch {release}"
html_baseurl = ""
html_copy_source = False
html_show_sphinx = False
html_extra_path = ["front"]  # index.html of the built site, which leads to docs/
html_static_path = ["site.css"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "monokai"
templates_path: list[str] = []

#: The pages in the order they are read. Pages that are not named here follow under "Look up", models' cards under "Understand".
CONTENTS = {
    "Use": ["/README", "install", "tutorial", "check", "serve", "figures", "pipelines", "python", "gpu", "faq", "citing"],
    "Look up": ["commands", "formats", "library", "library-families", "/CHANGELOG"],
    "Understand": ["method", "models", "/models/README", "scaling"],
    "Take part": ["/CONTRIBUTING", "development"],
}
#: What the margin calls a page whose title is long, or is the project's name.
SHORT = {"/README": "Set up and start", "/models/README": "Shipped models", "models": "Choose, extend, retrain"}


def contents() -> str:
    """The table of contents of the margin; in the files themselves it would only disturb."""
    named = {"index", *(page for pages in CONTENTS.values() for page in pages)}
    cards = {f"/models/{card.parent.name}/README": f"Card of {card.parent.name}" for card in sorted((ROOT / "models").glob("*/README.md"))}
    added = {"Look up": sorted({page.stem for page in (ROOT / "docs").glob("*.md")} - named), "Understand": list(cards)}
    short, blocks = SHORT | cards, []
    for caption, pages in CONTENTS.items():
        lines = [f"{short[page]} <{page}>" if page in short else page for page in [*pages, *added.get(caption, [])]]
        blocks.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *lines, "```"]))
    return "\n\n".join(blocks)


def add_contents(app: object, docname: str, source: list[str]) -> None:
    """Sphinx's event source-read: `source` holds the text of a page, to be changed in place."""
    if docname == root_doc:
        source[0] += "\n" + contents() + "\n"


def setup(app: object) -> None:
    """Called by Sphinx. The first page is read every time, since its table of contents depends on which files there are."""
    app.connect("source-read", add_contents)  # type: ignore[attr-defined]
    app.connect("env-get-outdated", lambda *_: [root_doc])  # type: ignore[attr-defined]
