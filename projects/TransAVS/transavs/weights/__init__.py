"""Files of weights: where they come from, reading them safely, what kind each is, and filling a model with them."""
