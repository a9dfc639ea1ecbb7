#!/usr/bin/env python3
"""Compares two measurements and fails when the second is worse: compare_benchmarks.py BASELINE CURRENT

Each side is a file or a folder, and should hold several samples of each figure, taken in turns with the other
side's if they are from one machine:

  * a report of `security_load_test --json`, a list of such reports, or a folder of them; the rounds are the
    samples. Give it --baseline, and the ratio to the bare server is compared too, which machines share;
  * a folder of criterion's, such as target/criterion, or one with copies of several runs, which tells more: of
    four and more runs the medians are compared;
  * {"name": {"metric": [samples, ...]}}.

A figure is worse when all three hold: its median is worse by more than the threshold, the whole bootstrap
confidence interval of the ratio of medians is on the worse side, and a Mann-Whitney test finds the two sides
different. Noise alone seldom does all three. With fewer than four samples on a side nothing is decided.

Exit status: 0 nothing is worse, 1 something is, 2 nothing could be compared.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

Samples = dict[tuple[str, str], list[float]]

# Two sides of four samples can differ with p = 0.03; three against three cannot come below 0.1.
LEAST_SAMPLES = 4
RESAMPLES = 2000
# Figures that are better when they are higher; all others are times or costs.
HIGHER_IS_BETTER = re.compile(r"(^|[._])(rate|throughput)|per_second|per_core")
# What of a report is a figure. Maxima and far percentiles are left out: they tell of one moment.
FIGURES = re.compile(
    r"(^|[._])(rate|throughput|mean|median|p50|p90|p95|p99|ns|cpu_per_request_us)($|_against_bare)|per_second|server_cpu_us"
)


class Verdict(NamedTuple):
    """What became of one figure."""

    name: str
    metric: str
    before: float
    after: float
    # How many times as costly it is now; over 1 is worse, whatever the metric's direction.
    cost: float
    interval: tuple[float, float]
    p: float
    word: str


# Reading


def read(path: Path) -> Samples:
    """The samples of a file or folder."""
    if path.is_file():
        return of_json(json.loads(path.read_text()), path.stem)
    samples: Samples = dict(of_criterion(path))
    if not samples:
        for file in sorted(path.rglob("*.json")):
            merge(samples, of_json(json.loads(file.read_text()), file.stem))
    return samples


def of_criterion(folder: Path) -> Iterator[tuple[tuple[str, str], list[float]]]:
    """Nanoseconds per iteration of every benchmark. Of several runs, each in a folder of its own, the medians
    are the samples: those within a run share the moment, and are no evidence against it."""
    runs: dict[str, list[list[float]]] = {}
    for file in sorted(folder.rglob("new/sample.json")):
        sample = json.loads(file.read_text())
        times = [time / count for time, count in zip(sample["times"], sample["iters"]) if count]
        runs.setdefault(json.loads(file.with_name("benchmark.json").read_text())["full_id"], []).append(times)
    for name, samples in runs.items():
        if len(samples) >= LEAST_SAMPLES:
            yield (name, "ns"), [statistics.median(times) for times in samples]
        else:
            yield (name, "ns"), [time for times in samples for time in times]


def of_json(value: Any, name: str) -> Samples:
    """A report, a list of reports or of rounds, or the generic shape."""
    samples: Samples = {}
    if isinstance(value, list):
        for one in value:
            merge(samples, of_report(one, name))
    elif "server" in value or "rounds" in value or any(is_number(figure) for figure in value.values()):
        merge(samples, of_report(value, name))
    else:
        for key, metrics in value.items():
            for metric, figures in metrics.items():
                samples[key, metric] = [float(figure) for figure in figures]
    return samples


def of_report(report: dict[str, Any], name: str) -> Samples:
    """A report of the load tester, or one bare round."""
    for key in ("workload", "name", "operation", "scenario"):
        if isinstance(report.get(key), str):
            name = report[key]
            break
    rounds = (report.get("server") or report).get("rounds", [report])
    bare = (report.get("baseline") or {}).get("rounds", [])
    samples: Samples = {}
    for at, one in enumerate(rounds):
        figures = dict(flat(one))
        for metric, figure in figures.items():
            samples.setdefault((name, metric), []).append(figure)
        beside = dict(flat(bare[at])).get("requests_per_second") if at < len(bare) else None
        if beside:
            ratio = figures["requests_per_second"] / beside
            samples.setdefault((name, "rate_against_bare"), []).append(ratio)
    return samples


def flat(round_: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The figures of a round; `latency_us.p50` for one that lies deeper."""
    for key, value in round_.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        elif is_number(value) and FIGURES.search(prefix + key):
            yield prefix + key, float(value)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def merge(into: Samples, more: Samples) -> None:
    for key, figures in more.items():
        into.setdefault(key, []).extend(figures)


