#!/bin/sh
# The worker process of a container. Its threads only hand sequences to the event loop: two are enough.
exec dramatiq opensoar.worker \
    --processes "${OPENSOAR_WORKER_PROCESSES:-1}" --threads 2 --worker-shutdown-timeout 30000
