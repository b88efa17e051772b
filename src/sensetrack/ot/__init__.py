"""Offset tracking on arrays: two images in, offsets out; knows no mission and no file."""
