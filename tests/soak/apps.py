"""The receivers of the soak test as processes, and what can be measured of them and of their stores."""

import collections
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import live
from verdict import MIB, Limits, Sample

AUDIENCE = "soak"
TOKEN = secrets.token_urlsafe(24)
# What a store may grow by an event, beside its body. Measured were 250 bytes with Redis, in PostgreSQL 430 in
# the guard's table, and in the inbox 600 with SQLite and 1000 with PostgreSQL, where rows that were updated
# also leave space that is used only after a VACUUM.
REDIS_EVENT, GUARD_EVENT, SQLITE_EVENT, INBOX_EVENT = 400, 600, 1200, 1600
# The inbox has SQLite write its log back to the database at 8000 pages, which is 32 MB.
SQLITE_LOG = 40 * MIB
# Beside its pool of ten a receiver with PostgreSQL has a connection that listens.
POOL = 12


class Redis:
    def __init__(self, url):
        self.url, self.parts = url, urllib.parse.urlsplit(url)

    def ask(self, *commands):
        """What it answers to all of them, as text."""
        url, before = self.parts, []
        if url.password:
            before.append(f"AUTH {urllib.parse.unquote(url.username or 'default')} {urllib.parse.unquote(url.password)}")
        if url.path.strip("/"):
            before.append(f"SELECT {url.path.strip('/')}")
        with socket.create_connection((url.hostname, url.port or 6379), timeout=10) as connection:
            connection.sendall("".join(command + "\r\n" for command in [*before, *commands, "QUIT"]).encode())
            return connection.makefile().read()

    def measure(self):
        answer = self.ask("DBSIZE", "INFO memory")
        return {"entries": int(re.search(r"^:(\d+)", answer, re.M)[1]),
                "store": int(re.search(r"^used_memory:(\d+)", answer, re.M)[1])}


