# The bridge of the guests, and the kernel's part in keeping them apart.

{% set wanted = salt["pillar.get"]("corpus:traffic", {}) %}

include:
  - corpus.compute_node.packages

# Shows to nftables what a bridge passes from port to port; built into some kernels.
compute-node-modules:
  file.managed:
    - name: /etc/modules-load.d/corpus.conf
    - contents: br_netfilter
  cmd.{{ "wait" if salt["file.file_exists"]("/proc/sys/net/bridge/bridge-nf-call-iptables") else "run" }}:
    - name: modprobe br_netfilter
    - require:
      - file: compute-node-modules
      - pkg: compute-node-packages

{% set theirs = salt["file.directory_exists"]("/var/lib/lxc") and salt["file.find"]("/var/lib/lxc", name="config", mindepth=2, maxdepth=2) %}
{% if not theirs %}
# Guests have a bridge of their own. LXC's would need dnsmasq, and each boot would wait half a minute for it.
compute-node-lxc-bridge:
  file.managed:
    - name: /etc/default/lxc-net
    - contents: |
        # Written by corpus, whose guests have a bridge of their own.
        USE_LXC_BRIDGE="false"
    - mode: "0644"
    - require:
      - pkg: compute-node-packages
{% endif %}

{% if wanted.get("network") or wanted.get("network6") %}
compute-node-bridge:
  mc_node.bridge:
    - name: {{ wanted.get("bridge", "corpus0") }}
    - network: "{{ wanted.get("network", "") }}"
    - network6: "{{ wanted.get("network6", "") }}"
    - require:
      - cmd: compute-node-modules
{% else %}
compute-node-bridge:
  test.fail_without_changes:
    - comment: "The pillar of this minion has no corpus:traffic:network: link the node to a controller first."
{% endif %}
