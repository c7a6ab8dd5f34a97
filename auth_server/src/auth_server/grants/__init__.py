"""What a token may say: asked scopes and resources against what the subject holds."""
