"""The experiment runner: what `experiment.py` runs, from the configuration of a run to its results."""
