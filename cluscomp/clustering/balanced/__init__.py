"""Clusters of bounded or equal size.

kmeans.py  BalancedKMeans     assign.py  balanced_assign      report.py  balance_report
solver.py  the assignment     items.py   distinct rows        prices.py  one price per cluster
moves.py   moves of single rows
"""
