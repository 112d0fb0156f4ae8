"""What every program needs, whatever it computes: options, errors, files that appear whole, signals, processes.

It knows neither text nor models, and imports nothing of the other packages.
"""
