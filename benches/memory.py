"""What an example receiver keeps in memory for bodies that are all there but for their last byte.

    python memory.py CONNECTIONS EXAMPLE...

How a body arrives decides who keeps it: in one piece, it stays in the buffer that the server read it
into; in many, they are copied together, and what the server reads into comes on top.
"""

import base64
import os
import pathlib
import re
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time

BODY = 64 * 1024
PIECES = (("one write", None), ("pieces of 16 KiB", 16384), ("pieces of 1 KiB", 1024), ("pieces of 256 bytes", 256))
SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def resident(process):
    """The bytes of a process's own memory, without what its program's file holds."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+) kB", status)[1])


def start(program):
    env = {**os.environ, "LISTEN_ADDR": "127.0.0.1:0", "NO_COLOR": "1", "RUST_LOG": "info",
           "WEBHOOK_SIGNING_SECRET": SECRET, "WEBHOOK_ENDPOINT_TOKEN": secrets.token_urlsafe(24)}
    process = subprocess.Popen([program], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    log = []
    for line in process.stderr:
        log.append(line)
        if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
            # The log goes on, and nobody may wait for its reader.
            threading.Thread(target=lambda: log.extend(process.stderr), daemon=True).start()
            return process, int(found[1]), log
    sys.exit("the example did not start: " + "".join(log))


def head(number):
    return (f"POST /gemini-callback HTTP/1.1\r\nhost: x\r\nwebhook-id: msg_{number}\r\n"
            f"webhook-timestamp: {int(time.time())}\r\nwebhook-signature: v1,{base64.b64encode(bytes(32)).decode()}\r\n"
            f"content-length: {BODY}\r\n\r\n").encode()


def settled(process):
    """Its memory once it no longer grows."""
    before = -1
    while (now := resident(process)) > before:
        before = now
        time.sleep(0.3)
    return now


def measure(program, connections, piece):
    """The bytes that a connection costs, and of them those for the body, which arrives in `piece`s."""
    process, port, log = start(program)
    sockets = []
    try:
        empty = resident(process)
        for number in range(connections):
            sockets.append(socket.create_connection(("127.0.0.1", port)))
            sockets[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        heads = [head(number) for number in range(connections)]
        body = bytes(BODY - 1)
        if piece is None:
            for connection, line in zip(sockets, heads):
                connection.sendall(line + body)
        else:
            # A piece to each in turn, so that each is read by itself.
            for connection, line in zip(sockets, heads):
                connection.sendall(line)
            for start_of in range(0, len(body), piece):
                part = body[start_of:start_of + piece]
                for connection in sockets:
                    connection.sendall(part)
        cost = settled(process) - empty
        refusals = sum("refused" in line for line in log)
        return cost / connections, refusals
    finally:
        for connection in sockets:
            connection.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def main(connections, *programs):
    connections = int(connections)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 50
    if connections > most:
        sys.exit(f"{connections} connections are more than the {most} that `ulimit -n` leaves")
    print(f"{connections} connections, {BODY - 1} of {BODY} bytes of a body on each")
    for program in programs:
        for name, piece in PIECES:
            cost, refusals = measure(program, connections, piece)
            assert refusals == 0, f"{refusals} were refused, so their memory was given back"
            print(f"{pathlib.Path(program).name:10} {name:20} {cost / 1024:7.1f} KiB a connection, "
                  f"{cost / (BODY - 1):.2f} times its bytes, {cost * connections / 2**20:.0f} MiB in all", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
