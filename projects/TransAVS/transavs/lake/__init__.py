"""Masks of all the videos of a store, on many machines: tools/predict_lake.py. It alone needs Ray and PyArrow."""
