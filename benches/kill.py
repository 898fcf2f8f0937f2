"""What benches/kill measures: the first alarm after a kill, and a backlog of ten minutes.

kill.py HEXWATCH BROKERS WORK KILLS EVENTS_PER_SECOND
"""

import atexit
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request

from confluent_kafka import Producer

LISTEN = "127.0.0.1:29480"
# The rebuild reads again what may still be corrected: kills begin when that much has been lived through.
LIVED_S = int(os.environ.get("LIVED_S", "900"))
BACKLOG_S = 600
PATIENCE_S = 60


class Bench:
    def __init__(self, hexwatch, brokers, work, rate):
        self.hexwatch, self.brokers, self.work, self.rate = hexwatch, brokers, work, rate
        self.site = f"{work}/lived.ndjson.site"

    def run(self, prefix, *arguments, **options):
        environment = {**os.environ, "HEXWATCH__KAFKA__INPUT_PREFIX": f"{prefix}.",
                       "HEXWATCH__KAFKA__OUTPUT_PREFIX": f"{prefix}.out."}
        child = subprocess.Popen([self.hexwatch, *arguments], env=environment, stdout=subprocess.DEVNULL, **options)
        atexit.register(child.kill)
        return child

    def finish(self, prefix, *arguments):
        child = self.run(prefix, *arguments)
        if child.wait() != 0:
            sys.exit(f"{' '.join(arguments)} ended with status {child.returncode}")

    def engine(self, prefix, *arguments):
        return ("run", "--brokers", self.brokers, "--listen", LISTEN, "--site", self.site,
                "--data-dir", f"{self.work}/{prefix}", *arguments)

    def simulate(self, name, start, seconds):
        path = f"{self.work}/{name}.ndjson"
        self.finish("none", "simulate", "--seed", "7", "--rate", str(self.rate), "--duration", f"{seconds}s",
                    "--start", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start)), "--out", path)
        return path

    def ready(self):
        until = time.monotonic() + 300
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://{LISTEN}/readyz", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)
        sys.exit("the server is not ready after five minutes")

    def topics(self, prefix):
        self.finish(prefix, "topics", "create", "--brokers", self.brokers, "--partitions", "3")

    def replay(self, prefix, path, *arguments):
        return ("replay", "--brokers", self.brokers, "--file", path, *arguments)


def devices_of(site, kind):
    with open(f"{site}/devices.csv", encoding="utf-8") as lines:
        return [row["id"] for row in csv.DictReader(lines) if row["type"] == kind]


class Danger:
    """One thing of each kind that lives hang on: a press, gas beyond the critical level, a detector that smells smoke."""

    def __init__(self, bench, prefix):
        self.bench, self.prefix = bench, prefix
        self.devices = {kind: devices_of(bench.site, kind) for kind in ("panic", "ch4", "smoke")}
        self.struck = 0

    def strike(self, name, alarmed=frozenset()):
        """Sends one of each, of devices that are not among those that have alarmed, and gives their ids: gas or smoke at
        one that has is no alarm of its own."""
        now, producer = int(time.time() * 1000), Producer({"bootstrap.servers": self.bench.brokers})
        bodies = {
            "panic": ("panic", {"kind": "panic"}),
            "gas": ("ch4", {"property": "ch4", "result": 25.0, "unit": "%LEL"}),
            "smoke": ("smoke", {"property": "smoke_obscuration", "state": "alarm"}),
        }
        ids = {}
        for what, (kind, body) in bodies.items():
            fresh = [device for device in self.devices[kind] if device not in alarmed]
            device = fresh[self.struck % len(fresh)]
            ids[what] = f"{what}-{name}"
            topic = "panic" if kind == "panic" else "iot"
            value = {"id": ids[what], "source": "bench", "time": now, "device": device, **body}
            producer.produce(f"{self.prefix}.{topic}", key=device, value=json.dumps(value), timestamp=now)
        producer.flush(10)
        self.struck += 1
        return ids


def changes_after(seq):
    with urllib.request.urlopen(f"http://{LISTEN}/api/v1/alarms?after={seq}&limit=10000", timeout=5) as answer:
        return json.load(answer)["alarms"]


