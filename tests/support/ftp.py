"""A real FTP server for tests, which wants a password that fsspec has from the environment."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest

from tests.support.processes import free_port, running, wait_for

PASSWORD = "correct-horse"
USERS = {"FSSPEC_FTP_USERNAME": "deploy", "FSSPEC_FTP_PASSWORD": PASSWORD}


@dataclass
class Ftp:
    """An FTP server that can be ended and started."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"ftp://127.0.0.1:{self.port}/changeover"

    def names(self) -> list[str]:
        found = (self.folder / "changeover").rglob("*")
        return sorted(str(each.relative_to(self.folder / "changeover"))
                      for each in found if each.is_file())


@pytest.fixture(scope="module")
def ftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ftp]:
    """A server that wants a password, which fsspec has from the environment."""
    found = Ftp(free_port(), tmp_path_factory.mktemp("ftp"))
    with pytest.MonkeyPatch.context() as patched, serving(found):
        for name, value in USERS.items():
            patched.setenv(name, value)
        # read once, when fsspec is imported: here by an earlier test, perhaps
        patched.setitem(fsspec.config.conf, "ftp", {"username": "deploy", "password": PASSWORD})
        yield found


@contextmanager
def serving(ftp: Ftp) -> Iterator[None]:
    """Run the server until the block ends."""
    command = [sys.executable, "-m", "tests.support.ftp_server", str(ftp.port), str(ftp.folder),
               "deploy", PASSWORD]
    (ftp.folder / "changeover").mkdir(exist_ok=True)
    with running(command, ftp.folder.parent / "ftp.log"):
        wait_for(lambda: _listens(ftp.port), what="the FTP server")
        yield


def _listens(port: int) -> bool:
    with closing(socket.socket()) as found:
        return found.connect_ex(("127.0.0.1", port)) == 0
