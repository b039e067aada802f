"""One method on one batch, from the request to the one model that is kept."""
