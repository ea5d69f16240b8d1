# What reaches guests: the table, the proxy, and that both come back at boot. Debian's own haproxy makes room.

{% set wanted = salt["pillar.get"]("corpus:traffic", {}) %}

include:
  - corpus.compute_node.packages
  - corpus.compute_node.network

packaged-haproxy:
  service.dead:
    - name: haproxy
    - enable: false
    - require:
      - pkg: compute-node-packages

compute-node-boot:
  mc_node.boot:
    - require:
      - pkg: compute-node-packages

compute-node-traffic:
  mc_node.traffic:
    - wanted: {{ wanted | json }}
    - require:
      - mc_node: compute-node-boot
      - compute-node-bridge
      - service: packaged-haproxy
