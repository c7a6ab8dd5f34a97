"""The tour: acts that show what Farseal claims, each with figures measured in this run, each able to fail.

An act has two halves. ``play`` does things to the running stack and brings back figures; ``judge`` is pure and decides
what the figures prove. Tests give ``judge`` the figures of a stack that breaks the claim.
"""
