"""Reading files of weights and loading them into a part of the model; nothing here knows the model."""
