"""What an index trains and applies to every row. Each stage has its key part, spelling and class in one file.

stage.py             what all stages have in common        registry.py       register a stage
pipeline.py          the stages of a key, in order         registrations.py  those of this package
cost.py              memory and work of one stage          pipeline_cost.py  of all stages of a key
transform.py         what a transform is                   rotations.py      OPQ, PCA, RR
normalization.py     L2norm, MRL                           ivf.py            lists by k-means
balanced_ivf.py      lists of bounded size                 codec.py          what a codec is
kernel_codec.py      codecs that kernels read              row_codecs.py     Flat, SQfp16, SQ8
product_codecs.py    PQ, SQ4                               learned_codec.py  RepCONC
learned_rotation.py  its rotation and query adapter        joint_training.py rotation and codebooks together
code_layout.py       order of 4-bit codes                  prescreen.py      8-bit codes beside float rows
parameters.py        arrays that trained stages save       faiss_parts.py    parts of faiss counterparts
"""
