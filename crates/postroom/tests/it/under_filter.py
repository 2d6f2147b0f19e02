# Runs a program under the system call filter of a systemd unit, without systemd.
#
#   under_filter.py UNIT PROGRAM ARGUMENT...
#
# It knows the lines that deploy/postroom.service has: SystemCallFilter=, SystemCallErrorNumber= and
# RestrictAddressFamilies=. systemd-analyze says which calls a group (@name) has.
import errno
import os
import socket
import subprocess
import sys

import seccomp


def calls_of(name):
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", name], check=True,
                            capture_output=True, text=True).stdout
    lines = [line.strip() for line in listed.splitlines()[1:]]
    names = [line for line in lines if line and not line.startswith("#")]
    return set().union(*(calls_of(name) for name in names))


def values(unit, name):
    return [line.split("=", 1)[1].strip() for line in unit if line.startswith(f"{name}=")]


def main():
    unit = open(sys.argv[1]).read().splitlines()
    allowed = set()
    for value in values(unit, "SystemCallFilter"):
        named = set().union(*(calls_of(name) for name in value.lstrip("~").split()))
        allowed = allowed - named if value.startswith("~") else allowed | named
    # systemd always allows what starts the program.
    allowed |= calls_of("@default") | {"execve"}
    [error] = values(unit, "SystemCallErrorNumber")
    [families] = values(unit, "RestrictAddressFamilies")
    refused = seccomp.SyscallFilter(defaction=seccomp.ERRNO(getattr(errno, error)))
    for name in sorted(allowed - {"socket"}):
        try:
            refused.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, ValueError):
            pass  # A call of another architecture.
    for family in families.split():
        number = int(getattr(socket, family))
        refused.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, number))
    refused.load()
    os.execv(sys.argv[2], sys.argv[2:])


main()
