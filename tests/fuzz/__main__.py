"""`python -m fuzz`: so many mutants of each kind, a line each with what was found."""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from . import seeds
from .server import make, run


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1000, help="mutants of each kind")
    parser.add_argument("--kinds", nargs="*", default=None, help=f"of {', '.join(seeds.KINDS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--keep", default=None, help="folder for the mutants at fault")
    parser.add_argument("--json", default=None, help="file for the counts")
    asked = parser.parse_args()
    unknown = set(asked.kinds or ()) - set(seeds.KINDS)
    if unknown:
        parser.error(f"unknown kind {min(unknown)!r}, there are {', '.join(seeds.KINDS)}")
    total, rows, began = Counter(), [], time.monotonic()
    for kind in asked.kinds or seeds.KINDS:
        if not seeds.files(kind):
            print(f"{kind:12s} left out: {seeds.KINDS[kind].needs} is not here", flush=True)
            continue
        found = run(kind, asked.n, asked.seed, asked.first)
        total += found.counts
        rows.append(dict(kind=kind, seconds=round(found.seconds, 1), **found.counts))
        print(
            f"{kind:12s} {asked.n:7d} mutants: {found.counts['read']} read, {found.counts['refused']} refused,"
            f" {found.counts['fault']} at fault, {found.seconds:.0f} s",
            flush=True,
        )
        for number, what in _first_of_each(found.faults):
            print(f"    {number}: {what}", flush=True)
            if asked.keep:
                Path(asked.keep).mkdir(parents=True, exist_ok=True)
                Path(asked.keep, f"{kind}-{number}{seeds.suffix(kind)}").write_bytes(make(kind, asked.seed, number))
    print(f"{sum(total.values())} mutants, {total['fault']} at fault, {time.monotonic() - began:.0f} s")
    if asked.json:
        Path(asked.json).write_text(json.dumps(dict(seed=asked.seed, rows=rows), indent=1))
    sys.exit(bool(total["fault"]))


def _first_of_each(faults):
    seen = Counter()
    for number, what in faults:
        key = what.split(": ")[0] + what.rpartition(" at ")[2]
        seen[key] += 1
        if seen[key] <= 3:
            yield number, what


main()
