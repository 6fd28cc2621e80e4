#!/bin/sh
# machine.sh WORK view|boot: makes a machine of this one's files, in namespaces of its own: what is written there is kept in
# memory and goes with them. "view" only sees whether that can be done; "boot" becomes its first process, a systemd that
# runs tests/package/installed.sh and ends.
set -eu
work=$1
checkout=$(pwd)
mkdir -p "$work/machine"
mount -t tmpfs tmpfs "$work/machine"
root=$work/machine/root
mkdir "$work/machine/written" "$work/machine/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/machine/written,workdir=$work/machine/work" "$root"

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts" "$root/dev/mqueue"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t mqueue mqueue "$root/dev/mqueue"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
[ "$2" = boot ] || exit 0

for directory in "$checkout" "$work"; do
    mkdir -p "$root$directory"
    mount --bind "$directory" "$root$directory"
done

# It has no hardware to look after, no journal, no other packages' services, and no index of its manual, which takes dpkg
# longer than all the rest. What keeps dpkg from starting services and from unpacking a manual, in an image for containers,
# goes.
units=$root/etc/systemd/system
rm -rf "$units" "$root/usr/sbin/policy-rc.d" "$root/var/lib/man-db/auto-update" "$root/etc/dpkg/dpkg.cfg.d"
mkdir -p "$units"
for unit in udevd.service udev-trigger.service udevd-kernel.socket udevd-control.socket journald.service journald.socket \
    journald-dev-log.socket journald-audit.socket journal-flush.service logind.service modules-load.service \
    sysctl.service random-seed.service; do
    ln -s /dev/null "$units/systemd-$unit"
done
cat >"$units/test.service" <<END
[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
WorkingDirectory=$checkout
ExecStart=/bin/sh tests/package/installed.sh $work
END
# There is no journal for services to write to.
mkdir "$units/service.d"
printf '[Service]\nStandardOutput=append:%s\nStandardError=append:%s\n' "$work/log" "$work/log" >"$units/service.d/log.conf"
export container=codex-pool
# Not only a chroot: a service with a view of its own would not get it there.
cd "$root"
mkdir -p run/before
pivot_root . run/before
umount -l /run/before
rmdir /run/before
exec /lib/systemd/systemd --system systemd.unit=test.service systemd.log_target=null
