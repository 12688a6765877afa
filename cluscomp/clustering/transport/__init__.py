"""Entropic optimal transport: sinkhorn.py has the public functions, problem.py costs and masses on the host,
device.py the same in GPU memory, solver.py the iterations, result.py what comes out.
"""
