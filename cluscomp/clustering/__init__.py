"""Clustering: assignment of rows to centroids and k-means.

Native kernels do the work on blocks of rows; nothing of size n x k is ever held.
"""

from cluscomp.clustering.assign import assign
from cluscomp.clustering.kmeans import KMeans, KMeansResult, train_kmeans

__all__ = ["KMeans", "KMeansResult", "assign", "train_kmeans"]
