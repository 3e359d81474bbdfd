#!/usr/bin/env bash
# Builds the image where neither Docker nor an image registry is at hand, starts its code server as production does (user
# 10001, no capability, read-only root file system), asks it what its HEALTHCHECK asks, and runs the chain in it.
#   deploy/check_image.sh                 needs root on Debian, 8 GB below TMPDIR, and Debian's and PyPI's addresses
#   BASE_IMAGE=python:3.11-slim deploy/check_image.sh      on a base from a registry instead of one made by debootstrap
#   KEEP=ae-assets.tar deploy/check_image.sh               writes the image, for docker load
#   STORE=/var/tmp/images deploy/check_image.sh            keeps base and layers there for the next time
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "check_image: $*"; }
die() { say "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root: it makes name spaces and mounts"
needed=(buildah ip jq)
[ -n "${BASE_IMAGE:-}" ] || needed+=(debootstrap)
for program in "${needed[@]}"; do
    command -v "$program" >/dev/null || die "needs $program: apt-get install --no-install-recommends buildah debootstrap iproute2 jq"
done

folder=$(mktemp -d)
chmod 755 "$folder" # user 10001 reads what it is to run from here
store=${STORE:-$folder/store}
driver=overlay
[ "$(stat -f -c %T "$(dirname "$store")")" != overlayfs ] || driver=vfs # an overlay cannot lie on an overlay
build=(buildah --root "$store" --runroot "$folder/run" --storage-driver "$driver")
clean() {
    "${build[@]}" rm --all >/dev/null 2>&1 || true
    rm -rf --one-file-system "$folder"
}
trap clean EXIT

base=${BASE_IMAGE:-localhost/debian-python}
if [ -z "${BASE_IMAGE:-}" ] && ! "${build[@]}" inspect --type image "$base" >/dev/null 2>&1; then
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    say "making a base image of Debian $suite"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$folder/base" >"$folder/log" ||
        die "debootstrap failed: $(tail -5 "$folder/log")"
    rm -rf "$folder"/base/var/cache/apt/archives/*.deb "$folder"/base/var/lib/apt/lists/*
    # What this machine trusts, the build trusts too: a proxy may sign with an authority of its own.
    cp /etc/ssl/certs/ca-certificates.crt "$folder/base/etc/ssl/certs/ca-certificates.crt"
    container=$("${build[@]}" from scratch)
    "${build[@]}" add --quiet "$container" "$folder/base" / >/dev/null
    "${build[@]}" commit --quiet --rm "$container" "$base" >/dev/null
    rm -rf "$folder/base"
fi

say "building"
began=$SECONDS
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
"${build[@]}" bud --isolation chroot --layers --format docker --build-arg BASE_IMAGE="$base" \
    --build-arg REVISION="$revision" --tag ae-assets . >"$folder/log" 2>&1 || die "the build failed: $(tail -30 "$folder/log")"
say "built in $((SECONDS - began)) s on $(nproc) cores, images kept by the driver $driver"
[ -z "${KEEP:-}" ] || "${build[@]}" push --quiet ae-assets "docker-archive:$KEEP:ae-assets:latest"

container=$("${build[@]}" from --pull-never localhost/ae-assets)
root=$("${build[@]}" mount "$container")
config=$("${build[@]}" inspect --type image localhost/ae-assets | jq .Docker.config)
say "size: $(du -sm "$root" | cut -f1) MB, of it the project's environment $(du -sm "$root/opt/ae_assets" | cut -f1) MB"

of_config() { jq -r "$1" <<<"$config"; }
[ "$(of_config .User)" = 10001:10001 ] || die "the image's user is $(of_config .User), expected 10001:10001"
[ "$(of_config '.Labels["org.opencontainers.image.revision"]')" = "$revision" ] || die "the image does not name its revision"
of_config '.Env[]' >"$folder/environment"
of_config '.Cmd | @sh' >"$folder/command"
of_config '.Healthcheck.Test[1:] | @sh' >"$folder/health"
cat >"$folder/inside" <<'INSIDE'
set -eu
while IFS= read -r line; do export "$line"; done </check/environment
export DAGSTER_HOME=$AE_ASSETS_HOME/dagster DRIVE_STATS_LOCATION='simulated://?drives=60&days=60&seed=7'
cd "$AE_ASSETS_HOME"
mkdir "$DAGSTER_HOME"
touch "$DAGSTER_HOME/dagster.yaml"
fail() { echo "$*"; cat /tmp/server; exit 1; }
if touch /opt/ae_assets/here 2>/dev/null || touch /here 2>/dev/null; then fail "the root file system can be written to"; fi
grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status || fail "capabilities are left: $(grep Cap /proc/self/status)"
began=$(date +%s%N)
sh -c "exec $(cat /check/command)" >/tmp/server 2>&1 &
server=$!
until sh -c "$(cat /check/health)" >/tmp/health 2>&1; do
    kill -0 $server 2>/dev/null || fail "the code server ended"
    [ $(($(date +%s%N) - began)) -lt 120000000000 ] || fail "not healthy after 120 s: $(cat /tmp/health)"
done
echo "healthy after $((($(date +%s%N) - began) / 1000000)) ms, the health check's own start included"
python - <<'PYTHON'
import dagster_aws.s3, dagster_k8s, dagster_postgres, dagster_webserver, lightgbm, psycopg2, pyiceberg.catalog.glue, sklearn.ensemble
from dagster._grpc.client import DagsterGrpcClient
from dagster_shared.serdes import deserialize_value

found = deserialize_value(DagsterGrpcClient(host="localhost", port=4000).list_repositories())
print("its repositories:", *(symbol.repository_name for symbol in found.repository_symbols))
PYTHON
ae-assets run drive_stats --start 2013-04-10 --end 2013-05-31 --train-start 2013-04-10 --train-end 2013-04-30 >/tmp/run 2>&1 ||
    [ $? = 3 ] || fail "the chain failed: $(tail -30 /tmp/run)" # 3: 60 drives are too few for the rate checks
grep 'checks passed\|checks failed' /tmp/run || tail -1 /tmp/run
kill -0 $server || fail "the code server ended"
INSIDE

say "starting it"
mkdir -p "$root/check"
export root folder
unshare --mount --pid --fork --kill-child --net --ipc --uts sh -euc '
    ip link set lo up
    mount --bind "$root" "$root"
    mount --bind "$folder" "$root/check"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/tmp"
    mount -t tmpfs -o nosuid,nodev,uid=10001,gid=10001,mode=755 tmpfs "$root/var/lib/ae_assets"
    mount -t tmpfs -o nosuid,mode=755 tmpfs "$root/dev"
    for device in null zero random urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
    mkdir "$root/dev/shm"
    mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/dev/shm"
    mount -o remount,bind,ro "$root"
    exec chroot "$root" setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
        sh /check/inside'
say "done"
