"""Sends deliveries through nginx and HAProxy to running example receivers: refused ones, most of them
with a body that the receiver does not want, in turns with genuine ones, which the official Standard
Webhooks library signs.

    python drive.py ROUNDS EXAMPLE...

A proxy keeps its connections to the receiver and sends the next delivery, somebody else's, over one of
them. So each genuine delivery must be answered 200 and run once, and each refusal must arrive as what
it is, never as a proxy's 502.
"""

import base64
import collections
import contextlib
import json
import os
import pathlib
import pwd
import random
import re
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone

import standardwebhooks

SENDERS = 8
DIRECT, UNBUFFERED = "no proxy", "nginx, unbuffered"
SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
SIGNER = standardwebhooks.Webhook(SECRET)
STATIC, DYNAMIC = "/gemini-callback", "/gemini-webhook-dynamic"
KB = 1000


class Receiver:
    """An example, with what it writes read while it runs."""

    def __init__(self, program):
        env = {**os.environ, "LISTEN_ADDR": "127.0.0.1:0", "NO_COLOR": "1", "RUST_LOG": "info",
               "WEBHOOK_SIGNING_SECRET": SECRET, "WEBHOOK_ENDPOINT_TOKEN": secrets.token_urlsafe(24)}
        self.process = subprocess.Popen([program], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.runs, self.log = collections.Counter(), []
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            sys.exit("the example did not start: " + "".join(self.log))
        self.readers = [threading.Thread(target=read) for read in (self.read_runs, self.read_log)]
        for reader in self.readers:
            reader.start()

    def read_runs(self):
        for line in self.process.stdout:
            self.runs[json.loads(line)["webhook_id"]] += 1

    def read_log(self):
        self.log.extend(self.process.stderr)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "no end"
        for reader in self.readers:
            reader.join()
        return code


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nginx(folder, upstream, fronts):
    """As people run it: connections to the receiver are kept, as nginx's own documentation shows."""
    servers = "".join(
        f"""
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://receiver;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering {buffering};
        }}
    }}"""
        for buffering, port in fronts
    )
    # Only root can and must say whose processes the workers are to be.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    temp = "\n".join(f"    {name}_temp_path {folder}/{name};"
                     for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = folder / "nginx.conf"
    config.write_text(f"""
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
worker_processes 2;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_max_body_size 16m;
{temp}
    upstream receiver {{
        server 127.0.0.1:{upstream};
        keepalive 16;
    }}{servers}
}}
""")
    return ["nginx", "-p", str(folder), "-c", str(config)]


def haproxy(folder, upstream, fronts):
    proxies = "".join(
        f"""
listen front_{port}
    bind 127.0.0.1:{port}
    {setting}
    server receiver 127.0.0.1:{upstream}
"""
        for setting, port in fronts
    )
    config = folder / "haproxy.cfg"
    config.write_text(f"""
global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
{proxies}
""")
    return ["haproxy", "-db", "-f", str(config)]


@contextlib.contextmanager
def running(folder, upstream):
    """Both proxies in front of `upstream`; gives the port of each way to it."""
    nginx_fronts = {"nginx": "on", UNBUFFERED: "off"}
    haproxy_fronts = {
        "HAProxy": "",
        "HAProxy, http-reuse always": "http-reuse always",
        "HAProxy, http-buffer-request": "http-reuse always\n    option http-buffer-request",
    }
    ports = {name: free_port() for name in [*nginx_fronts, *haproxy_fronts]}
    commands = [
        nginx(folder, upstream, [(setting, ports[name]) for name, setting in nginx_fronts.items()]),
        haproxy(folder, upstream, [(setting, ports[name]) for name, setting in haproxy_fronts.items()]),
    ]
    processes = []
    with open(folder / "log", "w+") as log:
        try:
            for command in commands:
                processes.append(subprocess.Popen(command, stdout=log, stderr=log))
            for port in ports.values():
                wait_for(port, processes, log)
            yield {DIRECT: upstream, **ports}
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                try:
                    process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    process.kill()


def wait_for(port, processes, log):
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
                log.seek(0)
                sys.exit("a proxy did not start: " + log.read())
            time.sleep(0.05)


class Connection:
    """A sender's, kept as long as the other side keeps it."""

    def __init__(self, port):
        self.port, self.socket = port, None

    def send(self, request):
        """The status and the body of the answer, or a text that says what came instead."""
        if self.socket and self.closed_by_the_other_side():
            self.close()
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=20)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        broke = None
        for piece in request.pieces():
            try:
                self.socket.sendall(piece)
            except OSError as error:
                # The answer may have come before the body was wanted.
                broke = error
                break
        try:
            answer = self.read()
        except (OSError, ValueError) as error:
            answer = None
            broke = broke or error
        if answer is None:
            self.close()
            return f"no answer ({type(broke).__name__})"
        status, headers, body = answer
        if broke or headers.get("connection", "").lower() == "close":
            self.close()
        return status, body

    def closed_by_the_other_side(self):
        """What a client looks at before it sends over a connection that it kept."""
        readable, _, _ = select.select([self.socket], [], [], 0)
        return bool(readable)

    def read(self):
        file = self.socket.makefile("rb")
        while True:
            line = file.readline().split()
            if not line:
                raise ConnectionError
            headers = {}
            while (header := file.readline().strip()):
                name, _, value = header.decode().partition(":")
                headers[name.lower()] = value.strip()
            if line[1] != b"100":
                break
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while (length := int(file.readline(), 16)):
                body += file.read(length)
                file.readline()
            file.readline()
        else:
            body = file.read(int(headers["content-length"]))
        return int(line[1]), headers, body.decode()

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None


