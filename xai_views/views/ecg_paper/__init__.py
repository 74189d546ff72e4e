"""An ECG on paper, in the browser and as SVG."""
