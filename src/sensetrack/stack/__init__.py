"""Many dates: pair networks, time series of displacement, motion in three dimensions. Numbers on arrays, no file."""
