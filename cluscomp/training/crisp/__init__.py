"""CRISP: an encoder trained to lose little by pooling its token vectors; train.py has train_crisp."""
