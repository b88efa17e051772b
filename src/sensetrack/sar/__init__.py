"""SAR on arrays and metadata: orbit, geometry, radiometry, bursts and speckle; knows no mission and no file."""
