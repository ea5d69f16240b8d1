# The programs that a node runs; Debian and Ubuntu have them by the same names.

compute-node-packages:
  pkg.installed:
    - pkgs:
      - btrfs-progs
      - haproxy
      - iproute2
      - kmod
      - lxc
      - nftables
      - openssh-server
      - rsync
      - zstd
    - install_recommends: false
