#!/bin/bash
# Installs the Debian packages that tests and benchmarks use: private servers on loopback.
# Without root or sudo it says what is missing; the tests that need it are then skipped, visibly.
set -euo pipefail

# program (or file) and the package that brings it
wanted=(
    "/usr/lib/dovecot/imap dovecot-imapd"
    "/usr/lib/dovecot/lmtp dovecot-lmtpd"
    "postfix postfix"
    "mbsync isync"
    "/usr/lib/postgresql/*/bin/postgres postgresql"
    "python3 python3"
    "node nodejs"
    "npm npm"
    "c++ g++"
    "faketime faketime"
)

missing=()
for line in "${wanted[@]}"; do
    read -r program package <<<"$line"
    # A program may be in a directory of its version.
    found=$(compgen -G "$program" | tail -1 || true)
    PATH=$PATH:/usr/sbin:/sbin command -v "${found:-$program}" >/dev/null || missing+=("$package")
done
# Debian has the module that makes virtual environments in a package of its own.
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
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
apt_install() {
    # The servers must not start by themselves: tests run private ones.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install --yes --quiet --no-install-recommends "$@" >>"$log" 2>&1
}
clusters=/etc/postgresql-common/createcluster.conf
install_packages() {
    case " ${missing[*]} " in *" postgresql "*)
        # It must not make a cluster that starts with the machine either.
        apt_install postgresql-common || return
        if grep -q '^#create_main_cluster' "$clusters"; then
            "${as_root[@]}" sed -i 's/^#create_main_cluster.*/create_main_cluster = false/' "$clusters"
            restore=yes
        fi
        ;;
    esac
    apt_install "${missing[@]}"
}
# shellcheck disable=SC2317 # called by the trap
end() {
    rm -f "$log"
    # What somebody installs later is as they are used to.
    [ -z "$restore" ] ||
        "${as_root[@]}" sed -i 's/^create_main_cluster = false/#create_main_cluster = true/' "$clusters"
}
restore=
log=$(mktemp)
trap end EXIT
if ! install_packages; then
    "${as_root[@]}" apt-get update --quiet >/dev/null 2>&1 || true
    if ! install_packages; then
        tail -5 "$log"
        echo "Could not install them; tests that need them will be skipped."
    fi
fi
