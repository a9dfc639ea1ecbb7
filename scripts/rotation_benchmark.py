#!/usr/bin/env python3
"""Refresh rotations per second on a store that already holds many authorizations.

  scripts/rotation_benchmark.py                                      # the embedded store, 1,000,000 families
  scripts/rotation_benchmark.py --database-url postgres://...        # an empty database of yours, by psql
  scripts/rotation_benchmark.py --families 100000 --clients 16

Makes a client and a person, rotates a few tokens to see what rows look like, fills the store with as many
families and refresh tokens of that form as were asked for, and puts the load tester's `refresh` on it. A
rotation is counted when it is answered, which is when it is durable. No ID token is asked for, so that what is
measured is the rotation and not a signature.

CHANCERY and LOAD_TEST may name the programs; otherwise those in target/release are used.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery staple"
REDIRECT = "http://127.0.0.1:8081/callback"
SCOPE = "profile offline_access"


def program(variable: str, name: str) -> str:
    path = os.environ.get(variable, str(ROOT / "target/release" / name))
    if not os.access(path, os.X_OK):
        sys.exit(f"{path} is missing. Build it (cargo build --release --workspace) or set {variable}.")
    return path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Site:
    """A server over a folder or database, and those who use it."""

    def __init__(self, folder: Path, database_url: str | None) -> None:
        self.port, operations = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = folder / "data" / "chancery.db"
        self.log = folder / "log"
        self.environment = os.environ | {
            "CHANCERY_STORE_DATA_DIR": str(folder / "data"),
            "CHANCERY_SERVER_LISTEN": f"127.0.0.1:{self.port}",
            "CHANCERY_SERVER_OPS_LISTEN": f"127.0.0.1:{operations}",
            "CHANCERY_SERVER_ISSUER": self.url,
        }
        if database_url:
            self.environment["DATABASE_URL"] = database_url
            self.environment["CHANCERY_KEYS_MASTER"] = base64.b64encode(secrets.token_bytes(32)).decode()
        self.chancery = program("CHANCERY", "chancery")
        self.tester = program("LOAD_TEST", "security_load_test")

    def command(self, *arguments: str, given: str = "") -> dict:
        done = subprocess.run(
            [self.chancery, *arguments, "--json"],
            env=self.environment, input=given, capture_output=True, text=True, check=False,
        )
        if done.returncode:
            sys.exit(f"chancery {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout or "{}")

    def prepare(self) -> None:
        # The first start makes the store.
        with self.served():
            pass
        made = self.command(
            "client", "create", "rotations", "--redirect-uri", REDIRECT, "--scope", SCOPE, "--skip-consent"
        )
        self.credentials = f"rotations:{made['client_secret']}"
        self.command("user", "create", "alice", given=f"{PASSWORD}\n")

    @contextlib.contextmanager
    def served(self) -> Iterator[subprocess.Popen]:
        with self.log.open("ab") as log:
            server = subprocess.Popen([self.chancery, "serve"], env=self.environment, stderr=log)
        try:
            for _ in range(300):
                if server.poll() is not None:
                    sys.exit(f"the server ended: {self.log.read_text()}")
                with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health/ready") as answer:
                    if answer.status == 200:
                        break
                time.sleep(0.1)
            else:
                sys.exit("the server was not ready within 30 s")
            yield server
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()

    def rotate(self, server: subprocess.Popen, clients: int, seconds: int, rounds: int) -> None:
        subprocess.run(
            [
                self.tester, "refresh", "--url", self.url, "--pid", str(server.pid),
                "--web-client", self.credentials, "--redirect-uri", REDIRECT, "--user-scope", SCOPE,
                "--password-env", "ROTATION_PASSWORD",
                "--clients", str(clients), "--duration", f"{seconds}s", "--rounds", str(rounds),
            ],
            env=self.environment | {"ROTATION_PASSWORD": PASSWORD}, check=True,
        )


def identifiers(count: int) -> Iterator[bytes]:
    """Time-ordered ids of the past, one for each millisecond, as the server makes them (RFC 9562 §5.7)."""
    now = time.time_ns() // 1_000_000
    for back in range(count, 0, -1):
        rest = bytearray(secrets.token_bytes(10))
        rest[0] = 0x70 | rest[0] & 0x0F
        rest[2] = 0x80 | rest[2] & 0x3F
        yield (now - back).to_bytes(6, "big") + bytes(rest)


def fill_sqlite(site: Site, families: int) -> None:
    store = sqlite3.connect(site.database)
    store.execute("PRAGMA synchronous = off")
    store.execute("PRAGMA cache_size = -262144")

    def template(table: str, where: str = "1") -> tuple[list[str], list]:
        cursor = store.execute(f"SELECT * FROM {table} WHERE {where} LIMIT 1")
        return [column[0] for column in cursor.description], list(cursor.fetchone())

    family_columns, family = template("families")
    row_columns, row = template("rotations")
    # As after a sign-in, with nothing rotated yet.
    for name, value in {"generation": 0, "previous": None, "retry_request": None, "rotated_by": None}.items():
        row[row_columns.index(name)] = value
    at = {name: row_columns.index(name) for name in ("digest", "family")}

    def rows() -> Iterator[tuple[list, list]]:
        for family_id in identifiers(families):
            new_family, new_row = list(family), list(row)
            new_family[family_columns.index("id")] = family_id
            new_row[at["digest"]] = secrets.token_bytes(32)
            new_row[at["family"]] = family_id
            yield new_family, new_row

    def insert(table: str, columns: list[str]) -> str:
        return f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"

    batch: list[tuple[list, list]] = []

    def write() -> None:
        with store:
            store.executemany(insert("families", family_columns), [family for family, _ in batch])
            store.executemany(insert("rotations", row_columns), [row for _, row in batch])
        batch.clear()

    for pair in rows():
        batch.append(pair)
        if len(batch) == 50_000:
            write()
    write()
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


FILL_POSTGRES = """
CREATE TEMPORARY TABLE made AS
SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - {families} + n), 12, '0')
        || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid AS id
