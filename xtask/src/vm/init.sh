#!/bin/busybox sh
# The first process in the virtual machine. Lines that begin with `vm:` are read by xtask.
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /root /etc
/bin/busybox --install -s /bin
printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' > /etc/passwd
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo +memory +pids > /sys/fs/cgroup/cgroup.subtree_control
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
hostname vm
ip link set lo up
# Up to 5.10 the memory of maps is charged to it.
ulimit -l unlimited

export TRACER_BIN=@TRACER@
# Tests that do much do less.
export TRACER_TESTS_EMULATED=1
echo "vm: doctor begins on $(uname -r)"
$TRACER_BIN doctor
echo "vm: doctor ended with $?"

@JOBS@
poweroff -f
