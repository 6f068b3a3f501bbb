"""Weights from elsewhere: reading them, loading them into a part of the model, converting them for the whole.

Modules import from here what they need by its module: `reading` and `loading` know nothing of the model, `conversion`
knows all of it.
"""
