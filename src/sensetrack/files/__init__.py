"""The one room that opens and writes files."""
