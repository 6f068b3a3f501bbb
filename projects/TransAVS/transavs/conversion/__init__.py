"""Published weights of parts of the model made into a checkpoint of it."""
