#!/bin/sh
# The web process of a container: granian with WSGI threads.
exec granian --interface wsgi --host 0.0.0.0 --port "${OPENSOAR_PORT:-8000}" \
    --workers "${OPENSOAR_WEB_PROCESSES:-2}" --blocking-threads "${OPENSOAR_WEB_THREADS:-64}" \
    --workers-kill-timeout 10 --no-ws --log-level warning opensoar.wsgi:application
