"""The page: draw a digit and look inside the capsules of a trained network."""
