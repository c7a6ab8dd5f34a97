"""Verify RS256 access tokens (RFC 9068) locally, against published keys, without calling the issuer.

The three lines that protect an aiohttp application are in `farseal.web`; the pure verifier under them is
`farseal.verify`. `farseal.service` is a separate kit (probes, logs, metrics, drain) for services that want it.
"""
