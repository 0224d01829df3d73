#!/bin/sh
# Make .venv from the hashed lock: `deploy/bootstrap.sh base` to run the product, `dev` to test it as well.
# Does nothing where the lock has not changed. What cannot be had is named in one line with the cure.
set -eu

cd "$(dirname "$0")/.."
kind=${1:-base}
lock=requirements/$kind.txt
venv=.venv
OK='import sys; raise SystemExit(not (3, 12) <= sys.version_info[:2])'

say() { printf '%s\n' "$*" >&2; }
die() { say "OpenSOAR: $*"; exit 1; }
fits() { "$1" -c "$OK" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

# Debian's packages, where we may install them; false where we may not or they are not to be had.
apt_install() {
    is_root || return 1
    say "Installing $* from Debian's packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 && return 0
    apt-get update -q >/dev/null 2>&1 && apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1
}

# Prints a Python >= 3.12: the wanted one first, wherever it lives, then whatever fits.
find_python() {
    pyenv_root=${PYENV_ROOT:-$(pyenv root 2>/dev/null || printf '%s' "${HOME:-/nonexistent}/.pyenv")}
    for version in "$(cat .python-version)" 3.12 3.14 3; do
        for candidate in "python$version" "$pyenv_root/versions/$version"*/bin/python3 \
            "$(uv python find --no-python-downloads "$version" 2>/dev/null || true)"; do
            if [ -n "$candidate" ] && fits "$candidate"; then
                printf '%s' "$candidate"
                return 0
            fi
        done
    done
    return 1
}

# What makes a venv on Debian and Ubuntu is a package of its own.
make_venv() {
    python=$1
    rm -rf "$venv"
    "$python" -m venv "$venv" >/dev/null 2>&1 && return 0
    rm -rf "$venv"
    package=python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    if apt_install "$package" && "$python" -m venv "$venv" >/dev/null 2>&1; then
        return 0
    fi
    rm -rf "$venv"
    if uv venv --quiet --seed --python "$python" "$venv" >/dev/null 2>&1; then
        return 0
    fi
    rm -rf "$venv"
    die "Python's venv module is missing. Cure: sudo apt-get install $package"
}

ensure_venv() {
    if [ -x "$venv/bin/python" ] && fits "$venv/bin/python"; then
        return 0
    fi
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.12 or newer. Cure: name one, or leave PYTHON unset"
        python=$PYTHON
    elif ! python=$(find_python); then
        apt_install python3 python3-venv || true
        python=$(find_python) || die "no Python 3.12 or newer was found. Cure: pyenv install 3.13, or set PYTHON=/path/to/python3"
    fi
    say "Creating $venv with $("$python" --version)"
    make_venv "$python"
}

# The stamp holds the lock's checksum; a development environment holds the product's packages too.
stamp_of() { cksum <"requirements/$1.txt"; }
installed() { [ "$(cat "$venv/.installed-$1" 2>/dev/null)" = "$(stamp_of "$1")" ]; }

install_lock() {
    if installed "$kind"; then
        return 0
    fi
    say "Installing the packages of $lock (only when it has changed)"
    log=$venv/install.log
    "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --require-hashes -r "$lock" >"$log" 2>&1 ||
        die "the packages of $lock could not be installed ($(grep -m 1 ERROR "$log" || tail -n 1 "$log")). Cure: give pip a way to its package index; all of it is in $log"
    stamp_of "$kind" >"$venv/.installed-$kind"
    if [ "$kind" = dev ]; then
        stamp_of base >"$venv/.installed-base"
    fi
}

# Libraries of the system that the embedded PostgreSQL links against.
ensure_libraries() {
    if [ -n "${DATABASE_URL:-}" ] || [ "$(cat "$venv/.libraries" 2>/dev/null)" = "$(stamp_of base)" ]; then
        return 0
    fi
    missing=$("$venv/bin/python" -m opensoar.embedded) || exit 1
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086 # one word per package
        apt_install $missing || die "the embedded PostgreSQL needs what this system lacks. Cure: sudo apt-get install $(echo $missing)"
        missing=$("$venv/bin/python" -m opensoar.embedded)
        [ -z "$missing" ] || die "the embedded PostgreSQL still lacks $(echo $missing). Cure: set DATABASE_URL to an outside PostgreSQL"
    fi
    stamp_of base >"$venv/.libraries"
}

ensure_chromium() {
    for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome; do
        if command -v "$name" >/dev/null 2>&1; then
            return 0
        fi
    done
    apt_install chromium || die "the browser tests need Chromium. Cure: sudo apt-get install chromium, or set CHROMIUM=/path/to/it"
}

# The mailbox's poller is tested against a real server; without one those tests say so and are left out.
ensure_dovecot() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin command -v dovecot >/dev/null 2>&1 && return 0
    apt_install dovecot-imapd || say "OpenSOAR: no Dovecot, whose tests are left out. Cure: sudo apt-get install dovecot-imapd"
}

ensure_venv
install_lock
ensure_libraries
if [ "$kind" = dev ]; then
    ensure_chromium
    ensure_dovecot
fi
