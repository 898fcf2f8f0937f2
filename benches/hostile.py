"""Recordings of what an engine must bear; none of it is hexwatch's own code.

damage IN OUT          IN with every tenth record damaged, in turn cut off, with a broken number, with a key given twice, with a
                       telephone number, with a state that is none
ids OUT RECORDS        a community of 1,000 devices, then RECORDS records of as many devices that speak once each,
                       the community again, and all that once more
crowded IN OUT         IN with nine of ten records moved to one place
"""

import base64
import json
import random
import sys

START_MS = 1_767_571_200_000
COMMUNITY, COMMUNITY_STEP_MS = 80_000, 25


def damaged(text, value, kind):
    if kind == 0:
        return text[: len(text) * 2 // 3]
    if kind == 1:
        return text.replace('"lat":', '"lat":1.2.', 1)
    if kind == 2:
        return text[:-1] + ',"site":"x"}'
    if kind == 3:
        return text[:-1] + ',"phone":"13800000000"}'
    named = next((name for name in ("state", "event", "kind") if name in value), "time")
    return json.dumps({**value, named: "asleep"}, separators=(",", ":"), ensure_ascii=False)


def damage(source, target):
    with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as out:
        for number, line in enumerate(lines):
            record = json.loads(line)
            value = record.get("value")
            if number % 10 or not isinstance(value, dict):
                out.write(line)
                continue
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
            text = damaged(text, value, number // 10 % 5)
            del record["value"]
            record["raw"] = base64.b64encode(text.encode()).decode()
            out.write(json.dumps(record, separators=(",", ":")) + "\n")


def place(number):
    """One of 400, some 60 m apart."""
    return {"lon": 120.15 + number % 20 * 0.0006, "lat": 30.27 + number // 20 % 20 * 0.0006}


def said(number, device, at):
    """A record of one device: seven of ten are sensors, two are doors, one is a camera."""
    body = {"id": f"x{number}", "source": "s", "time": at, **place(int(device.rpartition("-")[2]))}
    kind = int(device.rpartition("-")[2]) % 10
    if kind < 7:
        body |= {"device": device, "property": "temperature", "result": 21.5, "unit": "Cel", "state": "normal"}
    elif kind < 9:
        body |= {"access_point": device, "event": "granted"}
    else:
        body |= {"camera": device, "kind": "count", "count": 3}
    topic = "iot" if kind < 7 else "access" if kind < 9 else "camera-alert"
    return {"topic": topic, "key": device, "timestamp": at, "value": body}


def ids(target, records):
    chance, at, number = random.Random(5), START_MS, 0
    with open(target, "w", encoding="utf-8") as out:

        def write(device):
            nonlocal number
            number += 1
            out.write(json.dumps(said(number, device, at), separators=(",", ":")) + "\n")

        for crowd in "ab":
            for _ in range(COMMUNITY):
                write(f"d-{chance.randrange(1_000)}")
                at += COMMUNITY_STEP_MS
            for one in range(int(records)):
                write(f"{crowd}-{one}")
                at += one % 2


def crowded(source, target):
    with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as out:
        for number, line in enumerate(lines):
            record = json.loads(line)
            if number % 10 and isinstance(record.get("value"), dict):
                record["value"] |= place(0)
            out.write(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"damage": damage, "ids": ids, "crowded": crowded}[command](*arguments)
