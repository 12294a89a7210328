"""What may grow, and how much. Plain functions of samples; `test_verdict.py` shows that they find a leak."""

import dataclasses

MIB = 1024 * 1024

# What an allocator keeps for threads that had not been busy yet, the caches of a database's driver, and
# pages that a sample happens to meet. A leak of one KiB a delivery passes it in some minutes.
MEMORY_SLACK = 8 * MIB
# Connections of the senders that a sample happens to meet, one of each sender, and the fetch of keys.
DESCRIPTORS_SLACK = 8
# tokio starts threads for blocking work and ends them ten seconds later.
THREADS_SLACK = 4
TASKS_SLACK = 16
# Pages of a database that are free or not full, and buffers of a server.
STORE_SLACK = 4 * MIB


@dataclasses.dataclass
class Limits:
    """What a receiver keeps on purpose."""

    # Connections that its pool may open while it runs, and threads that serve them.
    connections: int = 0
    connection_threads: int = 0
    # Bytes of its own memory for each event.
    event_memory: int = 0
    # Bytes of its store for each event, beside the event's body.
    event_store: int = 0
    keeps_bodies: bool = False
    # How large the store's log may become.
    log: int = 0


@dataclasses.dataclass
class Sample:
    seconds: float
    # Genuine events so far, and the bytes of their bodies.
    events: int
    bodies: int
    memory: int
    descriptors: int
    threads: int
    tasks: int | None = None
    store: int | None = None
    # A log beside it, whose size does not depend on what is kept.
    log: int | None = None
    # What the store counts, where it can count quickly.
    entries: int | None = None


def warm(samples):
    """The sample from which on growth has to be explained: the first after a fifth of the run, and after a
    minute, or in a short run its half."""
    whole = samples[-1].seconds
    begin = max(whole / 5, min(60, whole / 2))
    return next(sample for sample in samples if sample.seconds >= begin)


def growths(limits, samples):
    """A row for each thing that was measured: its name, at the warm point, at the end, and the most that
    the end is allowed to be."""
    first, last = warm(samples), samples[-1]
    bodies = last.bodies - first.bodies if limits.keeps_bodies else 0
    # A table doubles when it is full, so it may have room for the ids of the whole run at the warm point
    # or only at the end.
    memory = limits.event_memory * last.events
    rows = [
        ("memory", first.memory, last.memory, memory + MEMORY_SLACK),
        ("file descriptors", first.descriptors, last.descriptors, limits.connections + DESCRIPTORS_SLACK),
        ("threads", first.threads, last.threads, limits.connection_threads + THREADS_SLACK),
    ]
    if last.tasks is not None:
        rows.append(("tasks", first.tasks, last.tasks, TASKS_SLACK))
    if last.store is not None:
        store = limits.event_store * (last.events - first.events) + bodies
        rows.append(("store", first.store, last.store, store + STORE_SLACK))
    rows = [(name, before, after, before + most) for name, before, after, most in rows]
    if last.log is not None:
        rows.append(("log", first.log, last.log, limits.log))
    return rows


def surprises(limits, samples, before, after):
    """What grew beyond its limit during the traffic, and what did not fall back after it. `before` and
    `after` are samples without traffic."""
    found = [f"{name} grew from {begin} to {end}, and {most} is the most that is explained"
             for name, begin, end, most in growths(limits, samples) if end > most]
    most = before.descriptors + limits.connections + 2
    if after.descriptors > most:
        found.append(f"{after.descriptors} file descriptors are open after the traffic, "
                     f"and {before.descriptors} were before it: at most {most} are explained")
    if after.entries is not None and after.entries > before.entries + after.events:
        found.append(f"the store has {after.entries - before.entries} entries of {after.events} events")
    return found
