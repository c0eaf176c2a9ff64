#!/usr/bin/env bash
# The cluster's MLflow server, on this machine's loopback: begun again whenever it ends, and replaced when this
# is called again. Its database lies on this machine; should it be lost, `tune-diffreg sync` fills another from the
# studies' journals. The files that runs keep lie in the storage.
set -euo pipefail

export MLFLOW_LOGGING_LEVEL=WARNING MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
readonly folder=~/mlflow
mkdir -p "$folder"
cd "$folder"

if [ "${1-}" = --keep ]; then
    while true; do
        mlflow server --host 127.0.0.1 --port 5000 --workers 1 --uvicorn-opts "--log-level warning" \
            --backend-store-uri "sqlite:///$folder/mlflow.db" \
            --artifacts-destination "$TUNE_DIFFREG_STORAGE/mlflow-artifacts" || true
        echo "mlflow.sh: the server has ended; it is begun again in 5 seconds"
        trap '' TERM # what a killed server leaves behind would keep its port; it is in our process group
        kill -- "-$$"
        trap - TERM
        sleep 5
    done
fi

# What keeps it running leads a process group of its own.
if [ -s keeper ] && grep -qs mlflow.sh "/proc/$(cat keeper)/cmdline"; then
    kill -- "-$(cat keeper)"
fi
setsid nohup bash "$0" --keep >>server.log 2>&1 </dev/null &
echo $! >keeper
