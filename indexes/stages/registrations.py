"""The transforms, partitions and codecs of this package: one line each.

| codec   | bytes a row         | trained | codes of an IVF list                      |
|---------|---------------------|---------|-------------------------------------------|
| Flat    | 4 d                 | no      | the rows                                  |
| SQfp16  | 2 d                 | no      | the rows                                  |
| SQ8     | d                   | yes     | the rows                                  |
| SQ4     | ceil(d / 2)         | yes     | residuals to the list's centroid          |
| PQ      | ceil(m * nbits / 8) | yes     | residuals to the list's centroid (IVFADC) |
| RaBitQ  | ceil(bits d / 8) + 10 | mean | residuals to the list's centroid          |
| SAQ     | m                   | yes     | residuals to the list's centroid          |
| RepCONC | ceil(m * nbits / 8) | before  | the rows                                  |
| Sparse  | 2 to 5 a term       | by key  | none: it stores weighted terms            |
| Seismic | 3 to 6 a term       | by key  | none: it stores weighted terms            |
"""

from __future__ import annotations

from cluscomp.indexes.stages.balanced_ivf import BIVF, BIVF_FORM, BalancedIvf
from cluscomp.indexes.stages.ivf import IVF, IVF_FORM, Ivf
from cluscomp.indexes.stages.learned_codec import LEARNED_FORM, LearnedProductCodec, RepCONC
from cluscomp.indexes.stages.learned_rotation import LearnedRotation, LearnedStep
from cluscomp.indexes.stages.normalization import MRL, MRL_FORM, NORM_FORM, L2Norm, NormalizeStep
from cluscomp.indexes.stages.product_codecs import (
    PQ,
    PQ_FORMS,
    SQ4,
    SQ4_FORM,
    FourBitCodec,
    TrainedProductCodec,
)
from cluscomp.indexes.stages.rabitq_codec import RABITQ_FORM, RaBitQ, RaBitQCodec
from cluscomp.indexes.stages.registry import register
from cluscomp.indexes.stages.rotations import (
    OPQ,
    OPQ_FORMS,
    PCA,
    PCA_FORM,
    RANDOM_FORM,
    OpqStep,
    PcaStep,
    RandomRotation,
    RandomRotationStep,
)
from cluscomp.indexes.stages.row_codecs import (
    FLAT_FORMS,
    HALF_FORMS,
    SQ8,
    SQ8_FORMS,
    Flat,
    FloatCodec,
    ScalarCodec,
    SQfp16,
)
from cluscomp.indexes.stages.saq_codec import SAQ, SAQ_FORM, SaqCodec
from cluscomp.indexes.stages.seismic_codec import SEISMIC_FORM, Seismic, SeismicCodec
from cluscomp.indexes.stages.term_codec import TermCodec
from cluscomp.indexes.stages.term_spec import SPARSE_FORM, Sparse
from cluscomp.indexes.stages.whitening import PCAW, PCAW_FORM, PcawStep

register(Sparse, TermCodec, SPARSE_FORM)
register(Seismic, SeismicCodec, SEISMIC_FORM)
register(OPQ, OpqStep, *OPQ_FORMS)
register(PCA, PcaStep, PCA_FORM)
register(PCAW, PcawStep, PCAW_FORM)
register(RandomRotation, RandomRotationStep, RANDOM_FORM)
register(L2Norm, NormalizeStep, NORM_FORM)
register(MRL, NormalizeStep, MRL_FORM)
register(LearnedRotation, LearnedStep)  # RepCONC puts it there
register(IVF, Ivf, IVF_FORM)
register(BIVF, BalancedIvf, BIVF_FORM)
register(Flat, FloatCodec, *FLAT_FORMS)
register(SQfp16, FloatCodec, *HALF_FORMS)
register(SQ8, ScalarCodec, *SQ8_FORMS)
register(SQ4, FourBitCodec, SQ4_FORM)
register(PQ, TrainedProductCodec, *PQ_FORMS)
register(RaBitQ, RaBitQCodec, RABITQ_FORM)
register(SAQ, SaqCodec, SAQ_FORM)
register(RepCONC, LearnedProductCodec, LEARNED_FORM)
