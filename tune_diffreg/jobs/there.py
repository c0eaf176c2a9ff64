"""Runs one of our commands on the cluster, for a laptop that reads its answer in a job's log.

`python -m tune_diffreg.jobs.there MARK COMMAND...` prints lines of MARK and JSON: the last is what
the command printed, its exit status, and the cluster's own storage. Of a command with `--follow`,
which goes on, each line that it prints comes before that as one of its own. All else in the log is
no part of the answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from tempfile import TemporaryFile
from typing import Any


def main() -> None:
    mark, *command = sys.argv[1:]
    whole = [sys.executable, "-m", "tune_diffreg", *command]
    answer = _followed(mark, whole) if "--follow" in command else _run(whole)
    _tell(mark, answer | {"storage": os.environ.get("TUNE_DIFFREG_STORAGE")})


def _run(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return {"status": done.returncode, "out": done.stdout, "err": done.stderr}


def _followed(mark: str, command: list[str]) -> dict[str, Any]:
    with TemporaryFile("w+", errors="replace") as complaints:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, errors="replace"
        ) as running:
            assert running.stdout is not None  # it is a pipe
            for line in running.stdout:
                _tell(mark, {"line": line})
        complaints.seek(0)
        return {"status": running.returncode, "out": "", "err": complaints.read()}


def _tell(mark: str, what: dict[str, Any]) -> None:
    sys.stdout.write(f"\n{mark}{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
