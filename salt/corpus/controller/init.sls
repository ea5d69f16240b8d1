# The cloud controller: everything that a machine needs before it can have nodes. Applied by mc_controller.init.

include:
  - corpus.controller.packages
  - corpus.controller.home
{%- if pillar["controller"]["dns"] %}
  - corpus.controller.dns
{%- endif %}
{%- if pillar["controller"]["ldap"] %}
  - corpus.controller.ldap
{%- endif %}
  - corpus.controller.master
