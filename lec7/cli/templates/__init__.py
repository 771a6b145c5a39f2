"""Experiment files to start from, which `lec7 new` copies as they are."""
