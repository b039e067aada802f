"""How metrics and other operations reach the store, and where they wait while it is away."""