def so_far():
    """The last change, and the devices that alarms are of."""
    seq, alarmed = 0, set()
    while True:
        changes = changes_after(seq)
        if not changes:
            return seq, alarmed
        seq = max(change["seq"] for change in changes)
        alarmed |= {change["device"] for change in changes}


def seen_after(ids, seq):
    """For each of the ids the seconds until the server tells of an alarm that stands on it."""
    began, seen = time.monotonic(), {}
    while time.monotonic() - began < PATIENCE_S:
        try:
            changes = changes_after(seq)
        except OSError:
            changes = []
        told = {one["id"] for change in changes for one in change["inputs"]}
        seq = max([seq, *(change["seq"] for change in changes)])
        for what, name in ids.items():
            if name in told:
                seen.setdefault(what, time.monotonic() - began)
        if len(seen) == len(ids):
            return seen
        time.sleep(0.005)
    sys.exit(f"no alarm for {ids.keys() - seen.keys()} of {ids} within {PATIENCE_S} s")


def shares(figures):
    figures = sorted(figures)
    at = [figures[(len(figures) - 1) * share // 100] for share in (50, 90, 100)]
    return "p50 {:.2f} s, p90 {:.2f} s, at most {:.2f} s".format(*at)


def kills(bench, count):
    """A process is killed under load and started again; a press, gas and smoke wait for it."""
    prefix, chance = "kills", random.Random(1)
    bench.topics(prefix)
    # So much lies behind a process that a restart has much to rebuild; then the community lives on.
    lived = bench.simulate("lived", time.time() - LIVED_S, LIVED_S)
    bench.finish(prefix, *bench.replay(prefix, lived, "--as-fast-as-possible"))
    live = bench.run(prefix, "simulate", "--seed", "7", "--rate", str(bench.rate), "--duration", f"{40 * count + 600}s",
                     "--brokers", bench.brokers, stderr=subprocess.DEVNULL)
    danger, figures = Danger(bench, prefix), []
    engine = bench.run(prefix, *bench.engine(prefix))
    bench.ready()
    seen_after(danger.strike("first"), 0)
    for number in range(count):
        time.sleep(8 + chance.random() * 6)
        seq, alarmed = so_far()
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        ids = danger.strike(f"kill-{number}", alarmed)
        engine = bench.run(prefix, *bench.engine(prefix))
        figures.append(seen_after(ids, seq))
        shown = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in figures[-1].items())
        print(f"kill {number}: {shown}", file=sys.stderr)
    for child in (live, engine):
        child.terminate()
        child.wait()
    print(f"first alarm after the restart, {count} kills at {bench.rate} events/s, {LIVED_S} s and more to look back on:")
    for what in figures[0]:
        print(f"  {what}: {shares([seen[what] for seen in figures])}")


def backlog(bench):
    """Ten minutes of records wait for a process that has lived before."""
    prefix = "backlog"
    bench.topics(prefix)
    start = 1_767_571_200
    before = bench.simulate("before", start, LIVED_S)
    bench.finish(prefix, *bench.replay(prefix, before, "--as-fast-as-possible"))
    bench.finish(prefix, *bench.engine(prefix, "--event-clock", "--until-end"))
    waiting = bench.simulate("waiting", start + LIVED_S, BACKLOG_S)
    bench.finish(prefix, *bench.replay(prefix, waiting, "--as-fast-as-possible"))
    began = time.monotonic()
    bench.finish(prefix, *bench.engine(prefix, "--event-clock", "--until-end"))
    took = time.monotonic() - began
    print(f"backlog of {BACKLOG_S} s at {bench.rate} events/s: caught up in {took:.1f} s with the restart and the last "
          f"commit, {BACKLOG_S / took:.1f} times live speed")


def main():
    hexwatch, brokers, work, count, rate = sys.argv[1:]
    bench = Bench(hexwatch, brokers, work, int(rate))
    kills(bench, int(count))
    backlog(bench)


if __name__ == "__main__":
    main()
