"""Shows that the verdict of the soak test finds what leaks, and says nothing of what is explained."""

import dataclasses
import unittest

from verdict import MIB, Limits, Sample, surprises, warm

STORE = Limits(connections=10, event_store=300, keeps_bodies=True, log=3 * MIB)
EVENT, BODY = 300, 500


def run(minutes=60, a_minute=1000, **leaks):
    """A sample each minute. Of each thing that `leaks`, so much is added a minute."""
    samples = []
    for minute in range(minutes + 1):
        events = minute * a_minute
        sample = Sample(seconds=60 * minute, events=events, bodies=events * BODY, memory=20 * MIB + 64 * events,
                        descriptors=20 + minute % 3, threads=4, tasks=9, store=MIB + (EVENT + BODY) * events,
                        log=min(minute, 2) * MIB, entries=events)
        for name, added in leaks.items():
            setattr(sample, name, getattr(sample, name) + added * minute)
        samples.append(sample)
    return samples


def verdict(limits, samples):
    before, after = samples[0], dataclasses.replace(samples[-1])
    return surprises(limits, samples, before, after)


class Verdict(unittest.TestCase):
    def test_what_is_explained(self):
        for minutes in (1, 2, 5, 60):
            self.assertEqual(verdict(dataclasses.replace(STORE, event_memory=64), run(minutes)), [])

    def test_each_leak(self):
        leaks = {"memory": 300_000, "descriptors": 1, "threads": 1, "tasks": 1, "store": 200_000, "log": 100_000}
        names = {"descriptors": "file descriptors"}
        both = dataclasses.replace(STORE, event_memory=64)
        for name, added in leaks.items():
            found = verdict(both, run(**{name: added}))
            self.assertTrue(found and found[0].startswith(f"{names.get(name, name)} grew"), (name, found))

    def test_memory_without_a_guard_in_it(self):
        self.assertTrue(verdict(STORE, run(a_minute=20_000, minutes=10)))
        self.assertFalse(verdict(dataclasses.replace(STORE, event_memory=64), run(a_minute=20_000, minutes=10)))

    def test_descriptors_that_stay_open(self):
        samples = run(5)
        after = dataclasses.replace(samples[-1], descriptors=samples[0].descriptors + 13)
        self.assertIn("after the traffic", surprises(STORE, samples, samples[0], after)[-1])

    def test_entries_of_what_was_refused(self):
        samples = run(5)
        after = dataclasses.replace(samples[-1], entries=samples[-1].entries + 1)
        self.assertIn("entries", surprises(STORE, samples, samples[0], after)[-1])

    def test_the_warm_point(self):
        for minutes, expected in ((60, 12), (10, 2), (5, 1), (3, 1)):
            self.assertEqual(warm(run(minutes)).seconds, 60 * expected)
        short = [Sample(second, 0, 0, 0, 0, 0) for second in range(0, 61, 5)]
        self.assertEqual(warm(short).seconds, 30)


if __name__ == "__main__":
    unittest.main()
