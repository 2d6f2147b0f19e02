#!/bin/bash
# Installs the Debian packages that tests and benchmarks use: private mail servers on loopback.
# Without root or sudo it says what is missing; the tests that need it are then skipped, visibly.
set -euo pipefail

# program (or file) and the package that brings it
wanted=(
    "/usr/lib/dovecot/imap dovecot-imapd"
    "/usr/lib/dovecot/lmtp dovecot-lmtpd"
    "postfix postfix"
    "mbsync isync"
    "python3 python3"
    "c++ g++"
)

missing=()
for line in "${wanted[@]}"; do
    read -r program package <<<"$line"
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo -n)
    if ! sudo -n true 2>/dev/null; then as_root=(none); fi
fi
if [ "${as_root[0]:-}" = none ] || ! command -v apt-get >/dev/null; then
    echo "Not installed: ${missing[*]}. Tests that need them will be skipped. To have them:"
    echo "    sudo apt-get install --no-install-recommends ${missing[*]}"
    exit 0
fi

echo "Installing for the tests: ${missing[*]}"
install_packages() {
    # The servers must not start by themselves: tests run private ones.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install --yes --quiet --no-install-recommends "${missing[@]}" >"$log" 2>&1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! install_packages; then
    "${as_root[@]}" apt-get update --quiet >/dev/null 2>&1 || true
    if ! install_packages; then
        tail -5 "$log"
        echo "Could not install them; tests that need them will be skipped."
    fi
fi
