"""The report's plots, as plain plotly.js figures."""
