"""Training of Vision SmolMamba in lava-dl SLAYER: model, dynamics kernels, loop."""
