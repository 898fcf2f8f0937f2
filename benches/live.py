"""Loads and looks for the benches of a running server; none of it is hexwatch's own code.

free-ports                              a free port of loopback whose successor is free too
ready ADDRESS                           waits until the server is ready
presses BROKERS TOPIC RATE SECONDS      panic presses, each with the time of its sending in its id
dangers BROKERS PREFIX RATE SECONDS     panic presses, and for every fifth gas beyond the critical level or a detector
                                        that smells smoke, each with the time of its sending in its alarm's key
cells BROKERS PREFIX CELLS SECONDS      events that change the risk of CELLS cells in each second
devices BROKERS TOPIC DEVICES MINUTES   a reading of each device in each minute of event time, at once
watch ADDRESS PID SECONDS [DRAIN]       a line a second: memory, CPU, lag, counts; then on until the lag is worked off,
                                        for DRAIN seconds at most
watched FILE                            what such lines say
kept-up FILE RATE                       fails where the last lag is more than a second's work
account BROKERS PREFIX ADDRESS          what was sent against where it ended
closings BROKERS PREFIX FILE            how long after each pane closed its cells came: FILE has when messages came and their
                                        watermarks, in milliseconds
metrics ADDRESS NAME                    the quantiles of a histogram
medians FILE PER WHAT                   the medians of what figures.py has noted
"""

import bisect
import os
import random
import re
import socket
import statistics
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from datetime import datetime

import orjson

TOPICS = ["access", "camera-alert", "iot", "panic", "patrol", "dispatch"]
OUTCOMES = ["accepted", "duplicate", "late", "dead_letter"]
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ([^ ]+)$")


def free_ports():
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            print(port)
            return


def page(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return answer.read().decode()


def ready(address):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            page(address, "/readyz")
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"{address} is not ready after two minutes")


def producer(brokers, **more):
    from confluent_kafka import Producer

    return Producer({"bootstrap.servers": brokers, "acks": 1, "socket.nagle.disable": True, **more})


def paced(rate, seconds):
    """Yields so many times a second, on time on average; slower than asked where the taker is slow."""
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        ahead = began + number / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        yield number


def named_presses(sink, topic, rate, seconds):
    """Sends presses; yields the number, the name and the time of each."""
    for number in paced(float(rate), float(seconds)):
        now = time.time_ns() // 1_000_000
        # Two within a millisecond must not be one.
        name = f"{number}-sent-{now}"
        press = f'{{"id":"{name}","time":{now},"button":"button-{number % 50}","kind":"panic"}}'
        sink.produce(topic, press, key=f"button-{number % 50}")
        yield number, name, now
        sink.poll(0)
    sink.flush(10)


def presses(brokers, topic, rate, seconds):
    for _ in named_presses(producer(brokers, **{"linger.ms": 0}), topic, rate, seconds):
        pass


def dangers(brokers, prefix, rate, seconds):
    sink = producer(brokers, **{"linger.ms": 0})
    for number, name, now in named_presses(sink, f"{prefix}panic", rate, seconds):
        if number % 5 == 0:
            # Far from everybody, and from each other: a fire is confirmed by a neighbour.
            said = '"property":"ch4","result":25,"unit":"%LEL"' if number % 2 else \
                '"property":"smoke_obscuration","state":"alarm"'
            sink.produce(f"{prefix}iot", f'{{"id":"{name}","time":{now},"device":"{name}",{said},'
                         f'"lon":{100 + number % 1000 * 0.01:.2f},"lat":{20 + number // 1000 * 0.01:.2f}}}', key=name)


def cells(brokers, prefix, count, seconds):
    sink = producer(brokers, **{"linger.ms": 0})
    chance, number = random.Random(7), 0
    for tick in paced(20, float(seconds)):
        for cell in range(int(count)):
            if chance.random() > 0.3:
                continue
            number += 1
            now = time.time_ns() // 1_000_000
            sink.produce(f"{prefix}iot", f'{{"id":"{number}","time":{now},"device":"co-{cell}","property":"co",'
                         f'"result":60,"unit":"[ppm]","lon":{120.1 + cell * 0.002:.4f},"lat":30.25}}', key=f"co-{cell}")
        sink.poll(0)


