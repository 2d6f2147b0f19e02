#!/bin/bash
# Installs programs of Python and Node.js that only tests need, below target/tools.
# What cannot be installed is said; the tests that need it are then skipped, visibly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=target/tools
mkdir -p "$tools"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Whether the installed state is that of the list: a copy of the list is kept beside it.
is_there() { cmp -s "$1" "$2"; }

python() {
    python3 -m venv "$tools/python" && "$tools/python/bin/pip" install --quiet \
        --disable-pip-version-check --requirement scripts/requirements.txt
}
node() {
    mkdir -p "$tools/node" && cp scripts/package.json "$tools/node/" &&
        npm install --prefix "$tools/node" --no-audit --no-fund --ignore-scripts
}

if ! is_there scripts/requirements.txt "$tools/python.list"; then
    echo "Installing for the tests: programs of scripts/requirements.txt"
    if python >"$log" 2>&1; then
        cp scripts/requirements.txt "$tools/python.list"
    else
        tail -5 "$log"
        echo "Could not install them; tests that need them will be skipped."
    fi
fi
if ! is_there scripts/package.json "$tools/node.list"; then
    echo "Installing for the tests: programs of scripts/package.json"
    if node >"$log" 2>&1; then
        cp scripts/package.json "$tools/node.list"
    else
        tail -5 "$log"
        echo "Could not install them; tests that need them will be skipped."
    fi
fi
