"""Inbound traffic of a compute node: what reaches a guest, and that nothing else does.

One nftables table (ssh by NAT port, the wall between guests) and one haproxy (http and https by host name).
"""
