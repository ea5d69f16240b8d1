# The programs that a controller runs; Debian and Ubuntu have them by the same names.

controller-packages:
  pkg.installed:
    - pkgs: {{ pillar["controller"]["packages"] | json }}
    - install_recommends: false
