"""The documentation site builds without a warning, holds every page, and needs no network to be read."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = [name for name in ("sphinx", "myst_parser", "furo") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(NEEDED), reason=f"{', '.join(NEEDED)} not installed (the docs extra)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", ".", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Resources(HTMLParser):
    """What a browser would load with a page: scripts, style sheets, pictures, frames. Links are not followed by themselves."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "img", "iframe", "source", "video") and values.get("src"):
            self.found.append(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon", "shortcut icon", "preconnect") and values.get("href"):
            self.found.append(values["href"])


def test_every_page_is_there(site):
    sources = [*(ROOT / "docs").glob("*.md"), *(ROOT / "models").rglob("README.md"), *(ROOT / name for name in ("README.md", "CHANGELOG.md"))]
    for source in sources:
        assert (site / source.relative_to(ROOT)).with_suffix(".html").is_file(), source
    assert 'url=docs/index.html"' in (site / "index.html").read_text()


def test_nothing_is_loaded_from_a_network(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        for target in Resources(page.read_text(encoding="utf-8")).found:
            assert not re.match(r"(https?:)?//", target), f"{page.relative_to(site)} loads {target}"
            if not target.startswith("data:"):
                assert (page.parent / target.partition("?")[0]).is_file(), f"{page.relative_to(site)} wants {target}, which is not there"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


def test_the_margin_lists_every_page(site):
    start = (site / "docs" / "index.html").read_text(encoding="utf-8")
    margin = start.split('class="sidebar-tree"')[1].split("</aside>")[0]
    for name in ("tutorial", "pipelines", "faq", "citing", "commands", "method", "formats"):
        assert f'href="{name}.html"' in margin
    assert 'href="../models/mof-encoder/README.html"' in margin


def test_pictures_are_small_and_shown():
    pictures = sorted((ROOT / "docs" / "pictures").iterdir())
    pages = "".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 100_000, f"{picture.name}: large pictures do not belong into the repository"
        assert f"pictures/{picture.name})" in pages, f"{picture.name} is on no page"
        if picture.suffix == ".svg":
            assert not re.search(r"(href|src)=.https?:|url\(.?https?:|@font-face|@import", picture.read_text(encoding="utf-8")), picture.name
