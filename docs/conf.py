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
html_extra_path = ["site"]
html_static_path = ["site.css"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "monokai"
templates_path: list[str] = []

#: The pages in the order they are read; a page that is missing here is a warning, and warnings are errors.
CONTENTS = {
    "Use": ["/README", "tutorial", "pipelines", "faq", "citing"],
    "Look up": ["commands", "formats", "library", "library-families", "/CHANGELOG"],
    "Understand": ["method", "models", "/models/README", "/models/mof-encoder/README"],
    "Take part": ["/CONTRIBUTING", "development"],
}
#: What the margin calls a page whose title is long, or is the project's name.
SHORT = {
    "/README": "Set up and start",
    "/models/README": "Shipped models",
    "/models/mof-encoder/README": "Card of mof-encoder",
    "models": "Choose, extend, retrain",
}


def contents() -> str:
    """The table of contents of the margin; in the files themselves it would only disturb."""
    blocks = []
    for caption, pages in CONTENTS.items():
        lines = [f"{SHORT[page]} <{page}>" if page in SHORT else page for page in pages]
        blocks.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *lines, "```"]))
    return "\n\n".join(blocks)


def add_contents(app: object, docname: str, source: list[str]) -> None:
    """Sphinx's event source-read: `source` holds the text of a page, to be changed in place."""
    if docname == root_doc:
        source[0] += "\n" + contents() + "\n"


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_contents)  # type: ignore[attr-defined]
