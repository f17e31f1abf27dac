#!/bin/sh
# A few lines about the host it runs on. Needs nothing but a POSIX shell.
set -u
echo "host:     $(uname -n)"
echo "system:   $(uname -sr)"
echo "user:     $(id -un)"
if [ -r /proc/uptime ]; then
    echo "running:  $(awk '{ printf "%d days", $1 / 86400 }' /proc/uptime)"
fi
echo "disk:     $(df -P / | awk 'NR == 2 { print $5 " of " int($2 / 1048576) " GiB in use" }')"
for argument in "$@"; do
    echo "argument: $argument"
done