# Comparing


@lru_cache(maxsize=None)
def arrangements(n: int, m: int, u: int) -> int:
    """In how many orders of n and m different samples exactly u pairs are the wrong way round."""
    if u < 0 or n < 0 or m < 0:
        return 0
    if n == 0 or m == 0:
        return int(u == 0)
    return arrangements(n - 1, m, u - m) + arrangements(n, m - 1, u)


def mann_whitney(one: list[float], other: list[float]) -> float:
    """The two-sided p that both are of the same distribution; exact for few samples without ties."""
    n, m = len(one), len(other)
    u = sum((a > b) + 0.5 * (a == b) for a in one for b in other)
    low = min(u, n * m - u)
    joined = sorted(one + other)
    ties = [joined.count(value) for value in set(joined)]
    if n * m <= 144 and max(ties) == 1:
        as_far = sum(arrangements(n, m, at) for at in range(int(low) + 1))
        return min(1.0, 2 * as_far / math.comb(n + m, n))
    total = n + m
    spread = n * m / 12 * (total + 1 - sum(t**3 - t for t in ties) / (total * (total - 1)))
    if spread <= 0:
        return 1.0
    z = (abs(u - n * m / 2) - 0.5) / math.sqrt(spread)
    return min(1.0, math.erfc(max(z, 0.0) / math.sqrt(2)))


