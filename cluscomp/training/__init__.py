"""Training encoders together with the codec of their vectors (imports torch inside)."""
