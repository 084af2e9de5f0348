"""The documentation of Python on nginx, moved to Caddy: curl, wget and Chromium go on reading."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from examples.pairs.browser import CHROMIUM, BrowserClient
from examples.pairs.clients import Answer, Client, NoticedError, curl, require, run
from examples.pairs.pair import Pair, Where

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

ROOT = Path("/usr/share/doc/python3.11/html")
PAGES = ["index.html", "library/json.html", "library/os.html", "tutorial/index.html",
         "glossary.html", "search.html", "c-api/intro.html", "whatsnew/3.11.html"]
FILES = [*PAGES, "searchindex.js", "objects.inv", ".buildinfo", "_static/py.svg", "_static/py.png",
         "_static/pydoctheme.css", "_static/opensearch.xml", "_static/glossary.json",
         "_sources/library/json.rst.txt", "python3.11.devhelp.gz"]
KINDS = ("whole", "compressed", "head", "part", "resumed", "condition", "escaped", "missing",
         "folder", "no_index")


class CurlClient(Client):
    """Reads files whole, packed, in parts, under conditions, and what is not there."""

    name = "curl"
    pause_seconds = 0.1

    def __init__(self, url: str) -> None:
        self._url, self._random, self._acts = url, random.Random(1), 0

    def act(self) -> int:
        """Ask for one file in one way; all ways in turn."""
        kind = KINDS[self._acts % len(KINDS)]
        file = FILES[self._acts // len(KINDS) % len(FILES)]
        user = f"user-{self._random.randrange(500):03d}"
        self._acts += 1
        return int(getattr(self, f"_{kind}")(file, user))

    def _get(self, path: str, *options: str, user: str) -> Answer:
        return curl(f"{self._url}/{path}", *options, user=user)

    def _whole(self, file: str, user: str) -> int:
        _same(file, self._get(file, user=user))
        return 1

    def _compressed(self, file: str, user: str) -> int:
        _same(file, self._get(file, "--compressed", user=user))
        return 1

    def _escaped(self, file: str, user: str) -> int:
        _same(file, self._get(f"%{ord(file[0]):02x}{file[1:]}?a=%ff", user=user))
        return 1

    def _head(self, file: str, user: str) -> int:
        got = self._get(file, "--head", user=user)
        size = (ROOT / file).stat().st_size
        require(got.status == 200 and got.headers["content-length"] == str(size),
                f"HEAD of {file}: {got.status} {got.headers}")
        return 1

    def _part(self, file: str, user: str) -> int:
        got = self._get(file, "--range", "10-99", user=user)
        require(got.status == 206 and got.body == _content(file)[10:100],
                f"a part of {file}: {got.status}, {len(got.body)} bytes")
        return 1

    def _resumed(self, file: str, user: str) -> int:
        """Fetch the first half, then go on from there, as `curl --continue-at` does."""
        half = len(_content(file)) // 2
        first = self._get(file, "--range", f"0-{half - 1}", user=user)
        second = self._get(file, "--range", f"{half}-", user=user)
        require((first.status, second.status) == (206, 206)
                and first.body + second.body == _content(file), f"{file} in two parts")
        return 2

    def _condition(self, file: str, user: str) -> int:
        """Ask again with the tag of the first answer; a user who was moved between gets it anew."""
        first = self._get(file, user=user)
        again = self._get(file, "--header", f"if-none-match: {first.headers['etag']}", user=user)
        require(again.status == 304 or again.body == _content(file), f"{file} by its tag")
        return 2

    def _missing(self, file: str, user: str) -> int:
        got = self._get(f"{file}.missing", user=user)
        require(got.status == 404, f"a missing file: {got.status}")
        return 1

    def _folder(self, file: str, user: str) -> int:
        _same("tutorial/index.html", self._get("tutorial", "--location", user=user))
        return 2

    def _no_index(self, file: str, user: str) -> int:
        got = self._get("_images/", user=user)
        require(got.status in (403, 404), f"a folder without index: {got.status}")
        return 1


class WgetClient(Client):
    """Copies a part of the site, and compares the copy with the site's files."""

    name = "wget"
    pause_seconds = 5.0

    def __init__(self, url: str) -> None:
        self._url, self._acts = url, 0

    def act(self) -> int:
        """Copy the tutorial with everything that its pages need."""
        self._acts += 1
        with tempfile.TemporaryDirectory() as folder:
            run(["wget", "--quiet", "--recursive", "--level=1", "--no-parent", "--page-requisites",
                 "--no-host-directories", "--header", f"x-user-id: wget-{self._acts % 50}",
                 "--directory-prefix", folder, f"{self._url}/tutorial/index.html"])
            copied = [each for each in Path(folder).rglob("*") if each.is_file()]
            require(len(copied) >= 20, f"only {len(copied)} files were copied")
            for each in copied:
                name = str(each.relative_to(folder)).partition("?")[0]
                require(each.read_bytes() == _content(name), f"{name} differs from the site's")
            return len(copied)


class Reader(BrowserClient):
    """Reads pages, follows links, and searches: the search runs in the browser."""

    pause_seconds = 1.0
    own_errors = ("Cannot read properties of null (reading 'textContent')",)

    def visit(self, page: Page, number: int) -> Iterator[None]:
        """Open a page and follow a link, or search."""
        if number % 5 == 0:
            page.goto(f"{self.url}/search.html?q=contextlib")
            page.wait_for_selector("#search-results .search li")
            yield
            return
        page.goto(f"{self.url}/{PAGES[number % len(PAGES)]}", wait_until="load")
        yield
        with page.expect_navigation(wait_until="load"):
            page.click("div.related a:has-text('modules')")
        yield
        if page.title().split(" — ")[0] != "Python Module Index":
            raise NoticedError(f"the link led to {page.title()!r}")

    def examine(self, answer: Response) -> None:
        """Compare an answer with the site's file."""
        path = unquote(urlsplit(answer.url).path).lstrip("/")
        if not (ROOT / path).is_file():  # the site has links to a page that Debian packs
            require(answer.status == 404, f"{answer.status} for {path}")
        elif answer.status != 304:
            require(answer.status == 200, f"{answer.status} for {path}")
            require(self.body(answer) in (None, _content(path)), f"{path} differs from the site's")


def _content(file: str) -> bytes:
    return (ROOT / file).read_bytes()


def _same(file: str, got: Answer) -> None:
    require(got.status == 200 and got.body == _content(file),
            f"{file}: {got.status}, {len(got.body)} bytes")


def _prepare(where: Where) -> None:
    (where.work / "nginx").mkdir()


PAIR = Pair(
    name="site",
    about="The documentation of Python moves from nginx to Caddy.",
    clients=lambda where: [
        CurlClient(where.gateway), WgetClient(where.gateway), Reader(where.gateway)],
    programs={"nginx": "nginx-light", "caddy": "caddy", "curl": "curl", "wget": "wget",
              "chromium": "chromium"},
    files={str(ROOT / "index.html"): "python3.11-doc", CHROMIUM: "chromium"},
    prepare=_prepare,
)
