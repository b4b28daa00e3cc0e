"""The built site, as a reader's browser meets it. Builds nothing: run `make book` first."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

BUILD = Path(__file__).parents[1] / "book" / "_build"
SITES = {"html": BUILD / "html", "jupyter-book": BUILD / "jupyter-book" / "_build" / "html"}
CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)

# What a browser fetches unasked. An <a href> is the reader's to follow.
FETCHING = {
    "audio",
    "embed",
    "iframe",
    "img",
    "input",
    "object",
    "script",
    "source",
    "track",
    "video",
}
FETCHING_LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "modulepreload",
    "preconnect",
    "manifest",
}


@pytest.fixture(params=SITES)
def site(request):
    path = SITES[request.param]
    if not (path / "book" / "index.html").exists():
        pytest.skip(f"not built: make {'book' if request.param == 'html' else request.param}")
    return path


class Page(HTMLParser):
    """The addresses that a page fetches, and its images without a text."""

    def __init__(self, path):
        super().__init__()
        self.fetched, self.without_alt = [], []
        text = path.read_text(encoding="utf-8")
        self.fetched += re.findall(r"url\(\s*['\"]?([^'\")]+)", text)
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        names = {"data", "src", "srcset"} if tag in FETCHING else set()
        if tag == "link" and FETCHING_LINKS & set(attrs.get("rel", "").split()):
            names = {"href"}
        self.fetched += [attrs[name] for name in names if attrs.get(name)]
        if tag == "img" and not (attrs.get("alt") or "").strip():
            self.without_alt.append(attrs.get("src"))


def outside(address):
    return address.startswith("//") or urlsplit(address).scheme in {
        "http",
        "https",
        "ws",
        "wss",
        "ftp",
    }


def test_pages_fetch_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        assert [a for a in Page(path).fetched if outside(a)] == [], path


def test_styles_and_scripts_fetch_nothing_from_elsewhere(site):
    css = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")]+)")
    js = re.compile(
        r"(?:\bimport|\bfetch|importScripts|new (?:Shared)?Worker|\.open)\s*\(?\s*['\"`][^'\"`]*(https?://[^'\"`]+)"
        r"|\.src\s*=\s*['\"`](https?://[^'\"`]+)"
    )
    for path in site.rglob("*.css"):
        assert css.findall(path.read_text(encoding="utf-8")) == [], path
    for path in site.rglob("*.js"):
        assert js.findall(path.read_text(encoding="utf-8")) == [], path


def test_images_have_alt_text(site):
    for path in site.rglob("*.html"):
        assert Page(path).without_alt == [], path


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(
    "page", ["book/index", "book/reference", "notebooks/01_rmsprop_in_ten_minutes"]
)
def test_a_browser_without_network_shows_the_formulas(site, page, tmp_path):
    log = tmp_path / "net.json"
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    arguments += [
        "--disable-component-update",
        "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    arguments += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={log}"]
    arguments += ["--virtual-time-budget=10000", "--dump-dom", (site / f"{page}.html").as_uri()]
    done = subprocess.run(
        [CHROMIUM, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    if page != "book/reference":  # it has formulas in plain text only
        assert "<mjx-container" in done.stdout
    assert "data-mjx-error" not in done.stdout
    requests = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    # Chromium's own errands have no origin; a page that is a file has the origin null.
    assert [
        r["url"] for r in requests if r.get("initiator", "not an origin") != "not an origin"
    ] == []
