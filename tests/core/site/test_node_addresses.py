"""Where gateway nodes are: kept for when the store is down, and named by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from changeover.domain.gateway_nodes import GatewayNode, NodeState
from changeover.errors import InvalidInput
from changeover.gateway.files import GatewayFiles
from changeover.site.node_addresses import Book, NodeAddress, break_glass_url, read


def node(name: str, url: str) -> GatewayNode:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return GatewayNode("shop", name, "10.0.0.1:8100", "home", NodeState.READY, now, now,
                       break_glass_url=url)


def test_addresses_are_kept_until_they_change(tmp_path: Path) -> None:
    """A site without nodes has no file; what is there already is not written again."""
    files = GatewayFiles(tmp_path)
    Book(files, "shop").keep([])
    assert read(files) == [] and not files.nodes.exists()
    one, two = node("edge-1", "http://10.0.0.1:8102/break-glass"), node("edge-2", "")
    Book(files, "shop").keep([one, two])
    assert read(files) == [
        NodeAddress("edge-1", "http://10.0.0.1:8102/break-glass", "shop"),
        NodeAddress("edge-2", "", "shop")]
    written = files.nodes.stat().st_ino
    Book(files, "shop").keep([one, two])
    assert files.nodes.stat().st_ino == written
    Book(files, "shop").keep([])
    assert read(files) == []


@pytest.mark.parametrize("url", ["http://a b", "file:///etc/passwd", "http://u:p@10.0.0.1:1"])
def test_an_address_that_is_none_is_not_kept(tmp_path: Path, url: str) -> None:
    """Whoever writes the row cannot have the command ask just anything; the known one stays."""
    files = GatewayFiles(tmp_path)
    book = Book(files, "shop")
    book.keep([node("edge-1", url)])
    assert read(files) == [NodeAddress("edge-1", "", "shop")]
    good = "http://10.0.0.1:8102/break-glass"
    book.keep([node("edge-1", good)])
    book.keep([node("edge-1", url)])
    assert read(files) == [NodeAddress("edge-1", good, "shop")]


def test_a_node_that_had_tls_is_not_asked_without(tmp_path: Path) -> None:
    """Also after a restart, and when its row said nothing meanwhile: the token would be readable.
    """
    files, good = GatewayFiles(tmp_path), "https://10.0.0.1:8102/break-glass"
    Book(files, "shop").keep([node("edge-1", good)])
    plain = node("edge-1", "http://10.0.0.9:8102/break-glass")
    Book(files, "shop").keep([plain])
    assert read(files) == [NodeAddress("edge-1", good, "shop")]
    Book(files, "shop").keep([node("edge-1", "")])
    Book(files, "shop").keep([plain])
    assert read(files) == [NodeAddress("edge-1", "", "shop")]
    files.nodes.unlink()
    Book(files, "shop").keep([plain])
    assert read(files) == [NodeAddress("edge-1", plain.break_glass_url, "shop")]


@pytest.mark.parametrize("content", ["", "[]", '{"nodes": [{}]}', '{"nodes": 7}'])
def test_a_copy_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    """The rest of an emergency goes on without it."""
    files = GatewayFiles(tmp_path)
    files.nodes.write_text(content)
    assert read(files) == []


@pytest.mark.parametrize(("text", "url"), [
    ("https://edge-3.example:8102", "https://edge-3.example:8102/break-glass"),
    ("http://10.0.0.3:8102/break-glass", "http://10.0.0.3:8102/break-glass"),
    ("http://[fd00::1]:8102/", "http://[fd00::1]:8102/break-glass"),
    ("https://proxy.example/edge-3", "https://proxy.example/edge-3/break-glass")])
def test_an_address_is_that_of_break_glass(text: str, url: str) -> None:
    """A proxy in front may have a path of its own."""
    assert break_glass_url(text, "--node") == url


@pytest.mark.parametrize("text", [
    "", "edge-3", "edge-3:8102", "ftp://edge-3", "http://", "http://a b", "http://u:p@edge-3",
    "http://edge-3:x", "http://edge-3?x=1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Before anybody is moved: a node that is misspelt would not be reached."""
    with pytest.raises(InvalidInput, match="is no address of a node"):
        break_glass_url(text, "--node")
