"""Sends steady traffic to running receivers, and looks at what they hold: memory, file descriptors, threads,
and what is in their stores. `scripts/soak` says more.

    python soak.py MINUTES FOLDER_OF_PROGRAMS [--rate DELIVERIES_A_SECOND] [--only NAME]...
"""

import argparse
import collections
import contextlib
import os
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


def show(value):
    return "-" if value is None else value


def row(app, sample):
    store = "-" if sample.store is None else f"{sample.store / MIB:.2f}"
    print(f"{sample.seconds / 60:7.1f}  {app.name:<12}{sample.events:>8}{sample.memory / MIB:>9.1f}"
          f"{sample.descriptors:>6}{sample.threads:>9}{show(sample.tasks):>7}{store:>11}{show(sample.entries):>9}",
          flush=True)


def head():
    print(f"{'minutes':>7}  {'receiver':<12}{'events':>8}{'RSS MiB':>9}{'fds':>6}{'threads':>9}{'tasks':>7}"
          f"{'store MiB':>11}{'keys':>9}", flush=True)


def ended(running):
    return [f"{app.name} ended by itself, with {app.process.returncode}" for app in running
            if app.process.poll() is not None]


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
            row(app, samples[app][-1])
    return samples, []


def settle(running):
    """Waits until what was received has run, and until what was closed is known to be."""
    deadline = time.monotonic() + 30
    while any(app.differing() for app in running) and time.monotonic() < deadline:
        time.sleep(0.5)
    time.sleep(5)


def report(app, senders, limits_rows):
    counts = sum((sender.counts for sender in senders), collections.Counter())
    print(f"{app.name}: {app.events} events, {counts['repeats']} repeats, {counts['refused']} refusals, "
          f"{counts['left']} who left, {counts['retries']} retries; {app.errors} errors in its log")
    for name, before, after, most in limits_rows:
        unit, size = ("MiB", MIB) if name in ("memory", "store") else ("", 1)
        print(f"    {name}: {before / size:.4g} to {after / size:.4g} {unit}".rstrip() + f", at most {most / size:.4g}")
    # That it is steady is what makes it a soak test.
    planned = counts["planned"]
    found = [f"{number} times {kind}: {answer}" for sender in senders for (kind, answer), number in sender.wrong.items()]
    found += [f"a sender ended: {sender.crashed!r}" for sender in senders if sender.crashed]
    found += [f"{number} times it {what}" for what, number in app.strange.items()]
    if differing := app.differing():
        found.append(f"{differing} events ran not as often as they were to run")
    return found, planned


def soak(arguments, running, stores, stop):
    folder = stack.enter_context(tempfile.TemporaryDirectory())
