"""NIR graphs to nets and back."""
