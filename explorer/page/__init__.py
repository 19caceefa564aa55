"""The page on which one draws a digit and looks inside the capsules of a trained network."""
