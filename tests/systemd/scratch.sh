# Sourced by the scripts that start a systemd: a directory, $work, and the file of results, which go when the script ends,
# however it does; and so do the control groups of that systemd.

work=$(mktemp -d)
results=$work/results
: >"$results"
cgroup=
. tests/systemd/report.sh

# The control groups that a manager made in $cgroup, in a view of the whole tree that ends with this command.
remove_cgroup() {
    [ -z "$cgroup" ] || unshare --mount --propagation private sh -c \
        'mount -t cgroup2 cgroup2 /sys/fs/cgroup && [ ! -d "$1" ] || find "$1" -depth -type d -exec rmdir {} +' \
        remove "/sys/fs/cgroup$cgroup" || :
}
trap 'remove_cgroup; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

have() {
    command -v "$1" >/dev/null 2>&1
}
