#!/bin/sh
# Every check that runs no test. All of them run; the first line that fails is not the last that you see.
set -u
cd "$(dirname "$0")/.."
failed=
check() {
    if ! "$@"; then
        failed="$failed
  $*"
    fi
}

# Production settings; the checks of models ask a database what it can do, so they run beside a throw-away one.
export OPENSOAR_SECRET_KEY=lint-only-0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP
export OPENSOAR_SECRETS_KEY=bGludC1vbmx5LTAxMjM0NTY3ODlhYmNkZWZnaGlqa2w=
export OPENSOAR_TLS=true OPENSOAR_ALLOWED_HOSTS=soar.example.org
unset OPENSOAR_DEBUG

check ruff check .
check ruff format --check .
check mypy
check lint-imports
check djlint --lint --quiet templates
check python -m opensoar.embedded sh -c "python manage.py makemigrations --check --dry-run &&
    python manage.py check --deploy --fail-level WARNING"

if [ -n "$failed" ]; then
    printf 'Failed:%s\n' "$failed"
    exit 1
fi
