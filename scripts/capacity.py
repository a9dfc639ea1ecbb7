#!/usr/bin/env python3
"""From measured costs and a wished load to cores, memory, nodes and a price.

The cost of each kind of request is given as the server's CPU time, which load from the same machine does not
disturb (`server_cpu_us_per_request` of security_load_test --json with --pid), or as requests per second of one
core. The load is given for the peak, not the average.

A worked example, with made-up figures:

  scripts/capacity.py --cpu token=9 --cpu introspect=8 --per-core userinfo=100000 \\
      --load token=2000 --load introspect=40000 --load userinfo=3000 \\
      --headroom 50 --cores-per-node 2 --connections 20000 --price 0.04

  token       2,000/s x  9.0 us = 0.018 cores
  introspect 40,000/s x  8.0 us = 0.320 cores
  userinfo    3,000/s x 10.0 us = 0.030 cores
  busy at the peak   0.368 cores
  with headroom      0.736 cores, so that at the peak 50% of them is idle
  nodes              2 of 2 cores: 1 carry the load, 1 may fail
  memory             about 303 MiB a node at the peak, when 1 failed
  cost               4 cores x 0.04 x 730 h = 116.80 a month

Postgres and Redis, if there are any, are not in it: count theirs with their own figures.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import NamedTuple

HOURS_PER_MONTH = 730


class Wish(NamedTuple):
    """What is asked for. Costs are microseconds of CPU by kind, loads are requests per second by kind."""

    costs: dict[str, float]
    loads: dict[str, float]
    # The part of the processors that is idle at the peak, 0 to 1.
    headroom: float
    cores_per_node: int
    # Nodes that may fail at the peak.
    spare: int
    connections: int
    base_mib: float
    kib_per_connection: float
    price: float


class Plan(NamedTuple):
    """What it takes."""

    by_kind: dict[str, float]
    busy_cores: float
    cores: float
    carrying: int
    nodes: int
    mib_per_node: float
    bought_cores: int
    cost_per_month: float


def plan(wish: Wish) -> Plan:
    """The sum.

    >>> wish = example()
    >>> round(plan(wish).busy_cores, 3), plan(wish).nodes
    (0.368, 2)
    """
    unknown = [kind for kind in wish.loads if kind not in wish.costs]
    if unknown:
        raise ValueError(f"no cost is given for {', '.join(unknown)}; add --cpu or --per-core")
    by_kind = {kind: rate * wish.costs[kind] / 1e6 for kind, rate in wish.loads.items()}
    busy = sum(by_kind.values())
    cores = busy / (1 - wish.headroom)
    carrying = max(1, math.ceil(cores / wish.cores_per_node - 1e-9))
    nodes = carrying + wish.spare
    # When as many have failed as may fail, the others hold all connections.
    held = math.ceil(wish.connections / carrying)
    memory = wish.base_mib + held * wish.kib_per_connection / 1024
    bought = nodes * wish.cores_per_node
    return Plan(by_kind, busy, cores, carrying, nodes, memory, bought, bought * wish.price * HOURS_PER_MONTH)


def text(wish: Wish, found: Plan) -> str:
    width = max(len(kind) for kind in wish.loads)
    most = max(len(f"{rate:,.0f}") for rate in wish.loads.values())
    lines = [
        f"{kind:{width}} {rate:>{most},.0f}/s x {wish.costs[kind]:4.1f} us = {found.by_kind[kind]:.3f} cores"
        for kind, rate in wish.loads.items()
    ]
    lines += [
        f"busy at the peak   {found.busy_cores:.3f} cores",
        f"with headroom      {found.cores:.3f} cores, so that at the peak {wish.headroom:.0%} of them is idle",
        f"nodes              {found.nodes} of {wish.cores_per_node} cores: {found.carrying} carry the load, {wish.spare} may fail",
        f"memory             about {found.mib_per_node:.0f} MiB a node at the peak, when {wish.spare} failed",
        f"cost               {found.bought_cores} cores x {wish.price:g} x {HOURS_PER_MONTH} h = {found.cost_per_month:,.2f} a month",
    ]
    return "\n".join(lines)


def pair(argument: str) -> tuple[str, float]:
    """`NAME=NUMBER`.

    >>> pair("token=9.5")
    ('token', 9.5)
    """
    name, separator, number = argument.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (name and separator and 0 < value < math.inf):
        raise argparse.ArgumentTypeError(f"{argument} is not NAME=NUMBER with a number above 0")
    return name, value


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", type=pair, action="append", default=[], metavar="KIND=MICROSECONDS")
    parser.add_argument("--per-core", type=pair, action="append", default=[], metavar="KIND=RATE")
    parser.add_argument("--load", type=pair, action="append", default=[], metavar="KIND=RATE", help="at the peak")
    parser.add_argument("--headroom", type=float, default=50, help="per cent idle at the peak (50)")
    parser.add_argument("--cores-per-node", type=int, default=2)
    parser.add_argument("--spare", type=int, default=1, help="nodes that may fail (1)")
    parser.add_argument("--connections", type=int, default=1000, help="open ones at the peak (1000)")
    parser.add_argument("--base-mib", type=float, default=80, help="a node without connections: itself and its caches (80)")
    parser.add_argument("--kib-per-connection", type=float, default=11.4, help="memory of an idle connection (11.4)")
    parser.add_argument("--price", type=float, default=0.04, help="of one core for one hour (0.04)")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    parser.add_argument("--self-test", action="store_true", help="check the sum itself, and stop")
    return parser


def wish_of(given: argparse.Namespace) -> Wish:
    costs = dict(given.cpu) | {kind: 1e6 / rate for kind, rate in given.per_core}
    return Wish(
        costs,
        dict(given.load),
        given.headroom / 100,
        given.cores_per_node,
        given.spare,
        given.connections,
        given.base_mib,
        given.kib_per_connection,
        given.price,
    )


def main() -> int:
    parser = arguments()
    given = parser.parse_args()
    if given.self_test:
        return self_test()
    if not given.load:
        parser.error("give at least one --load KIND=RATE")
    if not 0 <= given.headroom < 100 or given.cores_per_node < 1 or given.spare < 0:
        parser.error("--headroom is 0 to 99, --cores-per-node at least 1, --spare at least 0")
    wish = wish_of(given)
    try:
        found = plan(wish)
    except ValueError as error:
        parser.error(str(error))
    print(json.dumps(found._asdict(), indent=2) if given.json else text(wish, found))
    return 0


def example() -> Wish:
    """The worked example of the help."""
    costs = {"token": 9.0, "introspect": 8.0, "userinfo": 10.0}
    loads = {"token": 2000.0, "introspect": 40000.0, "userinfo": 3000.0}
    return Wish(costs, loads, 0.5, 2, 1, 20000, 80, 11.4, 0.04)


def self_test() -> int:
    import doctest

    failed, tried = doctest.testmod()
    assert failed == 0 and tried >= 3, f"{failed} of {tried} examples failed"
    found = plan(example())
    assert math.isclose(found.cores, 0.736) and (found.carrying, found.nodes, found.bought_cores) == (1, 2, 4)
    assert math.isclose(found.cost_per_month, 116.8)
    assert round(found.mib_per_node) == 303, found.mib_per_node
    # The headroom must leave room: ten times the load takes ten times the cores.
    tenfold = example()._replace(loads={kind: rate * 10 for kind, rate in example().loads.items()})
    assert math.isclose(plan(tenfold).cores, 7.36) and plan(tenfold).carrying == 4
    # Exactly as many cores as two nodes have are two nodes.
    exact = example()._replace(costs={"a": 1000.0}, loads={"a": 2000.0}, headroom=0.5, cores_per_node=2)
    assert plan(exact).carrying == 2
    try:
        plan(example()._replace(loads={"login": 1.0}))
        raise AssertionError("a load without a cost must be refused")
    except ValueError as error:
        assert "login" in str(error)
    for line in text(example(), found).splitlines():
        assert line in __doc__ and line, f"the worked example is out of date: {line}"
    print("the sum works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
