#!/bin/sh
# The guest's first process. Stage 1 builds a root that keeps the host's files out of harm's way: the host's tree
# (hostfs) below, a tmpfs above it, so that whatever the guest writes is gone with the guest, except in the shared
# directories, which are mounted straight through. Stage 2 mounts, makes cgroups, starts journald and dockerd, and
# hands over to the agent. EMU_BOOT (kernel command line) names a directory with settings.sh and shares.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

off() {
    echo 1 >/proc/sys/kernel/sysrq
    echo o >/proc/sysrq-trigger
    while :; do sleep 1; done
}
fail() {
    echo "emu-init: $*"
    off
}

# ---- stage 1: a root of its own
mount -t proc proc /proc || fail "cannot mount /proc"
mount -t tmpfs -o mode=755,size=50% emu /tmp || fail "cannot mount a tmpfs"
mkdir /tmp/host /tmp/upper /tmp/work /tmp/root
# Since Linux 6.11 hostfs has a name for its option, which mount(8) of util-linux 2.39 and newer demands.
mount -t hostfs -o / hostfs /tmp/host 2>/dev/null || mount -t hostfs -o hostfs=/ hostfs /tmp/host \
    || fail "cannot mount hostfs"
. "/tmp/host$EMU_BOOT/settings.sh" || fail "cannot read settings.sh"
insmod "/tmp/host$EMU_MODULES/$(uname -r)/kernel/fs/overlayfs/overlay.ko" || fail "cannot load the overlay module"
mount -t overlay -o lowerdir=/tmp/host,upperdir=/tmp/upper,workdir=/tmp/work overlay /tmp/root \
    || fail "cannot mount the overlay root"
new=/tmp/root
mkdir -p $new/proc $new/sys $new/dev $new/tmp $new/run $new/var/tmp $new/var/lib/docker $new/var/lib/emu \
    $new/var/log/journal $new/etc/docker $new/var/lib/containerd $new/lib/modules
mount -t proc proc $new/proc
mount -t sysfs sysfs $new/sys
mount -t devtmpfs devtmpfs $new/dev || fail "cannot mount devtmpfs"
mkdir -p $new/dev/pts $new/dev/shm $new/dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts $new/dev/pts
mount -t tmpfs -o mode=1777 tmpfs $new/dev/shm
mount -t mqueue mqueue $new/dev/mqueue
ln -sf /proc/self/fd $new/dev/fd
ln -sf fd/0 $new/dev/stdin
ln -sf fd/1 $new/dev/stdout
ln -sf fd/2 $new/dev/stderr
for place in /run /tmp /var/tmp /etc/docker /var/lib/containerd /var/log/journal; do
    mode=1777
    case $place in /run | /etc/docker | /var/lib/containerd | /var/log/journal) mode=755 ;; esac
    mount -t tmpfs -o mode=$mode tmpfs $new$place || fail "cannot mount a tmpfs on $place"
done
mkdir -p $new/run/lock $new/run/emu/bin $new/run/emu/host
while IFS= read -r share; do
    mkdir -p "$new$share" && mount --bind "/tmp/host$share" "$new$share" && mount -o remount,bind,ro "$new$share" \
        || fail "cannot show $share"
done <"/tmp/host$EMU_BOOT/programs"
while IFS= read -r share; do
    mkdir -p "$new$share" && mount --bind "/tmp/host$share" "$new$share" || fail "cannot share $share"
done <"/tmp/host$EMU_BOOT/shares"
mount --bind "/tmp/host$EMU_MODULES" $new/lib/modules && mount -o remount,bind,ro $new/lib/modules \
    || fail "cannot mount the kernel's modules"
cd $new && pivot_root . run/emu/host && cd / || fail "cannot change the root"
umount -l /run/emu/host 2>/dev/null && rmdir /run/emu/host

