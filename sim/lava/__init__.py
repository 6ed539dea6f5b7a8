"""A net in Lava: its stock expansion, the simulator in a process of its own."""
