"""Product codes trained for ranking while the encoder stays frozen; train.py has train_frozen."""
