"""What an index trains and applies to every row.

pipeline.py       the stages of a key       joint_training.py  a rotation and codebooks trained together
transforms.py     rotations, PCA, ...       partitions.py      table of partitions
ivf.py            lists by k-means          balanced_ivf.py    lists of bounded size
codec.py          what a codec is           codecs.py          table of codecs
row_codecs.py     float, half, 8-bit        product_codecs.py  PQ, SQ4, learned codes
learned_codec.py  codecs for ranking        code_layout.py     order of 4-bit codes
prescreen.py      8-bit codes beside float rows
parameters.py     arrays that trained stages save
"""
