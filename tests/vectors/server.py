"""Drives a running example receiver over loopback as a server: how it ends, and what it does when
connections are more than it may have.

    python server.py EXAMPLE [NOT_WHOLE]

NOT_WHOLE is for how many seconds it may wait, at its end, for a head that has begun; 1 if not given.
"""

import signal
import socket
import sys
import threading
import time
from datetime import datetime, timezone

import standardwebhooks

from live import NEW, Receiver, check, failures, jobs_of, send_with_python

# Fewer files than this the examples do not need even with many cores.
FILES = 512


def delivery():
    """The head and the body of a genuine one."""
    job = jobs_of("socket")[0][0]
    now, body = datetime.now(timezone.utc), job["signed"].encode()
    signature = standardwebhooks.Webhook(NEW).sign(job["id"], now, job["signed"])
    head = (f"POST /gemini-callback HTTP/1.1\r\nhost: x\r\nwebhook-id: {job['id']}\r\n"
            f"webhook-timestamp: {int(now.timestamp())}\r\nwebhook-signature: {signature}\r\n"
            f"content-length: {len(body)}\r\n\r\n")
    return head.encode(), body


def connect(receiver, sent):
    connection = socket.create_connection(("127.0.0.1", receiver.port), timeout=20)
    connection.sendall(sent)
    return connection


def drive_end(program, not_whole):
    """What is in flight is finished, and nothing else keeps it from its end."""
    receiver = Receiver(program, NEW)
    head, body = delivery()
    kept = [connect(receiver, b""), connect(receiver, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")]
    check("an answer before the end", kept[1].recv(4096)[:9], b"HTTP/1.1 ")
    kept.append(connect(receiver, head[:60]))
    in_flight = connect(receiver, head + body[:10])
    time.sleep(0.3)
    began = time.monotonic()
    answers = []

    def finish():
        time.sleep(0.7)
        in_flight.sendall(body[10:])
        answers.append(in_flight.recv(4096))

    finishing = threading.Thread(target=finish)
    finishing.start()
    code, out = receiver.end(signal.SIGTERM)
    took = time.monotonic() - began
    finishing.join()
    check("the exit code with connections open", code, 0)
    check("the answer to what was in flight", answers[0][:13], b"HTTP/1.1 200 ")
    check("its runs", len(out.splitlines()), 1)
    check(f"an end within {not_whole} s of the last answer ({took:.1f} s)", took < 0.7 + not_whole + 1, True)
    for connection in kept:
        connection.close()


def drive_end_of_silence(program):
    """A body that never comes does not keep it from its end for longer than 15 s."""
    receiver = Receiver(program, NEW)
    head, body = delivery()
    silent = connect(receiver, head + body[:10])
    time.sleep(0.3)
    began = time.monotonic()
    code, out = receiver.end(signal.SIGTERM, within=25)
    took = time.monotonic() - began
    check("the exit code with a body that never comes", code, 0)
    check("its runs", out, "")
    check(f"an end within 16 s ({took:.1f} s)", took < 16, True)
    silent.close()


def drive_files(program):
    """More connections than it may have files: those wait, and it goes on after them."""
    receiver = Receiver(program, NEW, command=["sh", "-c", f'ulimit -n {FILES}; exec "$0"'])
    many = [connect(receiver, b"") for _ in range(FILES + 100)]
    time.sleep(1)
    check("its exit while it has no more files", receiver.process.poll(), None)
    for connection in many:
        connection.close()
    for job, answer in zip(jobs := jobs_of("files")[0][:3], send_with_python(receiver.url, jobs)):
        check(f"the answer to {job['id']} after that", answer[0], 200)
    check("the exit code after that", receiver.end(signal.SIGINT)[0], 0)
    check("the reason in the log", "Too many open files" in "".join(receiver.log), True)


def main(program, not_whole="1"):
    silence = threading.Thread(target=drive_end_of_silence, args=(program,))
    silence.start()
    drive_end(program, float(not_whole))
    drive_files(program)
    silence.join()
    for failure in failures:
        print(failure)
    print(f"{len(failures)} surprises")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
