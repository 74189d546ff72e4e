#!/bin/bash
# Set up what `make` needs: `setup.sh python` creates .venv, `setup.sh browser` finds or installs Chromium for the tests.
# Both do nothing if everything is in place.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
STAMP=$VENV/.xai-views-installed

say() { printf '%s\n' "$*" >&2; }
root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
apt_install() {
    say "Installing $* with apt-get."
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return
    apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python_environment() {
    local now
    if [ ! -x "$VENV/bin/python" ]; then
        if ! command -v "$PYTHON" >/dev/null; then
            root && apt_install python3 python3-venv
            command -v "$PYTHON" >/dev/null || { say "$PYTHON was not found: install Python 3.11 or newer, or set PYTHON=/path/to/python3."; exit 1; }
        fi
        if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            say "$PYTHON is $("$PYTHON" --version 2>&1), but 3.11 or newer is required: run 'make PYTHON=/path/to/python3.11 …'."
            exit 1
        fi
        if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
            root && apt_install python3-venv
            "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || { say "$PYTHON has no venv module: run 'sudo apt-get install python3-venv' first."; exit 1; }
        fi
        say "Creating $VENV with $("$PYTHON" --version)."
        "$PYTHON" -m venv "$VENV" || { rm -rf "$VENV"; say "$PYTHON could not create $VENV (see above)."; exit 1; }
    fi
    now=$(cat pyproject.toml constraints.txt | sha256sum | cut -d' ' -f1)
    if [ "$(cat "$STAMP" 2>/dev/null)" != "$now" ]; then
        say "Installing XAI Views and its dependencies (takes minutes the first time; torch is large)."
        rm -f "$STAMP"
        # An old pip cannot resolve extras against constraints.
        "$VENV/bin/python" -m pip install --disable-pip-version-check --quiet -c constraints.txt pip
        "$VENV/bin/python" -m pip install --disable-pip-version-check ${CI:+--quiet --progress-bar off} \
            -c constraints.txt -e '.[all,test]'
        echo "$now" >"$STAMP"
    fi
}

browser() {
    local name
    for name in ${CHROMIUM:-chromium chromium-browser google-chrome google-chrome-stable}; do
        command -v "$name" >/dev/null && return
    done
    if root && apt_install chromium && command -v chromium >/dev/null; then return; fi
    say "Downloading Playwright's Chromium for the browser tests."
    "$VENV/bin/python" -m playwright install chromium ||
        say "Chromium was not found: the browser tests are skipped (in CI they fail); set CHROMIUM=/path/to/chromium."
}

for step in "$@"; do
    case $step in
        python) python_environment ;;
        browser) browser ;;
        *) say "setup.sh was given '$step'; it accepts 'python' and 'browser'."; exit 2 ;;
    esac
done
