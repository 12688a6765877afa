"""RepCONC and JPQ: an encoder trained together with its product codes; train.py has train_repconc."""
