"""Files in a folder or at an address that fsspec reaches; every call has a bound in seconds.

Credentials come from the environment alone, as the protocol's own package reads them. Packages such
as s3fs are installed by who needs them.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from changeover.errors import ChangeoverError, EnvironmentProblem, Unreachable

T = TypeVar("T")
_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|KEY|CREDENTIAL|FSSPEC_", re.IGNORECASE)
_BLOCK = 1 << 20
_COMMON = "file, s3, gs, abfs, sftp, ftp, smb, webhdfs"


def problem_of(target: str) -> str:
    """Return why this machine cannot reach addresses of that kind; empty when it can.

    Nothing is asked over the network: it is about packages.
    """
    protocol = _protocol(target)
    if protocol is None:
        return ""
    # takes a tenth of a second: whoever has no address does not wait for it
    import fsspec

    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        return (f"{protocol}:// needs a package that is not installed here ({error}); install it "
                "with pip wherever flows run")
    except ValueError:
        return f"nothing knows the protocol {protocol}://; allowed are, among others, {_COMMON}"
    return ""


class RemoteFiles:
    """A folder, here or elsewhere.

    Args:
        target: A folder, or an address without a password.
        seconds: Longest time of a call.
    """

    def __init__(self, target: str, *, seconds: float) -> None:
        self.target, self.seconds = target, seconds
        self._opened: tuple[Any, str] | None = None

    def put(self, name: str, content: bytes, *, seconds: float | None = None) -> None:
        """Write a file, replace one of that name, and see that it is what was written.

        Args:
            name: Its name below the target; slashes are folders.
            content: All of it.
            seconds: Longest time of this call.

        Raises:
            EnvironmentProblem: The protocol's package is missing.
            Unreachable: It cannot be written within the time, or is not what was written.
        """
        def write() -> None:
            fs, path = self._place(name)
            fs.pipe_file(path, content)
            if bytes(fs.cat_file(path)) != content:
                raise OSError("what was written reads back differently")

        self._bounded(write, name, "written", seconds)

    def put_file(self, name: str, file: Path, sha256: str) -> None:
        """Copy a file, and read all of it back to see that it has its digest.

        Raises:
            EnvironmentProblem: The protocol's package is missing.
            Unreachable: It cannot be written within the time, or its digest differs.
        """
        def copy() -> None:
            fs, path = self._place(name)
            fs.put_file(str(file), path)
            if _digest(fs, path) != sha256:
                raise OSError("what was written reads back differently: its checksum differs")

        self._bounded(copy, name, "written", None)

    def fetch(self, name: str, file: Path) -> None:
        """Copy a file from there to here.

        Raises:
            EnvironmentProblem: The protocol's package is missing.
            Unreachable: It is not there, or cannot be read within the time.
        """
        def copy() -> None:
            fs, path = self._place(name, is_made=False)
            fs.get_file(path, str(file))

        self._bounded(copy, name, "read", None)

    def folders(self) -> list[str]:
        """Return the names of the folders there.

        Raises:
            EnvironmentProblem: The protocol's package is missing.
            Unreachable: It cannot be read within the time.
        """
        def read() -> list[str]:
            fs, path = self._place("", is_made=False)
            if not fs.exists(path):
                return []
            found = fs.ls(path, detail=True)
            return sorted(each["name"].rstrip("/").rpartition("/")[2] for each in found
                          if each["type"] == "directory")

        return self._bounded(read, "", "read", None)

    def _place(self, name: str, *, is_made: bool = True) -> tuple[Any, str]:
        """Return the file system and a file's path in it, with its folder made."""
        import fsspec

        if self._opened is None:
            address = self.target
            if _protocol(address) is None:
                address = Path(address).absolute().as_uri()
            # what others write there must be seen
            self._opened = fsspec.core.url_to_fs(
                address, use_listings_cache=False, skip_instance_cache=True)
        fs, root = self._opened
        path = f"{root.rstrip('/')}/{name}".rstrip("/")
        if is_made:
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        return fs, path

    def _bounded(
        self, work: Callable[[], T], name: str, what: str, seconds: float | None
    ) -> T:
        """Do something, for a time at most; what hangs then is left alone.

        Raises:
            EnvironmentProblem: The protocol's package is missing.
            Unreachable: It fails, or takes longer.
        """
        if problem := problem_of(self.target):
            raise EnvironmentProblem(problem, where=self.target)
        found: list[T] = []
        failed: list[BaseException] = []

        def tried() -> None:
            try:
                found.append(work())
            # each package has errors of its own: whatever it is, the file is not there
            except Exception as error:  # noqa: BLE001
                failed.append(error)

        # a thread that no process waits for at its end: a connection may hang for ever
        thread = threading.Thread(target=tried, name="remote files", daemon=True)
        thread.start()
        thread.join(self.seconds if seconds is None else seconds)
        if found:
            return found[0]
        why = _said(failed[0]) if failed else "no answer in time"
        self._opened = None
        raise Unreachable(
            f"{name or 'the folder'} cannot be {what}: {why}", where=self.target,
            next_step="See that the place is there and that the credentials in the environment "
            "may use it")


def _protocol(target: str) -> str | None:
    found = _PROTOCOL.match(target)
    return found[1].lower() if found else None


def _digest(fs: Any, path: str) -> str:
    digest = hashlib.sha256()
    with fs.open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _said(error: BaseException) -> str:
    """Return an error in a line, without anything that the environment keeps as a secret."""
    if isinstance(error, ChangeoverError):
        return error.what
    text = " ".join(f"{type(error).__name__}: {error}".split())
    for secret in _secrets():
        text = text.replace(secret, "***")
    return text[:300]


def _secrets() -> list[str]:
    """Return the values that a package may have as credentials, longest first."""
    found = []
    for name, value in os.environ.items():
        if _SECRET.search(name):
            # fsspec reads JSON, too: each text in it may be the password
            found += [value, *re.findall(r'"([^"]*)"', value)]
    return sorted({each for each in found if len(each) >= 4}, key=len, reverse=True)
