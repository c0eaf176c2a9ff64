"""Runs one of our commands on the cluster, for a laptop that reads its answer in a job's log.

`python -m tune_diffreg.jobs.there MARK COMMAND...` prints one line: MARK and, as JSON, what the
command printed, its exit status, and the cluster's own storage. All else in the log is no part of
the answer.
"""

from __future__ import annotations

import json
import os
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
    answer = {
        "status": done.returncode,
        "out": done.stdout,
        "err": done.stderr,
        "storage": os.environ.get("TUNE_DIFFREG_STORAGE"),
    }
    sys.stdout.write(f"\n{mark}{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