def devices(brokers, topic, count, minutes):
    sink = producer(brokers, **{"linger.ms": 20, "compression.type": "lz4", "queue.buffering.max.messages": 500_000})
    start, count = 1_767_571_200_000, int(count)
    for minute in range(int(minutes)):
        for device in range(count):
            at = start + minute * 60_000 + device * 60_000 // count
            reading = (f'{{"id":"{minute}-{device}","time":{at},"device":"meter-{device}","property":"power",'
                       f'"result":{(device * 7 + minute * 13) % 1000},"unit":"W","lon":{120 + device % 1000 * 0.001:.3f},'
                       f'"lat":{30 + device // 1000 * 0.001:.3f}}}')
            while True:
                try:
                    sink.produce(topic, reading, key=f"meter-{device}", timestamp=at)
                    break
                except BufferError:
                    sink.poll(0.1)
        sink.poll(0)
    sink.flush(120)


def samples(address):
    """Every metric as (name, labels, value)."""
    for line in page(address, "/metrics").splitlines():
        found = SAMPLE.match(line)
        if found:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            yield found[1], labels, float(found[3])


def counts(address):
    lag, read, outcomes, age = 0, 0, defaultdict(int), float("nan")
    for name, labels, value in samples(address):
        if name == "hexwatch_consumer_lag":
            lag += value
        elif name == "hexwatch_records_read_total":
            read += value
        elif name == "hexwatch_records_total":
            outcomes[labels["outcome"]] += value
        elif name == "hexwatch_watermark_age_seconds":
            age = value
    return int(lag), int(read), {outcome: int(outcomes[outcome]) for outcome in OUTCOMES}, age


def used(pid):
    """Megabytes and CPU seconds of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        memory = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return memory, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch(address, pid, seconds, drain=0):
    began = time.monotonic()
    print("second", "megabytes", "cpu", "lag", "read", *OUTCOMES, "watermark_age", sep="\t", flush=True)
    while True:
        second = time.monotonic() - began
        memory, cpu = used(pid)
        lag, read, outcomes, age = counts(address)
        print(f"{second:.1f}", f"{memory:.1f}", f"{cpu:.2f}", lag, read, *outcomes.values(), f"{age:.1f}", sep="\t",
              flush=True)
        late = second - float(seconds)
        if late >= float(drain) or (late >= 2 and lag == 0):
            return
        time.sleep(max(0.0, 1 - (time.monotonic() - began - second)))


def lines_of(path):
    with open(path, encoding="ascii") as lines:
        head = next(lines).split()
        return [dict(zip(head, map(float, line.split()))) for line in lines]


def watched(path):
    lines = lines_of(path)
    first, last = lines[0], lines[-1]
    warm = [line for line in lines if line["second"] >= last["second"] / 3]

    def memory(some):
        return statistics.median(line["megabytes"] for line in some)

    early, late = memory(warm[:30]), memory(warm[-30:])
    most = max(lines, key=lambda line: line["megabytes"])
    print(f"memory: {first['megabytes']:.0f} MB at the start, {early:.0f} after a third of the time, {late:.0f} at the "
          f"end ({(late - early) / early * 100:+.1f} %), {most['megabytes']:.0f} at most")
    behind = max(lines, key=lambda line: line["lag"])
    print(f"lag: {behind['lag']:,.0f} records at most, after {behind['second']:.0f} s; {last['lag']:,.0f} at the end, "
          f"after {last['second']:.0f} s")
    seconds = last["second"] - first["second"]
    print(f"read: {(last['read'] - first['read']) / seconds:,.0f} events/s over {seconds:.0f} s, with "
          f"{(last['cpu'] - first['cpu']) / seconds * 100:.0f} % of a core")


def kept_up(path, rate):
    lag = max(line["lag"] for line in lines_of(path)[-3:])
    print(f"at {rate} events/s the last lag is {lag:.0f} records", file=sys.stderr)
    sys.exit(0 if lag < float(rate) else 1)


def account(brokers, prefix, address):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "account"})
    sent = 0
    for name, topic in consumer.list_topics(timeout=10).topics.items():
        if name in {prefix + known for known in TOPICS}:
            for partition in topic.partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
                sent += high - low
    consumer.close()
    # Without lag everything has been fetched; the engine may have some of it before it.
    until = time.monotonic() + 30
    while (known := counts(address))[1] < sent and time.monotonic() < until:
        time.sleep(0.1)
    _, read, outcomes, _ = known
    print(f"account: {sent} sent, {read} read; {' + '.join(f'{count} {name}' for name, count in outcomes.items())} = "
          f"{sum(outcomes.values())}; {sent - sum(outcomes.values())} missing")


LATENESS, IDLE, FUTURE, SKEW = 10_000, 5_000, 5_000, 120_000  # the defaults of hexwatch.toml, in milliseconds
SLIDE = 10_000  # of queries/risk.toml: so often a pane closes


def millis(time_of):
    if isinstance(time_of, int):
        return time_of
    return int(datetime.fromisoformat(time_of).timestamp() * 1000)


def told_times(brokers, prefix):
    """For each record of the inputs with a clock that can be believed: when it was sent, partition, event time."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "closings", "enable.partition.eof": True})
    topics = consumer.list_topics(timeout=10).topics
    places = [TopicPartition(prefix + name, partition, OFFSET_BEGINNING)
              for name in TOPICS for partition in topics[prefix + name].partitions]
    consumer.assign(places)
    open_ends, told = len(places), []
    while open_ends:
        for message in consumer.consume(10_000, 1):
            if message.error():
                open_ends -= 1
                continue
            sent = message.timestamp()[1]
            try:
                at = millis(orjson.loads(message.value())["time"])
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                continue
            if at <= sent + FUTURE and at >= sent - SKEW:
                told.append((sent, (message.topic(), message.partition()), at))
    consumer.close()
    return sorted(told), [(place.topic, place.partition) for place in places]


