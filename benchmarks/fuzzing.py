"""Fuzzes every way in for what is not ours, guided by what of our code each input reaches.

    python -m benchmarks.fuzzing [--seconds 280] [--inputs 200]

The targets are in `benchmarks/fuzz_targets.py`. What was found worth trying is kept in `.fuzzing/`,
and how much was tried in `benchmarks/results/fuzzing.json`: stopped and started again, it goes on.
An input that crashes is kept in `tests/fuzz/inputs/`, where the tests try it ever after; a target
that crashed starts anew once that file no longer crashes. The tests give every target a second of
random mutations beside those (`tests/fuzz`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.fuzz_targets import targets
from benchmarks.output import RESULTS, device_name, write_result

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / ".fuzzing"
INPUTS = ROOT / "tests" / "fuzz" / "inputs"
_WANTED = 100_000
_LONGEST_SLICE = 60
_LARGEST = 16_384  # bytes of an input
_TIMEOUT = 30  # seconds that one input may take
_MEMORY = 6_000  # MB
_FUZZED = ("benchmarks.fuzz_targets", "benchmarks.fuzz_examples")
_GUIDED_BY = ["tune_diffreg", "yaml", "zipfile", "numpy.lib.format", "optuna.storages.journal"]

Row = dict[str, Any]


def main() -> None:
    """Fuzzes until all targets had their inputs, or `--seconds` have passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--inputs", type=int, default=_WANTED, help="most of each target")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a slice, in a process of its own
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)  # libFuzzer's, of a slice
    given = parser.parse_args()
    if given.one is not None:
        _fuzz(given.one, given.arguments)
        return
    end = time.monotonic() + given.seconds
    rows = {row["target"]: row for row in _before()}
    for name, target in targets().items():
        row = rows.setdefault(name, {"target": name, "inputs": 0, "seconds": 0.0, "crashes": []})
        row["crashes"] = [crash for crash in row["crashes"] if _crashes(name, crash)]
        wanted = min(target.inputs, given.inputs)
        while row["inputs"] < wanted and not row["crashes"] and time.monotonic() < end:
            _slice(row, wanted - row["inputs"], end - time.monotonic())
            _write(list(rows.values()))
    _write(list(rows.values()))


def key(target: str) -> str:
    """A target's name as that of a folder."""
    return re.sub(r"\W+", "-", target).strip("-")


def _before() -> list[Row]:
    path = RESULTS / "fuzzing.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def _slice(row: Row, inputs: int, seconds: float) -> None:
    """Gives a target up to so many inputs, for a minute at most, and adds them to its row."""
    name = row["target"]
    found, crashes = CORPUS / key(name), INPUTS / key(name)
    found.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    for seed in targets()[name].seeds:
        (found / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    limit = max(1, int(min(seconds, _LONGEST_SLICE)))
    arguments = [
        str(found), f"-runs={inputs}", f"-max_total_time={limit}", f"-max_len={_LARGEST}",
        f"-timeout={_TIMEOUT}", f"-rss_limit_mb={_MEMORY}", f"-seed={row['inputs'] + 1}",
        f"-artifact_prefix={crashes}/",
    ]  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzzing", f"--one={name}", "--", *arguments],
        capture_output=True, text=True, errors="replace", check=False, cwd=ROOT,
    )  # fmt: skip
    said = done.stderr
    tried = [int(n) for n in re.findall(r"^(?:Done |#)(\d+)", said, re.MULTILINE)]
    row["inputs"] += max(tried, default=0)
    row["seconds"] = round(row["seconds"] + time.monotonic() - began, 1)
    kept = sorted(path.name for path in crashes.glob("*-*"))
    row["crashes"] = [crash for crash in kept if _crashes(name, crash)]  # others are repaired
    if done.returncode != 0 and not row["crashes"]:
        raise SystemExit(f"{name}: the fuzzer ended with {done.returncode}:\n{said[-3000:]}")
    print(f"{name}: {row['inputs']:,} inputs, {len(row['crashes'])} crashes", flush=True)
    if row["crashes"]:
        print(said[-3000:], flush=True)


def _fuzz(name: str, arguments: list[str]) -> None:
    """One slice; libFuzzer ends the process."""
    import atheris

    # What the seeds are made with is imported before, what is guided by it after.
    for module in [m for m in sys.modules if m.startswith((*_GUIDED_BY, *_FUZZED))]:
        del sys.modules[module]
    with atheris.instrument_imports(include=_GUIDED_BY):
        from benchmarks import fuzz_targets

    run = fuzz_targets.targets()[name].run
    atheris.Setup([sys.argv[0], *arguments], run)
    atheris.Fuzz()


def _crashes(name: str, crash: str) -> bool:
    """Whether an input that crashed still does, tried in a process of its own."""
    path = INPUTS / key(name) / crash
    if not path.exists():
        return False
    code = (
        "import sys; from pathlib import Path; from benchmarks.fuzz_targets import targets; "
        "targets()[sys.argv[1]].run(Path(sys.argv[2]).read_bytes())"
    )
    command = [sys.executable, "-c", code, name, str(path)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT, timeout=600)
    return done.returncode != 0


def _write(rows: list[Row]) -> None:
    inputs, crashes = (sum(map(count, rows)) for count in (_inputs, _crash_count))
    write_result(
        "fuzzing",
        {
            "device": device_name(),
            "rows": rows,
            "targets": {
                "inputs": {
                    "target": f"at least {_WANTED:,}", "measured": inputs, "met": inputs >= _WANTED,
                },
                "crashes": {"target": "none left", "measured": crashes, "met": crashes == 0},
            },
        },
    )  # fmt: skip


def _inputs(row: Row) -> int:
    return int(row["inputs"])


def _crash_count(row: Row) -> int:
    return len(row["crashes"])


if __name__ == "__main__":
    main()
