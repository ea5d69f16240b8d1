# Registry, keys and images; nobody else looks in.

controller-home:
  file.directory:
    - name: {{ pillar["controller"]["home"] }}
    - mode: "0700"
    - makedirs: true
