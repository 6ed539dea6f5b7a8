"""Vision SmolMamba as a SLAYER net: layers, model, names."""
