"""Studies around a trained model: ablations, energy as the literature counts it, the spiking transformer."""
