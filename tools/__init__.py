"""Programs for those who work on pixelproof itself."""
