"""The numbers of metrics.json, the plots, and the page that shows them."""
