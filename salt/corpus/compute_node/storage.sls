# The pool that containers live in. The pillar's corpus:settings:pool may say another driver, path or size.

{% set pool = salt["pillar.get"]("corpus:settings:pool", {}) %}

include:
  - corpus.compute_node.packages

# Guests are unprivileged: their users are nobody here.
compute-node-ids:
  mc_node.ids: []

compute-node-pool:
  mc_node.pool:
    - name: {{ pool.get("path", "/srv/corpus/pool") }}
    - driver: {{ pool.get("driver", "btrfs") }}
{%- if pool.get("size") %}
    - size: {{ pool["size"] }}
{%- endif %}
    - require:
      - pkg: compute-node-packages
      - mc_node: compute-node-ids
