#!/usr/bin/env python3
"""Windows found and false alarms of the three detectors on labelled series, without City Ledger's software.

    python3 nab_figures.py DIR      a folder in the form of NAB: windows.json and the series it names

Exact arithmetic: values and thresholds are fractions, so no rounding decides what is an alarm, except where the method itself
cuts a score to thousandths (cusum).
"""
import csv
import json
import sys
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path

DAY = 86_400
MAD = Fraction(14_826, 10_000)


def seconds(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


def median(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def scores(series, window, least, bucket):
    """(time, deviations from what was usual) of every reading of which something can be said."""
    before, found = {}, []
    for time, value in series:
        kept = before.setdefault(bucket(time), [])
        kept[:] = [one for one in kept if one[0] >= time - window]
        if len(kept) >= least:
            values = [one[1] for one in kept]
            middle = median(values)
            deviation = MAD * median([abs(one - middle) for one in values])
            if deviation:
                found.append((time, (value - middle) / deviation))
        kept.append((time, value))
    return found


def beyond(scored, limit):
    return [time for time, score in scored if abs(score) > limit]


def cusum(scored, slack=2_000, limit=12_000, clip=10_000):
    above = below = 0
    alarms = []
    for time, score in scored:
        step = max(-clip, min(clip, int(score * 1_000)))
        above, below = max(0, above + step - slack), max(0, below - step - slack)
        if max(above, below) > limit:
            alarms.append(time)
            above = below = 0
    return alarms


def figures(alarms, windows):
    found = sum(any(start <= time <= end for time in alarms) for start, end in windows)
    false, last = 0, None
    for time in alarms:
        if any(start <= time <= end for start, end in windows):
            continue
        false += last is None or time - last > DAY
        last = time
    return found, false


def main(folder):
    labels = json.loads((folder / "windows.json").read_text())
    totals = {"median": [0, 0], "cusum": [0, 0], "seasonal": [0, 0]}
    readings, windows_all = 0, 0
    for name in sorted(labels):
        with open(folder / name, newline="") as file:
            series = [(seconds(row["timestamp"]), Fraction(row["value"])) for row in csv.DictReader(file)]
        windows = [(seconds(start[:19]), seconds(end[:19])) for start, end in labels[name]]
        readings, windows_all = readings + len(series), windows_all + len(windows)
        trailing = scores(series, 3 * DAY, 10, lambda time: 0)
        hourly = scores(series, 14 * DAY, 20, lambda time: time // 3_600 % 24)
        for method, alarms in (
            ("median", beyond(trailing, 5)),
            ("cusum", cusum(trailing)),
            ("seasonal", beyond(hourly, 8)),
        ):
            found, false = figures(alarms, windows)
            totals[method][0] += found
            totals[method][1] += false
            print(f"{method:9} {name:22} found {found} of {len(windows)}, false alarms {false}")
    for method, (found, false) in totals.items():
        print(f"{method:9} all, {readings} readings: found {found} of {windows_all}, false alarms {false}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
