"""Files in a folder or at an address that fsspec reaches; every call has a bound in seconds.

Credentials come from the environment alone, as the protocol's own package reads them. Packages such
as s3fs are installed by who needs them.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from changeover.errors import ChangeoverError, EnvironmentProblem, Unreachable

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

        self._bounded(write, name, self.seconds if seconds is None else seconds)

    def _place(self, name: str) -> tuple[Any, str]:
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
        path = f"{root.rstrip('/')}/{name}"
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        return fs, path

    def _bounded(
        self, work: Callable[[threading.Event], None], name: str, seconds: float
    ) -> None:
        """Do something, for a time at most; what hangs then is left alone.

        Args:
            work: What is done; the event says that nobody waits for it any more.
            name: The file that it writes.
            seconds: How long it is waited for.

        Raises:
            EnvironmentProblem: The protocol's package is missing.
            Unreachable: It fails, takes longer, or an earlier try of the file still hangs.
        """
        self._refuse(name)
        ended: list[BaseException | None] = []
        given_up = threading.Event()

        def tried() -> None:
            try:
                work(given_up)
                ended.append(None)
            # each package has errors of its own: whatever it is, the file is not there
            except Exception as error:  # noqa: BLE001
                ended.append(error)

        # a thread that no process waits for at its end: a connection may hang for ever
        thread = threading.Thread(target=tried, name="remote files", daemon=True)
        thread.start()
        thread.join(seconds)
        # seen once: it may end from one statement to the next
        error = ended[0] if ended else TimeoutError()
        if error is None:
            return
        self._opened = None
        if not ended:
            given_up.set()
            _HANGING[self.target, name] = thread
        raise self._unreachable(name, _said(error) if ended else "no answer in time")

    def _refuse(self, name: str) -> None:
        if problem := problem_of(self.target):
            raise EnvironmentProblem(problem, where=self.target)
        earlier = _HANGING.get((self.target, name))
        if earlier is not None and earlier.is_alive():
            raise self._unreachable(name, "an earlier try still hangs, and may yet write it")

    def _unreachable(self, name: str, why: str) -> Unreachable:
        return Unreachable(
            f"{name} cannot be written: {why}", where=self.target,
            next_step="See that the place is there and that the credentials in the environment "
            "may use it")


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
