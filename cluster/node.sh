#!/usr/bin/env bash
# Makes a machine a node of the cluster:  node.sh STORAGE
#   STORAGE  s3://BUCKET/FOLDER (gs:// and the like the same), a folder that is there already, or
#            nfs://SERVER/FOLDER, which is mounted at /mnt/studies
# Run again, it changes what has changed. It leaves ~/.tune-diffreg, the environment of all that runs here.
set -euo pipefail

readonly storage=${1:?usage: node.sh STORAGE}
readonly checkout=~/tune-diffreg mounted=/mnt/studies token=~/.ray/auth_token

leave() {
    echo "node.sh: $1" >&2
    exit 1
}

install_packages() { # a machine that has just started may still be installing its own
    sudo apt-get -o DPkg::Lock::Timeout=600 update -qq
    sudo apt-get -o DPkg::Lock::Timeout=600 install -y -qq "$@"
}

mount_folder() { # SERVER/FOLDER
    local server=${1%%/*}
    local folder=${1#"$server"}
    local wanted=$server:${folder:-/}
    if [ "$(findmnt --noheadings --output SOURCE "$mounted")" != "$wanted" ]; then
        install_packages nfs-common
        sudo mkdir -p "$mounted"
        sudo mount -t nfs4 -o hard,timeo=600,retrans=2,noresvport "$wanted" "$mounted"
    fi
    [ -w "$mounted" ] || sudo chown "$(id -u):$(id -g)" "$mounted"
}

install_ourselves() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        leave "$(python3 --version) is too old; the image must have Python 3.11 or later"
    if [ ! -x ~/venv/bin/pip ]; then
        python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
        python3 -m venv ~/venv
    fi
    # boto3: Ray starts machines with it, and MLflow keeps files on S3 with it.
    ~/venv/bin/pip install --quiet --disable-pip-version-check \
        --constraint "$checkout/constraints.txt" "$checkout" boto3
}

write_environment() { # PATH or URI of the storage
    cat >~/.tune-diffreg <<END
export PATH=~/venv/bin:\$PATH
export TUNE_DIFFREG_STORAGE=$(printf %q "$1")
export MLFLOW_TRACKING_URI=http://127.0.0.1:5000
export RAY_AUTH_MODE=token
export RAY_USAGE_STATS_ENABLED=0 MLFLOW_DISABLE_TELEMETRY=true HF_HUB_DISABLE_TELEMETRY=1
END
    # `ray exec`, `ray attach` and `ray down` begin their commands with ~/.bashrc.
    grep -qs tune-diffreg ~/.bashrc || echo '. ~/.tune-diffreg' >>~/.bashrc
}

[ -s "$token" ] || leave "no token in $token; make one with: ray get-auth-token --generate"
chmod 700 ~/.ray
chmod 600 "$token"
case $storage in
*BUCKET* | *SERVER*) leave "$storage is not a storage of yours yet; change it in cluster.yaml" ;;
nfs://*)
    mount_folder "${storage#nfs://}"
    shared=$mounted
    ;;
*) shared=$storage ;;
esac
install_ourselves
write_environment "$shared"
. ~/.tune-diffreg
tune-diffreg list --json >/dev/null # says so if the storage cannot be reached from here
