"""Reproducible measurements, side by side with what people would use instead. Not part of any image."""
