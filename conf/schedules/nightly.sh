#!/usr/bin/env bash
# Scores the night's new images. For cron, as the service's user:
#   15 2 * * *  /opt/cxr-spark/conf/schedules/nightly.sh >> /var/log/cxr/nightly.log 2>&1
# Exit status: 0 done; 75 the run before is still at it (sysexits' "try again later"); else that of spark-submit.
# A run that dies is made good by the next one: score --incremental loses nothing and scores nothing twice.
set -euo pipefail

: "${CXR_HOME:=/opt/cxr-spark}"
: "${CXR_IMAGES:=hdfs:///incoming}"
: "${CXR_MODEL:=hdfs:///models/current}"
: "${CXR_OUT:=hdfs:///scores}"
: "${CXR_ARCHIVE:=hdfs:///apps/cxr/env.tar.gz}"
: "${CXR_LOCK:=/run/lock/cxr-nightly.lock}"
: "${CXR_EXECUTORS:=8}"
: "${SPARK_SUBMIT:=spark-submit}"

# The output folder has a lock of its own; this one saves the night's second run the start of an application.
exec 9>"$CXR_LOCK"
if ! flock --nonblock 9; then
    echo "$(date -Is) nightly: the run before is still at work" >&2
    exit 75
fi

status=0
"$SPARK_SUBMIT" --master yarn --deploy-mode cluster --properties-file "$CXR_HOME/conf/spark/yarn.conf" \
    --archives "$CXR_ARCHIVE#environment" --num-executors "$CXR_EXECUTORS" \
    "$CXR_HOME/jobs/score.py" --incremental --images "$CXR_IMAGES" --model "$CXR_MODEL" --out "$CXR_OUT" || status=$?
echo "$(date -Is) nightly: exit status $status (in cluster mode the job's own is in $CXR_OUT/_status.json)" >&2
exit "$status"
