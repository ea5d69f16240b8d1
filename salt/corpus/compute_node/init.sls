# A compute node: everything that a machine needs before guests can live on it. Applied by mc_compute_node.init.

include:
  - corpus.compute_node.packages
  - corpus.compute_node.network
  - corpus.compute_node.storage
  - corpus.compute_node.traffic
  - corpus.compute_node.ssh
