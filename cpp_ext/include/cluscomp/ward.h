// Agglomerative clustering by Ward's method of many short runs of rows (the tokens of documents), one run a thread.
//
// Merges are those of float64 arithmetic, by ascending height; among pairs of equal height any may come first, as in
// scipy.cluster.hierarchy.linkage(..., "ward"). Points go through ward_gram.h (4 n^2 bytes a run). cosine_condensed has
// no points behind it and takes a nearest-neighbour chain on a float64 matrix of squared distances (8 n^2 bytes), whose
// distances come from float32 products first; where two of them are closer than a measured tolerance
// (ward_distances.cpp), all distances of that run are computed again in float64.
#pragma once

#include "cluscomp/rows.h"

namespace cluscomp {

// What Ward works on. euclidean: distances of the rows. cosine_condensed: 1 - cosine, in [0, 2], as if it were a
// Euclidean distance. cosine_square: Euclidean distances between the rows of the n x n matrix of 1 - cosine.
enum class WardInput { euclidean, cosine_condensed, cosine_square };

struct Runs {
  const int64_t* starts;  // (count): run i is the rows [starts[i], stops[i])
  const int64_t* stops;
  int64_t count;
};

// The merges of a run, by ascending height, stand at [starts[i], stops[i] - 1): pairs (a, b) of rows counted from
// starts[i], a < b, each standing for the cluster it is in; afterwards b stands for both. Other elements are left
// alone. heights: the Ward distance, sqrt(2 |A| |B| / (|A| + |B|)) |mean A - mean B|. Returns the number of runs that
// needed float64.
int64_t ward_merges(const RowsView& x, const Runs& runs, WardInput input, int32_t* merges, double* heights);

// Cuts each run into at most counts[i] clusters (at least 1), all merges of equal height or none, as
// fcluster(criterion="maxclust"). labels get 0, 1, ... in order of first appearance; found gets the number of clusters.
void cut_merges(const Runs& runs, const int32_t* merges, const double* heights, const int64_t* counts, int32_t* labels,
                int64_t* found);

// linkage (n - 1, 4) as scipy writes it: the two clusters (a new one is numbered n, n + 1, ...), height, size.
void linkage_matrix(const int32_t* merges, const double* heights, int64_t n, double* linkage);

}  // namespace cluscomp
