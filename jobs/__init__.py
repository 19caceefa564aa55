"""The jobs of `experiment.py`: train, evaluate (once, several members, or watching), check data, use a network."""
