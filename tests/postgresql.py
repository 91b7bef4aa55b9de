"""A PostgreSQL server of the tests' own: Debian's, in a folder that goes with it, on a loopback port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from benchmarks.serving.service import free_port

BINARIES: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
PATIENCE_S: Final = 60
# Of the user that Debian's package makes: PostgreSQL does not run as root.
UNPRIVILEGED: Final = "postgres"


class Cluster:
    """A server with an empty database, to which its superuser `lungscope` gets without a password.

    A process that is killed loses nothing without fsync, and the tests kill no machine.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._data = folder / "data"
        self._user = UNPRIVILEGED if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        shutil.chown(folder, self._user)
        self._run("initdb", "-U", "lungscope", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    @property
    def url(self) -> str:
        """The address for LUNGSCOPE_DATABASE_URL."""
        return f"postgresql+psycopg://lungscope@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self._folder} -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, how: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it: in order, or as if it was killed."""
        self._run("pg_ctl", "-w", "-m", how, "stop")

    def empty(self) -> None:
        """Drop all that a service has made."""
        import psycopg

        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SET client_min_messages TO warning")
            for name in ("results", "feedback"):
                connection.execute(f"DROP SCHEMA IF EXISTS lungscope_{name} CASCADE".encode())

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(BINARIES[-1].with_name(program)), "-D", str(self._data), *arguments]
        # Not by a pipe: the server would hold it open.
        with (self._folder / "commands.log").open("ab") as log:
            subprocess.run(
                command, user=self._user, cwd=self._folder, stdout=log, stderr=log, check=True, timeout=PATIENCE_S
            )


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A server that runs until the end of the block."""
    # Below a folder that the unprivileged user may enter, which pytest's are not.
    with tempfile.TemporaryDirectory(prefix="lungscope-postgresql-") as folder:
        cluster = Cluster(Path(folder))
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop("immediate")