def interval(before: list[float], after: list[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of median(after) / median(before). Seeded: the same input, the same answer."""
    chance = random.Random(1)
    draw = lambda samples: statistics.median(chance.choices(samples, k=len(samples)))  # noqa: E731
    ratios = sorted(draw(after) / draw(before) for _ in range(RESAMPLES))
    return ratios[int(RESAMPLES * 0.025)], ratios[int(RESAMPLES * 0.975) - 1]


def judge(key: tuple[str, str], before: list[float], after: list[float], threshold: float) -> Verdict:
    higher = HIGHER_IS_BETTER.search(key[1]) is not None
    old, new = statistics.median(before), statistics.median(after)
    blank = Verdict(*key, old, new, math.nan, (math.nan, math.nan), math.nan, "undecided")
    if min(len(before), len(after)) < LEAST_SAMPLES:
        return blank
    if min(before) <= 0 or min(after) <= 0:
        return blank._replace(word="not positive")
    cost = old / new if higher else new / old
    bounds = interval(after, before) if higher else interval(before, after)
    p = mann_whitney(before, after)
    sure = p < 0.05
    word = "same"
    if cost > 1 + threshold and bounds[0] > 1 and sure:
        word = "WORSE"
    elif cost < 1 / (1 + threshold) and bounds[1] < 1 and sure:
        word = "better"
    return Verdict(*key, old, new, cost, bounds, p, word)


def compare(before: Samples, after: Samples, threshold: float) -> list[Verdict]:
    """What both sides have, in the order of the baseline."""
    return [judge(key, before[key], after[key], threshold) for key in before if key in after]


def table(verdicts: list[Verdict]) -> str:
    lines = [f"{'figure':48} {'before':>12} {'after':>12} {'cost':>7} {'95 % of it':>15} {'p':>6}"]
    for one in verdicts:
        name = f"{one.name} {one.metric}"
        if math.isnan(one.cost):
            bounds = cost = p = "-"
        else:
            cost, p = f"{one.cost:.3f}", f"{one.p:.3f}"
            bounds = f"{one.interval[0]:.3f} - {one.interval[1]:.3f}"
        lines.append(f"{name:48} {one.before:>12.4g} {one.after:>12.4g} {cost:>7} {bounds:>15} {p:>6}  {one.word}")
    return "\n".join(lines)


def status(verdicts: list[Verdict]) -> int:
    if not any(one.word in ("WORSE", "same", "better") for one in verdicts):
        return 2
    return int(any(one.word == "WORSE" for one in verdicts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("baseline", type=Path, nargs="?")
    parser.add_argument("current", type=Path, nargs="?")
    parser.add_argument("--threshold", type=float, default=5.0, help="per cent that may be lost (default 5)")
    parser.add_argument("--only", default="", help="a regular expression on `name metric`")
    parser.add_argument("--self-test", action="store_true", help="check the comparison itself, and stop")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if arguments.current is None:
        parser.error("give a baseline and a current measurement")
    for side in (arguments.baseline, arguments.current):
        if not side.exists():
            parser.error(f"{side} does not exist")
    before, after = read(arguments.baseline), read(arguments.current)
    wanted = {key: figures for key, figures in before.items() if re.search(arguments.only, " ".join(key))}
    verdicts = compare(wanted, after, arguments.threshold / 100)
    print(table(verdicts))
    for key in wanted:
        if key not in after:
            print(f"{' '.join(key)} is in the baseline only")
    code = status(verdicts)
    told = {
        0: "Nothing is worse.",
        1: f"Something is worse by more than {arguments.threshold:g} %.",
        2: f"Nothing could be compared: both sides need {LEAST_SAMPLES} samples of the same figure.",
    }
    print(told[code])
    return code


# Self-test


def self_test() -> int:
    check_statistics()
    check_verdicts()
    check_readers()
    print("the comparison works")
    return 0


def check_statistics() -> None:
    assert abs(mann_whitney([1, 2, 3, 4], [5, 6, 7, 8]) - 2 / 70) < 1e-12, "the exact table for 4 and 4"
    assert abs(mann_whitney([1, 2, 3], [4, 5, 6]) - 0.1) < 1e-12
    assert mann_whitney([1, 1, 1, 1], [1, 1, 1, 1]) == 1.0
    many = [float(value) for value in range(30)]
    assert mann_whitney(many, [value + 0.5 for value in many]) > 0.5
    assert mann_whitney(many, [value + 20 for value in many]) < 0.001
    low, high = interval([100, 101, 99, 100], [200, 202, 198, 200])
    assert 1.9 < low <= 2.0 <= high < 2.1


def check_verdicts() -> None:
    steady = [100.0, 101.0, 99.0, 100.5, 99.5]
    noisy = [60.0, 150.0, 90.0, 130.0, 100.0]
    word = lambda metric, a, b: judge(("x", metric), a, b, 0.05).word  # noqa: E731
    scaled = lambda samples, by: [value * by for value in samples]  # noqa: E731
    assert word("ns", steady, scaled(steady, 1.2)) == "WORSE"
    assert word("ns", steady, scaled(steady, 0.8)) == "better"
    assert word("ns", steady, scaled(steady, 1.04)) == "same", "below the threshold"
    assert word("ns", noisy, scaled(noisy, 1.1)) == "same", "lost in the noise"
    assert word("requests_per_second", steady, scaled(steady, 0.8)) == "WORSE", "a rate is better when higher"
    assert word("rate_against_bare", steady, scaled(steady, 1.2)) == "better"
    assert word("ns", steady[:3], scaled(steady[:3], 2.0)) == "undecided"
    key = ("x", "ns")
    assert status(compare({key: steady}, {key: scaled(steady, 1.2)}, 0.05)) == 1
    assert status(compare({key: steady}, {key: steady}, 0.05)) == 0
    assert status(compare({key: steady[:3]}, {key: steady[:3]}, 0.05)) == 2
    assert status(compare({key: steady}, {}, 0.05)) == 2
    # A hundred comparisons of the same noise: false alarms are rare.
    chance = random.Random(7)
    draw = lambda: [chance.gauss(100, 10) for _ in range(8)]  # noqa: E731
    alarms = sum(word("ns", draw(), draw()) == "WORSE" for _ in range(100))
    assert alarms <= 5, f"{alarms} false alarms"


def check_readers() -> None:
    figures = {"requests": 5, "requests_per_second": 90, "latency_us": {"p50": 3, "max": 9}, "server_cpu_us_per_request": None}
    report = {"workload": "token", "threads": 1, "server": {"rounds": [figures, figures]}}
    report["baseline"] = {"rounds": [{"requests_per_second": 100}] * 2}
    expected = {
        ("token", "requests_per_second"): [90.0, 90.0],
        ("token", "latency_us.p50"): [3.0, 3.0],
        ("token", "rate_against_bare"): [0.9, 0.9],
    }
    assert of_json(report, "file") == expected
    assert of_json([report, report], "file")["token", "latency_us.p50"] == [3.0] * 4
    rounds = [{"rate": 10, "cpu_per_request_us": 7, "p99": 2, "clients": 64}]
    rates = {("file", "rate"): [10.0], ("file", "cpu_per_request_us"): [7.0], ("file", "p99"): [2.0]}
    assert of_json(rounds, "file") == rates
    assert of_json({"a": {"ns": [1, 2]}}, "file") == {("a", "ns"): [1.0, 2.0]}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(5):
            new = Path(folder, str(run), "seal", "new")
            new.mkdir(parents=True)
            new.joinpath("benchmark.json").write_text('{"full_id": "seal/one"}')
            new.joinpath("sample.json").write_text('{"iters": [1, 2, 4], "times": [10, 22, 48]}')
        assert read(Path(folder)) == {("seal/one", "ns"): [11.0] * 5}, "the medians of five runs"
        assert read(Path(folder, "0")) == {("seal/one", "ns"): [10.0, 11.0, 12.0]}, "the samples of one"


if __name__ == "__main__":
    sys.exit(main())
