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

# Installs the list $1 by the function $2, unless that is done.
install() {
    if is_there "$1" "$tools/$2.list"; then return; fi
    echo "Installing for the tests: programs of $1"
    if "$2" >"$log" 2>&1; then
        cp "$1" "$tools/$2.list"
    else
        tail -5 "$log"
        echo "Could not install them; tests that need them will be skipped."
    fi
}

install scripts/requirements.txt python
install scripts/package.json node
