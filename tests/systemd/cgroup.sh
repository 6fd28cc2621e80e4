# Sourced by the scripts that start a systemd.

# The control groups that a manager made in $cgroup, in a view of the whole tree that ends with this command.
remove_cgroup() {
    [ -z "$cgroup" ] || unshare --mount --propagation private sh -c \
        'mount -t cgroup2 cgroup2 /sys/fs/cgroup && [ ! -d "$1" ] || find "$1" -depth -type d -exec rmdir {} +' \
        remove "/sys/fs/cgroup$cgroup" || :
}
