#!/bin/sh
# Runs the guest's one job, as root, after Docker is ready. emu/sandbox/qemu put this file and the others read
# here on the job disk, and listens to three serial ports: the job's standard output, its standard error, and
# emu.status, where each line is "<seconds since boot> <word> [<value>]": `ready`, then `exit STATUS` or `failed WHAT`.
# What it writes to the fourth, emu.control, are names of signals for the job, a line each.
set -u
ports=/dev/virtio-ports

tries=0
until [ -e "$ports/emu.out" ] && [ -e "$ports/emu.err" ] && [ -e "$ports/emu.status" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || { echo "emu: no serial ports in $ports" >/dev/console; exit 1; }
    sleep 0.1
done

exec </dev/null >"$ports/emu.out" 2>"$ports/emu.err" 3>"$ports/emu.status"

say() {
    read -r uptime _idle </proc/uptime
    echo "$uptime $*" >&3
}

fail() {
    say "failed $*"
    exit 1
}

[ -e /job/no-docker ] || systemctl --quiet is-active docker.service || {
    journalctl --no-pager --lines=40 --unit=docker.service >&2
    fail "docker.service"
}

while read -r tag mode directory; do
    mkdir -p "$directory" &&
        mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144,$mode" "$tag" "$directory" ||
        fail "mount $directory"
done </job/mounts

say "ready $(uname -r)"
sh /job/command.sh 3>&- &
job=$!
while read -r signal; do kill -s "$signal" "$job"; done <"$ports/emu.control" 3>&- &
wait "$job"
status=$?

cd /
if [ -e /job/keep-docker ]; then # the disk of /var/lib/docker is wanted whole: nothing may still be writing to it
    systemctl stop docker.socket docker.service containerd.service && umount /var/lib/docker ||
        fail "umount /var/lib/docker"
fi
tac /job/mounts | while read -r tag mode directory; do # one may lie in another
    umount "$directory" || sync
done
say "exit $status" # whoever listens ends this machine now