class Postgres:
    """A database of its own on the server of `url`."""

    def __init__(self, url, name, table):
        self.server, self.name, self.table = url, f"soak_{name}_{os.getpid()}", table
        self.url = urllib.parse.urlsplit(url)._replace(path="/" + self.name).geturl()
        self.ask(self.server, f"CREATE DATABASE {self.name}")

    def ask(self, url, statement):
        done = subprocess.run(["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement, url],
                              capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    def measure(self):
        return {"store": int(self.ask(self.url, f"SELECT pg_total_relation_size('{self.table}')"))}

    def count(self):
        """Takes a while, so at the end only."""
        return int(self.ask(self.url, f"SELECT count(*) FROM {self.table}"))

    def drop(self):
        self.ask(self.server, f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


class Sqlite:
    def __init__(self, folder):
        self.file = pathlib.Path(folder) / "inbox.db"
        self.url = f"sqlite:{self.file}"

    def measure(self):
        return {"store": self.file.stat().st_size, "log": pathlib.Path(f"{self.file}-wal").stat().st_size}


class App:
    """A running receiver. It keeps the contract of the examples.

    `tasks` is a path at which it tells the number of its runtime's tasks.
    """

    def __init__(self, program, limits, *, arguments=(), store=None, repeated=(200, ""), tasks=None, **variables):
        self.name, self.limits, self.store, self.repeated, self.tasks = program.name, limits, store, repeated, tasks
        self.run = secrets.token_hex(6)
        self.lock = threading.Lock()
        # By an event's number: how often it is to run, and how often it ran. A byte each.
        self.expected, self.runs = bytearray(), bytearray()
        self.events, self.bodies = 0, 0
        self.strange = collections.Counter()
        self.errors, self.last_errors = 0, collections.deque(maxlen=5)
        variables |= {"WEBHOOK_ENDPOINT_TOKEN": TOKEN, "GEMINI_WEBHOOK_AUDIENCE": AUDIENCE}
        # It ends with this program, also if that is killed.
        command = ["setpriv", "--pdeathsig", "KILL", "--", program, *arguments]
        self.process = subprocess.Popen(command, env=live.environment(**variables), text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.port, self.listens = None, threading.Event()
        self.readers = [threading.Thread(target=read, daemon=True) for read in (self.read_runs, self.read_log)]
        for reader in self.readers:
            reader.start()
        if not self.listens.wait(30) or self.port is None:
            self.process.kill()
            raise SystemExit(f"{self.name} did not start: " + "".join(self.last_errors))

    def read_runs(self):
        for line in self.process.stdout:
            run, _, number = json.loads(line)["webhook_id"].removeprefix("msg_").partition("-")
            with self.lock:
                if run == self.run:
                    self.runs[int(number)] = min(255, self.runs[int(number)] + 1)
                else:
                    self.strange["ran an event that nobody sent"] += 1

    def read_log(self):
        for line in self.process.stderr:
            if self.port is None and (found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line)):
                self.port = int(found[1])
                self.listens.set()
            if " ERROR " in line:
                self.errors += 1
                self.last_errors.append(line)
        self.listens.set()

    def new_id(self):
        with self.lock:
            self.expected.append(0)
            self.runs.append(0)
            number = len(self.expected) - 1
        return number, f"msg_{self.run}-{number:013d}"

    def expect(self, number, body):
        """An event was answered as received."""
        with self.lock:
            self.expected[number] = 1
            self.events += 1
            self.bodies += len(body)

    def differing(self):
        """How many events ran not as often as they were to run."""
        with self.lock:
            return sum(1 for expected, ran in zip(self.expected, self.runs) if expected != ran)

    def sample(self, seconds):
        events, bodies = self.events, self.bodies
        proc = pathlib.Path("/proc") / str(self.process.pid)
        memory = int(re.search(r"^VmRSS:\s+(\d+) kB", (proc / "status").read_text(), re.M)[1]) * 1024
        tasks = None
        if self.tasks:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.tasks}", timeout=10) as answer:
                tasks = int(answer.read())
        store = self.store.measure() if self.store else {}
        return Sample(seconds, events, bodies, memory, len(os.listdir(proc / "fd")), len(os.listdir(proc / "task")),
                      tasks, **store)

    def end(self):
        """Ends it in order, unless it has ended; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "none within 30 s"
        for reader in self.readers:
            reader.join(timeout=5)
        return code


def start(programs, folder, only, variables, stack):
    """The receivers, running. `stack` ends them, and removes their databases."""
    running = []

    def add(name, limits, store=None, variable="DATABASE_URL", **how):
        if only and name not in only:
            return
        store = store and store()
        address = {variable: store.url} if store else {}
        # What is no example is beside their folder.
        program = next(file for file in (programs / name, programs.parent / name) if file.exists())
        app = App(program, limits, store=store, **address, **variables, **how)
        stack.callback(app.end)
        running.append(app)

    def postgres(name, table):
        database = Postgres(os.environ["DATABASE_URL"], name, table)
        stack.callback(database.drop)
        return database

    received = (200, '{"status":"received"}')
    add("axum", Limits(event_memory=64))
    add("actix_web", Limits(event_memory=64))
    add("axum_redis", Limits(connections=2, event_store=REDIS_EVENT),
        lambda: Redis(os.environ["REDIS_URL"]), "REDIS_URL")
    add("axum_sqlx", Limits(connections=POOL, event_store=GUARD_EVENT),
        lambda: postgres("guard", "gemini_webhooks_claims"))
    add("axum_inbox", Limits(connections=POOL, connection_threads=POOL, event_store=SQLITE_EVENT, keeps_bodies=True,
                             log=SQLITE_LOG), lambda: Sqlite(folder), repeated=received)
    add("actix_inbox", Limits(connections=POOL, event_store=INBOX_EVENT, keeps_bodies=True),
        lambda: postgres("inbox", "gemini_webhooks_inbox"), repeated=received)
    secrets_file = pathlib.Path(folder) / "secrets"
    secrets_file.write_text("\n".join(variables["WEBHOOK_SIGNING_SECRET"].split()))
    add("fault_app", Limits(event_memory=64), arguments=["memory"], tasks="/tasks",
        WEBHOOK_SIGNING_SECRET_FILE=str(secrets_file))
    return running
