"""Sends steady traffic to running receivers, and looks at what they hold: memory, file descriptors, threads,
and what is in their stores. `scripts/soak` says more.

    python soak.py MINUTES FOLDER_OF_PROGRAMS [--rate DELIVERIES_A_SECOND] [--only NAME]...
"""

import argparse
import collections
import contextlib
import pathlib
import signal
import sys
import tempfile
import threading
import time

import apps
from live import KeyServer
from traffic import LISTED, SENDERS, Rotation, Sender
from verdict import MIB, growths, surprises


HEAD = (f"{'minutes':>7}  {'receiver':<12}{'events':>7}{'RSS MiB':>9}{'fds':>5}{'threads':>9}{'tasks':>7}"
        f"{'store MiB':>11}{'log MiB':>9}{'keys':>8}")


def row(app, sample):
    def shown(value, size=None):
        return "-" if value is None else f"{value / size:.2f}" if size else value

    return (f"{sample.seconds / 60:7.1f}  {app.name:<12}{sample.events:>7}{sample.memory / MIB:>9.2f}"
            f"{sample.descriptors:>5}{sample.threads:>9}{shown(sample.tasks):>7}{shown(sample.store, MIB):>11}"
            f"{shown(sample.log, MIB):>9}{shown(sample.entries):>8}")


def ended(running):
    return [f"{app.name} ended by itself, with {app.process.returncode}: {''.join(app.last_errors)}"
            for app in running if app.process.poll() is not None]


def watch(running, minutes, began):
    """Samples of each receiver while there is traffic, or what ended meanwhile."""
    # One row a minute for an hour, and in a short run more often.
    every = max(5, min(60, minutes))
    samples = {app: [] for app in running}
    for due in [*(every * turn for turn in range(1, int(minutes * 60 / every))), minutes * 60]:
        while (left := began + due - time.monotonic()) > 0:
            time.sleep(min(1, left))
            if gone := ended(running):
                return samples, gone
        for app in running:
            samples[app].append(app.sample(due))
            print(row(app, samples[app][-1]), flush=True)
    return samples, []


def settle(running):
    """Waits until what was received has run, and until what was closed is known to be."""
    deadline = time.monotonic() + 30
    while any(app.differing() for app in running) and time.monotonic() < deadline:
        time.sleep(0.5)
    time.sleep(5)


def report(app, senders, samples, before, after):
    """Prints what was sent and what grew; everything that surprised."""
    counts = sum((sender.counts for sender in senders), collections.Counter())
    print(f"{app.name}: {app.events} events, {counts['repeats']} repeats, {counts['refused']} refusals, "
          f"{counts['left']} connections left half-way, {counts['retries']} retries under new keys, "
          f"{app.errors} errors in its log")
    for name, begin, end, most in growths(app.limits, samples):
        if name in ("memory", "store", "log"):
            begin, end, most = (f"{value / MIB:.2f} MiB" for value in (begin, end, most))
        print(f"    {name}: {begin} to {end}, at most {most}")
    if app.limits.event_store and (events := after.events - before.events):
        bodies = after.bodies if app.limits.keeps_bodies else 0
        kept = f", and {bodies / events:.0f} of its body" if bodies else ""
        print(f"    store: {(after.store - before.store - bodies) / events:.0f} bytes an event{kept}")
    print(f"    file descriptors without traffic: {before.descriptors} before, {after.descriptors} after")
    wrong = sum((sender.wrong for sender in senders), collections.Counter())
    found = [f"{count} times {kind}: {answer}" for (kind, answer), count in wrong.items()]
    found += [f"a sender ended: {sender.crashed!r}" for sender in senders if sender.crashed]
    found += ["a sender did not end" for sender in senders if sender.is_alive()]
    found += [f"{count} times it {what}" for what, count in app.strange.items()]
    if differing := app.differing():
        found.append(f"{differing} events ran not as often as they had to")
    found += surprises(app.limits, samples, before, after)
    if found:
        found += [f"in its log: {line.strip()}" for line in app.last_errors]
    return found


def traffic(arguments, running, rotation, stack):
    """The senders of each receiver, which run until the stack ends or `stop` is set."""
    stop = threading.Event()
    stack.callback(stop.set)
    threading.Thread(target=rotation.run, args=(stop,), daemon=True).start()
    senders = {app: [Sender(app, rotation, SENDERS / arguments.rate, f"{app.name} {number}", stop)
                     for number in range(SENDERS)] for app in running}
    for sender in sum(senders.values(), []):
        sender.start()
    return stop, senders


def soak(arguments, stack):
    server = KeyServer()
    stack.callback(server.stop)
    # In a short run there is a rotation, too.
    rotation = Rotation(server, 120 if arguments.minutes >= 5 else 60)
    variables = {"WEBHOOK_SIGNING_SECRET": " ".join(LISTED), "GEMINI_JWKS_URL": server.url}
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    running = apps.start(arguments.programs, folder, arguments.only, variables, stack)
    time.sleep(2)
    before = {app: app.sample(0) for app in running}

    print(HEAD, flush=True)
    began = time.monotonic()
    stop, senders = traffic(arguments, running, rotation, stack)
    samples, found = watch(running, arguments.minutes, began)
    stop.set()
    if found:
        return found
    for sender in sum(senders.values(), []):
        sender.join(60)
    settle(running)
    found = ended(running)
    if found:
        return found
    print(f"{rotation.count} rotations of the public keys, {rotation.outages} outages of the key server, "
          f"{server.fetches} fetches")
    if rotation.crashed or not rotation.count:
        found.append(f"the public keys did not rotate: {rotation.crashed!r}")
    for app in running:
        after = app.sample(time.monotonic() - began)
        if after.entries is None and hasattr(app.store, "count"):
            before[app].entries, after.entries = 0, app.store.count()
        found += [f"{app.name}: {line}" for line in report(app, senders[app], samples[app], before[app], after)]
        sent = sum(sender.counts["sent"] for sender in senders[app])
        planned = arguments.rate * arguments.minutes * 60
        if sent < planned / 2:
            found.append(f"{app.name}: only {sent} of {planned:.0f} deliveries could be sent in time")
    for app in running:
        if (code := app.end()) != 0:
            found.append(f"{app.name}: the exit code after SIGTERM is {code}")
    return found


def main():
    # So that what was started ends as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    parser = argparse.ArgumentParser()
    parser.add_argument("minutes", type=float)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--rate", type=float, default=20, help="deliveries a second to each receiver")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="one of the receivers")
    arguments = parser.parse_args()
    try:
        with contextlib.ExitStack() as stack:
            found = soak(arguments, stack)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    for line in found:
        print(line)
    print(f"{len(found)} surprises")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
