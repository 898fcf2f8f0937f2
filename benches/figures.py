"""What benches/run measures with, and counts again with: none of it is hexwatch's own code.

measure NAME COMMAND...       runs the command, and notes its CPU time, wall time and peak memory
table HEAT_EVENTS MIXED_EVENTS  prints the medians of what was noted
recount FILE BROKERS TOPIC    counts FILE's events by cell and window, and holds the rows of TOPIC against it
"""

import os
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from datetime import datetime

import h3
import orjson
from confluent_kafka import Consumer, TopicPartition

WINDOW_SECONDS = 10
CELL_RESOLUTION, VIEW_RESOLUTION = 12, 11


def measure(name, *command):
    began = time.monotonic()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - began
    if status != 0:
        sys.exit(f"{' '.join(command)} ended with status {status}")
    with open(os.environ["BENCH_RESULTS"], "a", encoding="utf-8") as results:
        figures = (usage.ru_utime, usage.ru_stime, wall, usage.ru_maxrss / 1024)
        print(name, *(f"{figure:.3f}" for figure in figures), sep="\t", file=results)
    print(f"{name}: {usage.ru_utime + usage.ru_stime:.2f} CPU s, {wall:.2f} s, {usage.ru_maxrss / 1024:.0f} MB",
          file=sys.stderr)


def table(heat_events, mixed_events):
    noted = defaultdict(list)
    with open(os.environ["BENCH_RESULTS"], encoding="utf-8") as results:
        for line in results:
            name, *figures = line.split("\t")
            noted[name].append([float(figure) for figure in figures])
    print(f"{'job':<12}{'CPU s/million':>15}{'user':>8}{'sys':>8}{'events/s':>12}{'MB':>8}{'x bare':>9}")
    for name, beside, events in [
        ("bare", "bare", heat_events), ("heat", "bare", heat_events), ("heat-kept", "bare", heat_events),
        ("bare-mixed", "bare-mixed", mixed_events), ("everything", "bare-mixed", mixed_events),
    ]:
        if name not in noted:
            continue
        millions = int(events) / 1e6

        def median(of, what):
            return statistics.median(what(*figures) for figures in noted[of])

        cpu = median(name, lambda user, system, wall, memory: user + system)
        bare = median(beside, lambda user, system, wall, memory: user + system)
        user, system = median(name, lambda u, *_: u), median(name, lambda u, s, *_: s)
        wall, memory = median(name, lambda u, s, w, m: w), median(name, lambda u, s, w, m: m)
        print(f"{name:<12}{cpu / millions:>15.2f}{user / millions:>8.2f}{system / millions:>8.2f}"
              f"{int(events) / wall:>12,.0f}{memory:>8.0f}{cpu / bare:>9.2f}")


def seconds_of(told):
    """Whole seconds of a time that is told in epoch milliseconds or by RFC 3339."""
    return told // 1000 if isinstance(told, int) else int(datetime.fromisoformat(told).timestamp() // 1)


def expected(path):
    """Events by (cell, window start in seconds), from the records as they were made."""
    counts, cells = Counter(), {}
    with open(path, "rb") as lines:
        for line in lines:
            event = orjson.loads(line)["value"]
            if isinstance(event, str):
                event = orjson.loads(event)
            place = event["lat"], event["lon"]
            cell = cells.get(place)
            if cell is None:
                cell = h3.cell_to_parent(h3.latlng_to_cell(*place, CELL_RESOLUTION), VIEW_RESOLUTION)
                cells[place] = cell
            seconds = seconds_of(event["time"])
            counts[cell, seconds // WINDOW_SECONDS * WINDOW_SECONDS] += 1
    return counts


def arrived(brokers, topic):
    """The last row of each key."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "recount", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest"})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    left, starts = 0, []
    for partition in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        starts.append(TopicPartition(topic, partition, low))
        left += high - low
    consumer.assign(starts)
    rows, read = {}, left
    while left > 0:
        for message in consumer.consume(min(left, 10_000), timeout=10):
            if message.error():
                sys.exit(str(message.error()))
            left -= 1
            rows[message.key()] = message.value()
    consumer.close()
    counts = Counter()
    for row in (orjson.loads(value) for value in rows.values() if value is not None):
        counts[row["cell"], int(datetime.fromisoformat(row["window_start"]).timestamp())] += row["events"]
    return counts, read


def recount(path, brokers, topic):
    (rows, read), truth = arrived(brokers, topic), expected(path)
    wrong = [key for key in truth.keys() | rows.keys() if truth[key] != rows[key]]
    print(f"{topic}: {read} rows arrived, {len(rows)} keys, {sum(rows.values())} events; "
          f"recounted {len(truth)} keys, {sum(truth.values())} events; {len(wrong)} differ")
    for key in wrong[:5]:
        print(f"  {key}: {rows[key]} arrived, {truth[key]} recounted")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    {"measure": measure, "table": table, "recount": recount}[sys.argv[1]](*sys.argv[2:])