# ---- stage 2: a machine
hostname emu
ip link set lo up
ulimit -n 1048576
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup || fail "cannot mount cgroup2"
# Docker says "no swap limit support" if it finds itself in the root cgroup, so nothing stays there.
mkdir /sys/fs/cgroup/system.slice /sys/fs/cgroup/user.slice
echo 0 >/sys/fs/cgroup/system.slice/cgroup.procs
for controller in cpu io memory pids; do
    echo +$controller >/sys/fs/cgroup/cgroup.subtree_control || fail "this kernel has no $controller controller"
done
# Debian's iptables speaks nftables by default; this kernel has no nft_chain_nat, so Docker gets the legacy one.
[ -n "$EMU_IPTABLES" ] && for name in iptables ip6tables iptables-save ip6tables-save iptables-restore ip6tables-restore; do
    ln -s "$EMU_IPTABLES" /run/emu/bin/$name
done
[ -x /usr/bin/docker ] && ln -s /usr/bin/docker /run/emu/bin/docker
export PATH="/run/emu/bin:$PATH"

(
    cd /
    exec env -i PATH="$PATH" PYTHONDONTWRITEBYTECODE=1 "$EMU_PYTHON" -E -s -S -c \
        'import sys; sys.path.insert(0, sys.argv[1]); from emu.sandbox.uml.inside.agent import main; main()' "$EMU_ROOT"
) &
agent=$!

e2fsck -p /dev/ubda >/run/emu/e2fsck.log 2>&1
if [ $? -ge 4 ]; then
    if head -c 4096 /dev/ubda >/dev/null 2>>/run/emu/e2fsck.log; then
        echo "the image disk is damaged beyond automatic repair" >/run/emu/failed
    else
        echo "the image disk cannot be read" >/run/emu/failed
    fi
    wait $agent
    off
fi
mount -t ext4 -o noatime /dev/ubda /var/lib/docker || echo "cannot mount the image disk" >/run/emu/failed
# Pods without Docker have their files on the same disk; what a guest's runs left there ended with it.
mkdir -p /var/lib/docker/emu && mount --bind /var/lib/docker/emu /var/lib/emu && rm -rf /var/lib/emu/runs \
    || echo "cannot use the image disk" >/run/emu/failed
[ ! -b /dev/ubdb ] || { mkswap /dev/ubdb >/dev/null && swapon /dev/ubdb; } || echo "cannot turn on swap" >/run/emu/failed

tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=128M\nRateLimitIntervalSec=0\nRateLimitBurst=0\n%s\n' \
    "$(printf 'ForwardToSyslog=no\nForwardToConsole=no\nForwardToWall=no\nReadKMsg=yes')" \
    >/run/systemd/journald.conf.d/emu.conf
"$EMU_JOURNALD" </dev/null >/run/emu/journald.log 2>&1 &

modprobe veth 2>/run/emu/modprobe.log
if [ "$EMU_ENGINE" = none ]; then
    while ! [ -S /run/systemd/journal/socket ]; do sleep 0.05; done # the agent's deadline covers a journald that fails
    dmesg -n 5
    echo >/run/emu/ready
    wait $agent
    off
fi
modprobe bridge 2>>/run/emu/modprobe.log
echo 1 >/proc/sys/net/ipv4/ip_forward
while ! [ -S /run/systemd/journal/socket ]; do sleep 0.05; done # the agent's deadline covers a journald that fails

# A guest has no network beyond itself, so nothing needs NAT: without its rules dockerd is ready seconds sooner.
# The modules that a user's own iptables needs are loaded by the kernel when it asks.
echo '{"iptables": false, "ip6tables": false}' >/run/emu/daemon.json
"$EMU_DOCKERD" --config-file /run/emu/daemon.json --host unix:///run/docker.sock --pidfile /run/docker.pid \
    --data-root /var/lib/docker --exec-root /run/docker --storage-driver overlay2 \
    --exec-opt native.cgroupdriver=cgroupfs --default-ulimit nofile=65536:1048576 --log-level warn \
    </dev/null >/run/emu/dockerd.log 2>&1 &
echo $! >/run/emu/dockerd.pid
dmesg -n 5 # kernel messages keep going to kmsg and the journal; the console shows errors and worse

wait $agent
off
