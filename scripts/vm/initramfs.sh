#!/bin/busybox sh
# shellcheck shell=dash
# Process 1 of a virtual machine of test-vm.sh, before there is a root file system: loads what the disks
# need, and mounts them. With alcove=try on the command line it says that it came so far.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
if grep -q alcove=try /proc/cmdline; then
    echo tried
    poweroff -f
fi
while read -r module; do
    # Some are for another kind of processor than this one.
    insmod "/lib/$module" 2>/dev/null
done </lib/order
until [ -b /dev/vdd ]; do
    sleep 0.1
done
mount -t ext4 -o noatime /dev/vda /root
mkdir -p /root/opt/alcove /root/lib/modules
mount -t ext4 -o noatime /dev/vdb /root/opt/alcove
mount -t ext4 -o ro /dev/vdc /root/lib/modules
mount --move /dev /root/dev
umount /sys /proc
exec switch_root /root /bin/bash /opt/alcove/scripts/vm/guest.sh begin
