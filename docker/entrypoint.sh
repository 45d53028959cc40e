#!/usr/bin/env bash
# What a container starts with. Kubernetes' pods of Spark say `driver` or `executor`, and the rest is in the variables
# that Spark gives them; anything else is a command, run as it is.
set -euo pipefail

# A user who is only a number (`docker run --user 1234`, OpenShift) has no name and no home, and without these neither
# Hadoop's client nor torch starts. Whatever the number, here it is `cxr`.
if ! getent passwd "$(id -u)" >/dev/null; then
    HOME=$(mktemp -d)
    { grep -v ^cxr: /etc/passwd; echo "cxr:x:$(id -u):$(id -g)::$HOME:/bin/bash"; } >"$HOME/.passwd"
    export HOME NSS_WRAPPER_PASSWD=$HOME/.passwd NSS_WRAPPER_GROUP=/etc/group
    export LD_PRELOAD=libnss_wrapper.so${LD_PRELOAD:+:$LD_PRELOAD}
fi

# spark-submit ends with a trace if the host's own name does not resolve, as under `docker run --network none`.
if [ -z "${SPARK_LOCAL_IP:-}" ] && ! getent ahosts "$(hostname)" >/dev/null; then
    read -r SPARK_LOCAL_IP _ < <(hostname -I) || SPARK_LOCAL_IP=127.0.0.1
    export SPARK_LOCAL_IP=${SPARK_LOCAL_IP:-127.0.0.1}
fi

case "${1:-}" in
driver)
    shift
    set -- "$SPARK_HOME/bin/spark-submit" --deploy-mode client \
        --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" "$@"
    ;;
executor)
    # spark.executor.extraJavaOptions, one option a variable: SPARK_JAVA_OPT_0, SPARK_JAVA_OPT_1 ...
    options=()
    for name in $(compgen -v SPARK_JAVA_OPT_ | sort --version-sort); do
        options+=("${!name}")
    done
    path="$SPARK_HOME/jars/*"
    for folder in "${SPARK_CLASSPATH:-}" "${HADOOP_CONF_DIR:-}" "${SPARK_CONF_DIR:-}"; do
        path="${folder:+$folder:}$path"
    done
    set -- "$JAVA_HOME/bin/java" "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
        -cp "$path" org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
        --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
        --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
        --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
esac
# tini reaps what the Python workers leave, and hands SIGTERM on.
exec tini -s -- "$@"
