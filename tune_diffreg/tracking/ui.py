"""MLflow's own UI, on loopback."""

from __future__ import annotations

import os
import subprocess
import sys


def serve(uri: str, port: int) -> None:
    """Runs MLflow's server on `uri` until it is interrupted; no other machine can reach it."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    quiet = {"MLFLOW_LOGGING_LEVEL": "WARNING", "PYTHONWARNINGS": "ignore"}
    subprocess.run(command, check=False, env=os.environ | quiet)
