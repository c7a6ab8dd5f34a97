"""An issuer for the tests of services that verify with farseal.

`farseal_testing.issuer` is one in this process, without network or database; `farseal_testing.plugin` gives it to
pytest. `farseal_testing.compose` brings up the real one in containers, `farseal_testing.container_issuer` asks it for
the same. Nothing here belongs into what serves: it holds private keys and signs whatever it is asked for.
"""