def closed_at(told, places):
    """When the merged watermark came to where: (watermark, when it was sent what moved it there), both ascending."""
    marks, heard, merged, steps = dict.fromkeys(places, 0), dict.fromkeys(places, told[0][0]), 0, []
    slowest, looked = places[0], 0
    for sent, place, at in told:
        marks[place] = max(marks[place], at - LATENESS)
        heard[place] = sent
        # The minimum moves with the one that holds it, or when one falls idle.
        if place != slowest and sent - looked < 10:
            continue
        looked = sent

        def counts(one, now=sent):
            return max(marks[one], now - LATENESS) if now - heard[one] >= IDLE else marks[one]

        slowest = min(places, key=counts)
        if counts(slowest) > merged:
            merged = counts(slowest)
            steps.append((merged, sent))
    return steps


def closings(brokers, prefix, path):
    steps = closed_at(*told_times(brokers, prefix))
    ages, unknown, corrections, last = [], 0, 0, None
    with open(path, encoding="ascii") as lines:
        for line in lines:
            came, watermark = map(int, line.split())
            # A message may come long after its pane closed, and name a watermark that has moved on since.
            pane = watermark // SLIDE * SLIDE
            is_first, last = last is not None and last < pane, watermark
            found = bisect.bisect_left(steps, (pane, 0))
            if not is_first:
                corrections += 1
            elif found < len(steps):
                ages.append(came - steps[found][1])
            else:
                unknown += 1
    print(f"cells, after what closed their pane was sent: {sorted(ages)} ms; {unknown} panes of which the records do not "
          f"say, {corrections} messages that correct one")


def metrics(address, name):
    buckets, count = {}, 0
    for sample, labels, value in samples(address):
        if sample == f"{name}_bucket":
            buckets[float(labels["le"].replace("+Inf", "inf"))] = value
        elif sample == f"{name}_count":
            count = value
    told = [next((bound for bound in sorted(buckets) if buckets[bound] >= count * share), float("nan"))
            for share in (0.5, 0.99, 0.999)]
    print(f"{name} as the server tells it: {count:.0f}, p50 <= {told[0]:g}, p99 <= {told[1]:g}, p99.9 <= {told[2]:g}")


def medians(path, per, what):
    noted = defaultdict(list)
    with open(path, encoding="utf-8") as results:
        for line in results:
            name, *figures = line.split("\t")
            noted[name].append([float(figure) for figure in figures])
    print(f"{what:<22}{'CPU s':>8}{'wall s':>8}{'MB':>8}   (of {per})")
    for name, runs in noted.items():
        cpu = statistics.median(user + system for user, system, *_ in runs)
        wall = statistics.median(run[2] for run in runs)
        memory = statistics.median(run[3] for run in runs)
        print(f"{name:<22}{cpu:>8.2f}{wall:>8.1f}{memory:>8.0f}")


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
