"""Status lists: which sessions have ended, published for verifiers that never ask (Token Status List)."""