FROM generate_series(1, {families}) AS n;
INSERT INTO families
SELECT made.id, client, client_epoch, user_id, user_epoch, session, auth_time, refreshable, offline, created_at,
       expires_at, revoked_at, doc
FROM made, (SELECT * FROM families LIMIT 1) AS template;
INSERT INTO rotations (family, generation, digest, issued_us, expires_at, expiry_day)
SELECT made.id, 0, sha256(uuid_send(made.id)), issued_us, expires_at, expiry_day
FROM made, (SELECT * FROM rotations LIMIT 1) AS template;
ANALYZE;
"""


def fill_postgres(database_url: str, families: int) -> None:
    statements = FILL_POSTGRES.format(families=families)
    subprocess.run(
        ["psql", "--quiet", "--set", "ON_ERROR_STOP=1", database_url], input=statements, text=True, check=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", type=int, default=1_000_000, help="authorizations there are (1000000)")
    parser.add_argument("--clients", type=int, default=64, help="callers at once (64)")
    parser.add_argument("--duration", type=int, default=5, help="seconds of each round (5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the medians are told (3)")
    parser.add_argument("--database-url", help="a Postgres database that is empty; without it the embedded store")
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), wish.database_url)
        site.prepare()
        with site.served() as server:
            site.rotate(server, 4, 1, 1)
        begun = time.monotonic()
        if wish.database_url:
            fill_postgres(wish.database_url, wish.families)
        else:
            fill_sqlite(site, wish.families)
        print(f"{wish.families:,} families more, in {time.monotonic() - begun:.0f} s", flush=True)
        with site.served() as server:
            site.rotate(server, wish.clients, wish.duration, wish.rounds)


if __name__ == "__main__":
    main()
