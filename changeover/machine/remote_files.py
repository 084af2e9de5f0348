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
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from changeover.errors import ChangeoverError, EnvironmentProblem, Unreachable

_T = TypeVar("_T")
_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|KEY|CREDENTIAL|FSSPEC_", re.IGNORECASE)
_HANGING: dict[tuple[str, str], threading.Thread] = {}
"""Tries that were given up, by target and name: they may still write what is old by then."""
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


def folder_of(target: str) -> str:
    """Return the folder of this machine that a target is, as `file:///srv`; empty for others."""
    protocol = _protocol(target)
    if protocol in ("file", "local"):
        import fsspec

        return str(fsspec.core.strip_protocol(target))
    return "" if protocol else target


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
            Unreachable: It cannot be written within the time, or is not what was written. While
                such a try still hangs in this process, no other one writes the file.
        """
        def write(given_up: threading.Event) -> None:
            fs, path = self._place(name)
            # a newer content may be there by now
            if given_up.is_set():
                return
            fs.pipe_file(path, content)
            if bytes(fs.cat_file(path)) != content:
                raise OSError("what was written reads back differently")

        self._written(write, name, seconds)

    def put_file(
        self, name: str, source: Path, sha256: str, *, seconds: float | None = None
    ) -> None:
        """Write a file of any size, and see that what is there has its checksum.

        Args:
            name: Its name below the target; slashes are folders.
            source: The file here; beside it what is read back lies for a moment.
            sha256: What it must have, in hexadecimal.
            seconds: Longest time of this call.

        Raises:
            EnvironmentProblem, Unreachable: As by `put`.
        """
        def write(given_up: threading.Event) -> None:
            fs, path = self._place(name)
            if given_up.is_set():
                return
            fs.put_file(str(source), path)
            back = source.with_name(f".{source.name}.back")
            try:
                fs.get_file(path, str(back))
                with back.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            finally:
                back.unlink(missing_ok=True)
            if found != sha256:
                raise OSError("what was written reads back differently")

        self._written(write, name, seconds)

    def get_file(self, name: str, to: Path, *, seconds: float | None = None) -> bool:
        """Copy a file to a place here; return whether there is one.

        Raises:
            EnvironmentProblem: The protocol's package is missing.
            Unreachable: It cannot be read within the time.
        """
        def read(given_up: threading.Event) -> bool:
            fs, path = self._root(name)
            try:
                fs.info(path)
            except FileNotFoundError:
                return False
            if not given_up.is_set():
                fs.get_file(path, str(to))
            return True

        return self._bounded(read, name, self._time(seconds), "read")

    def read(self, name: str, *, seconds: float | None = None) -> bytes | None:
        """Return a small file; None when there is none. Raises as `get_file`."""
        def read(_given_up: threading.Event) -> bytes | None:
            fs, path = self._root(name)
            try:
                fs.info(path)
            except FileNotFoundError:
                return None
            return bytes(fs.cat_file(path))

        return self._bounded(read, name, self._time(seconds), "read")

    def folders(self, *, seconds: float | None = None) -> list[str]:
        """Return the names of the folders there; none when the target is missing.

        Raises as `get_file`.
        """
        def read(_given_up: threading.Event) -> list[str]:
            fs, root = self._root("")
            try:
                found = fs.ls(root.rstrip("/"), detail=True)
            except FileNotFoundError:
                return []
            return sorted(str(each["name"]).rstrip("/").rpartition("/")[2]
                          for each in found if each["type"] == "directory")

        return self._bounded(read, "its list of files", self._time(seconds), "read")

    def remove(self, name: str, *, seconds: float | None = None) -> None:
        """Remove a file if that is allowed there. Raises as `put`."""
        def remove(_given_up: threading.Event) -> None:
            fs, path = self._root(name)
            # each package has errors of its own, and whoever writes may not be let delete
            with suppress(Exception):
                fs.rm_file(path)

        self._written(remove, name, seconds)

    def _time(self, seconds: float | None) -> float:
        return self.seconds if seconds is None else seconds

    def _written(
        self, work: Callable[[threading.Event], None], name: str, seconds: float | None
    ) -> None:
        """Write a file, unless an earlier try may yet write it."""
        earlier = _HANGING.get((self.target, name))
        if earlier is not None and earlier.is_alive():
            raise self._unreachable(name, "an earlier try still hangs, and may yet write it")
        self._bounded(work, name, self._time(seconds), "written")

    def _place(self, name: str) -> tuple[Any, str]:
        """Return the file system and a file's path in it, with its folder made."""
        fs, path = self._root(name)
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        return fs, path

    def _root(self, name: str) -> tuple[Any, str]:
        """Return the file system and a file's path in it."""
        import fsspec

        if self._opened is None:
            address = self.target
            if _protocol(address) is None:
                address = Path(address).absolute().as_uri()
            # what others write there must be seen
            self._opened = fsspec.core.url_to_fs(
                address, use_listings_cache=False, skip_instance_cache=True)
        fs, root = self._opened
        return fs, f"{root.rstrip('/')}/{name}"

    def _bounded(
        self, work: Callable[[threading.Event], _T], name: str, seconds: float, done: str
    ) -> _T:
        """Do something, for a time at most; what hangs then is left alone.

        Args:
            work: What is done; the event says that nobody waits for it any more.
            name: The file that it is about.
            seconds: How long it is waited for.
            done: What is done with the file, for messages: read, written.

        Raises:
            EnvironmentProblem: The protocol's package is missing.
            Unreachable: It fails, or takes longer.
        """
        if problem := problem_of(self.target):
            raise EnvironmentProblem(problem, where=self.target)
        given_up = threading.Event()
        thread, ended = _begun(lambda: work(given_up))
        thread.join(seconds)
        # seen once: it may end from one statement to the next
        result = ended[0] if ended else None
        if isinstance(result, tuple):
            return result[0]
        self._opened = None
        if result is None:
            given_up.set()
            # what hangs in reading writes nothing later
            if done == "written":
                _HANGING[self.target, name] = thread
            raise self._unreachable(name, "no answer in time", done)
        raise self._unreachable(name, _said(result), done)

    def _unreachable(self, name: str, why: str, done: str = "written") -> Unreachable:
        return Unreachable(
            f"{name} cannot be {done}: {why}", where=self.target,
            next_step="See that the place is there and that the credentials in the environment "
            "may use it")


def _begun(work: Callable[[], _T]) -> tuple[threading.Thread, list[Exception | tuple[_T]]]:
    """Begin something in a thread; the list has its error or its result when it has ended."""
    ended: list[Exception | tuple[_T]] = []

    def tried() -> None:
        try:
            ended.append((work(),))
        # each package has errors of its own: whatever it is, it is not done
        except Exception as error:  # noqa: BLE001
            ended.append(error)

    # a thread that no process waits for at its end: a connection may hang for ever
    thread = threading.Thread(target=tried, name="remote files", daemon=True)
    thread.start()
    return thread, ended


def _protocol(target: str) -> str | None:
    found = _PROTOCOL.match(target)
    return found[1].lower() if found else None


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
