"""A real FTP server over a folder, as a process: its arguments are PORT FOLDER USER PASSWORD."""

from __future__ import annotations

import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer


def main() -> None:
    """Serve until the process ends."""
    port, folder, user, password = sys.argv[1:]
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, folder, perm="elradfmwMT")
    FTPHandler.authorizer = authorizer
    # whoever guesses wrong waits for three seconds, here for nothing
    FTPHandler.auth_failed_timeout = 0
    FTPServer(("127.0.0.1", int(port)), FTPHandler).serve_forever()


if __name__ == "__main__":
    main()
