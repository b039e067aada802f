"""`hooktune.train`: texts, embeddings, scores and steps; it knows no run and no store."""
