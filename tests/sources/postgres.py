"""A PostgreSQL server of the tests' own: a new data folder, a free port on loopback, stopped at the end."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINARIES = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "geh eim/@:123"
ABSENT = "" if (BINARIES / "initdb").exists() else f"PostgreSQL 15 is not installed: no {BINARIES}/initdb"


@contextmanager
def postgres() -> Iterator[tuple[str, int]]:
    """Host and port of a running server with the user `postgres` and PASSWORD. The server refuses to run as root."""
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    demoted = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    # In /tmp itself: a path of pytest's would be closed to the other user, and too long for a socket's name.
    folder = Path(tempfile.mkdtemp(prefix="onlineeval-pg-"))
    secret, data = folder / "password", folder / "data"
    secret.write_text(PASSWORD)
    if owner:
        for path in (folder, secret):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"check": True, "capture_output": True, "timeout": 60, "cwd": folder} | demoted
    try:
        initdb = [BINARIES / "initdb", "-D", data, "-U", "postgres", "--no-sync", "--locale=C.UTF-8"]
        subprocess.run([*initdb, "--auth=scram-sha-256", f"--pwfile={secret}"], **options)
        settings = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c timezone=Asia/Tokyo"
        control = [BINARIES / "pg_ctl", "-D", data, "-w", "-l", folder / "server.log"]
        subprocess.run([*control, "-o", settings, "start"], **options)
        try:
            yield "127.0.0.1", port
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
