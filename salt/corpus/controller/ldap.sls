# Salt asks LDAP by python-ldap, of which there are no wheels: it is compiled, into what the master runs in.

{%- set controller = pillar["controller"] %}
{%- set asked = [controller["python"], "-c", "import ldap"] %}
{%- set there = salt["cmd.retcode"](asked, python_shell=False, ignore_retcode=True) == 0 %}

include:
  - corpus.controller.packages

controller-ldap:
  cmd.{{ "wait" if there else "run" }}:
    - name: {{ controller["python"] }} -m uv pip install --quiet --python {{ controller["python"] }} 'python-ldap>=3.4.4,<4'
    - require:
      - pkg: controller-packages
    - require_in:
      - file: controller-master-configuration
