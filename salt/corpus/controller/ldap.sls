# Salt asks LDAP by python-ldap, of which there are no wheels: it is compiled, into what the master runs in.

{%- set controller = pillar["controller"] %}

include:
  - corpus.controller.packages

controller-ldap:
  cmd.run:
    - name: {{ controller["python"] }} -m uv pip install --quiet --python {{ controller["python"] }} 'python-ldap>=3.4.4,<4'
    - unless: {{ controller["python"] }} -c 'import ldap'
    - require:
      - pkg: controller-packages
    - require_in:
      - file: controller-master-configuration
