"""A kit for running a service: settings' glue, logs, probes, metrics, bodies, drain, PostgreSQL.

Independent of verification: the auth server uses it too. Needs the extra ``farseal[service]``; the two PostgreSQL
modules need ``farseal[postgres]``.
"""
