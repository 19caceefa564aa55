"""What a run is made of beside the network: flags, checkpoints, the step, evaluation, summaries."""