class Request:
    def __init__(self, name, expected, *, size=60 * KB, age=0, path=STATIC, method="POST", chunked=False, slow=False,
                 forged=False, headers=True):
        self.name, self.expected, self.chunked, self.slow = name, expected, chunked, slow
        self.id = "msg_" + secrets.token_hex(12)
        event = {"type": "batch.succeeded", "version": "v1", "timestamp": "2026-01-22T12:00:00Z",
                 "data": {"id": "batches/1"}, "user_metadata": {"text": ""}}
        event["user_metadata"]["text"] = "x" * max(0, size - len(json.dumps(event)))
        body = json.dumps(event)
        now = datetime.now(timezone.utc) - timedelta(seconds=age)
        signature = SIGNER.sign(self.id, now, body)
        self.body = body.replace("batches/1", "batches/2").encode() if forged else body.encode()
        self.method, self.path, self.headers = method, path, ["content-type: application/json"]
        if headers:
            self.headers += [f"webhook-id: {self.id}", f"webhook-timestamp: {int(now.timestamp())}",
                             f"webhook-signature: {signature}"]
        self.headers.append("transfer-encoding: chunked" if chunked else f"content-length: {len(self.body)}")

    def pieces(self):
        """What is written at once, and with `slow` some time between them."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "host: receiver.example", *self.headers]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        if not self.slow and not self.chunked:
            yield head + self.body
            return
        yield head
        step = len(self.body) // 5 + 1 if self.slow else 16 * 1024
        for start in range(0, len(self.body), step):
            if self.slow:
                time.sleep(0.01)
            piece = self.body[start:start + step]
            yield b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece
        if self.chunked:
            yield b"0\r\n\r\n"


def refused(code, status=400):
    return status, json.dumps({"error": code}, separators=(",", ":"))


RECEIVED = 200, '{"status":"received"}'
TOO_LARGE = refused("body_too_large", 413)
STALE = refused("timestamp_too_old")
REFUSED = [
    ("a forged body", refused("signature_mismatch"), dict(forged=True)),
    ("a stale timestamp", STALE, dict(age=400)),
    ("a stale timestamp, chunked", STALE, dict(age=400, chunked=True)),
    ("a stale timestamp, slowly", STALE, dict(age=400, slow=True)),
    ("a stale timestamp, chunked and slowly", STALE, dict(age=400, chunked=True, slow=True)),
    ("no headers", refused("missing_header"), dict(headers=False)),
    ("no endpoint token", refused("wrong_endpoint"), dict(path=DYNAMIC)),
    ("another method", refused("method_not_allowed", 405), dict(method="PUT")),
    ("70 KB", TOO_LARGE, dict(size=70 * KB)),
    ("300 KB", TOO_LARGE, dict(size=300 * KB)),
    ("1 MB", TOO_LARGE, dict(size=1000 * KB)),
    ("70 KB, chunked", TOO_LARGE, dict(size=70 * KB, chunked=True)),
    ("300 KB, chunked", TOO_LARGE, dict(size=300 * KB, chunked=True)),
    ("1 MB, chunked", TOO_LARGE, dict(size=1000 * KB, chunked=True)),
    ("300 KB, slowly", TOO_LARGE, dict(size=300 * KB, slow=True)),
    ("300 KB, chunked and slowly", TOO_LARGE, dict(size=300 * KB, chunked=True, slow=True)),
]
GENUINE = [
    ("a genuine one", RECEIVED, dict(size=300)),
    ("a genuine one of 60 KB", RECEIVED, dict()),
    ("a genuine one, chunked", RECEIVED, dict(size=300, chunked=True)),
    ("a genuine one of 60 KB, slowly", RECEIVED, dict(slow=True)),
]


def send_in_turns(port, rounds, seed, shared, results):
    """A sender's share: each refusal in an order of its own, a genuine delivery after each, over the same
    connection if `shared`, else as two strangers would."""
    order = random.Random(seed)
    genuine = Connection(port)
    for _ in range(rounds):
        for bad in order.sample(REFUSED, len(REFUSED)):
            good = order.choices(GENUINE, weights=[8, 2, 2, 1])[0]
            stranger = genuine if shared else Connection(port)
            for connection, (name, expected, how) in ((stranger, bad), (genuine, good)):
                request = Request(name, expected, **how)
                results.append((request, connection.send(request)))
            if not shared:
                stranger.close()
    genuine.close()


def through(front, port, rounds):
    """What all senders together sent and got."""
    results = []
    senders = []
    for seed in range(SENDERS):
        # nginx itself closes a sender's connection, unannounced, if the answer comes before the body is
        # in. That costs nobody else.
        shared = seed % 2 == 0 and front != UNBUFFERED
        senders.append(threading.Thread(target=send_in_turns, args=(port, rounds, seed, shared, results)))
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return results


def expecting(front, port, program):
    """What surprised about curl, which asks before it sends a body: a genuine one is asked for, and
    directly at the receiver a refused one is not. (A proxy may say yes by itself, and actix-web says so
    before it asks any middleware.)"""
    surprises = []
    cases = [(GENUINE[1], None)] + [(case, "0") for case in REFUSED if "slowly" not in case[0]]
    for (name, expected, how), uploaded in cases:
        if expected == refused("signature_mismatch"):
            continue  # for that its body must be read
        request = Request(name, expected, **how)
        command = ["curl", "--silent", "--max-time", "10", "--http1.1", "--expect100-timeout", "9",
                   "--header", "Expect: 100-continue", "--data-binary", "@-",
                   "--write-out", "\n%{http_code} %{size_upload} %{time_total}"]
        for header in request.headers:
            if not header.startswith("content-length"):
                command += ["--header", header]
        command += ["--request", request.method]
        done = subprocess.run([*command, f"http://127.0.0.1:{port}{request.path}"],
                              input=request.body, capture_output=True)
        answer, _, figures = done.stdout.decode().rpartition("\n")
        status, sent, seconds = figures.split()
        if front != DIRECT or program == "actix_web" or request.chunked and expected == TOO_LARGE:
            uploaded = None  # a chunked body's size is not known before it is read
        if (int(status), answer) != expected or float(seconds) > 3 or uploaded not in (None, sent):
            surprises.append(f"{front}: curl with Expect: 100-continue, {name}: {status} {answer!r} "
                             f"after {seconds} s and {sent} bytes of the body")
    return surprises


def drive(program, rounds):
    """Everything that surprised, of one example behind all proxies."""
    surprises = []
    receiver = Receiver(program)
    sent = []
    try:
        with tempfile.TemporaryDirectory() as folder, running(pathlib.Path(folder), receiver.port) as ports:
            for front, port in ports.items():
                surprises += expecting(front, port, pathlib.Path(program).name)
                began = time.monotonic()
                results = through(front, port, rounds)
                sent += results
                wrong = [(request, answer) for request, answer in results if answer != request.expected]
                genuine = [request for request, _ in results if request.expected == RECEIVED]
                lost = [request for request, _ in wrong if request.expected == RECEIVED]
                print(f"  {front}: {len(lost)} of {len(genuine)} genuine deliveries lost, "
                      f"{len(wrong) - len(lost)} of {len(results) - len(genuine)} refusals arrived as something else, "
                      f"{time.monotonic() - began:.1f} s", flush=True)
                kinds = collections.Counter((request.name, str(answer)[:60]) for request, answer in wrong)
                surprises += [f"{front}: {name}: {count} times {answer}" for (name, answer), count in kinds.items()]
    finally:
        code = receiver.stop()
    if code != 0:
        surprises.append(f"the exit code after SIGTERM: {code}")
    for request, answer in sent:
        runs = receiver.runs[request.id]
        if request.expected == RECEIVED and answer == RECEIVED and runs != 1:
            surprises.append(f"{request.name}: its handler ran {runs} times")
        if request.expected != RECEIVED and runs:
            surprises.append(f"{request.name}: its handler ran")
    return surprises


def main(rounds, *programs):
    # So that what was started ends as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    surprises = []
    for program in programs:
        print(f"{pathlib.Path(program).name}:", flush=True)
        found = drive(program, int(rounds))
        for line in found:
            print(f"    {line}")
        surprises += found
    print(f"{len(surprises)} surprises")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
