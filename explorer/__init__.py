"""Tools for a trained network: predictions, exports, pictures, measurements and a page."""
