"""Runs one of our commands on the cluster, for a laptop that reads its answer in a job's log.

`python -m tune_diffreg.jobs.there MARK COMMAND...` prints one line: MARK and, as JSON, what the
command printed and its exit status. Whatever else is in the log is no part of the answer.
"""

from __future__ import annotations

import json
import subprocess
import sys


def main() -> None:
    mark, *command = sys.argv[1:]
    done = subprocess.run(
        [sys.executable, "-m", "tune_diffreg", *command],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    answer = {"status": done.returncode, "out": done.stdout, "err": done.stderr}
    sys.stdout.write(f"\n{mark}{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
