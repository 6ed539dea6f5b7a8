"""What makes nets cheap: energy as a term of the loss, synapses that go, folding."""
