"""The site: built strictly, into a temporary folder, without a network; it holds every decision and every verb."""

from __future__ import annotations

import functools
import os
import pkgutil
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import browser
import pytest

from depth_perception import commands

ROOT = Path(__file__).resolve().parents[2]
VERBS = sorted(name.replace("_", "-") for _, name, _ in pkgutil.iter_modules(commands.__path__) if not name.startswith("train_"))
NOWHERE = "http://127.0.0.1:9"  # nothing listens there


class Links(HTMLParser):
    """Attributes: fetched: what a browser loads with the page; links: where it leads; ids: its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        if tag in ("script", "img", "iframe", "source", "link"):
            self.fetched += [given[name] for name in ("src", "href") if name in given]
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.ids |= {given[name] for name in ("id", "name") if name in given}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with no way out of this machine."""
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)], cwd=ROOT, capture_output=True,
                          text=True, timeout=600, env=os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1"})
    said = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    assert (done.returncode, said) == (0, []), done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Links]:
    """What each page loads and links to."""
    return {str(file.relative_to(site)): Links(file.read_text()) for file in site.rglob("*.html")}


def test_every_page_and_every_decision_is_there(site: Path, pages: dict[str, Links]):
    sources = {str(file.relative_to(ROOT / "docs").with_suffix(".html")) for file in (ROOT / "docs").rglob("*.md")}
    assert len([name for name in sources if name.startswith("decisions/")]) >= 34
    assert sources | {"changelog.html", "contributing.html", "models.html", "commands.html"} <= pages.keys()
    # ... and is found in the navigation, which is the same on every page.
    linked = {os.path.normpath(urlsplit(link).path) for link in pages["index.html"].links}
    assert sources - {"index.html"} <= linked


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_there_with_its_example(site: Path, verb: str):
    text = (site / "commands.html").read_text()
    assert f'id="{verb}"' in text
    assert re.search(rf"usage: python -m depth_perception {verb}\b", text)


def test_the_reference_has_the_signatures(site: Path):
    text = (site / "reference.html").read_text()
    for name in ("frame.BadInput", "systems.depth.Depth.step", "systems.scale.measure", "geometry.pose.transform", "decode.images"):
        assert f'id="depth_perception.{name}"' in text
    assert "canonical_focal_px" in text


def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[str, Links]):
    away = {(name, link) for name, page in pages.items() for link in page.fetched if urlsplit(link).netloc}
    assert away == set()
    assert not [file.name for file in site.rglob("*.css") if re.search(r"@import|url\(['\"]?https?:", file.read_text())]
    assert not [name for name in pages if 'class="mermaid"' in (site / name).read_text()]


def test_every_link_leads_somewhere(site: Path, pages: dict[str, Links]):
    lost = []
    for name, page in pages.items():
        for link in (*page.links, *page.fetched):
            parts = urlsplit(link)
            if parts.netloc or parts.scheme or name == "404.html":
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(name), unquote(parts.path))) if parts.path else name
            if not (site / target).exists():
                lost.append(f"{name}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                lost.append(f"{name}: {link}: no such anchor")
    assert lost == []


def test_a_sentence_can_be_searched_for(site: Path):
    index = (site / "search" / "search_index.json").read_text()
    assert "nobody publishes it" in index
    assert "going on from the last good state" in index


class Silent(SimpleHTTPRequestHandler):
    """Serves, and says nothing of it."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Where the site is served, on this machine alone."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_reader_finds_a_sentence_in_a_browser(address: str, tmp_path: Path):
    if browser.program() is None:
        pytest.skip(f"needs one of {', '.join(browser.NAMES)}")
    reader = browser.Browser(tmp_path)
    try:
        reader.open(f"{address}/index.html")
        assert reader.value("document.querySelector('h1').innerText").startswith("Quick start")
        reader.value("(() => { const field = document.querySelector('[data-md-component=search-query]'); field.focus();"
                     " field.value = 'nobody publishes it'; field.dispatchEvent(new Event('input')) })()")
        found = "[...document.querySelectorAll('.md-search-result__link')].map(link => link.getAttribute('href')).join(' ')"
        reader.until(lambda: "troubleshooting" in reader.value(found), "the search to find it")
        assert reader.complaints == []
        assert {urlsplit(each).netloc for each in reader.requested if urlsplit(each).scheme == "http"} == {urlsplit(address).netloc}
        assert not [each for each in reader.requested if urlsplit(each).scheme == "https"]
    finally:
        reader.close()


def test_a_broken_link_ends_the_build(tmp_path: Path):
    pytest.importorskip("material")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Here\n\n[there](../CONTRIBUTING.md) [nowhere](absent.md)\n")
    settings = f"site_name: x\nhooks: [{ROOT}/docs/pages.py]\nplugins: []\n"
    (tmp_path / "mkdocs.yml").write_text(settings)
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")], cwd=tmp_path,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "absent.md" in done.stderr
    assert "CONTRIBUTING" not in done.stderr
