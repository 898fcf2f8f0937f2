"""What benches/kill measures: the first alarm after a kill, and a backlog of ten minutes.

kill.py HEXWATCH BROKERS WORK KILLS EVENTS_PER_SECOND
"""

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
LIVED_S = 900
BACKLOG_S = 600
PATIENCE_S = 60


class Bench:
    def __init__(self, hexwatch, brokers, work, rate):
        self.hexwatch, self.brokers, self.work, self.rate = hexwatch, brokers, work, rate
        self.site = f"{work}/lived.ndjson.site"

    def run(self, prefix, *arguments, **options):
        environment = {**os.environ, "HEXWATCH__KAFKA__INPUT_PREFIX": f"{prefix}.",
                       "HEXWATCH__KAFKA__OUTPUT_PREFIX": f"{prefix}.out."}
        return subprocess.Popen([self.hexwatch, *arguments], env=environment, stdout=subprocess.DEVNULL, **options)

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

    def topics(self, prefix):
        self.finish(prefix, "topics", "create", "--brokers", self.brokers, "--partitions", "3")

    def replay(self, prefix, path, *arguments):
        return ("replay", "--brokers", self.brokers, "--file", path, *arguments)


def button_of(site):
    with open(f"{site}/devices.csv", encoding="utf-8") as lines:
        return next(row["id"] for row in csv.DictReader(lines) if row["type"] == "panic")


def press(brokers, topic, button, name):
    now = int(time.time() * 1000)
    value = {"id": name, "source": "bench", "time": now, "button": button, "kind": "panic"}
    producer = Producer({"bootstrap.servers": brokers})
    producer.produce(topic, key=button, value=json.dumps(value), timestamp=now)
    producer.flush(10)


def alarm_seen_after(name):
    """Seconds until the server tells of the press."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_S:
        try:
            with urllib.request.urlopen(f"http://{LISTEN}/api/v1/alarms", timeout=1) as answer:
                if f"bench/{name}\"" in answer.read().decode():
                    return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.005)
    sys.exit(f"no alarm for {name} within {PATIENCE_S} s")


def shares(figures):
    figures = sorted(figures)
    at = [figures[(len(figures) - 1) * share // 100] for share in (50, 90, 100)]
    return "p50 {:.2f} s, p90 {:.2f} s, at most {:.2f} s".format(*at)


def kills(bench, count):
    """A process is killed under load and started again; a press waits for it."""
    prefix, chance = "kills", random.Random(1)
    bench.topics(prefix)
    # So much lies behind a process that a restart rebuilds in full, up to now; then the community lives on.
    lived = bench.simulate("lived", time.time() - LIVED_S, LIVED_S)
    bench.finish(prefix, *bench.replay(prefix, lived, "--as-fast-as-possible"))
    live = bench.run(prefix, "simulate", "--seed", "7", "--rate", str(bench.rate), "--duration", f"{30 * count + 60}s",
                     "--brokers", bench.brokers, stderr=subprocess.DEVNULL)
    button, figures = button_of(bench.site), []
    engine = bench.run(prefix, *bench.engine(prefix))
    press(bench.brokers, f"{prefix}.panic", button, "first")
    alarm_seen_after("first")
    for number in range(count):
        time.sleep(8 + chance.random() * 6)
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        press(bench.brokers, f"{prefix}.panic", button, f"press-{number}")
        engine = bench.run(prefix, *bench.engine(prefix))
        figures.append(alarm_seen_after(f"press-{number}"))
        print(f"kill {number}: {figures[-1]:.2f} s", file=sys.stderr)
    for child in (live, engine):
        child.terminate()
        child.wait()
    print(f"first alarm after the restart, {count} kills at {bench.rate} events/s: {shares(figures)}")


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
