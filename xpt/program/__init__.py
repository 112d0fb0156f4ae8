"""What every program needs, whatever it computes: options, errors, signals, files that appear whole.

It knows neither text nor models, and imports nothing of the other packages.
"""
